// Every request has a caller before any route sees it: what is not listed here asks for the scope `read`.
import type { Context, MiddlewareHandler } from "hono";
import type { Authenticator, NeededScope } from "../access/authenticator.ts";
import { noTenant, theTenant } from "../access/tenancy.ts";
import type { Caller } from "../access/caller.ts";
import { SINGLE_TENANT } from "../model/ids.ts";
import type { AppEnv } from "./deps.ts";

/** A part of the HTTP surface: what it asks for, and how it says no. */
export interface Area {
  /** `/x` is that path, `/x/*` that path and all below it. */
  readonly path: string;
  /** Absent: all of them. */
  readonly methods?: readonly string[];
  /** `public`: anybody, always. */
  readonly scope: NeededScope | "public";
  readonly refuse: (request: Request, error: unknown) => Response;
}

const ANYONE: Caller = {
  kind: "open",
  actor: "anyone",
  tenants: [SINGLE_TENANT],
  scopes: new Set(["ingest", "read", "metrics"]),
};

/**
 * Sets the caller, or answers with the refusal of the request's area.
 * @param authenticator absent: anybody may send and read, for the one tenant; nobody has the scope `admin`
 */
export function access(
  authenticator: Pick<Authenticator, "caller"> | undefined,
  areas: readonly Area[],
  rest: Omit<Area, "path">,
): MiddlewareHandler<AppEnv> {
  return async (c, next): Promise<Response | undefined> => {
    const { scope, refuse } = areas.find((area) => isIn(c.req, area)) ?? rest;
    if (scope !== "public") {
      try {
        const report = c.get("report");
        const onToken = (home: string, id: string): void => report.knownToken(home, id);
        c.set("caller", (await authenticator?.caller(c.req.raw.headers, scope, onToken)) ?? ANYONE);
      } catch (error) {
        c.get("report").failed(error);
        return refuse(c.req.raw, error);
      }
    }
    await next();
    return undefined;
  };
}

function isIn({ path, method }: { path: string; method: string }, area: Area): boolean {
  if (area.methods?.includes(method) === false) return false;
  if (!area.path.endsWith("/*")) return path === area.path;
  // As the router sees it, `/x/*` is `/x` too.
  return path.startsWith(area.path.slice(0, -1)) || path === area.path.slice(0, -2);
}

/** The tenant that spans are for, or that is looked after. @throws AppError `unauthenticated` when none is named */
export function tenantOf(c: Context<AppEnv>): string {
  return theTenant(tenantsOf(c));
}

/** The tenants that a query is over. @throws AppError `unauthenticated` when none is named */
export function tenantsOf(c: Context<AppEnv>): readonly string[] {
  const { tenants } = c.get("caller");
  if (tenants.length === 0) throw noTenant();
  return tenants;
}
