// Metrics over everything that a tenant has in a window.
import type { MetricsQuery, SearchQuery } from "../traceql/ast.ts";
import { TRACES } from "../scan/block-source.ts";
import { isWorthMeasuring, metrics } from "../traceql/engine/metrics.ts";
import type { Intervals } from "../traceql/engine/metrics/intervals.ts";
import { compileMetrics, leafColumns, splitColumns } from "../traceql/engine/metrics/plan.ts";
import { compileSearch, isWorthSearching, search, type SearchOptions } from "../traceql/engine/search.ts";
import { findColumns } from "../traceql/engine/search/find-traces.ts";
import { partColumns } from "../traceql/engine/tables/split-traces.ts";
import type { MetricsResult } from "../traceql/results.ts";
import type { SpanSource } from "../traceql/storage.ts";
import { candidateQuery } from "./candidates.ts";
import { marginNs } from "./plan.ts";
import type { ScanDeps, ScanReport } from "./query-scan.ts";
import { runScan } from "./run-scan.ts";
import { CANDIDATES_MAX } from "./search-whole.ts";
import type { BeyondWindow } from "./whole-traces.ts";

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
  const candidates = candidateQuery([...plan.leaves.keys()], marginNs(deps.limits.scan));
  const candidatePlan = candidates && compileSearch(candidates);
  const { firstNs, stepNs, count } = intervals;
  const window = { startNs: firstNs + 1n, endNs: firstNs + BigInt(count) * stepNs };
  const few = { ...window, limit: CANDIDATES_MAX, spansPerSpanset: 1, ...(signal && { signal }) };
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: (source) => {
      const measured = leaves.filter((leaf) => isWorthMeasuring(leaf, [source], intervals));
      const columns = measured.flatMap((leaf) => leafColumns(leaf, source));
      if (candidatePlan !== undefined && isWorthSearching(candidatePlan, [source], few)) {
        columns.push(...findColumns(candidatePlan.pipeline, source, few));
      }
      const ofParts = measured.flatMap((leaf) => splitColumns(leaf, source));
      return [[TRACES, ...columns], partColumns(source, () => ofParts)];
    },
    evaluate: async (sources, beyond) => {
      const whole = candidates === undefined ? [] : await wholeCandidates(sources, candidates, few, beyond);
      const options = { intervals, maxSeries, exemplars, ...(signal && { signal }) };
      return metrics([...sources, ...whole], query, options);
    },
  });
  return { ...result, ...report };
}

/** Traces that count otherwise with what they have beyond the window: what sources have twice counts once. */
async function wholeCandidates(
  sources: readonly SpanSource[],
  candidates: SearchQuery,
  few: SearchOptions,
  beyond: BeyondWindow,
): Promise<readonly SpanSource[]> {
  const { traces } = await search(sources, candidates, few);
  return (await beyond.find(traces.map(({ traceId }) => traceId))).sources;
}
