// One source into the state of a metrics function, page by page.
import type { CompareMetric, MetricsFunction } from "../../ast.ts";
import { fieldReader, PageNumbers, type RowReader } from "../columns/rows.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { numbersIn } from "../spansets/aggregate.ts";
import { addToSum, type Cells, type SeriesCells } from "./cells.ts";
import type { RowSeries } from "./labels.ts";
import { LocalBuckets } from "./local-buckets.ts";
import { NO_BUCKET, powerOfTwo, sketchBucket } from "./sketch.ts";

export type SeriesFunction = Exclude<MetricsFunction, CompareMetric>;

/** Whether a function needs more than counts. */
export function hasStatistics({ kind }: SeriesFunction): boolean {
  return /^(min|max|avg|sum)_/.test(kind);
}

/** A page of a source in time. */
export interface MeasuredPage {
  readonly index: number;
  /** By row of the page: its interval; NONE for rows that do not count. */
  readonly intervals: Int32Array;
  /** By row of the page: the code of its series. */
  readonly codes: Uint32Array;
}

/** Adds the spans of a source to the cells of their series. */
export interface Measure {
  /** @throws AppError `too_large`, `corrupt` */
  add(page: MeasuredPage): void;
  /** The number that the function takes of a row of the page that was added last, of a list the first; undefined: none. */
  valueOf(row: number): number | undefined;
  /** What is still to be added when all pages are. */
  end(): void;
}

export function measureOf(scan: Scan, fn: SeriesFunction, rows: RowSeries, cells: Cells): Measure {
  if (!("field" in fn)) {
    const series = new LocalSeries(rows.count, rows, cells);
    return { add: (page) => countSpans(page, series), valueOf: () => undefined, end: () => series.flush() };
  }
  return new NumberMeasure(scan, fn, rows, cells);
}

class NumberMeasure implements Measure {
  readonly #scan: Scan;
  readonly #fn: Extract<SeriesFunction, { field: unknown }>;
  readonly #series: LocalSeries;
  readonly #numbers: PageNumbers | undefined;
  #read: RowReader | undefined;
  /** Of the last page: its numbers, when doubles hold them. */
  #values: Float64Array | undefined;
  #first = 0;
  readonly #local: LocalBuckets;

  constructor(scan: Scan, fn: Extract<SeriesFunction, { field: unknown }>, rows: RowSeries, cells: Cells) {
    const series = new LocalSeries(0, rows, cells);
    this.#scan = scan;
    this.#fn = fn;
    this.#series = series;
    this.#numbers = PageNumbers.open(scan, fn.field);
    const isSketch = fn.kind === "quantile_over_time";
    this.#local = new LocalBuckets(isSketch, series.intervalCount, hasStatistics(fn) ? 0 : rows.count);
  }

  get #reader(): RowReader {
    this.#read ??= fieldReader(this.#scan, this.#fn.field);
    return this.#read;
  }

  add(page: MeasuredPage): void {
    this.#first = this.#scan.pageStart(page.index);
    this.#values = this.#numbers?.of(page.index);
    if (this.#values === undefined) return this.#addValues(page);
    if (hasStatistics(this.#fn)) addNumbers(page, this.#values, this.#series);
    else {
      const { intervals, codes } = page;
      this.#local.count({ intervals, codes, values: this.#values }, (code, interval, bucket) => {
        const series = this.#series.at(code);
        if (series !== null) addBucket(series, interval, bucket, this.#series.cells);
      });
    }
  }

  #addValues({ intervals, codes }: MeasuredPage): void {
    const add = ADDERS[this.#fn.kind];
    for (let i = 0; i < intervals.length; i++) {
      const interval = intervals[i] ?? NONE;
      if (interval === NONE) continue;
      for (const value of numbersIn(this.#reader(this.#first + i))) {
        const series = this.#series.at(codes[i] ?? 0);
        if (series !== null) add(series, interval, value, this.#series.cells);
      }
    }
  }

  valueOf(row: number): number | undefined {
    if (this.#values !== undefined) return this.#values[row - this.#first];
    const [first] = numbersIn(this.#reader(row));
    return first === undefined ? undefined : Number(first);
  }

  end(): void {
    const { cells } = this.#series;
    this.#local.visit((code, interval, place, counts) => {
      const series = this.#series.at(code);
      if (series === null) return;
      const count = cells.buckets.addChunk(series.number * cells.intervalCount + interval, place, counts);
      series.counts[interval] = (series.counts[interval] ?? 0) + count;
    });
  }
}

/** Cells of a source that are counted in one array, 4 MB of it, before they are added up. */
const LOCAL_CELLS_MAX = 1 << 20;

/** The series of a source's rows in the cells; made when a row is counted, since not every label has one. */
class LocalSeries {
  readonly cells: Cells;
  readonly intervalCount: number;
  /** Counts by code, then by interval, of the codes that are known when the source is opened; maybe of none. */
  readonly counts: Uint32Array;
  readonly #rows: RowSeries;
  /** By code; null: there are too many series. */
  readonly #own: (SeriesCells | null | undefined)[] = [];

  /** @param counted codes that are counted in one array, unless these are too many */
  constructor(counted: number, rows: RowSeries, cells: Cells) {
    this.#rows = rows;
    this.cells = cells;
    this.intervalCount = cells.intervalCount;
    const cellCount = counted * cells.intervalCount;
    this.counts = new Uint32Array(cellCount <= LOCAL_CELLS_MAX ? cellCount : 0);
  }

  at(code: number): SeriesCells | null {
    return (this.#own[code] ??= this.cells.of(this.#rows.labelsOf(code)) ?? null);
  }

  /** Counts a span, or a number, in a cell that `counts` does not have. */
  countBeyond(code: number, interval: number): void {
    const counts = this.at(code)?.counts;
    if (counts !== undefined) counts[interval] = (counts[interval] ?? 0) + 1;
  }

  flush(): void {
    const { counts, intervalCount } = this;
    for (let code = 0; code * intervalCount < counts.length; code++) {
      const own = counts.subarray(code * intervalCount, (code + 1) * intervalCount);
      if (!own.some((count) => count > 0)) continue;
      const cells = this.at(code)?.counts;
      own.forEach((count, interval) => {
        if (cells !== undefined) cells[interval] = (cells[interval] ?? 0) + count;
      });
    }
  }
}

function countSpans({ intervals, codes }: MeasuredPage, series: LocalSeries): void {
  const { counts, intervalCount } = series;
  for (let i = 0; i < intervals.length; i++) {
    const interval = intervals[i] ?? NONE;
    if (interval === NONE) continue;
    const cell = (codes[i] ?? 0) * intervalCount + interval;
    if (cell < counts.length) counts[cell] = (counts[cell] ?? 0) + 1;
    else series.countBeyond(codes[i] ?? 0, interval);
  }
}

function addNumbers({ intervals, codes }: MeasuredPage, values: Float64Array, series: LocalSeries): void {
  for (let i = 0; i < intervals.length; i++) {
    const interval = intervals[i] ?? NONE;
    const value = values[i] ?? Number.NaN;
    if (interval === NONE || !Number.isFinite(value)) continue;
    const cells = series.at(codes[i] ?? 0);
    if (cells !== null) addNumber(cells, interval, value);
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
