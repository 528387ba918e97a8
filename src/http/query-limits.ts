// The limits of the tenants that a query is over: the routes read them, and a query too many is refused before it begins.
import type { MiddlewareHandler } from "hono";
import { type Limits, limitsOfTenant } from "../model/limits.ts";
import { QuerySlots } from "../query/query-slots.ts";
import { tenantsOf } from "./access.ts";
import type { AppDeps, AppEnv } from "./deps.ts";

/**
 * What asks for spans: a request that sends them to `/api/traces` does not. A path matches one of them at most, since `/x/*`
 * is `/x` too.
 */
export const QUERY_PATHS: readonly string[] = [
  "/api/search/*",
  "/api/v2/search/*",
  "/api/metrics/*",
  "/api/traces/:id",
  "/api/v2/traces/:id",
];

/** Sets `limits` to what holds for the query. It counts as running until its answer begins. */
export function queryLimits({ limits, shards }: AppDeps): MiddlewareHandler<AppEnv> {
  const slots = new QuerySlots();
  return async (c, next): Promise<void> => {
    const tenants = await Promise.all(
      tenantsOf(c).map(async (tenant) => ({
        tenant,
        limits: limitsOfTenant(limits, await shards.limitsOf(tenant)),
      })),
    );
    c.set(
      "limits",
      strictest(
        limits,
        tenants.map((each) => each.limits),
      ),
    );
    const subjects = tenants.map((each) => ({
      tenant: each.tenant,
      maxQueries: each.limits.tenant.maxConcurrentQueries,
    }));
    await slots.run(subjects, next);
  };
}

/** Of several tenants the shortest ranges hold. */
function strictest(limits: Limits, each: readonly Limits[]): Limits {
  const least = (field: "maxSearchMs" | "maxMetricsMs"): number =>
    Math.min(...each.map(({ tenant }) => tenant[field]));
  return {
    ...limits,
    tenant: { ...limits.tenant, maxSearchMs: least("maxSearchMs"), maxMetricsMs: least("maxMetricsMs") },
  };
}
