// TraceQL metrics, Tempo's `/api/metrics/query_range` and `/api/metrics/query`.
import { Hono } from "hono";
import { runMetrics } from "../../query/run-metrics.ts";
import { longJsonAnswer } from "../answers/answer.ts";
import { instantJson, rangeJson } from "../answers/metrics-answer.ts";
import type { AppDeps } from "../deps.ts";
import { readInstantParams, readRangeParams } from "../params/metrics-params.ts";
import type { ScanPorts } from "../scan-ports.ts";

/** By any method, as in Tempo; always JSON. Errors are thrown as AppErrors. */
export function metricsRoutes({ clock, limits }: AppDeps, scan: ScanPorts): Hono {
  const app = new Hono();
  app.all("/api/metrics/query_range", async ({ req: { raw: request } }) => {
    const input = readRangeParams(new URL(request.url).searchParams, clock.now(), limits);
    const run = await runMetrics(await scan(), { ...input, signal: request.signal });
    return longJsonAnswer(request, rangeJson(run, input.maxSeries));
  });
  app.all("/api/metrics/query", async ({ req: { raw: request } }) => {
    const input = readInstantParams(new URL(request.url).searchParams, clock.now(), limits);
    const run = await runMetrics(await scan(), { ...input, exemplars: 0, signal: request.signal });
    return longJsonAnswer(request, instantJson(run, input.maxSeries));
  });
  return app;
}
