// What is known of series while sources are read: a cell for each series and interval. States of disjoint sets of spans
// add up, in any order, to the same state.
import { addExactly, roundedSum, type SumParts } from "../columns/exact-sum.ts";
import { BucketCounts, type BucketPart } from "./bucket-counts.ts";
import { compareLabels, type Labels, labelsKey } from "./labels.ts";

/** Cells of one function at most, of 8 bytes; with statistics a quarter of it, of 32 bytes. */
const CELLS_MAX = 1 << 20;

/** Sums, least and greatest numbers by interval. */
export interface Statistics {
  /** Whole numbers that doubles add exactly. */
  readonly whole: Float64Array;
  /** What else belongs to the sum of an interval. */
  readonly parts: Map<number, SumParts>;
  readonly min: Float64Array;
  readonly max: Float64Array;
}

export interface SeriesCells {
  /** Number of the series in its state; of bucket cells it is the upper part. */
  readonly number: number;
  readonly labels: Labels;
  /** Spans, or numbers, by interval. */
  readonly counts: Float64Array;
  readonly statistics: Statistics | undefined;
}

/** Plain values. */
export interface CellsPart {
  readonly series: readonly SeriesCells[];
  readonly buckets: BucketPart;
  readonly isTruncated: boolean;
}

export class Cells {
  readonly intervalCount: number;
  readonly buckets = new BucketCounts();
  isTruncated = false;
  readonly #series = new Map<string, SeriesCells>();
  readonly #seriesMax: number;
  readonly #hasStatistics: boolean;
  #next = 0;
  /** Once there were too many: the last labels that are kept. */
  #last: Labels | undefined;

  /** @param hasStatistics whether sums and the like are needed, not only counts */
  constructor(intervalCount: number, hasStatistics: boolean) {
    this.intervalCount = intervalCount;
    this.#hasStatistics = hasStatistics;
    this.#seriesMax = Math.max(1, Math.floor(CELLS_MAX / (hasStatistics ? 4 : 1) / intervalCount));
  }

  /** The cells of a series; undefined when there are too many series and this one is behind the others in order. */
  of(labels: Labels): SeriesCells | undefined {
    const key = labelsKey(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#last !== undefined && compareLabels(labels, this.#last) > 0) return undefined;
    const cells = emptyCells(this.#next++, labels, this.intervalCount, this.#hasStatistics);
    this.#series.set(key, cells);
    if (this.#series.size > 2 * this.#seriesMax) this.#truncate();
    return this.#series.get(key);
  }

  /** Keeps the first series in order: which these are depends on no order of reading. */
  #truncate(): void {
    if (this.#series.size <= this.#seriesMax) return;
    this.isTruncated = true;
    const sorted = this.#sorted();
    for (const { labels } of sorted.slice(this.#seriesMax)) this.#series.delete(labelsKey(labels));
    this.#last = sorted[this.#seriesMax - 1]?.labels;
  }

  /** The series that are kept, in order. */
  inOrder(): SeriesCells[] {
    this.#truncate();
    return this.#sorted();
  }

  #sorted(): SeriesCells[] {
    return [...this.#series.values()].sort((a, b) => compareLabels(a.labels, b.labels));
  }

  part(): CellsPart {
    return {
      series: this.inOrder(),
      buckets: this.buckets.part(),
      isTruncated: this.isTruncated,
    };
  }

  add({ series, buckets, isTruncated }: CellsPart): void {
    this.isTruncated ||= isTruncated;
    const numbers = new Map<number, number>();
    for (const other of series) {
      const own = this.of(other.labels);
      if (own === undefined) continue;
      numbers.set(other.number, own.number);
      addCells(own, other);
    }
    this.buckets.addPart(buckets, (cell) => {
      const number = numbers.get(Math.floor(cell / this.intervalCount));
      return number === undefined ? undefined : number * this.intervalCount + (cell % this.intervalCount);
    });
  }
}

function emptyCells(number: number, labels: Labels, count: number, hasStatistics: boolean): SeriesCells {
  const statistics = hasStatistics
    ? {
        whole: new Float64Array(count),
        parts: new Map(),
        min: new Float64Array(count).fill(Infinity),
        max: new Float64Array(count).fill(-Infinity),
      }
    : undefined;
  return { number, labels, counts: new Float64Array(count), statistics };
}

function addCells(own: SeriesCells, other: SeriesCells): void {
  for (let i = 0; i < own.counts.length; i++) own.counts[i] = (own.counts[i] ?? 0) + (other.counts[i] ?? 0);
  if (own.statistics === undefined || other.statistics === undefined) return;
  const { whole, parts, min, max } = other.statistics;
  for (let i = 0; i < whole.length; i++) {
    addToSum(own.statistics, i, whole[i] ?? 0);
    own.statistics.min[i] = Math.min(own.statistics.min[i] ?? 0, min[i] ?? 0);
    own.statistics.max[i] = Math.max(own.statistics.max[i] ?? 0, max[i] ?? 0);
  }
  for (const [interval, terms] of parts) for (const term of terms) addToSum(own.statistics, interval, term);
}

/** Adds a finite number to the sum of an interval, exactly. */
export function addToSum({ whole, parts }: Statistics, interval: number, value: number): void {
  const sum = (whole[interval] ?? 0) + value;
  if (Number.isSafeInteger(value) && Number.isSafeInteger(sum)) {
    whole[interval] = sum;
    return;
  }
  let terms = parts.get(interval);
  if (terms === undefined) {
    terms = [];
    parts.set(interval, terms);
  }
  addExactly(terms, value);
}

export function sumOf({ whole, parts }: Statistics, interval: number): number {
  const terms = parts.get(interval);
  const sum = whole[interval] ?? 0;
  if (terms === undefined) return sum;
  const all = [...terms];
  addExactly(all, sum);
  return roundedSum(all);
}
