// Metrics: series over time, over any number of sources.
import type { MetricsPipeline, MetricsQuery } from "../ast.ts";
import type { Exemplar, MetricsResult, Series } from "../results.ts";
import type { SpanSource } from "../storage.ts";
import { showCandidates } from "./metrics/exemplars.ts";
import { type Intervals, timestampMs } from "./metrics/intervals.ts";
import { compareLabels, labelsKey } from "./metrics/labels.ts";
import { type LeafPart, LeafState, type PlacedCandidate } from "./metrics/leaf-state.ts";
import { compileMetrics, type LeafPlan, type MetricsPlan, splitColumns } from "./metrics/plan.ts";
import type { MetricSeries } from "./metrics/series.ts";
import { combineSeries } from "./metrics/stages.ts";
import { canMatch } from "./spansets/plan.ts";
import { SplitCache } from "./tables/split-cache.ts";

export { type Intervals, instantInterval, rangeIntervals } from "./metrics/intervals.ts";

export interface MetricsOptions {
  readonly intervals: Intervals;
  /** Series at most; what is left out is the last in order. `Infinity` for all. */
  readonly maxSeries: number;
  /** Exemplars per query at most, unless the query's hint asks for fewer. */
  readonly exemplars: number;
  readonly signal?: AbortSignal;
  /** What is known of sources from earlier queries. */
  readonly splits?: SplitCache;
}

/** By pipeline of the query, in the order of its text. Plain values. */
export interface MetricsPart {
  readonly leaves: readonly LeafPart[];
  readonly inspectedSpans: number;
}

/** What is known while sources are read: in one place, or in several whose parts are added. */
export class MetricsState {
  readonly #plan: MetricsPlan;
  readonly #options: MetricsOptions;
  readonly #leaves: ReadonlyMap<MetricsPipeline, LeafState>;
  readonly #exemplars: number;
  #inspectedSpans = 0;

  constructor(plan: MetricsPlan, options: MetricsOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#exemplars = Math.min(options.exemplars, plan.exemplars ?? options.exemplars);
    this.#leaves = new Map(
      [...plan.leaves].map(([node, leaf]) => [
        node,
        new LeafState(leaf, options.intervals, this.#exemplars > 0),
      ]),
    );
  }

