// Series from cells.
import { isDuration } from "../spansets/aggregate.ts";
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

/** The value at place floor(q * (n - 1)) of the ascending ones, for each interval; 0 where there are none. */
function quantiles(wanted: readonly number[], cells: Cells, scale: number): MetricSeries[] {
  const { intervalCount } = cells;
  const all = cells.inOrder();
  const byNumber = new Map(all.map((series) => [series.number, series]));
  const samples = [...new Set(wanted)].map((q) => ({
    q,
    ofSeries: new Map(all.map(({ number }) => [number, new Float64Array(intervalCount)])),
  }));
  cells.buckets.visit((cell, { buckets, counts, length }) => {
    const number = Math.floor(cell / intervalCount);
    const interval = cell - number * intervalCount;
    const total = byNumber.get(number)?.counts[interval] ?? 0;
    for (const { q, ofSeries } of samples) {
      const own = ofSeries.get(number);
      if (own === undefined || total === 0) continue;
      let left = Math.floor(q * (total - 1));
      let at = 0;
      while (at < length - 1 && left >= (counts[at] ?? 0)) left -= counts[at++] ?? 0;
      own[interval] = bucketMiddle(buckets[at] ?? 0) / scale;
    }
  });
  return all.flatMap(({ labels, number }) =>
    samples.map(({ q, ofSeries }) => ({
      labels: [...labels, floatLabel("p", q)],
      samples: ofSeries.get(number) ?? new Float64Array(intervalCount),
    })),
  );
}

function histograms(cells: Cells, scale: number): MetricSeries[] {
  const { intervalCount } = cells;
  /** By number of the series, then by exponent. */
  const found = new Map<number, Map<number, Float64Array>>();
  cells.buckets.visit((cell, { buckets, counts, length }) => {
    const number = Math.floor(cell / intervalCount);
    const byExponent = found.get(number) ?? new Map<number, Float64Array>();
    found.set(number, byExponent);
    for (let i = 0; i < length; i++) {
      const exponent = buckets[i] ?? 0;
      const samples = byExponent.get(exponent) ?? new Float64Array(intervalCount);
      byExponent.set(exponent, samples);
      samples[cell - number * intervalCount] = counts[i] ?? 0;
    }
  });
  return cells.inOrder().flatMap(({ labels, number }) =>
    [...(found.get(number) ?? [])].map(([exponent, samples]) => ({
      labels: [...labels, floatLabel("__bucket", 2 ** exponent / scale)],
      samples,
    })),
  );
}
