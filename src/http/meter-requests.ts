// Counts every request that belongs to a tenant: what it costs by itself, what was asked, how it ended and how long it took.
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Caller } from "../access/caller.ts";
import { requestCpuUs } from "../usage/cpu-model.ts";
import { REQUEST_BUCKETS_MS } from "../usage/counters.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import type { Clock } from "../util/clock.ts";
import type { AppEnv } from "./deps.ts";

const ABOVE = "inf";

/** Runs behind `access`: a request that nobody may make belongs to no tenant. */
export function meterRequests(ledger: UsageLedger, clock: Clock): MiddlewareHandler<AppEnv> {
  return async (c, next): Promise<void> => {
    const caller: Caller | undefined = c.get("caller");
    // A query over several tenants is one request: the first one's.
    const tenant = caller?.tenants[0];
    if (tenant === undefined) return next();
    const startMs = clock.now();
    const meter = ledger.meter(tenant);
    meter.add("workerRequests", 1);
    meter.add("workerCpuUs", requestCpuUs());
    const token = caller?.token?.id;
    if (token !== undefined) {
      meter.add("tokenRequests", 1, token);
      meter.add("tokenLastUsedMs", startMs, token);
    }
    await next();
    const ms = clock.now() - startMs;
    const labels = [routePath(c, -1), String(c.res.status)];
    const bound = REQUEST_BUCKETS_MS.find((most) => ms <= most);
    const ended = ledger.meter(tenant);
    ended.add("routeRequests", 1, ...labels);
    ended.add("routeMs", ms, ...labels);
    ended.add("routeBucket", 1, ...labels, bound === undefined ? ABOVE : String(bound));
  };
}
