// The parts of traces that several sources have, as one table: each trace in pre-order, each span once.
import type { ColumnName, Values } from "../../storage.ts";
import { parseTraceId, TRACE_ID_BYTES } from "../../../model/ids.ts";
import { concatBytes } from "../../../util/bytes.ts";
import { toHex } from "../../../util/hex.ts";
import { latin1Text } from "../../../util/utf8.ts";
import { decoderOf } from "../columns/decode.ts";
import { intOf, textOf, type Value } from "../columns/value.ts";
import { orderTrace, type Placed, type TreeSpan } from "./pre-order.ts";
import type { SpanTable, TableColumn } from "./span-table.ts";
import { ValuesBuilder } from "./values-builder.ts";

/**
 * What tells spans apart. Spans that are equal in all of this and come from different sources are one span: a client's
 * retry, or a span on its way from the buffer to a block. Attributes do not count: where a source keeps them depends on
 * how many spans have them.
 */
export const IDENTITY_COLUMNS: readonly ColumnName[] = [
  "spanId",
  "parentSpanId",
  "kind",
  "start",
  "duration",
  "name",
  "status",
  "resource",
];

/** @param names columns of the result, those of IDENTITY_COLUMNS among them; a table that lacks one has no values for it */
export function mergeTables(tables: readonly SpanTable[], names: readonly ColumnName[]): SpanTable {
  const merged = mergeRows(tables);
  return {
    rowCount: merged.rowCount,
    ids: merged.ids,
    firstRows: merged.firstRows,
    columns: names.map((name) => mergeColumn(tables, name, merged)),
    rest: tables.flatMap(({ rest }) => rest),
  };
}

/** The rows of several tables in the order of their traces: columns may be merged at any time later. */
export interface MergedRows {
  readonly rowCount: number;
  /** Trace ids in ascending order, 16 bytes each. */
  readonly ids: Uint8Array;
  /** First row of each trace, then the number of rows. */
  readonly firstRows: Uint32Array;
  /** By row: where it comes from. */
  readonly tables: Uint32Array;
  readonly rows: Uint32Array;
  /** By row: rows back to the parent; 0: none. */
  readonly distances: Uint32Array;
}

/** @param tables with the columns of IDENTITY_COLUMNS */
export function mergeRows(tables: readonly SpanTable[]): MergedRows {
  const readers = tables.map((table, index) => new SpanReader(table, index));
  const spans = rowsByTrace(tables, readers);
  const ids = [...spans.keys()].sort();
  const firstRows = new Uint32Array(ids.length + 1);
  const rows: Placed<TableSpan>[] = [];
  ids.forEach((id, index) => {
    for (const placed of orderTrace(withoutDuplicates(spans.get(id) ?? [], readers))) rows.push(placed);
    firstRows[index + 1] = rows.length;
  });
  return {
    rowCount: rows.length,
    ids: concatBytes(ids.map((id) => parseTraceId(id))),
    firstRows,
    tables: Uint32Array.from(rows, ({ span }) => span.table),
    rows: Uint32Array.from(rows, ({ span }) => span.row),
    distances: Uint32Array.from(rows, ({ distance }) => distance),
  };
}

/** @param tables the ones whose rows were merged; one that lacks the column has no values for it */
export function mergeColumn(
  tables: readonly Pick<SpanTable, "rowCount" | "columns">[],
  name: ColumnName,
  merged: MergedRows,
): TableColumn {
  if (name === "parentDistance") return distanceColumn(merged);
  return new JoinedColumn(name, tables).reordered(merged);
}

/** One column through all tables; equal values have one code. */
class JoinedColumn {
  readonly name: ColumnName;
  readonly #builder = new ValuesBuilder();
  readonly #known = new Map<string, number>();
  /** By table, by row. */
  readonly #codes: readonly Uint32Array[];

