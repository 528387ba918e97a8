// Which tenants a request names, by Tempo's header X-Scope-OrgID and its rules.
import { parseTenantId } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";

export const TENANT_HEADER = "x-scope-orgid";

/** Tenants that one query may be over: each is asked for itself. */
export const MAX_QUERIED_TENANTS = 100;

/**
 * `a|b|c`, each without what follows a `:`.
 * @param header null or empty: the request names none
 * @returns ascending, each once; undefined when it names none
 * @throws AppError `invalid_argument` for an id that no tenant may have, an empty one among several, or too many
 */
export function namedTenants(header: string | null): readonly string[] | undefined {
  const text = header?.trim() ?? "";
  if (text === "") return undefined;
  const parts = text.split("|");
  if (parts.length > MAX_QUERIED_TENANTS) {
    throw new AppError("invalid_argument", `more than ${MAX_QUERIED_TENANTS} tenants in one query`);
  }
  const ids = parts.map((part) => part.replace(/:.*$/, ""));
  if (ids.includes("")) throw new AppError("invalid_argument", "no org id");
  return [...new Set(ids.map((id) => parseTenantId(id)))].sort();
}

/** Tempo's answer to a request that names no tenant where it must. */
export function noTenant(): AppError {
  return new AppError("unauthenticated", "no org id");
}

/** @throws AppError `invalid_argument` when there are several: spans are one tenant's */
export function theTenant(tenants: readonly string[]): string {
  const [only = "", second] = tenants;
  if (second !== undefined) throw new AppError("invalid_argument", "multiple org IDs present");
  return only;
}
