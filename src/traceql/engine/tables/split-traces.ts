// Traces that several sources have parts of: which these are, and what is taken out of a source of them.
import type { ColumnName, SpanSource } from "../../storage.ts";
import { TRACE_ID_BYTES } from "../../../model/ids.ts";
import { openScan } from "../columns/scan.ts";
import { IDENTITY_COLUMNS } from "./merge-tables.ts";
import { gatherTraces, rowsOfTraces, type SpanTable } from "./span-table.ts";
import { compareIds, findSplitTraces } from "./trace-ids.ts";

/** The columns of a source that a query needs. */
export type ColumnsOf = (source: SpanSource) => readonly ColumnName[];

/** What is taken out of each source. */
export function partColumns(source: SpanSource, columnsOf: ColumnsOf): ColumnName[] {
  return [...new Set<ColumnName>([...IDENTITY_COLUMNS, ...columnsOf(source)])];
}

/** Columns of some traces of a source. @param traces their numbers there, ascending */
export async function gatherColumns(
  source: SpanSource,
  traces: Uint32Array,
  names: readonly ColumnName[],
): Promise<SpanTable> {
  const { firstRows } = await source.traces();
  const rows = rowsOfTraces({ traceStart: (trace) => firstRows[trace] ?? 0 }, traces);
  return gatherTraces(await openScan(source, names, rows), names, traces);
}

/** The split traces of several sources, and where their parts are. Nothing of the sources is held. */
export interface SplitTraces {
  /** Ascending, 16 bytes each. */
  readonly ids: Uint8Array;
  /** Rows of all parts of each. */
  readonly rows: Uint32Array;
  /** By source. */
  readonly parts: readonly SourceParts[];
}

/** What one source has of them. */
export interface SourceParts {
  /** Places in the list of ids, ascending, */
  readonly places: Uint32Array;
  /** and the numbers of these traces in the source. */
  readonly traces: Uint32Array;
}

/** A part: number of the trace in its source, and its rows there. */
export interface TracePart {
  readonly trace: number;
  readonly rows: number;
}

/**
 * The traces that more than one list has.
 * @param lists by source: ascending ids, 16 bytes each
 * @param partOf what stands in a list at a place
 */
export function splitTraces(
  lists: readonly Uint8Array[],
  partOf: (list: number, at: number) => TracePart,
): SplitTraces {
  const { ids, flags } = findSplitTraces(lists);
  const rows = new Uint32Array(ids.length / TRACE_ID_BYTES);
  const parts = lists.map((list, index): SourceParts => {
    const own = flags[index];
    const places: number[] = [];
    const traces: number[] = [];
    let place = 0;
    for (let at = own?.indexOf(1) ?? -1; at >= 0; at = own?.indexOf(1, at + 1) ?? -1) {
      while (compareIds(ids, place, list, at) < 0) place++;
      const part = partOf(index, at);
      places.push(place);
      traces.push(part.trace);
      rows[place] = (rows[place] ?? 0) + part.rows;
    }
    return { places: Uint32Array.from(places), traces: Uint32Array.from(traces) };
  });
  return { ids, rows, parts };
}

/** Some traces of a source, by its number. */
export interface ChosenParts {
  readonly source: number;
  /** Numbers of traces there, ascending; not empty. */
  readonly traces: Uint32Array;
}

/** The parts of those traces whose places are in [first, end). */
export function partsBetween({ parts }: SplitTraces, first: number, end: number): ChosenParts[] {
  return parts.flatMap(({ places, traces }, source) => {
    const from = firstFrom(places, first);
    const to = firstFrom(places, end);
    return from === to ? [] : [{ source, traces: traces.slice(from, to) }];
  });
}

/** The parts of these traces. */
export function partsAt({ parts }: SplitTraces, wanted: ReadonlySet<number>): ChosenParts[] {
  return parts.flatMap(({ places, traces }, source) => {
    const own = traces.filter((_, i) => wanted.has(places[i] ?? 0));
    return own.length === 0 ? [] : [{ source, traces: own }];
  });
}

/** Where the first of ascending numbers is that is not below `number`. */
function firstFrom(numbers: Uint32Array, number: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] ?? 0) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Rows put together at a time, so that memory stays bounded however many traces are split. */
export const BATCH_ROWS = 50_000;

/** Where lists of traces end that have not many more than BATCH_ROWS rows. */
export function batchEnds({ rows }: SplitTraces): number[] {
  const ends: number[] = [];
  let sum = 0;
  rows.forEach((own, place) => {
    sum += own;
    if (sum < BATCH_ROWS && place + 1 < rows.length) return;
    ends.push(place + 1);
    sum = 0;
  });
  return ends;
}
