// One source into the state of a metrics function.
import type { CompareMetric, MetricsFunction } from "../../ast.ts";
import { fieldReader, numericRows } from "../columns/rows.ts";
import type { Mask } from "../columns/mask.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { numbersIn } from "../spansets/aggregate.ts";
import type { RowTimes } from "./intervals.ts";
import { addToSum, type Cells, type SeriesCells } from "./cells.ts";
import type { RowSeries } from "./labels.ts";
import { isFiniteWord, NO_BUCKET, powerOfTwo, powerOfTwoOf, sketchBucket, sketchBucketOf } from "./sketch.ts";

export type SeriesFunction = Exclude<MetricsFunction, CompareMetric>;

/** Whether a function needs more than counts. */
export function hasStatistics({ kind }: SeriesFunction): boolean {
  return /^(min|max|avg|sum)_/.test(kind);
}

/** Spans in time. */
export interface MeasuredRows extends RowTimes {
  readonly mask: Mask;
}

/** The number that the function takes of a row; of a list the first; NaN or undefined: none. */
export type ValueOf = (row: number) => number | undefined;

/** Adds the spans to the cells of their series. @throws AppError `too_large`, `corrupt` */
export function measure(
  scan: Scan,
  fn: SeriesFunction,
  { rows, series: rowSeries }: { readonly rows: MeasuredRows; readonly series: RowSeries },
  cells: Cells,
): ValueOf {
  const series = new LocalSeries(rowSeries, cells);
  if (!("field" in fn)) {
    countSpans(rows, series);
    return () => undefined;
  }
  const add = ADDERS[fn.kind];
  const numbers = numericRows(scan, fn.field, rows.mask);
  if (numbers !== undefined) {
    if (add === addStatistics) addNumbers(rows, numbers.values, series);
    else addBuckets(rows, numbers.values, series, fn.kind === "quantile_over_time");
    return (row) => numbers.values[row];
  }
  const read = fieldReader(scan, fn.field);
  const { intervals } = rows;
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    if (interval === NONE) continue;
    for (const value of numbersIn(read(row))) series.add(row, interval, value, add);
  }
  return (row) => {
    const [first] = numbersIn(read(row));
    return first === undefined ? undefined : Number(first);
  };
}

/** The series of a source's rows in the cells; made when a row is counted, since not every label has one. */
class LocalSeries {
  readonly #rows: RowSeries;
  readonly #cells: Cells;
  /** By code; null: there are too many series. */
  readonly #own: (SeriesCells | null | undefined)[];

  constructor(rows: RowSeries, cells: Cells) {
    this.#rows = rows;
    this.#cells = cells;
    this.#own = rows.labels.map(() => undefined);
  }

  /** By row. */
  get codes(): Uint32Array {
    return this.#rows.codes;
  }

  get intervalCount(): number {
    return this.#cells.intervalCount;
  }

  get cellCount(): number {
    return this.#own.length * this.intervalCount;
  }

  /** Adds counts by code, then by interval. */
  addCounts(counts: Uint32Array): void {
    for (let code = 0; code < this.#own.length; code++) {
      const own = counts.subarray(code * this.intervalCount, (code + 1) * this.intervalCount);
      if (!own.some((count) => count > 0)) continue;
      const cells = this.#ofCode(code)?.counts;
      own.forEach((count, interval) => {
        if (cells !== undefined) cells[interval] = (cells[interval] ?? 0) + count;
      });
    }
  }

  at(row: number): SeriesCells | null {
    return this.#ofCode(this.#rows.codes[row] ?? 0);
  }

  #ofCode(code: number): SeriesCells | null {
    return (this.#own[code] ??= this.#cells.of(this.#rows.labels[code] ?? []) ?? null);
  }

