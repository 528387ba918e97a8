// Traces of which a source shows that something is elsewhere.
import { TRACE_ID_BYTES } from "../../../model/ids.ts";
import { toHex } from "../../../util/hex.ts";
import type { ColumnName, SpanSource } from "../../storage.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { wordsOf } from "../columns/decode.ts";
import { pageWords, traceStarts, wordsToBigInt } from "../columns/times.ts";

export interface CutTrace {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Of what the source has. */
  readonly startNs: bigint;
}

/** Such traces of a source. Plain values. */
export interface CutTraces {
  /** The newest of them, in the source's order. */
  readonly traces: readonly CutTrace[];
  /** How many more there are. */
  readonly more: number;
}

export const NO_CUT_TRACES: CutTraces = { traces: [], more: 0 };

/**
 * Traces with a span whose parent is not there, or one that lasts longer than `longNs`. Noted: to find them takes the parents
 * of all rows, 10 ms for half a million.
 * @param limit so many at most, at least 1: where parents are never sent they may be all that there are
 * @throws what the source throws
 */
export async function cutTraces(source: SpanSource, longNs: bigint, limit: number): Promise<CutTraces> {
  const isLong = source.bounds.maxDurationNs > longNs;
  const name = isLong ? `traces cut or longer than ${longNs}` : "traces cut";
  const names: ColumnName[] = ["parentDistance", "parentSpanId", "start"];
  if (isLong) names.push("duration");
  const noted = source.notes?.get(name);
  const scan = await openScan(source, noted === undefined ? names : []);
  await scan.count(names);
  const cuts = noted === undefined ? findCuts(scan, isLong ? longNs : undefined) : wordsOf({ bytes: noted });
  if (noted === undefined) source.notes?.set(name, new Uint8Array(cuts.buffer));
  const { ids } = scan.traces;
  const places = newestCuts(cuts, limit);
  const traces = places.map((i) => {
    const id = TRACE_ID_BYTES * (cuts[CUT_WORDS * i] ?? 0);
    return {
      traceId: toHex(ids.subarray(id, id + TRACE_ID_BYTES)),
      startNs: wordsToBigInt(cuts.subarray(CUT_WORDS * i + 1), 0),
    };
  });
  return { traces, more: cuts.length / CUT_WORDS - traces.length };
}

/** Of a trace: its number, and its start. */
const CUT_WORDS = 3;

/** Places of the newest. Of traces that start within 256 ns of each other any may stand for another. */
function newestCuts(cuts: Uint32Array, limit: number): number[] {
  const places = Array.from({ length: cuts.length / CUT_WORDS }, (_, place) => place);
  if (places.length <= limit) return places;
  const startOf = (place: number): number =>
    (cuts[CUT_WORDS * place + 2] ?? 0) * 2 ** 32 + (cuts[CUT_WORDS * place + 1] ?? 0);
  const from = Float64Array.from(places, startOf).sort()[places.length - limit] ?? 0;
  const newer = places.filter((place) => startOf(place) > from);
  const others = places.filter((place) => startOf(place) === from).slice(0, limit - newer.length);
  return [...newer, ...others].sort((a, b) => a - b);
}

function findCuts(scan: Scan, longNs: bigint | undefined): Uint32Array<ArrayBuffer> {
  const wanted = new Uint8Array(scan.traceCount);
  markOrphans(scan, wanted);
  if (longNs !== undefined) markLong(scan, wanted, longNs);
  const starts = traceStarts(scan, wanted);
  const cuts: number[] = [];
  for (let trace = wanted.indexOf(1); trace >= 0; trace = wanted.indexOf(1, trace + 1)) {
    cuts.push(trace, starts[2 * trace] ?? 0, starts[2 * trace + 1] ?? 0);
  }
  return Uint32Array.from(cuts);
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
