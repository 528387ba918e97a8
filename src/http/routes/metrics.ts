// TraceQL metrics, Tempo's `/api/metrics/query_range` and `/api/metrics/query`.
import { Hono } from "hono";
import { runMetrics } from "../../query/run-metrics.ts";
import { longJsonAnswer } from "../answers/answer.ts";
import { instantJson, rangeJson } from "../answers/metrics-answer.ts";
import { tenantsOf } from "../access.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { readInstantParams, readRangeParams } from "../params/metrics-params.ts";
import type { ScanPorts } from "../scan-ports.ts";

/** By any method, as in Tempo; always JSON. Errors are thrown as AppErrors. */
export function metricsRoutes({ clock }: AppDeps, scan: ScanPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.all("/api/metrics/query_range", async (c) => {
    const request = c.req.raw;
    const input = readRangeParams(new URL(request.url).searchParams, clock.now(), c.get("limits"));
    const run = await runMetrics(await scan(tenantsOf(c)), { ...input, signal: request.signal });
    return longJsonAnswer(request, rangeJson(run, input.maxSeries));
  });
  app.all("/api/metrics/query", async (c) => {
    const request = c.req.raw;
    const input = readInstantParams(new URL(request.url).searchParams, clock.now(), c.get("limits"));
    const run = await runMetrics(await scan(tenantsOf(c)), {
      ...input,
      exemplars: 0,
      signal: request.signal,
    });
    return longJsonAnswer(request, instantJson(run, input.maxSeries));
  });
  return app;
}
