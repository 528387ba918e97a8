// A source with the columns that tags are read from, and the rows that count.
import { openScan, Scan } from "../../traceql/engine/columns/scan.ts";
import { columnsOf } from "../../traceql/engine/columns/fields.ts";
import { type Condition, conditionFields, foresee } from "../../traceql/engine/conditions/condition.ts";
import { evaluateCondition } from "../../traceql/engine/conditions/evaluate.ts";
import type { ColumnName, SpanSource, TraceTable } from "../../traceql/storage.ts";
import type { Rows } from "./entries.ts";

export interface TagRows {
  readonly scan: Scan;
  readonly rows: Rows;
}

const NO_TRACES: TraceTable = { ids: new Uint8Array(0), firstRows: Uint32Array.of(0) };

/**
 * @param needsTraces whether a column follows from whole traces
 * @returns undefined when no row counts
 * @throws AppError `corrupt`, `unavailable`; `invalid_argument` for a filter that divides by zero
 */
export async function openTagRows(
  source: SpanSource,
  names: readonly ColumnName[],
  filter: Condition | undefined,
  needsTraces: boolean,
): Promise<TagRows | undefined> {
  if (filter !== undefined && foresee(filter, source) === false) return undefined;
  const fields = filter === undefined ? [] : conditionFields(filter);
  const all = new Set([...names, ...fields.flatMap((field) => columnsOf(source, field))]);
  const scan =
    needsTraces || filter !== undefined
      ? await openScan(source, [...all])
      : await scanWithoutTraces(source, [...all]);
  if (filter === undefined) return { scan, rows: undefined };
  const rows = evaluateCondition(scan, filter, undefined);
  return rows.includes(1) ? { scan, rows } : undefined;
}

async function scanWithoutTraces(source: SpanSource, names: readonly ColumnName[]): Promise<Scan> {
  return new Scan(source, NO_TRACES, names, names.length === 0 ? [] : await source.load(names));
}
