// The intervals of a metrics query, and which one a span belongs to.
import type { SourceBounds } from "../../storage.ts";
import { wordsOf } from "../columns/decode.ts";
import { isEmpty, type Mask } from "../columns/mask.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { isLess, pageWords } from "../columns/times.ts";
import { axisOf, RunReader, RunWriter, type SourceAxis } from "./interval-runs.ts";

/** Consecutive intervals: (first, first + step], (first + step, first + 2 * step] ... */
export interface Intervals {
  /** Unix ns, the open left edge of the first interval. */
  readonly firstNs: bigint;
  readonly stepNs: bigint;
  readonly count: number;
  /** What `rate()` divides by. */
  readonly rateNs: bigint;
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

/** The interval of a span that starts then; below 0, or at least `count`, when it has none. */
export function intervalAt({ firstNs, stepNs }: Intervals, startNs: bigint): number {
  const offset = startNs - firstNs - 1n;
  return offset < 0n ? -1 : Number(offset / stepNs);
}

/** Right edge of an interval in Unix milliseconds. */
export function timestampMs({ firstNs, stepNs }: Intervals, index: number): number {
  return Number((firstNs + BigInt(index + 1) * stepNs) / 1_000_000n);
}

const TWO_TO_32 = 0x1_0000_0000;

/** Edges as words, the low one first: 1 + as many as intervals. */
function edgeWords({ firstNs, stepNs, count }: Intervals): Uint32Array {
  const edges = new BigUint64Array(count + 1);
  for (let i = 0; i <= count; i++) edges[i] = firstNs + BigInt(i) * stepNs;
  return new Uint32Array(edges.buffer);
}

/** Which interval the spans of a source belong to, page by page, in their order. */
export class PageIntervals {
  readonly #scan: Scan;
  readonly #noted: RunReader | undefined;
  readonly #axis: SourceAxis | undefined;
  readonly #writer: RunWriter | undefined;
  readonly #asked: Intervals;
  /** Those that are told apart: of the axis, if there is one, and then all of it. */
  readonly #intervals: Intervals;
  readonly #edges: Uint32Array;
  readonly #units: Units | undefined;
  #starts: Uint32Array = new Uint32Array(0);
  #own = new Int32Array(0);

  /** @param noted what is noted of them; undefined: they are made of `start`, and noted */
  constructor(scan: Scan, intervals: Intervals, noted?: RunReader) {
    this.#scan = scan;
    this.#noted = noted;
    this.#asked = intervals;
    this.#axis = noted === undefined ? axisOf(scan.source, intervals) : undefined;
    this.#writer = this.#axis && new RunWriter(this.#axis, scan.rowCount);
    this.#intervals = this.#axis?.intervals ?? intervals;
    this.#edges = noted === undefined ? edgeWords(this.#intervals) : new Uint32Array(0);
    this.#units = noted === undefined ? unitsOf(scan.source.bounds, this.#intervals) : undefined;
  }

