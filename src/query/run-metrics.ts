// Metrics over everything that a tenant has in a window.
import type { MetricsQuery } from "../traceql/ast.ts";
import type { Intervals } from "../traceql/engine/metrics.ts";
import type { MetricsResult } from "../traceql/results.ts";
import type { ScanDeps, ScanReport } from "./query-scan.ts";

export interface MetricsInput {
  readonly query: MetricsQuery;
  /** Their whole range is the window. */
  readonly intervals: Intervals;
  /** Series at most; `Infinity` for all. */
  readonly maxSeries: number;
  /** Exemplars at most, unless the query's hint says otherwise. */
  readonly exemplars: number;
  readonly signal?: AbortSignal | undefined;
}

export interface MetricsRun extends MetricsResult, ScanReport {}

/**
 * Series over time. What cannot be read is left out, and reported.
 * @throws as `runSearch` does
 */
export async function runMetrics(deps: ScanDeps, input: MetricsInput): Promise<MetricsRun> {
  throw new Error(`${deps.tenant} ${input.maxSeries}`);
}