  addBucket(row: number, interval: number, bucket: number): void {
    const series = this.at(row);
    if (series !== null) addBucket(series, interval, bucket, this.#cells);
  }

  add(row: number, interval: number, value: bigint | number, add: Adder): void {
    const series = this.at(row);
    if (series !== null) add(series, interval, value, this.#cells);
  }
}

/** Cells of a source that are counted in one array, 4 MB of it, before they are added up. */
const LOCAL_CELLS_MAX = 1 << 20;

function countSpans({ intervals }: MeasuredRows, series: LocalSeries): void {
  if (series.cellCount <= LOCAL_CELLS_MAX) return series.addCounts(countCells(intervals, series));
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    const counts = interval === NONE ? undefined : series.at(row)?.counts;
    if (counts !== undefined) counts[interval] = (counts[interval] ?? 0) + 1;
  }
}

function countCells(intervals: Int32Array, { codes, cellCount, intervalCount }: LocalSeries): Uint32Array {
  const counts = new Uint32Array(cellCount);
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    if (interval === NONE) continue;
    const cell = (codes[row] ?? 0) * intervalCount + interval;
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
  return counts;
}

function addNumbers({ intervals }: MeasuredRows, values: Float64Array, series: LocalSeries): void {
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    const value = values[row] ?? Number.NaN;
    if (interval === NONE || !Number.isFinite(value)) continue;
    const cells = series.at(row);
    if (cells !== null) addNumber(cells, interval, value);
  }
}

/** Sketch buckets, or else powers of two, of numbers that doubles hold: their bits say it, without a call for each. */
function addBuckets(
  { intervals }: MeasuredRows,
  values: Float64Array,
  series: LocalSeries,
  isSketch: boolean,
): void {
  const words = new Uint32Array(values.buffer);
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    if (interval === NONE) continue;
    const high = words[2 * row + 1] ?? 0;
    if (!isFiniteWord(high)) continue;
    const bucket = isSketch ? sketchBucketOf(high) : powerOfTwoOf(high, words[2 * row] ?? 0);
    if (bucket !== NO_BUCKET) series.addBucket(row, interval, bucket);
  }
}

type Adder = (series: SeriesCells, interval: number, value: bigint | number, cells: Cells) => void;

function addNumber({ counts, statistics }: SeriesCells, interval: number, value: number): void {
  if (statistics === undefined) return;
  counts[interval] = (counts[interval] ?? 0) + 1;
  const { min, max } = statistics;
  if (value < (min[interval] ?? 0)) min[interval] = value;
  if (value > (max[interval] ?? 0)) max[interval] = value;
  addToSum(statistics, interval, value);
}

function addStatistics(series: SeriesCells, interval: number, value: bigint | number): void {
  const number = Number(value);
  addNumber(series, interval, number);
  // What a double does not hold of an int belongs to the sum too.
  const rest = typeof value === "bigint" ? Number(value - BigInt(number)) : 0;
  if (rest !== 0 && series.statistics !== undefined) addToSum(series.statistics, interval, rest);
}

function addBucket(series: SeriesCells, interval: number, bucket: number, cells: Cells): void {
  series.counts[interval] = (series.counts[interval] ?? 0) + 1;
  cells.buckets.add(series.number * cells.intervalCount + interval, bucket, 1);
}

function addToSketch(series: SeriesCells, interval: number, value: bigint | number, cells: Cells): void {
  addBucket(series, interval, sketchBucket(Number(value)), cells);
}

function addToHistogram(series: SeriesCells, interval: number, value: bigint | number, cells: Cells): void {
  const exponent = powerOfTwo(value);
  if (exponent !== NO_BUCKET) addBucket(series, interval, exponent, cells);
}

const ADDERS: Readonly<Record<Extract<SeriesFunction, { field: unknown }>["kind"], Adder>> = {
  min_over_time: addStatistics,
  max_over_time: addStatistics,
  avg_over_time: addStatistics,
  sum_over_time: addStatistics,
  quantile_over_time: addToSketch,
  histogram_over_time: addToHistogram,
};
