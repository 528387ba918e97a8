// What every request of the admin API goes through: who may, a bounded body, one sentence for what is wrong with it.
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { type Caller, mayAdminister } from "../../access/caller.ts";
import { readBody } from "../../ingest/read-body.ts";
import { parseTenantId, SINGLE_TENANT } from "../../model/ids.ts";
import { ALL_TENANTS } from "../../model/token.ts";
import type { Change, TenantReply, TenantView } from "../../store/tenant-rpc.ts";
import { AppError, messageOf } from "../../util/errors.ts";
import type { AdminPorts, AppDeps } from "../deps.ts";
import { type Misfit, sentence } from "./misfit.ts";

/** What the routes work with. */
export interface AdminDeps extends Pick<AppDeps, "clock" | "limits" | "usage" | "ledger"> {
  readonly admin: AdminPorts;
}

/** The app in front has found out who calls. */
export interface AdminEnv {
  readonly Bindings: { readonly caller: Caller; readonly deps: AdminDeps };
}

export type AdminApp = OpenAPIHono<AdminEnv>;
export type AdminContext = Context<AdminEnv>;

/** A body is one small object. */
export const MAX_BODY_BYTES = 64 * 1024;
/** Of the bodies that are taken the deepest has 6 levels. */
const MAX_DEPTH = 16;

/** @throws AppError `forbidden` for whoever has not the admin secret */
export const operatorOnly: MiddlewareHandler<AdminEnv> = async (c, next) => {
  if (c.env.caller.kind !== "operator") {
    throw new AppError("forbidden", "this is the operator's to do: it needs the admin secret");
  }
  await next();
};

/** Before anybody looks whether there is such a tenant. @throws AppError `forbidden`, `invalid_argument` */
export const tenantAdmin: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const tenant = parseTenantId(c.req.param("tenant") ?? "");
  if (!mayAdminister(c.env.caller, tenant)) {
    throw new AppError("forbidden", `this token may not act for tenant "${tenant}"`);
  }
  await next();
};

/** @throws AppError `not_found` for a tenant that nobody made, where tenants are made */
export const existing: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const tenant = parseTenantId(c.req.param("tenant") ?? "");
  if (!(await isKnown(c.env.deps.admin, tenant))) {
    throw new AppError("not_found", `there is no tenant "${tenant}"`);
  }
  await next();
};

/** Where no tokens are asked for, whoever sends spans makes a tenant. */
export async function isKnown({ access, directory }: AdminPorts, tenant: string): Promise<boolean> {
  if (tenant === SINGLE_TENANT || access.mode === "open") return true;
  return reached(directory().has(tenant));
}

/**
 * Puts the tenant on the list of all.
 * @returns false when it was there before
 * @throws AppError `invalid_argument` where there is one tenant only, `rate_limited` when the list is full
 */
export async function register(tenant: string, { admin, clock }: AdminDeps): Promise<boolean> {
  if (tenant === SINGLE_TENANT) return false;
  // Its tokens would be for all tenants.
  if (tenant === ALL_TENANTS)
    throw new AppError("invalid_argument", `no tenant may be called ${ALL_TENANTS}`);
  if (!admin.access.isMultitenant) {
    const message = `there is one tenant, ${SINGLE_TENANT}, until MULTITENANCY=on is set`;
    throw new AppError("invalid_argument", message);
  }
  const reply = await reached(admin.directory().add(tenant, clock.now()));
  if (!reply.ok) throw new AppError(reply.kind, reply.message);
  return reply.isNew;
}

/**
 * Reads the body within bounds and puts JSON in its place, whatever the request calls it.
 * @throws AppError `too_large`, `invalid_argument`
 */
export const jsonBody: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const { limits } = c.env.deps;
  const bytes = await readBody(c.req.raw, { ...limits, maxCompressedBodyBytes: MAX_BODY_BYTES });
  const text = new TextDecoder().decode(bytes);
  checkJson(text);
  const { url, method } = c.req.raw;
  const headers = new Headers(c.req.raw.headers);
  headers.set("content-type", "application/json");
  headers.delete("content-length");
  c.req.raw = new Request(url, { method, headers, body: text });
  await next();
};

function checkJson(text: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new AppError("invalid_argument", `the body is no JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new AppError("invalid_argument", "the body is no JSON object");
  }
  if (!isWithin(parsed, MAX_DEPTH)) {
    throw new AppError("invalid_argument", `the body is nested deeper than ${MAX_DEPTH} levels`);
  }
}

function isWithin(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isWithin(inner, depth - 1));
}

/** For `defaultHook`: what does not fit a route's schema. */
export function refuseMisfit(result: { readonly success: boolean; readonly error?: Misfit }): undefined {
  if (result.error !== undefined) throw new AppError("invalid_argument", sentence(result.error));
}

/** Who makes the change, and under which condition. @throws AppError `invalid_argument` for a bad If-Match */
export function changeOf(c: AdminContext): Change {
  return { actor: c.env.caller.actor, ifVersion: ifMatch(c.req.header("if-match")) };
}

/** @returns undefined where any version will do: no header, or `*` */
function ifMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === "*") return undefined;
  // Whoever compresses an answer on its way makes its ETag a weak one.
  const [, version] = /^(?:W\/)?"(\d{1,15})"$/.exec(header.trim()) ?? [];
  if (version !== undefined) return Number(version);
  throw new AppError("invalid_argument", `If-Match must be one ETag like "3" in its quotes, not ${header}`);
}

/** What a number of changes is as an ETag. */
export function etagOf(version: number | undefined): string {
  return `"${version ?? 0}"`;
}

/** The tenant after a change. @throws AppError with the object's reason when there was none */
export async function changed(change: Promise<TenantReply>): Promise<TenantView> {
  const reply = await reached(change);
  if (!reply.ok) throw refused(reply);
  return reply.view;
}

/** An object's refusal as an error. */
export function refused(reply: Extract<TenantReply, { ok: false }>): AppError {
  const { kind, message } = reply;
  if (kind === "rate_limited") return new AppError(kind, message, { retryAfterMs: reply.retryAfterMs });
  return new AppError(kind, message, reply.version === undefined ? {} : { version: reply.version });
}

/** @throws AppError `unavailable` when the object throws: it is restarted, overloaded or out of reach */
export async function reached<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new AppError("unavailable", "the tenant's object is not reachable", {
      retryAfterMs: 1_000,
      cause: error,
    });
  }
}