  constructor(name: ColumnName, tables: readonly Pick<SpanTable, "rowCount" | "columns">[]) {
    this.name = name;
    this.#codes = tables.map((table) => {
      const column = table.columns.find((each) => each.name === name);
      return column === undefined ? new Uint32Array(table.rowCount) : this.#join(column);
    });
  }

  #join({ dictionary, codes }: TableColumn): Uint32Array {
    const own = new Uint32Array(dictionary.count + 1);
    for (let i = 0; i < dictionary.count; i++) own[i + 1] = this.#codeOf(dictionary, i);
    return codes.map((code) => own[code] ?? 0);
  }

  #codeOf(values: TableColumn["dictionary"], index: number): number {
    if (values.kind === "bits") return this.#builder.add(values, index);
    const key = latin1Text(bytesOf(values, index));
    let code = this.#known.get(key);
    if (code === undefined) {
      code = this.#builder.add(values, index);
      this.#known.set(key, code);
    }
    return code;
  }

  reordered({ tables, rows }: MergedRows): TableColumn {
    const codes = rows.map((row, i) => this.#codes[tables[i] ?? 0]?.[row] ?? 0);
    return { name: this.name, dictionary: this.#builder.build(), codes };
  }
}

function bytesOf(values: Values, index: number): Uint8Array {
  switch (values.kind) {
    case "bytes":
      return values.bytes.subarray(values.offsets[2 * index], values.offsets[2 * index + 1]);
    case "fixed":
      return values.bytes.subarray(values.width * index, values.width * (index + 1));
    case "bits":
      return Uint8Array.of(((values.bytes[index >>> 3] ?? 0) >>> (index & 7)) & 1);
  }
}

function distanceColumn({ distances, rowCount }: MergedRows): TableColumn {
  const bytes = new Uint8Array(distances.slice().buffer);
  const dictionary = { kind: "fixed", count: rowCount, bytes, width: 4 } as const;
  return { name: "parentDistance", dictionary, codes: distances.map((_, row) => row + 1) };
}

/** A row of one of the tables. */
interface TableSpan extends TreeSpan {
  readonly table: number;
  readonly row: number;
}

/** Reads the columns of a table that decide about order and duplicates. */
class SpanReader {
  readonly #table: number;
  readonly #identity: readonly (TableColumn | undefined)[];
  readonly #values: Readonly<Record<"spanId" | "parentSpanId" | "kind" | "start", (row: number) => Value>>;

  constructor({ columns }: SpanTable, table: number) {
    const byName = new Map(columns.map((column) => [column.name, column]));
    const read = (name: ColumnName, kind: "hex" | "int"): ((row: number) => Value) => {
      const column = byName.get(name);
      if (column === undefined) return () => undefined;
      const { codes, dictionary } = column;
      const decode = decoderOf({ kind }, dictionary);
      return (row) => (codes[row] === 0 ? undefined : decode((codes[row] ?? 0) - 1));
    };
    this.#table = table;
    this.#identity = IDENTITY_COLUMNS.map((name) => byName.get(name));
    this.#values = {
      spanId: read("spanId", "hex"),
      parentSpanId: read("parentSpanId", "hex"),
      kind: read("kind", "int"),
      start: read("start", "int"),
    };
  }

  read(row: number): TableSpan {
    const { spanId, parentSpanId, kind, start } = this.#values;
    return {
      table: this.#table,
      row,
      spanId: textOf(spanId(row)),
      parentSpanId: textOf(parentSpanId(row)),
      kind: Number(intOf(kind(row))),
      start: intOf(start(row)),
    };
  }

  /** Equal for rows, of any table, with the same identity. */
  keyOf(row: number): string {
    return this.#identity
      .map((column) => {
        const code = column?.codes[row] ?? 0;
        if (column === undefined || code === 0) return "-";
        const bytes = bytesOf(column.dictionary, code - 1);
        return `${bytes.length} ${latin1Text(bytes)}`;
      })
      .join(" ");
  }
}

/** Rows by trace id in hex, those of the first table first. */
function rowsByTrace(tables: readonly SpanTable[], readers: readonly SpanReader[]): Map<string, TableSpan[]> {
  const spans = new Map<string, TableSpan[]>();
  tables.forEach(({ ids, firstRows }, table) => {
    const reader = readers[table];
    for (let trace = 0; trace < firstRows.length - 1; trace++) {
      const id = toHex(ids.subarray(TRACE_ID_BYTES * trace, TRACE_ID_BYTES * (trace + 1)));
      const own = spans.get(id) ?? [];
      spans.set(id, own);
      const end = firstRows[trace + 1] ?? 0;
      for (let row = firstRows[trace] ?? 0; row < end; row++) {
        if (reader !== undefined) own.push(reader.read(row));
      }
    }
  });
  return spans;
}

/**
 * Of spans that are equal, as many as the table with most of them has: within one table they are different spans. All that
 * is equal is compared only where ids are, which is rare: to join these columns is most of the time of a merge.
 */
function withoutDuplicates(spans: readonly TableSpan[], readers: readonly SpanReader[]): TableSpan[] {
  const counts = new Map<string, number>();
  for (const { spanId } of spans) counts.set(spanId, (counts.get(spanId) ?? 0) + 1);
  const kept = new Map<string, number>();
  const seen = new Map<string, number>();
  return spans.filter(({ spanId, table, row }) => {
    if (counts.get(spanId) === 1) return true;
    const key = readers[table]?.keyOf(row) ?? "";
    const inTable = `${table} ${key}`;
    const count = seen.get(inTable) ?? 0;
    seen.set(inTable, count + 1);
    if (count < (kept.get(key) ?? 0)) return false;
    kept.set(key, count + 1);
    return true;
  });
}
