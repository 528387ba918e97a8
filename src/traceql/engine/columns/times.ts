// Times of traces. Nanoseconds since 1970 exceed what a double holds exactly, and a bigint for each row is slow: a time is two
// words, the low one first.
import type { ColumnPage } from "../../storage.ts";
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

/**
 * Start and end of the traces for which `wanted` is 1; of the others, any.
 * From `start` and, if ends are asked for, `duration`: each takes 8 ms for half a million rows.
 */
export function traceTimes(scan: Scan, wanted?: Uint8Array): TraceTimes {
  const ends = new Uint32Array(2 * scan.traceCount);
  const duration = scan.column("duration");
  const starts = foldStarts(scan, wanted, (page, index) => {
    const words = duration.dictionary && wordsOf(duration.dictionary);
    widenEnds(page, pageWords(duration.page(index), words), ends);
  });
  return { starts, ends };
}

/** The starts alone. From `start`. */
export function traceStarts(scan: Scan, wanted?: Uint8Array): Uint32Array {
  return foldStarts(scan, wanted, undefined);
}

interface StartsPage {
  /** By row of the page. */
  readonly traces: Uint32Array;
  readonly starts: Uint32Array;
}

function foldStarts(
  scan: Scan,
  wanted: Uint8Array | undefined,
  visit: ((page: StartsPage, index: number) => void) | undefined,
): Uint32Array {
  const starts = new Uint32Array(2 * scan.traceCount).fill(0xffff_ffff);
  const column = scan.column("start");
  const words = column.dictionary && wordsOf(column.dictionary);
  for (let index = 0; index < scan.pageCount; index++) {
    const traces = scan.traceOfRow.subarray(scan.pageStart(index), scan.pageStart(index + 1));
    if (wanted !== undefined && !isAnyWanted(traces, wanted)) continue;
    const page = { traces, starts: pageWords(column.page(index), words) };
    widenStarts(page, starts);
    visit?.(page, index);
  }
  return starts;
}

function isAnyWanted(traces: Uint32Array, wanted: Uint8Array): boolean {
  const first = traces[0] ?? 0;
  return wanted.subarray(first, (traces.at(-1) ?? 0) + 1).includes(1);
}

function widenStarts(page: StartsPage, starts: Uint32Array): void {
  const { traces } = page;
  for (let i = 0; i < traces.length; i++) {
    const at = 2 * (traces[i] ?? 0);
    const low = page.starts[2 * i] ?? 0;
    const high = page.starts[2 * i + 1] ?? 0;
    if (isLess(high, low, starts[at + 1] ?? 0, starts[at] ?? 0)) {
      starts[at] = low;
      starts[at + 1] = high;
    }
  }
}

function widenEnds(page: StartsPage, durations: Uint32Array, ends: Uint32Array): void {
  const { traces } = page;
  for (let i = 0; i < traces.length; i++) {
    const at = 2 * (traces[i] ?? 0);
    const sum = (page.starts[2 * i] ?? 0) + (durations[2 * i] ?? 0);
    const carry = sum > 0xffff_ffff ? 1 : 0;
    const low = sum >>> 0;
    const high = ((page.starts[2 * i + 1] ?? 0) + (durations[2 * i + 1] ?? 0) + carry) >>> 0;
    if (isLess(ends[at + 1] ?? 0, ends[at] ?? 0, high, low)) {
      ends[at] = low;
      ends[at + 1] = high;
    }
  }
}

/** Whether time (highA, lowA) is before (highB, lowB). */
export function isLess(highA: number, lowA: number, highB: number, lowB: number): boolean {
  return highA < highB || (highA === highB && lowA < lowB);
}
