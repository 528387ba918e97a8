// All that a block holds as plain JSON, through our own reader: what golden files are compared with.
import { tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { type Block, bytesSource, openBlock } from "../../src/block/reader.ts";
import { type Values, valueBytes } from "../../src/block/column-values.ts";
import type { ColumnSchema } from "../../src/block/parquet-schema.ts";
import { collect, hex, identity, inOneChunk, sentSpans } from "./block-model.ts";

function printed(schema: ColumnSchema, values: Values, index: number): string | number | boolean {
  const bytes = valueBytes(values, index);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (schema.physical) {
    case "boolean":
      return bytes[0] === 1;
    case "int32":
      return view.getInt32(0, true);
    case "int64":
      return String(view.getBigInt64(0, true));
    case "double":
      return String(view.getFloat64(0, true));
    case "fixed":
      return hex(bytes);
    case "bytes":
      return schema.logical === undefined ? hex(bytes) : Buffer.from(bytes).toString();
  }
}

type Row = Record<string, string | number | boolean>;

/** Sets the column in the rows of the group, the first of which is `groupRow`. */
async function addColumn(
  block: Block,
  group: number,
  groupRow: number,
  schema: ColumnSchema,
  rows: Row[],
): Promise<void> {
  const { pages, dictionary } = await block.readColumn(schema.name, group);
  for (const { firstRow, rowCount, present, content } of pages) {
    let at = 0;
    for (let i = 0; i < rowCount; i++) {
      if (present !== undefined && (((present[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 0) continue;
      const row = (rows[groupRow + firstRow + i] ??= {});
      const value = at++;
      row[schema.name] =
        content.kind === "values"
          ? printed(schema, content.values, value)
          : printed(schema, dictionary!, content.codes[value] ?? 0);
    }
  }
}

export interface BlockDump {
  readonly meta: Record<string, string | number>;
  readonly attributes: unknown;
  /** Without the values that are null. 64-bit numbers and doubles as text, bytes as hex. */
  readonly rows: Row[];
  /** Of each trace the spans that a lookup gives, with their resources and scopes. */
  readonly traces: Record<string, string[]>;
}

export async function dumpBlock(file: Uint8Array): Promise<BlockDump> {
  const block = await openBlock(bytesSource(file));
  const { traceIndex, resources } = await block.written();
  const rows: Row[] = [];
  for (const [group, { columns }] of block.metadata.rowGroups.entries()) {
    const groupRow = rows.length;
    for (const { schema } of columns) await addColumn(block, group, groupRow, schema, rows);
  }
  const traces: Record<string, string[]> = {};
  for (const id of new Set(rows.map((row) => String(row["trace_id"])))) {
    const traceId = Buffer.from(id, "hex");
    const { offset, length } = tracePages(traceIndex, traceId) ?? { offset: 0, length: 0 };
    const bytes = file.subarray(offset, offset + length);
    traces[id] = sentSpans(await collect(readTracePages(inOneChunk(bytes), resources, traceId))).map(
      identity,
    );
  }
  const meta = Object.fromEntries(
    Object.entries(block.meta)
      // Version 1 has no such facts.
      .filter(([key]) => block.meta.version > 1 || (key !== "arrivedMs" && key !== "replaces"))
      .map(([key, value]: [string, unknown]) => [
        key,
        value instanceof Uint8Array ? hex(value) : typeof value === "number" ? value : String(value),
      ]),
  );
  return { meta, attributes: await block.attributes(), rows, traces };
}
