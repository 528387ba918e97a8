// Traces that several sources have parts of: taken out of all of them, put together, and a source like any other.
import type { ColumnName, SpanSource, TraceTable } from "../../storage.ts";
import { TRACE_ID_BYTES } from "../../../model/ids.ts";
import { toHex } from "../../../util/hex.ts";
import { openScan } from "../columns/scan.ts";
import { IDENTITY_COLUMNS, mergeTables } from "./merge-tables.ts";
import { gatherTraces, rowsOfTraces, type SpanTable } from "./span-table.ts";
import { TableSource } from "./table-source.ts";
import { findTrace } from "./trace-ids.ts";

/** The columns of a source that a query needs. */
export type ColumnsOf = (source: SpanSource) => readonly ColumnName[];

/** What is taken out of each source. */
export function partColumns(source: SpanSource, columnsOf: ColumnsOf): ColumnName[] {
  return [...new Set<ColumnName>([...IDENTITY_COLUMNS, "parentDistance", ...columnsOf(source)])];
}

/**
 * The traces, whole, as a source.
 * @param ids 32 hex digits each
 */
export async function gatherSplit(
  sources: readonly SpanSource[],
  ids: readonly string[],
  columnsOf: ColumnsOf,
): Promise<TableSource> {
  const parts: SpanTable[] = [];
  const names = new Set<ColumnName>();
  for (const source of sources) {
    const part = await gatherPart(source, ids, columnsOf);
    if (part === undefined) continue;
    parts.push(part);
    for (const { name } of part.columns) names.add(name);
  }
  return new TableSource(mergeTables(parts, [...names]));
}

/** What one source has of the traces; undefined: nothing. */
export function gatherPart(
  source: SpanSource,
  ids: readonly string[],
  columnsOf: ColumnsOf,
): Promise<SpanTable | undefined> {
  return gatherColumns(source, ids, partColumns(source, columnsOf));
}

/** Some columns of what one source has of the traces; undefined: it has none of them. */
export async function gatherColumns(
  source: SpanSource,
  ids: readonly string[],
  names: readonly ColumnName[],
): Promise<SpanTable | undefined> {
  const table = await source.traces();
  const numbers = ids
    .map((id) => findTrace(table.ids, id))
    .filter((trace) => trace >= 0)
    .toSorted((a, b) => a - b);
  if (numbers.length === 0) return undefined;
  const rows = rowsOfTraces({ traceStart: (trace) => table.firstRows[trace] ?? 0 }, numbers);
  return gatherTraces(await openScan(source, names, rows), names, numbers);
}

/** Rows put together at a time, so that memory stays bounded however many traces are split. */
export const BATCH_ROWS = 50_000;

/** The ids, in lists of such as have not many more than BATCH_ROWS rows. */
export function batchesOf(ids: Uint8Array, tables: readonly TraceTable[]): string[][] {
  const batches: string[][] = [];
  let batch: string[] = [];
  let rows = 0;
  for (let at = 0; at < ids.length; at += TRACE_ID_BYTES) {
    const id = toHex(ids.subarray(at, at + TRACE_ID_BYTES));
    batch.push(id);
    rows += tables.reduce((sum, table) => sum + rowsOf(table, id), 0);
    if (rows < BATCH_ROWS) continue;
    batches.push(batch);
    batch = [];
    rows = 0;
  }
  return batch.length === 0 ? batches : [...batches, batch];
}

function rowsOf({ ids, firstRows }: TraceTable, id: string): number {
  const trace = findTrace(ids, id);
  return trace < 0 ? 0 : (firstRows[trace + 1] ?? 0) - (firstRows[trace] ?? 0);
}