  /** By row of the page: its interval; NONE without one, and for rows that are not in `mask`. Overwritten by the next page. */
  of(index: number, mask: Mask): Int32Array {
    const first = this.#scan.pageStart(index);
    const end = this.#scan.pageStart(index + 1);
    if (this.#own.length < end - first) this.#own = new Int32Array(end - first);
    const own = this.#own.subarray(0, end - first);
    const rows = mask.subarray(first, end);
    const isPartly = rows.includes(0);
    if (this.#noted !== undefined) this.#noted.read(first, own, NONE);
    else this.#read(index, isPartly ? rows : undefined, own);
    if (isPartly) leaveOut(rows, own);
    return own;
  }

  /** No page is asked for any more. */
  end(): void {
    this.#writer?.end();
  }

  #read(index: number, rows: Uint8Array | undefined, own: Int32Array): void {
    const column = this.#scan.column("start");
    const page = column.page(index);
    this.#starts = pageWords(page, column.dictionary && wordsOf(column.dictionary));
    if (this.#units === undefined) own.fill(UNDECIDED);
    else placeInUnits(this.#starts, this.#units, own);
    // What is noted is noted of all rows.
    if (rows !== undefined && this.#axis === undefined) leaveOut(rows, own);
    // Mostly there is none: a native search finds that out at once.
    for (let i = own.indexOf(UNDECIDED); i >= 0 && i < own.length; i++) {
      if (own[i] === UNDECIDED) own[i] = this.#place(i);
    }
    page.release?.();
    if (this.#axis === undefined) return;
    this.#writer?.add(page.firstRow, own);
    moveTo(own, this.#axis.first, this.#asked.count);
  }

  /** A double is near enough to find the interval, or the one next to it: a comparison with the edges is exact. */
  #place(i: number): number {
    const { stepNs, count } = this.#intervals;
    const edges = this.#edges;
    const low = this.#starts[2 * i] ?? 0;
    const high = this.#starts[2 * i + 1] ?? 0;
    const offset = (high - (edges[1] ?? 0)) * TWO_TO_32 + (low - (edges[0] ?? 0));
    const place = Math.floor(offset / Number(stepNs));
    let at = Math.max(0, Math.min(count - 1, place));
    if (!isLess(edges[2 * at + 1] ?? 0, edges[2 * at] ?? 0, high, low)) at--;
    else if (isLess(edges[2 * at + 3] ?? 0, edges[2 * at + 2] ?? 0, high, low)) at++;
    return at < count ? at : NONE;
  }
}

/** Marks what a unit does not tell. */
const UNDECIDED = -2;

/**
 * Time in units of 2^shift ns: most of them lie within one interval, so that for most spans a look into a table does
 * instead of a division.
 */
interface Units {
  readonly shift: number;
  /** The first unit, modulo 2^32. */
  readonly base: number;
  /** By unit: its interval; UNDECIDED when there are several. Spans that start in other units have none. */
  readonly intervals: Int32Array;
}

const UNITS_MAX = 1 << 13;
/** Within so many units two spans of a source are told apart modulo 2^32. */
const RANGE_BITS = 31n;

/** Undefined when the spans are spread too far for it. */
function unitsOf({ minStartNs, maxStartNs }: SourceBounds, intervals: Intervals): Units | undefined {
  const { firstNs, stepNs, count } = intervals;
  const lastNs = firstNs + BigInt(count) * stepNs;
  const from = minStartNs > firstNs ? minStartNs : firstNs;
  const to = maxStartNs < lastNs ? maxStartNs : lastNs;
  if (from > to) return undefined;
  let shift = 1n;
  while ((to >> shift) - (from >> shift) >= UNITS_MAX) shift++;
  if (shift > RANGE_BITS || maxStartNs - minStartNs >= 1n << (shift + RANGE_BITS)) return undefined;
  const base = from >> shift;
  const units = new Int32Array(Number((to >> shift) - base) + 1).fill(UNDECIDED);
  const unitFrom = (ns: bigint): number => Number(((ns + (1n << shift) - 1n) >> shift) - base);
  const earliest = Number((from - firstNs) / stepNs) - 1;
  for (let i = Math.max(0, earliest); i < count; i++) {
    const edgeNs = firstNs + BigInt(i) * stepNs;
    if (edgeNs > to) break;
    const start = unitFrom(edgeNs + 1n);
    const end = Number(((edgeNs + stepNs + 1n) >> shift) - base);
    if (end > start) units.fill(i, Math.max(0, start), Math.max(0, end));
  }
  return { shift: Number(shift), base: Number(BigInt.asUintN(32, base)), intervals: units };
}

/** Numbers of the axis' intervals as those of the `count` that begin with its `first`. */
function moveTo(intervals: Int32Array, first: number, count: number): void {
  for (let i = 0; i < intervals.length; i++) {
    const own = (intervals[i] ?? NONE) - first;
    intervals[i] = own >= 0 && own < count ? own : NONE;
  }
}

function leaveOut(rows: Uint8Array, intervals: Int32Array): void {
  for (let i = 0; i < intervals.length; i++) if (rows[i] === 0) intervals[i] = NONE;
}

/** Writes the interval, or UNDECIDED, of each start. */
function placeInUnits(starts: Uint32Array, { shift, base, intervals }: Units, out: Int32Array): void {
  const up = 32 - shift;
  // As a signed word, so that nothing becomes a double on the way.
  const first = base | 0;
  for (let i = 0; i < out.length; i++) {
    const low = starts[2 * i] ?? 0;
    const high = starts[2 * i + 1] ?? 0;
    const unit = (((high << up) | (low >>> shift)) - first) >>> 0;
    out[i] = unit < intervals.length ? (intervals[unit] ?? NONE) : NONE;
  }
}

/** By row: its interval; NONE without one, and for rows that are not in the mask. From `start`. */
export function intervalsOfRows(scan: Scan, mask: Mask, intervals: Intervals): Int32Array {
  const all = new Int32Array(scan.rowCount).fill(NONE);
  const pages = new PageIntervals(scan, intervals, RunReader.open(scan.source, intervals));
  for (let index = 0; index < scan.pageCount; index++) {
    const first = scan.pageStart(index);
    if (!isEmpty(mask, first, scan.pageStart(index + 1))) all.set(pages.of(index, mask), first);
  }
  pages.end();
  return all;
}
