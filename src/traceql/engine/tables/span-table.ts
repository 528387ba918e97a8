// A few traces of a source, taken out of it column by column. Plain values: they survive a structured clone.
import type { AttributeKey, ColumnName, ColumnPage, TraceTable, Values } from "../../storage.ts";
import type { Scan } from "../columns/scan.ts";
import { countValues, hasValue } from "../columns/pages.ts";
import { ValuesBuilder } from "./values-builder.ts";

/** Whole traces, as far as their source has them, in its order of rows. */
export interface SpanTable {
  readonly rowCount: number;
  /** Trace ids in ascending order, 16 bytes each. */
  readonly ids: Uint8Array;
  /** First row of each trace, then the number of rows. */
  readonly firstRows: Uint32Array;
  readonly columns: readonly TableColumn[];
  /** Of the source, whether or not these traces have them. */
  readonly rest: readonly AttributeKey[];
}

export interface TableColumn {
  readonly name: ColumnName;
  readonly dictionary: Values;
  /** By row: 1 + the position in the dictionary; 0: no value. */
  readonly codes: Uint32Array;
}

/**
 * Copies columns of traces.
 * @param names columns that were loaded
 * @param traces ascending numbers of traces of the scan
 */
export function gatherTraces(
  scan: Scan,
  names: readonly ColumnName[],
  traces: readonly number[] | Uint32Array,
): SpanTable {
  const { ids, firstRows } = pickTraces(scan.traces, traces);
  const rows = rowsOfTraces(scan, traces);
  const columns = names.map((name) => gatherColumn(scan, name, rows));
  return { rowCount: rows.length, ids, firstRows, columns, rest: scan.source.rest };
}

/** Some of the traces, with their rows one behind the other. */
function pickTraces(
  { ids, firstRows }: TraceTable,
  traces: readonly number[] | Uint32Array,
): { ids: Uint8Array; firstRows: Uint32Array } {
  const picked = { ids: new Uint8Array(16 * traces.length), firstRows: new Uint32Array(traces.length + 1) };
  traces.forEach((trace, index) => {
    const length = (firstRows[trace + 1] ?? 0) - (firstRows[trace] ?? 0);
    picked.firstRows[index + 1] = (picked.firstRows[index] ?? 0) + length;
    picked.ids.set(ids.subarray(16 * trace, 16 * (trace + 1)), 16 * index);
  });
  return picked;
}

/** The rows of the traces, ascending. */
export function rowsOfTraces(
  scan: { traceStart(trace: number): number },
  traces: readonly number[] | Uint32Array,
): Uint32Array {
  let count = 0;
  for (const trace of traces) count += scan.traceStart(trace + 1) - scan.traceStart(trace);
  const rows = new Uint32Array(count);
  let at = 0;
  for (const trace of traces) {
    const end = scan.traceStart(trace + 1);
    for (let row = scan.traceStart(trace); row < end; row++) rows[at++] = row;
  }
  return rows;
}

/** Bytes of columns, about. */
export function tableBytes(columns: readonly TableColumn[]): number {
  return columns.reduce((sum, { dictionary, codes }) => {
    const offsetBytes = dictionary.kind === "bytes" ? dictionary.offsets.byteLength : 0;
    return sum + codes.byteLength + dictionary.bytes.length + offsetBytes;
  }, 0);
}

/** The table without some of its traces. @param leftOut 1 for each of them */
export function withoutTraces(table: SpanTable, leftOut: Uint8Array): SpanTable {
  const kept = Uint32Array.from(leftOut.keys()).filter((trace) => leftOut[trace] !== 1);
  const rows = rowsOfTraces({ traceStart: (trace) => table.firstRows[trace] ?? 0 }, kept);
  const { ids, firstRows } = pickTraces(table, kept);
  const columns = table.columns.map((column) => ({
    ...column,
    codes: rows.map((row) => column.codes[row] ?? 0),
  }));
  return { rowCount: rows.length, ids, firstRows, columns, rest: table.rest };
}

function gatherColumn(scan: Scan, name: ColumnName, rows: Uint32Array): TableColumn {
  const column = scan.column(name);
  const codes = new Uint32Array(rows.length);
  const builder = new ValuesBuilder();
  const known = new Map<number, number>();
  let at = 0;
  let index = 0;
  while (at < rows.length) {
    index = scan.pageOf(rows[at] ?? 0, index);
    const end = endOfPage(rows, at, scan.pageStart(index + 1));
    const page = column.page(index);
    const { content } = page;
    const codeAt = (position: number): number => {
      if (content.kind === "values") return builder.add(content.values, position);
      const code = content.codes[position] ?? 0;
      let own = known.get(code);
      if (own === undefined && column.dictionary !== undefined) {
        own = builder.add(column.dictionary, code);
        known.set(code, own);
      }
      return own ?? 0;
    };
    gatherPage(page, rows.subarray(at, end), codes.subarray(at, end), codeAt);
    at = end;
  }
  return { name, dictionary: builder.build(), codes };
}

function endOfPage(rows: Uint32Array, from: number, pageEnd: number): number {
  let end = from;
  while (end < rows.length && (rows[end] ?? 0) < pageEnd) end++;
  return end;
}

/** @param codeAt 1 + the position in the new dictionary of the value at a position among the page's */
function gatherPage(
  page: ColumnPage,
  rows: Uint32Array,
  codes: Uint32Array,
  codeAt: (position: number) => number,
): void {
  const { firstRow, present } = page;
  let position = 0;
  let passed = 0;
  rows.forEach((row, i) => {
    const inPage = row - firstRow;
    position += countValues(present, passed, inPage);
    passed = inPage;
    if (hasValue(present, inPage)) codes[i] = codeAt(position);
  });
}
