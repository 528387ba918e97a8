// Tokens of a tenant: made, listed, revoked. Their text is in one answer only, the one to whoever makes one.
import { createRoute } from "@hono/zod-openapi";
import { type Caller, actsFor } from "../../access/caller.ts";
import { readNamedOverrides } from "../../model/tenant-limits.ts";
import {
  ALL_TENANTS,
  checkTokenRequest,
  makeToken,
  type TokenRecord,
  type TokenRequest,
} from "../../model/token.ts";
import type { TenantView } from "../../store/tenant-rpc.ts";
import { dayOf } from "../../usage/usage-days.ts";
import { AppError } from "../../util/errors.ts";
import { tenantUsage } from "../tenant-usage.ts";
import { namedLimits } from "./limits-schema.ts";
import {
  type AdminApp,
  type AdminContext,
  type AdminDeps,
  changed,
  changeOf,
  etagOf,
  existing,
  isKnown,
  jsonBody,
  reached,
  register,
  tenantAdmin,
} from "./request.ts";
import { answers, CHANGE_PROBLEMS, jsonRequest, PROBLEMS, TENANT } from "./routes.ts";
import { ChangeHeaders, TenantParams, type z } from "./schemas.ts";
import {
  MadeTokenSchema,
  NewTokenSchema,
  RevokedSchema,
  TokenListSchema,
  TokenParams,
  type TokenSchema,
} from "./tokens-schema.ts";

const TOKENS = `${TENANT}/tokens` as const;

const createTokenRoute = createRoute({
  method: "post",
  path: TOKENS,
  middleware: [tenantAdmin, jsonBody] as const,
  summary: "Makes a token. The operator's first one of a tenant makes the tenant as well",
  request: { params: TenantParams, headers: ChangeHeaders, body: jsonRequest(NewTokenSchema) },
  responses: { 201: answers("The token", MadeTokenSchema), ...CHANGE_PROBLEMS },
});

const listRoute = createRoute({
  method: "get",
  path: TOKENS,
  middleware: [tenantAdmin, existing] as const,
  summary: "The tokens that are not revoked, also those that have expired",
  request: { params: TenantParams },
  responses: { 200: answers("All of them", TokenListSchema), ...PROBLEMS },
});

const revokeRoute = createRoute({
  method: "delete",
  path: `${TOKENS}/{id}`,
  middleware: [tenantAdmin, existing] as const,
  summary: "Revokes a token: everywhere within a minute",
  request: { params: TokenParams, headers: ChangeHeaders },
  responses: { 200: answers("It is revoked", RevokedSchema), ...CHANGE_PROBLEMS },
});

/** Registers the routes. */
export function tokenRoutes(app: AdminApp): void {
  app.openapi(createTokenRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { caller, deps } = c.env;
    const nowMs = deps.clock.now();
    const request = requestOf(c.req.valid("json"));
    checkTokenRequest(request, nowMs);
    checkGrant(caller, request);
    await ensureTenant(c, tenant);
    const { text, record } = await makeToken(tenant, request, nowMs);
    const view = await changed(deps.admin.tenantOf(tenant).addToken(record, changeOf(c)));
    deps.admin.forget(tenant);
    return c.json({ ...tokenJson(record), token: text }, 201, { etag: etagOf(view.version) });
  });
  app.openapi(listRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const view = await reached(c.env.deps.admin.tenantOf(tenant).view());
    const lastUses = await lastUsesOf(tenant, view, c.env.deps);
    const tokens = (view.tokens ?? []).map((token) => tokenJson(token, lastUses(token.id)));
    return c.json({ tokens }, 200, { etag: etagOf(view.version) });
  });
  app.openapi(revokeRoute, async (c) => {
    const { tenant, id } = c.req.valid("param");
    const { admin } = c.env.deps;
    const view = await changed(admin.tenantOf(tenant).revokeToken(id, changeOf(c)));
    admin.forget(tenant);
    return c.json({ revoked: id }, 200, { etag: etagOf(view.version) });
  });
}

function requestOf({
  expires,
  limits,
  name,
  origins,
  scopes,
  tenants,
}: z.infer<typeof NewTokenSchema>): TokenRequest {
  return {
    name,
    scopes: [...new Set(scopes)],
    tenants: [...new Set(tenants)],
    origins: [...new Set(origins)],
    ...(limits === undefined ? {} : { limits: readNamedOverrides(limits) }),
    ...(expires === undefined ? {} : { expiresMs: Date.parse(expires) }),
  };
}

/** Nobody gives away more than they have. @throws AppError `forbidden` */
function checkGrant(caller: Caller, { tenants }: TokenRequest): void {
  const { kind, token } = caller;
  const isForAll = kind === "operator" || token?.tenants.includes(ALL_TENANTS) === true;
  // A tenant's name may look like the sign for all of them.
  const other = tenants.find((tenant) => (tenant === ALL_TENANTS ? !isForAll : !actsFor(caller, tenant)));
  if (other !== undefined) {
    throw new AppError(
      "forbidden",
      `this token may not act for tenant "${other}", so it cannot let another do so`,
    );
  }
}

/** An If-Match is never true of a tenant that there is not. */
async function ensureTenant(c: AdminContext, tenant: string): Promise<void> {
  const { caller, deps } = c.env;
  if (await isKnown(deps.admin, tenant)) return;
  if (caller.kind !== "operator") throw new AppError("not_found", `there is no tenant "${tenant}"`);
  if (changeOf(c).ifVersion !== undefined) {
    throw new AppError("conflict", `there is no tenant "${tenant}" yet, so it has no version`);
  }
  await register(tenant, deps);
}

/** How long back a token's use is looked for, in days. */
const LAST_USE_DAYS = 90;

/** When each token was used last, in ms; 0: not within the days. It is what the shards count anyway. */
async function lastUsesOf(
  tenant: string,
  view: TenantView,
  { clock, usage: ports, ledger }: AdminDeps,
): Promise<(id: string) => number> {
  if (ports === undefined) return () => 0;
  const to = dayOf(clock.now());
  const usage = await tenantUsage(tenant, view, { from: to - LAST_USE_DAYS, to }, { ports, ledger });
  return (id) => Math.max(0, ...usage.days.map((day) => usage.on(day).get("tokenLastUsedMs", id)));
}

function tokenJson(token: TokenRecord, lastUsedMs = 0): z.infer<typeof TokenSchema> {
  const { id, name, scopes, tenants, origins, limits, createdMs, expiresMs } = token;
  return {
    id,
    name,
    scopes: [...scopes],
    tenants: [...tenants],
    origins: [...origins],
    ...(limits === undefined ? {} : { limits: namedLimits(limits) }),
    created: new Date(createdMs).toISOString(),
    ...(expiresMs === undefined ? {} : { expires: new Date(expiresMs).toISOString() }),
    ...(lastUsedMs === 0 ? {} : { lastUsed: new Date(lastUsedMs).toISOString() }),
  };
}
