// Traces of which a source shows that something is elsewhere.
import { TRACE_ID_BYTES } from "../../../model/ids.ts";
import { toHex } from "../../../util/hex.ts";
import type { ColumnName, SpanSource } from "../../storage.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { wordsOf } from "../columns/decode.ts";
import { pageWords, traceStarts, wordsToBigInt } from "../columns/times.ts";
import { rowsOfTraces } from "./span-table.ts";

export interface CutTrace {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Of what the source has. */
  readonly startNs: bigint;
}

/**
 * Traces with a span whose parent is not there, or one that lasts longer than `longNs`.
 * @throws what the source throws
 */
export async function cutTraces(source: SpanSource, longNs: bigint): Promise<CutTrace[]> {
  const isLong = source.bounds.maxDurationNs > longNs;
  const names: ColumnName[] = ["parentDistance", "parentSpanId"];
  const scan = await openScan(source, isLong ? [...names, "duration"] : names);
  const wanted = tracesWithOrphans(scan).slice();
  if (isLong) markLong(scan, wanted, longNs);
  const numbers: number[] = [];
  for (let trace = wanted.indexOf(1); trace >= 0; trace = wanted.indexOf(1, trace + 1)) numbers.push(trace);
  if (numbers.length === 0) return [];
  const starts = traceStarts(await openScan(source, ["start"], rowsOfTraces(scan, numbers)), wanted);
  return numbers.map((trace) => ({
    traceId: toHex(scan.traces.ids.subarray(trace * TRACE_ID_BYTES, (trace + 1) * TRACE_ID_BYTES)),
    startNs: wordsToBigInt(starts, trace),
  }));
}

const ORPHANS = "traces with orphans";

/** Noted: to find them takes all parents, 10 ms for half a million rows. */
function tracesWithOrphans(scan: Scan): Uint8Array {
  const { notes } = scan.column("parentSpanId");
  const noted = notes?.get(ORPHANS);
  if (noted !== undefined) return noted;
  const wanted = new Uint8Array(scan.traceCount);
  markOrphans(scan, wanted);
  notes?.set(ORPHANS, wanted);
  return wanted;
}

function markOrphans({ parents, isRoot, traceOfRow }: Scan, wanted: Uint8Array): void {
  for (let row = 0; row < parents.length; row++) {
    if (parents[row] === NONE && isRoot[row] === 0) wanted[traceOfRow[row] ?? 0] = 1;
  }
}

function markLong(scan: Scan, wanted: Uint8Array, longNs: bigint): void {
  const column = scan.column("duration");
  const dictionary = column.dictionary && wordsOf(column.dictionary);
  const long = Number(longNs);
  for (let index = 0; index < scan.pageCount; index++) {
    const page = column.page(index);
    const words = pageWords(page, dictionary);
    for (let i = 0; i < page.rowCount; i++) {
      const duration = (words[2 * i + 1] ?? 0) * 2 ** 32 + (words[2 * i] ?? 0);
      if (duration > long) wanted[scan.traceOfRow[page.firstRow + i] ?? 0] = 1;
    }
  }
}
