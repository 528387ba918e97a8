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

/** One entry of a cell: a bucket, ascending, and how many numbers are in it. */
type Visit = (interval: number, bucket: number, count: number) => void;

const COUNT_LIMIT = 2 ** 32;

/**
 * Entries by cell, those of a cell in the order of their buckets. Bucket and count are packed into one double each, whose
 * native sort takes a tenth of the time of one with a comparison function.
 */
class SortedEntries {
  readonly #intervalCount: number;
  /** Where the entries of each cell begin. */
  readonly #starts: Uint32Array;
  readonly #packed: Float64Array;

  constructor({ cells, buckets, counts }: BucketEntries, cellCount: number, intervalCount: number) {
    this.#intervalCount = intervalCount;
    this.#starts = new Uint32Array(cellCount + 1);
    for (const cell of cells) this.#starts[cell + 1] = (this.#starts[cell + 1] ?? 0) + 1;
    for (let cell = 0; cell < cellCount; cell++) {
      this.#starts[cell + 1] = (this.#starts[cell + 1] ?? 0) + (this.#starts[cell] ?? 0);
    }
    this.#packed = new Float64Array(cells.length);
    const next = this.#starts.slice();
    for (let i = 0; i < cells.length; i++) {
      const cell = cells[i] ?? 0;
      const place = next[cell] ?? 0;
      next[cell] = place + 1;
      this.#packed[place] = (buckets[i] ?? 0) * COUNT_LIMIT + (counts[i] ?? 0);
    }
    for (let cell = 0; cell < cellCount; cell++) {
      this.#packed.subarray(this.#starts[cell], this.#starts[cell + 1]).sort();
    }
  }

  ofSeries(number: number, visit: Visit): void {
    for (let interval = 0; interval < this.#intervalCount; interval++) {
      const cell = number * this.#intervalCount + interval;
      const end = this.#starts[cell + 1] ?? 0;
      for (let place = this.#starts[cell] ?? 0; place < end; place++) {
        const packed = this.#packed[place] ?? 0;
        const bucket = Math.floor(packed / COUNT_LIMIT);
        visit(interval, bucket, packed - bucket * COUNT_LIMIT);
      }
    }
  }
}

function sortedEntries(cells: Cells): SortedEntries {
  const entries = cells.buckets.entries();
  const cellCount = entries.cells.reduce((most, cell) => Math.max(most, cell + 1), 0);
  return new SortedEntries(entries, cellCount, cells.intervalCount);
}

/** The value at place floor(q * (n - 1)) of the ascending ones, for each interval; 0 where there are none. */
function quantiles(wanted: readonly number[], cells: Cells, scale: number): MetricSeries[] {
  const entries = sortedEntries(cells);
  return cells.inOrder().flatMap((series) =>
    [...new Set(wanted)].map((q) => {
      const samples = new Float64Array(cells.intervalCount);
      const left = series.counts.map((count) => Math.floor(q * (count - 1)));
      entries.ofSeries(series.number, (interval, bucket, count) => {
        const rank = left[interval] ?? -1;
        if (rank < 0) return;
        left[interval] = rank - count;
        if (rank < count) samples[interval] = bucketMiddle(bucket) / scale;
      });
      return { labels: [...series.labels, floatLabel("p", q)], samples };
    }),
  );
}

function histograms(cells: Cells, scale: number): MetricSeries[] {
  const entries = sortedEntries(cells);
  return cells.inOrder().flatMap((series) => {
    const byExponent = new Map<number, Float64Array>();
    entries.ofSeries(series.number, (interval, exponent, count) => {
      const samples = byExponent.get(exponent) ?? new Float64Array(cells.intervalCount);
      byExponent.set(exponent, samples);
      samples[interval] = count;
    });
    return [...byExponent].map(([exponent, samples]) => ({
      labels: [...series.labels, floatLabel("__bucket", 2 ** exponent / scale)],
      samples,
    }));
  });
}
