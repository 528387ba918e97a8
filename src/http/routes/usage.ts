// GET /api/usage: what the caller's tenants have used and what it costs. JSON, errors too.
import { type Context, Hono } from "hono";
import { actsFor, type Caller } from "../../access/caller.ts";
import { parseTenantId } from "../../model/ids.ts";
import { PLATFORM } from "../../model/limits.ts";
import { AppError } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import { tenantsOf } from "../access.ts";
import { usageJson } from "../answers/usage-answer.ts";
import type { AppDeps, AppEnv, UsagePorts } from "../deps.ts";
import { jsonErrorResponse } from "../errors.ts";
import { readUsageRange, usageOf } from "../tenant-usage.ts";

export const USAGE_PATH = "/api/usage";

/** What `tenant` says when all of them are meant. */
const ALL = "all";

export function usageRoutes(deps: AppDeps, usage: UsagePorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get(USAGE_PATH, async (c) => {
    const range = readUsageRange(c.req.query(), deps.clock.now());
    const tenants = await askedTenants(c, usage);
    const found = await settleAll(tenants, PLATFORM.connections, (tenant) =>
      usageOf(tenant, range, usage, deps.ledger),
    );
    const usages = found.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    return Response.json(usageJson(usages, range), { headers: { "cache-control": "no-store" } });
  });
  app.onError((error, c) => {
    c.get("report").failed(error);
    return jsonErrorResponse(error);
  });
  return app;
}

/** The tenants of the request, or those that `tenant` names, if the caller may ask for them. */
async function askedTenants(c: Context<AppEnv>, { tenantNames }: UsagePorts): Promise<readonly string[]> {
  const caller = c.get("caller");
  if (!caller.scopes.has("read") && !caller.scopes.has("admin")) {
    throw new AppError("forbidden", "this token lacks the scopes read and admin: it needs one of them");
  }
  const named = c.req.query("tenant");
  if (named === undefined || named === "") return tenantsOf(c);
  if (named !== ALL) {
    const tenant = parseTenantId(named);
    if (!mayAsk(caller, tenant)) throw new AppError("forbidden", `the token is not for tenant "${tenant}"`);
    // One that the request is for is known; objects of others that there are not would come to life by being asked.
    if (caller.tenants.includes(tenant) || (await tenantNames()).includes(tenant)) return [tenant];
    throw new AppError("not_found", `there is no tenant "${tenant}"`);
  }
  if (caller.kind === "operator") return tenantNames();
  throw new AppError("forbidden", "all tenants are the operator's to see: it needs the admin secret");
}

/** Who may be anybody may ask for anybody, where tokens are not asked for: for the tenants that the request is for. */
function mayAsk(caller: Caller, tenant: string): boolean {
  return actsFor(caller, tenant) || caller.tenants.includes(tenant);
}
