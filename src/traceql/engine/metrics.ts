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
import { metricsProspects } from "./prospects.ts";
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

/** Spans of one source that become exemplars. Plain values. */
export interface ChosenSpans {
  /** Which pipeline of the query, in the order of its text. */
  readonly leaf: number;
  readonly origin: number;
  readonly candidates: readonly PlacedCandidate[];
}

/** Makes exemplars: lists in the order of `chosen`, each in the order of its candidates. */
export type ShowExemplars = (chosen: readonly ChosenSpans[]) => Promise<readonly (readonly Exemplar[])[]>;

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

  /** @param show makes exemplars of what is still in sources */
  async result(show: ShowExemplars): Promise<MetricsResult> {
    const { intervals, maxSeries } = this.#options;
    const series = combineSeries(this.#plan.expression, (node) => this.#leaves.get(node)?.series() ?? []);
    const ordered = series.toSorted((a, b) => compareLabels(a.labels, b.labels));
    const kept = ordered.slice(0, maxSeries);
    const exemplars = await this.#showExemplars(kept, show);
    const isTruncated = [...this.#leaves.values()].some((leaf) => leaf.isTruncated);
    return {
      series: kept.map((one) => resultSeries(one, intervals, exemplars.get(one) ?? [])),
      isTruncated: isTruncated || ordered.length > kept.length,
      inspectedSpans: this.#inspectedSpans,
    };
  }

  async #showExemplars(
    series: readonly MetricSeries[],
    show: ShowExemplars,
  ): Promise<Map<MetricSeries, Exemplar[]>> {
    const chosen = [...this.#leaves.values()].flatMap((state, leaf) =>
      [...Map.groupBy(state.candidates(this.#exemplars), ({ origin }) => origin)].map(
        ([origin, candidates]) => ({ leaf, origin, candidates }),
      ),
    );
    const inSources = chosen.flatMap(({ leaf, origin, candidates }) =>
      origin === undefined ? [] : [{ leaf, origin, candidates }],
    );
    const made = (inSources.length === 0 ? [] : await show(inSources)).values();
    const shown = new Map<MetricSeries, Exemplar[]>();
    for (const { origin, candidates } of chosen) {
      const exemplars = origin === undefined ? [] : (made.next().value ?? []);
      candidates.forEach((candidate, index) => {
        const exemplar = exemplars[index] ?? candidate.exemplar;
        const owner = series.find((one) => belongsTo(candidate, one));
        if (owner === undefined || exemplar === undefined) return;
        shown.set(owner, [...(shown.get(owner) ?? []), exemplar]);
      });
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
  intervals: Intervals,
): boolean {
  const prospects = metricsProspects(pipeline, intervals);
  return prospects.isWorth(prospects.passed(sources));
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
  return state.result((chosen) => showChosen(leaves, sources, chosen));
}

/** @param sources by `origin` */
export async function showChosen(
  leaves: readonly LeafPlan[],
  sources: readonly SpanSource[],
  chosen: readonly ChosenSpans[],
): Promise<Exemplar[][]> {
  const shown: Exemplar[][] = [];
  for (const { leaf, origin, candidates } of chosen) {
    const plan = leaves[leaf];
    const source = sources[origin];
    shown.push(plan && source ? await showCandidates(source, plan, candidates) : []);
  }
  return shown;
}
