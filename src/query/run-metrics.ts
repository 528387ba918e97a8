// Metrics over everything that a tenant has in a window.
import type { MetricsQuery } from "../traceql/ast.ts";
import { TRACES } from "../scan/block-source.ts";
import { isWorthMeasuring, metrics } from "../traceql/engine/metrics.ts";
import type { Intervals } from "../traceql/engine/metrics/intervals.ts";
import { compileMetrics, leafColumns, splitColumns } from "../traceql/engine/metrics/plan.ts";
import { partColumns } from "../traceql/engine/tables/split-traces.ts";
import type { MetricsResult } from "../traceql/results.ts";
import { candidateTraces, needsWholeTraces } from "./candidates.ts";
import { marginNs } from "./plan.ts";
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
  const margin = marginNs(deps.limits.scan);
  const isOfTraces = [...plan.leaves.keys()].some((pipeline) => needsWholeTraces(pipeline));
  const { firstNs, stepNs, count } = intervals;
  const window = { startNs: firstNs + 1n, endNs: firstNs + BigInt(count) * stepNs };
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: (source) => {
      const measured = leaves.filter((leaf) => isWorthMeasuring(leaf, [source], intervals));
      const columns = measured.flatMap((leaf) => leafColumns(leaf, source));
      const ofParts = measured.flatMap((leaf) => splitColumns(leaf, source));
      return [[TRACES, ...columns], partColumns(source, () => ofParts)];
    },
    evaluate: async (sources, beyond) => {
      // What sources have twice counts once.
      const mayTurnUp = isOfTraces && !beyond.isEmpty;
      const candidates = mayTurnUp ? await candidateTraces(sources, window, margin) : [];
      const whole = await beyond.find(candidates);
      const { splits } = deps.cache;
      const options = { intervals, maxSeries, exemplars, splits, ...(signal && { signal }) };
      return metrics([...sources, ...whole.sources], query, options);
    },
  });
  return { ...result, ...report };
}