  /**
   * Adds the spans of a source, as far as they may matter.
   * @param origin a number by which the source is found again for exemplars; undefined: it will be gone
   * @param skip 1 for each of its traces that is left out
   */
  async measure(source: SpanSource, origin: number | undefined, skip?: Uint8Array): Promise<void> {
    let isRead = false;
    for (const [node, state] of this.#leaves) {
      const leaf = this.#plan.leaves.get(node);
      if (leaf === undefined || !isWorthMeasuring(leaf, [source], this.#options.intervals)) continue;
      await state.measure(source, origin, skip);
      isRead = true;
    }
    if (isRead) this.#inspectedSpans += source.rowCount;
  }

  part(): MetricsPart {
    return {
      leaves: [...this.#leaves.values()].map((leaf) => leaf.part()),
      inspectedSpans: this.#inspectedSpans,
    };
  }

  add({ leaves, inspectedSpans }: MetricsPart): void {
    [...this.#leaves.values()].forEach((leaf, index) => {
      const part = leaves[index];
      if (part !== undefined) leaf.add(part);
    });
    this.#inspectedSpans += inspectedSpans;
  }

  /** @param sourceOf finds a source by its `origin` */
  async result(sourceOf: (origin: number) => SpanSource | undefined): Promise<MetricsResult> {
    const { intervals, maxSeries } = this.#options;
    const series = combineSeries(this.#plan.expression, (node) => this.#leaves.get(node)?.series() ?? []);
    const ordered = series.toSorted((a, b) => compareLabels(a.labels, b.labels));
    const kept = ordered.slice(0, maxSeries);
    const exemplars = await this.#showExemplars(kept, sourceOf);
    const isTruncated = [...this.#leaves.values()].some((leaf) => leaf.isTruncated);
    return {
      series: kept.map((one) => resultSeries(one, intervals, exemplars.get(one) ?? [])),
      isTruncated: isTruncated || ordered.length > kept.length,
      inspectedSpans: this.#inspectedSpans,
    };
  }

  async #showExemplars(
    series: readonly MetricSeries[],
    sourceOf: (origin: number) => SpanSource | undefined,
  ): Promise<Map<MetricSeries, Exemplar[]>> {
    const shown = new Map<MetricSeries, Exemplar[]>();
    for (const [node, state] of this.#leaves) {
      const leaf = this.#plan.leaves.get(node);
      const chosen = state.candidates(this.#exemplars);
      const byOrigin = Map.groupBy(chosen, ({ origin }) => origin);
      for (const [origin, candidates] of leaf === undefined ? [] : byOrigin) {
        const source = origin === undefined ? undefined : sourceOf(origin);
        const exemplars = source && leaf ? await showCandidates(source, leaf, candidates) : [];
        candidates.forEach((candidate, index) => {
          const exemplar = exemplars[index] ?? candidate.exemplar;
          const owner = series.find((one) => belongsTo(candidate, one));
          if (owner === undefined || exemplar === undefined) return;
          shown.set(owner, [...(shown.get(owner) ?? []), exemplar]);
        });
      }
    }
    return shown;
  }
}

/** Quantiles and histograms have series with one label more; the first of them shows the exemplars. */
function belongsTo({ labels }: PlacedCandidate, series: MetricSeries): boolean {
  const own = series.labels.slice(0, labels.length);
  return labelsKey(own) === labelsKey(labels);
}

function resultSeries(
  { labels, samples }: MetricSeries,
  intervals: Intervals,
  exemplars: readonly Exemplar[],
): Series {
  return {
    labels,
    samples: Array.from(samples, (value, index) => ({
      timestampMs: timestampMs(intervals, index),
      value,
    })).filter(({ value }) => !Number.isNaN(value)),
    exemplars: exemplars.toSorted((a, b) => a.timestampMs - b.timestampMs),
  };
}

/** Whether spans of traces that lie in these sources, and in no other, may count. False is certain. */
export function isWorthMeasuring(
  { pipeline }: LeafPlan,
  sources: readonly SpanSource[],
  { firstNs, stepNs, count }: Intervals,
): boolean {
  const lastNs = firstNs + BigInt(count) * stepNs;
  const isInTime = sources.some(({ bounds }) => bounds.maxStartNs > firstNs && bounds.minStartNs <= lastNs);
  return isInTime && canMatch(pipeline, sources);
}

/**
 * Evaluates `query` over the spans of all sources as if they were one: traces that several sources have parts of are
 * put together, spans that several have are counted once.
 * @throws AppError `invalid_argument` for what the query cannot do (division by zero, a structural operator on groups),
 *   `too_large` for too many series; what a source throws
 */
export async function metrics(
  sources: readonly SpanSource[],
  query: MetricsQuery,
  options: MetricsOptions,
): Promise<MetricsResult> {
  const plan = compileMetrics(query);
  const state = new MetricsState(plan, options);
  const leaves = [...plan.leaves.values()];
  if (leaves.some((leaf) => isWorthMeasuring(leaf, sources, options.intervals))) {
    const tables = await Promise.all(sources.map((source) => source.traces()));
    const split = (options.splits ?? new SplitCache(0)).of(tables);
    for (const [index, source] of sources.entries()) {
      options.signal?.throwIfAborted();
      await state.measure(source, index, split.flags[index]);
    }
    for (const batch of split.batches) {
      options.signal?.throwIfAborted();
      const whole = await batch.gather(sources, (source) =>
        leaves.flatMap((leaf) => splitColumns(leaf, source)),
      );
      await state.measure(whole, undefined);
    }
  }
  return state.result((origin) => sources[origin]);
}
