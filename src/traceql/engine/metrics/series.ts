// Series from cells.
import { isDuration } from "../spansets/aggregate.ts";
import type { BucketEntries } from "./bucket-counts.ts";
import { type Cells, type SeriesCells, type Statistics, sumOf } from "./cells.ts";
import type { Intervals } from "./intervals.ts";
import { floatLabel, type Labels } from "./labels.ts";
import type { SeriesFunction } from "./measure.ts";
import { bucketMiddle } from "./sketch.ts";

/** A series while it is worked with. */
export interface MetricSeries {
  readonly labels: Labels;
  /** By interval; NaN: no sample. */
  readonly samples: Float64Array;
}

const NS_PER_SECOND = 1e9;

/** The series of a function. Those of quantiles and buckets come one behind the other. */
export function seriesOfCells(fn: SeriesFunction, cells: Cells, intervals: Intervals): MetricSeries[] {
  // Durations are counted in nanoseconds and shown in seconds.
  const scale = "field" in fn && isDuration(fn.field) ? NS_PER_SECOND : 1;
  switch (fn.kind) {
    case "rate": {
      const seconds = Number(intervals.rateNs) / NS_PER_SECOND;
      return perSeries(cells, ({ counts }) => counts.map((count) => count / seconds));
    }
    case "count_over_time":
      return perSeries(cells, ({ counts }) => counts.slice());
    case "min_over_time":
      return perSeries(cells, (series) => statistic(series, ({ min }, i) => (min[i] ?? 0) / scale));
    case "max_over_time":
      return perSeries(cells, (series) => statistic(series, ({ max }, i) => (max[i] ?? 0) / scale));
    case "sum_over_time":
      return perSeries(cells, (series) => statistic(series, (own, i) => sumOf(own, i) / scale));
    case "avg_over_time":
      return perSeries(cells, (series) =>
        statistic(series, (own, i) => sumOf(own, i) / scale / (series.counts[i] ?? 1)),
      );
    case "quantile_over_time":
      return quantiles(fn.quantiles, cells, scale);
    case "histogram_over_time":
      return histograms(cells, scale);
  }
}

function perSeries(cells: Cells, samplesOf: (series: SeriesCells) => Float64Array): MetricSeries[] {
  return cells.inOrder().map((series) => ({ labels: series.labels, samples: samplesOf(series) }));
}

function statistic(
  { counts, statistics }: SeriesCells,
  valueOf: (statistics: Statistics, interval: number) => number,
): Float64Array {
  return counts.map((count, interval) =>
    count === 0 || statistics === undefined ? Number.NaN : valueOf(statistics, interval),
  );
}

/** By series: its entries of the table, by their places there, in ascending order of interval and bucket. */
function entriesBySeries(cells: Cells, { cells: at, buckets }: BucketEntries): Map<number, Uint32Array> {
  const order = Uint32Array.from(at, (_, i) => i).sort(
    (a, b) => (at[a] ?? 0) - (at[b] ?? 0) || (buckets[a] ?? 0) - (buckets[b] ?? 0),
  );
  const bySeries = new Map<number, Uint32Array>();
  const numberAt = (place: number): number => Math.floor((at[order[place] ?? 0] ?? 0) / cells.intervalCount);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && numberAt(end) === numberAt(start)) end++;
    bySeries.set(numberAt(start), order.subarray(start, end));
    start = end;
  }
  return bySeries;
}

/** The value at place floor(q * (n - 1)) of the ascending ones, for each interval; 0 where there are none. */
function quantiles(wanted: readonly number[], cells: Cells, scale: number): MetricSeries[] {
  const entries = cells.buckets.entries();
  const bySeries = entriesBySeries(cells, entries);
  return cells.inOrder().flatMap((series) =>
    [...new Set(wanted)].map((q) => {
      const samples = new Float64Array(cells.intervalCount);
      const left = series.counts.map((count) => Math.floor(q * (count - 1)));
      for (const place of bySeries.get(series.number) ?? []) {
        const interval = (entries.cells[place] ?? 0) % cells.intervalCount;
        const rank = left[interval] ?? -1;
        if (rank < 0) continue;
        left[interval] = rank - (entries.counts[place] ?? 0);
        if ((left[interval] ?? 0) < 0) samples[interval] = bucketMiddle(entries.buckets[place] ?? 0) / scale;
      }
      return { labels: [...series.labels, floatLabel("p", q)], samples };
    }),
  );
}

function histograms(cells: Cells, scale: number): MetricSeries[] {
  const entries = cells.buckets.entries();
  const bySeries = entriesBySeries(cells, entries);
  return cells.inOrder().flatMap((series) => {
    const byExponent = new Map<number, Float64Array>();
    for (const place of bySeries.get(series.number) ?? []) {
      const exponent = entries.buckets[place] ?? 0;
      const samples = byExponent.get(exponent) ?? new Float64Array(cells.intervalCount);
      byExponent.set(exponent, samples);
      samples[(entries.cells[place] ?? 0) % cells.intervalCount] = entries.counts[place] ?? 0;
    }
    return [...byExponent].map(([exponent, samples]) => ({
      labels: [...series.labels, floatLabel("__bucket", 2 ** exponent / scale)],
      samples,
    }));
  });
}
