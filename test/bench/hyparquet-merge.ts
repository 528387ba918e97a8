// Compaction as it would be with hyparquet and hyparquet-writer: all columns read, the rows in order of their trace ids,
// written again. Neither parents nor duplicates nor resource indexes are looked after.
import { parquetMetadata, parquetRead, type SchemaElement } from "hyparquet";
import { ByteWriter, type ColumnSource, ParquetWriter } from "hyparquet-writer";
import { zstdDecompressSync } from "node:zlib";
import { compressZstd } from "../../src/util/codec.ts";

const PAGE_BYTES = 512 * 1024;
const BOUNDED = new Set(["start_time_unix_nano", "duration_nano", "trace_id"]);

interface Merged {
  readonly element: SchemaElement;
  readonly data: unknown[];
}

async function readInto(
  columns: Map<string, Merged>,
  bytes: Uint8Array,
  rowsBefore: number,
): Promise<number> {
  const file = new Uint8Array(bytes).buffer;
  const metadata = parquetMetadata(file);
  for (const element of metadata.schema.slice(1)) {
    if (!columns.has(element.name)) {
      const { type, type_length, converted_type } = element;
      // Text stays bytes, as in the other route: nobody looks at it.
      columns.set(element.name, {
        element: {
          name: element.name,
          ...(type === undefined ? {} : { type }),
          ...(type_length === undefined ? {} : { type_length }),
          ...(converted_type === "UTF8" ? { converted_type } : {}),
          repetition_type: element.repetition_type ?? "REQUIRED",
        },
        data: [],
      });
    }
  }
  await parquetRead({
    file,
    metadata,
    utf8: false,
    compressors: { ZSTD: (input) => zstdDecompressSync(input) },
    parsers: {
      timestampFromNanoseconds: (nanos: bigint) => nanos,
      jsonFromBytes: (text: Uint8Array) => text,
    },
    onChunk: ({ columnName, columnData, rowStart }) => {
      const data = columns.get(columnName)?.data;
      if (data === undefined) return;
      for (let i = 0; i < columnData.length; i++) data[rowsBefore + rowStart + i] = columnData[i];
    },
  });
  return Number(metadata.num_rows);
}

/** Returns the bytes of the file. */
export async function mergeByHyparquet(files: readonly Uint8Array[]): Promise<number> {
  const columns = new Map<string, Merged>();
  let rows = 0;
  for (const file of files) rows += await readInto(columns, file, rows);
  const ids = (columns.get("trace_id")?.data ?? []) as Uint8Array[];
  const order = Uint32Array.from({ length: rows }, (_, row) => row).sort((a, b) =>
    Buffer.compare(ids[a] ?? new Uint8Array(0), ids[b] ?? new Uint8Array(0)),
  );
  const columnData: ColumnSource[] = [];
  for (const [name, { data, element }] of columns) {
    const isOptional = element.repetition_type === "OPTIONAL";
    const sorted = Array.from(order, (row) => data[row] ?? (isOptional ? null : data[row]));
    columnData.push({ name, data: sorted, statistics: BOUNDED.has(name) });
  }
  const elements = Array.from(columns.values(), ({ element }) => element);
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer,
    schema: [{ name: "root", num_children: elements.length }, ...elements],
    codec: "ZSTD",
    compressors: { ZSTD: (bytes) => compressZstd(bytes, 6) },
  });
  void file.write({ columnData, pageSize: PAGE_BYTES, rowGroupSize: 65_536 });
  void file.finish();
  return writer.offset;
}
