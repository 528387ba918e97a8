// Metrics: series over time, over any number of sources.
import type { MetricsQuery } from "../ast.ts";
import type { MetricsResult } from "../results.ts";
import type { SpanSource } from "../storage.ts";

/** Consecutive intervals: (first, first + step], (first + step, first + 2 * step] ... */
export interface Intervals {
  /** Unix ns; the open left edge of the first interval. */
  readonly firstNs: bigint;
  readonly stepNs: bigint;
  readonly count: number;
  /** What `rate()` divides by. */
  readonly rateNs: bigint;
}

export interface MetricsOptions {
  readonly intervals: Intervals;
  /** Series at most; what is left out is the last in order. `Infinity` for all. */
  readonly maxSeries: number;
  /** Exemplars per query at most, unless the query's hint says otherwise. */
  readonly exemplars: number;
  readonly signal?: AbortSignal;
}

/**
 * The intervals of a range query, aligned to multiples of `stepNs`: the first sample stands at or before `startNs`, the
 * last one at or after `endNs`.
 */
export function rangeIntervals(startNs: bigint, endNs: bigint, stepNs: bigint): Intervals {
  const firstNs = startNs - (startNs % stepNs) - stepNs;
  return { firstNs, stepNs, count: Number((endNs - firstNs + stepNs - 1n) / stepNs), rateNs: stepNs };
}

/** The one interval of an instant query: [startNs, endNs]. */
export function instantInterval(startNs: bigint, endNs: bigint): Intervals {
  return { firstNs: startNs - 1n, stepNs: endNs - startNs + 1n, count: 1, rateNs: endNs - startNs };
}

/**
 * Evaluates `query` over the spans of all sources as if they were one.
 * @throws as `search` does
 */
export async function metrics(
  sources: readonly SpanSource[],
  query: MetricsQuery,
  options: MetricsOptions,
): Promise<MetricsResult> {
  throw new Error(`${sources.length} ${query.kind} ${options.maxSeries}`);
}
