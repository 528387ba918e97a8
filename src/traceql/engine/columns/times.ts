// Times of traces. Nanoseconds since 1970 exceed what a double holds exactly, and a bigint for each row is slow: a time is two
// words, the low one first.
import type { ColumnPage, SpanSource } from "../../storage.ts";
import { wordsOf } from "./decode.ts";
import type { Scan } from "./scan.ts";

/** Time `index` is words 2 * index (low) and 2 * index + 1 (high), unsigned. */
export interface TraceTimes {
  /** The first start. */
  readonly starts: Uint32Array;
  /** The last end. */
  readonly ends: Uint32Array;
}

/** The words of a page of 8-byte values without gaps. */
export function pageWords(page: ColumnPage, dictionary: Uint32Array | undefined): Uint32Array {
  const { content } = page;
  if (content.kind === "values") return wordsOf(content.values);
  const words = new Uint32Array(2 * page.rowCount);
  content.codes.forEach((code: number, i: number) => {
    words[2 * i] = dictionary?.[2 * code] ?? 0;
    words[2 * i + 1] = dictionary?.[2 * code + 1] ?? 0;
  });
  return words;
}

export function wordsToBigInt(words: Uint32Array, index: number): bigint {
  return (BigInt(words[2 * index + 1] ?? 0) << 32n) | BigInt(words[2 * index] ?? 0);
}

/** What is noted of the times of a source's traces. */
export interface NotedTimes {
  readonly starts: Uint32Array | undefined;
  readonly ends: Uint32Array | undefined;
}

/** Taken before columns are loaded, so that those are left out that it makes up for: it may be forgotten meanwhile. */
export function notedTimes({ notes }: SpanSource): NotedTimes {
  const [starts, ends] = [STARTS, ENDS].map((name) => {
    const bytes = notes?.get(name);
    return bytes && wordsOf({ bytes });
  });
  return { starts, ends };
}

/**
 * Start and end of the traces for which `wanted` is 1; of the others, any.
 * From `start` and `duration`, unless they are noted: each takes 5 ms for half a million rows.
 */
export function traceTimes(scan: Scan, wanted?: Uint8Array, noted: Partial<NotedTimes> = {}): TraceTimes {
  if (noted.ends !== undefined) return { starts: traceStarts(scan, wanted, noted), ends: noted.ends };
  const { notes } = scan.source;
  const ends = new Uint32Array(2 * scan.traceCount);
  const starts = new Uint32Array(2 * scan.traceCount).fill(0xffff_ffff);
  const pages = pagesWith(scan, wanted, notes !== undefined);
  const readStarts = pageReader(scan, "start");
  const readDurations = pageReader(scan, "duration");
  for (const index of pages) {
    readStarts(index, (ofStarts) => {
      widenStarts(scan, index, ofStarts, starts);
      readDurations(index, (durations) => widenEnds(scan, index, { starts: ofStarts, durations }, ends));
    });
  }
  if (pages.length === scan.pageCount) {
    notes?.set(STARTS, bytesOf(starts));
    notes?.set(ENDS, bytesOf(ends));
  }
  return { starts, ends };
}

/** The starts alone. From `start`, unless they are noted. */
export function traceStarts(scan: Scan, wanted?: Uint8Array, noted: Partial<NotedTimes> = {}): Uint32Array {
  if (noted.starts !== undefined) return noted.starts;
  const { notes } = scan.source;
  const starts = new Uint32Array(2 * scan.traceCount).fill(0xffff_ffff);
  const pages = pagesWith(scan, wanted, notes !== undefined);
  const read = pageReader(scan, "start");
  for (const index of pages) read(index, (words) => widenStarts(scan, index, words, starts));
  if (pages.length === scan.pageCount) notes?.set(STARTS, bytesOf(starts));
  return starts;
}

const STARTS = "starts of traces";
const ENDS = "ends of traces";

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** A note takes all pages: it is worth it when a query needs this part of them anyway. */
const WORTH_NOTING = 1 / 4;

function pagesWith(scan: Scan, wanted: Uint8Array | undefined, canNote: boolean): number[] {
  const all = Array.from({ length: scan.pageCount }, (_, index) => index);
  if (wanted === undefined) return all;
  const pages = all.filter((index) => {
    const first = scan.traceAt(scan.pageStart(index));
    const last = scan.traceAt(scan.pageStart(index + 1) - 1);
    return wanted.subarray(first, last + 1).includes(1);
  });
  return canNote && pages.length >= WORTH_NOTING * all.length ? all : pages;
}

/** Hands out the words of a page, which is given up afterwards. */
type PageReader = (index: number, use: (words: Uint32Array) => void) => void;

function pageReader(scan: Scan, name: "start" | "duration"): PageReader {
  const column = scan.column(name);
  const dictionary = column.dictionary && wordsOf(column.dictionary);
  return (index, use) => {
    const page = column.page(index);
    use(pageWords(page, dictionary));
    page.release?.();
  };
}

/** Widens the traces of a page by the starts of its rows. */
function widenStarts(scan: Scan, page: number, words: Uint32Array, starts: Uint32Array): void {
  const { firstRows } = scan.traces;
  const first = scan.pageStart(page);
  const end = scan.pageStart(page + 1);
  let row = first;
  for (let trace = scan.traceAt(first); row < end; trace++) {
    const last = Math.min(firstRows[trace + 1] ?? end, end);
    let low = starts[2 * trace] ?? 0;
    let high = starts[2 * trace + 1] ?? 0;
    for (; row < last; row++) {
      const at = 2 * (row - first);
      const otherHigh = words[at + 1] ?? 0;
      if (otherHigh > high) continue;
      const otherLow = words[at] ?? 0;
      if (otherHigh === high && otherLow >= low) continue;
      high = otherHigh;
      low = otherLow;
    }
    starts[2 * trace] = low;
    starts[2 * trace + 1] = high;
  }
}

interface SpanWords {
  readonly starts: Uint32Array;
  readonly durations: Uint32Array;
}

function widenEnds(scan: Scan, page: number, { starts, durations }: SpanWords, ends: Uint32Array): void {
  const { firstRows } = scan.traces;
  const first = scan.pageStart(page);
  const end = scan.pageStart(page + 1);
  let row = first;
  for (let trace = scan.traceAt(first); row < end; trace++) {
    const last = Math.min(firstRows[trace + 1] ?? end, end);
    let low = ends[2 * trace] ?? 0;
    let high = ends[2 * trace + 1] ?? 0;
    for (; row < last; row++) {
      const at = 2 * (row - first);
      const sum = (starts[at] ?? 0) + (durations[at] ?? 0);
      const carry = sum > 0xffff_ffff ? 1 : 0;
      const otherHigh = ((starts[at + 1] ?? 0) + (durations[at + 1] ?? 0) + carry) >>> 0;
      if (!isLess(high, low, otherHigh, sum >>> 0)) continue;
      high = otherHigh;
      low = sum >>> 0;
    }
    ends[2 * trace] = low;
    ends[2 * trace + 1] = high;
  }
}

/** Whether time (highA, lowA) is before (highB, lowB). */
export function isLess(highA: number, lowA: number, highB: number, lowB: number): boolean {
  return highA < highB || (highA === highB && lowA < lowB);
}
