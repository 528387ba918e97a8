// One source into the state of a metrics function.
import type { CompareMetric, MetricsFunction } from "../../ast.ts";
import { fieldReader, numericRows } from "../columns/rows.ts";
import type { Mask } from "../columns/mask.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { numbersIn } from "../spansets/aggregate.ts";
import { addToSum, type Cells, type SeriesCells } from "./cells.ts";
import type { RowSeries } from "./labels.ts";
import { powerOfTwo, sketchBucket } from "./sketch.ts";

export type SeriesFunction = Exclude<MetricsFunction, CompareMetric>;

/** Whether a function needs more than counts. */
export function hasStatistics({ kind }: SeriesFunction): boolean {
  return /^(min|max|avg|sum)_/.test(kind);
}

/** Spans in intervals. */
export interface MeasuredRows {
  readonly mask: Mask;
  /** By row: its interval; NONE: it does not count. */
  readonly intervals: Int32Array;
}

/** Adds the spans to the cells of their series. @throws AppError `too_large`, `corrupt` */
export function measure(
  scan: Scan,
  fn: SeriesFunction,
  { rows, series: rowSeries }: { readonly rows: MeasuredRows; readonly series: RowSeries },
  cells: Cells,
): void {
  const series = new LocalSeries(rowSeries, cells);
  if (!("field" in fn)) return countSpans(rows, series);
  const add = ADDERS[fn.kind];
  const numbers = numericRows(scan, fn.field, rows.mask);
  if (numbers !== undefined) return addNumbers(rows, numbers.values, series, add);
  const read = fieldReader(scan, fn.field);
  const { intervals } = rows;
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    if (interval === NONE) continue;
    for (const value of numbersIn(read(row))) series.add(row, interval, value, add);
  }
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

  at(row: number): SeriesCells | null {
    const code = this.#rows.codes[row] ?? 0;
    return (this.#own[code] ??= this.#cells.of(this.#rows.labels[code] ?? []) ?? null);
  }

  add(row: number, interval: number, value: bigint | number, add: Adder): void {
    const series = this.at(row);
    if (series !== null) add(series, interval, value, this.#cells);
  }
}

function countSpans({ intervals }: MeasuredRows, series: LocalSeries): void {
  const { codes } = series;
  const countsOf: (Float64Array | undefined)[] = [];
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    if (interval === NONE) continue;
    const code = codes[row] ?? 0;
    const counts = countsOf[code] ?? (countsOf[code] = series.at(row)?.counts ?? DROPPED);
    counts[interval] = (counts[interval] ?? 0) + 1;
  }
}

/** Takes the counts of series that are not kept: writes beyond the end of an array are lost. */
const DROPPED = new Float64Array(0);

function addNumbers(
  { intervals }: MeasuredRows,
  values: Float64Array,
  series: LocalSeries,
  add: Adder,
): void {
  for (let row = 0; row < intervals.length; row++) {
    const interval = intervals[row] ?? NONE;
    const value = values[row] ?? Number.NaN;
    if (interval !== NONE && Number.isFinite(value)) series.add(row, interval, value, add);
  }
}

type Adder = (series: SeriesCells, interval: number, value: bigint | number, cells: Cells) => void;

function addStatistics({ counts, statistics }: SeriesCells, interval: number, value: bigint | number): void {
  if (statistics === undefined) return;
  counts[interval] = (counts[interval] ?? 0) + 1;
  const number = Number(value);
  const { min, max } = statistics;
  if (number < (min[interval] ?? 0)) min[interval] = number;
  if (number > (max[interval] ?? 0)) max[interval] = number;
  if (typeof value === "number") return addToSum(statistics, interval, value);
  // An int beyond 53 bits is two numbers.
  addToSum(statistics, interval, Number((value >> 32n) << 32n));
  addToSum(statistics, interval, Number(BigInt.asUintN(32, value)));
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
  if (exponent !== undefined) addBucket(series, interval, exponent, cells);
}

const ADDERS: Readonly<Record<Extract<SeriesFunction, { field: unknown }>["kind"], Adder>> = {
  min_over_time: addStatistics,
  max_over_time: addStatistics,
  avg_over_time: addStatistics,
  sum_over_time: addStatistics,
  quantile_over_time: addToSketch,
  histogram_over_time: addToHistogram,
};
