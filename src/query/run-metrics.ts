// Metrics over everything that a tenant has in a window.
import type { MetricsQuery } from "../traceql/ast.ts";
import { metrics } from "../traceql/engine/metrics.ts";
import type { Intervals } from "../traceql/engine/metrics/intervals.ts";
import { compileMetrics } from "../traceql/engine/metrics/plan.ts";
import type { MetricsResult } from "../traceql/results.ts";
import { candidateTraces, needsWholeTraces, NO_CANDIDATES } from "./candidates.ts";
import { expectedInMetrics } from "./expected-columns.ts";
import { memoryMember } from "./pool/local-scan.ts";
import { pooledCandidates } from "./pool/pooled-candidates.ts";
import { pooledMetrics } from "./pool/pooled-metrics.ts";
import type { ScanDeps, ScanReport } from "./query-scan.ts";
import { runScan } from "./run-scan.ts";

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
  const { query, intervals, maxSeries, exemplars, signal } = input;
  const plan = compileMetrics(query);
  const leaves = [...plan.leaves.values()];
  const { scan: limits } = deps.limits;
  const isOfTraces = [...plan.leaves.keys()].some((pipeline) => needsWholeTraces(pipeline));
  const options = { intervals, maxSeries, exemplars, ...(signal && { signal }) };
  const pooledQuery = { kind: "metrics", query, intervals, exemplars } as const;
  const { firstNs, stepNs, count } = intervals;
  const window = { startNs: firstNs + 1n, endNs: firstNs + BigInt(count) * stepNs };
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: expectedInMetrics(leaves, intervals),
    evaluate: async (sources, beyond) => {
      // What sources have twice counts once.
      const mayTurnUp = isOfTraces && !beyond.isEmpty;
      const candidates = mayTurnUp ? await candidateTraces(sources, window, limits) : NO_CANDIDATES;
      const whole = await beyond.find(candidates.ids, candidates);
      const { splits } = deps.cache;
      return metrics([...sources, ...whole.sources], query, { ...options, splits });
    },
    query: pooledQuery,
    evaluatePooled: async (scan) => {
      const mayTurnUp = isOfTraces && !scan.beyond.isEmpty;
      const candidates = mayTurnUp
        ? await pooledCandidates(scan, pooledQuery, window, limits)
        : NO_CANDIDATES;
      const whole = await scan.beyond.find(candidates.ids, candidates);
      if (whole.sources.length > 0) scan.group.join(memoryMember(pooledQuery, whole.sources));
      return pooledMetrics(scan, query, options);
    },
  });
  return { ...result, ...report };
}
