// The intervals of a metrics query, and which one a span belongs to.
import { wordsOf } from "../columns/decode.ts";
import { isEmpty, type Mask } from "../columns/mask.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { isLess, pageWords } from "../columns/times.ts";

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

/** Unix milliseconds of an offset from the first edge. */
export function offsetMs({ firstNs }: Intervals, offsetNs: number): number {
  return Number((firstNs + BigInt(Math.round(offsetNs))) / 1_000_000n);
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

/** Rows of a source in time. */
export interface RowTimes {
  /** By row: its interval; NONE without one, and for rows that do not count. */
  readonly intervals: Int32Array;
  /** By row with an interval: ns from the left edge of the first one, to the microsecond at least. */
  readonly offsets: Float64Array;
}

/** The times of the rows of `mask`. From `start`. */
export function timesOfRows(scan: Scan, mask: Mask, intervals: Intervals): RowTimes {
  const times = {
    intervals: new Int32Array(scan.rowCount).fill(NONE),
    offsets: new Float64Array(scan.rowCount),
  };
  const edges = edgeWords(intervals);
  const column = scan.column("start");
  const dictionary = column.dictionary && wordsOf(column.dictionary);
  for (let index = 0; index < scan.pageCount; index++) {
    const start = scan.pageStart(index);
    const end = scan.pageStart(index + 1);
    if (isEmpty(mask, start, end)) continue;
    const page = { starts: pageWords(column.page(index), dictionary), mask: mask.subarray(start, end) };
    fillPage(page, edges, intervals, {
      intervals: times.intervals.subarray(start, end),
      offsets: times.offsets.subarray(start, end),
    });
  }
  return times;
}

/** Offsets from an edge, in ns, within which doubles of any time may be wrong: twice what 2^63 is rounded by. */
const DOUBT_NS = 4096;

function fillPage(
  { starts, mask }: { readonly starts: Uint32Array; readonly mask: Uint8Array },
  edges: Uint32Array,
  { stepNs, count }: Intervals,
  out: RowTimes,
): void {
  const firstLow = edges[0] ?? 0;
  const firstHigh = edges[1] ?? 0;
  const step = Number(stepNs);
  const perNs = 1 / step;
  const last = count - 1;
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] === 0) continue;
    const low = starts[2 * i] ?? 0;
    const high = starts[2 * i + 1] ?? 0;
    const offset = (high - firstHigh) * TWO_TO_32 + (low - firstLow);
    const place = offset * perNs;
    let at = place < 0 ? 0 : place > last ? last : Math.floor(place);
    const rest = offset - at * step;
    if (rest < DOUBT_NS || rest > step - DOUBT_NS) at += correction(edges, at, high, low);
    if (at < 0 || at > last) continue;
    out.intervals[i] = at;
    out.offsets[i] = offset;
  }
}

/** A comparison with the edges is exact. */
function correction(edges: Uint32Array, at: number, high: number, low: number): number {
  if (!isLess(edges[2 * at + 1] ?? 0, edges[2 * at] ?? 0, high, low)) return -1;
  return isLess(edges[2 * at + 3] ?? 0, edges[2 * at + 2] ?? 0, high, low) ? 1 : 0;
}
