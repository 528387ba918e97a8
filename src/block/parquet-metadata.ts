// Parquet's FileMetaData and OffsetIndex: written in full, read as far as a block needs.
import { AppError } from "../util/errors.ts";
import {
  COMPRESSION_CODE,
  type ColumnSchema,
  leafElement,
  PHYSICAL_CODE,
  type Physical,
  rootElement,
} from "./parquet-schema.ts";
import {
  binary,
  bool,
  decodeStruct,
  encodeStruct,
  i32,
  i64,
  list,
  struct,
  type ThriftStruct,
  type ThriftValue,
} from "./thrift.ts";
import {
  optionalBinary,
  optionalNumber,
  sizeField,
  structField,
  structsField,
  textField,
} from "./thrift-fields.ts";

export const MAGIC: Uint8Array = new Uint8Array([0x50, 0x41, 0x52, 0x31]); // "PAR1"

/** Smallest and greatest value as PLAIN bytes. */
export interface Bounds {
  readonly min: Uint8Array;
  readonly max: Uint8Array;
}

/** A written column chunk. Offsets count from the start of the file. */
export interface ChunkMetadata {
  readonly encodings: readonly number[];
  /** Rows, those without a value included. */
  readonly valueCount: number;
  readonly nullCount: number;
  /** Bytes of all pages with their headers, before and after compression. */
  readonly rawBytes: number;
  readonly byteLength: number;
  readonly dictionaryOffset: number | undefined;
  readonly dataOffset: number;
  readonly bounds: Bounds | undefined;
  readonly offsetIndex: { readonly offset: number; readonly length: number } | undefined;
}

/** A column of one row group. */
export interface FileColumn {
  readonly schema: ColumnSchema;
  readonly chunk: ChunkMetadata;
}

export interface RowGroup {
  readonly rowCount: number;
  /** The same columns in all row groups of a file. */
  readonly columns: readonly FileColumn[];
}

export interface FileMetadata {
  readonly rowCount: number;
  /** In the order of the file. None of them is empty. */
  readonly rowGroups: readonly RowGroup[];
  /** Columns by which rows are sorted, ascending, as indexes into a row group's columns. */
  readonly sortedBy: readonly number[];
  readonly keyValues: ReadonlyMap<string, string>;
}

const FORMAT_VERSION = 2;
/** Row groups that a reader accepts; compaction makes at most some ten. */
const ROW_GROUPS_MAX = 1000;
const CREATED_BY = "rubato version 1";

function columnChunk(schema: ColumnSchema, chunk: ChunkMetadata): ThriftValue {
  const { bounds } = chunk;
  const statistics = struct([
    [3, i64(chunk.nullCount)],
    [5, bounds && binary(bounds.max)],
    [6, bounds && binary(bounds.min)],
    [7, bounds && bool(true)],
    [8, bounds && bool(true)],
  ]);
  const metadata = struct([
    [1, i32(PHYSICAL_CODE[schema.physical])],
    [2, list("i32", chunk.encodings.map(i32))],
    [3, list("binary", [binary(schema.name)])],
    [4, i32(COMPRESSION_CODE[schema.compression])],
    [5, i64(chunk.valueCount)],
    [6, i64(chunk.rawBytes)],
    [7, i64(chunk.byteLength)],
    [9, i64(chunk.dataOffset)],
    [11, chunk.dictionaryOffset === undefined ? undefined : i64(chunk.dictionaryOffset)],
    [12, statistics],
  ]);
  return struct([
    [2, i64(0)],
    [3, metadata],
    [4, chunk.offsetIndex && i64(chunk.offsetIndex.offset)],
    [5, chunk.offsetIndex && i32(chunk.offsetIndex.length)],
  ]);
}

function rowGroup({ rowCount, columns }: RowGroup, sortedBy: readonly number[]): ThriftValue {
  let rawBytes = 0;
  let byteLength = 0;
  for (const { chunk } of columns) {
    rawBytes += chunk.rawBytes;
    byteLength += chunk.byteLength;
  }
  const sorting = sortedBy.map((index) =>
    struct([
      [1, i32(index)],
      [2, bool(false)],
      [3, bool(false)],
    ]),
  );
  return struct([
    [
      1,
      list(
        "struct",
        columns.map(({ schema, chunk }) => columnChunk(schema, chunk)),
      ),
    ],
    [2, i64(rawBytes)],
    [3, i64(rowCount)],
    [4, list("struct", sorting)],
    [5, i64(columns[0]?.chunk.dataOffset ?? MAGIC.length)],
    [6, i64(byteLength)],
  ]);
}

/** The footer's thrift bytes. `columns`: of the file, also when it has no row group. */
export function encodeFileMetadata(
  file: FileMetadata,
  columns: readonly ColumnSchema[],
): Uint8Array<ArrayBuffer> {
  const elements = columns.map(leafElement);
  const keyValues = Array.from(file.keyValues, ([key, value]) =>
    struct([
      [1, binary(key)],
      [2, binary(value)],
    ]),
  );
  // Without the order of its type a column's bounds would have to be ignored by readers.
  const orders = columns.map(() => struct([[1, struct([])]]));
  return encodeStruct([
    [1, i32(FORMAT_VERSION)],
    [2, list("struct", [rootElement(columns.length), ...elements])],
    [3, i64(file.rowCount)],
    [
      4,
      list(
        "struct",
        file.rowGroups.map((group) => rowGroup(group, file.sortedBy)),
      ),
    ],
    [5, list("struct", keyValues)],
    [6, binary(CREATED_BY)],
    [7, list("struct", orders)],
  ]);
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `block footer: ${what}`);
}

function keyOf<K extends string>(codes: Readonly<Record<K, number>>, code: number, what: string): K {
  for (const key in codes) if (codes[key] === code) return key;
  throw corrupt(`${what} ${code}`);
}

function readLeaf(element: ThriftStruct, compression: number): ColumnSchema {
  const physical: Physical = keyOf(PHYSICAL_CODE, sizeField(element, 1), "type");
  const width = optionalNumber(element, 2);
  const logical = element.get(10);
  const kind = logical?.type === "struct" ? logical.value : new Map<number, ThriftValue>();
  return {
    name: textField(element, 4),
    physical,
    ...(width === undefined ? {} : { width }),
    ...(kind.has(1) ? { logical: "string" } : {}),
    ...(kind.has(12) ? { logical: "json" } : {}),
    ...(kind.has(8) ? { logical: "timestamp_ns" } : {}),
    optional: sizeField(element, 3) === 1,
    compression: keyOf(COMPRESSION_CODE, compression, "compression"),
  };
}

function readChunk(chunk: ThriftStruct, metadata: ThriftStruct): ChunkMetadata {
  const statistics = structField(metadata, 12);
  const min = optionalBinary(statistics, 6);
  const max = optionalBinary(statistics, 5);
  const encodings = metadata.get(2);
  const indexOffset = optionalNumber(chunk, 4);
  return {
    encodings:
      encodings?.type === "list" ? encodings.value.flatMap((e) => (e.type === "i32" ? [e.value] : [])) : [],
    valueCount: sizeField(metadata, 5),
    nullCount: sizeField(statistics, 3),
    rawBytes: sizeField(metadata, 6),
    byteLength: sizeField(metadata, 7),
    dictionaryOffset: optionalNumber(metadata, 11),
    dataOffset: sizeField(metadata, 9),
    bounds: min && max && { min, max },
    offsetIndex: indexOffset === undefined ? undefined : { offset: indexOffset, length: sizeField(chunk, 5) },
  };
}

function readRowGroup(group: ThriftStruct, elements: readonly ThriftStruct[]): RowGroup {
  const chunks = structsField(group, 1);
  if (chunks.length !== elements.length) throw corrupt("columns and schema differ");
  const columns = chunks.map((chunk, index) => {
    const element = elements[index];
    if (element === undefined) throw corrupt("columns and schema differ");
    const metadata = structField(chunk, 3);
    return { schema: readLeaf(element, sizeField(metadata, 4)), chunk: readChunk(chunk, metadata) };
  });
  return { rowCount: sizeField(group, 3), columns };
}

/**
 * Reads the footer's thrift bytes. Bounds are views of `bytes`.
 * @throws AppError `corrupt`, also for Parquet that is no block: groups, row groups without rows
 */
export function decodeFileMetadata(bytes: Uint8Array): FileMetadata {
  const { struct: file } = decodeStruct(bytes);
  const [, ...elements] = structsField(file, 2);
  const groups = structsField(file, 4);
  if (groups.length > ROW_GROUPS_MAX) throw corrupt(`${groups.length} row groups`);
  const rowGroups = groups.map((group) => readRowGroup(group, elements));
  const rowCount = sizeField(file, 3);
  let rows = 0;
  for (const group of rowGroups) {
    if (group.rowCount === 0) throw corrupt("a row group without rows");
    rows += group.rowCount;
  }
  if (rows !== rowCount) throw corrupt(`${rows} rows instead of ${rowCount}`);
  const [first] = groups;
  return {
    rowCount,
    rowGroups,
    sortedBy: first === undefined ? [] : structsField(first, 4).map((sorting) => sizeField(sorting, 1)),
    keyValues: new Map(structsField(file, 5).map((pair) => [textField(pair, 1), textField(pair, 2)])),
  };
}

/** Where a page lies and which row it begins with. */
export interface PageLocation {
  readonly offset: number;
  /** Header included. */
  readonly byteLength: number;
  readonly firstRow: number;
}

/** Parquet's OffsetIndex. */
export function encodeOffsetIndex(pages: readonly PageLocation[]): Uint8Array<ArrayBuffer> {
  const locations = pages.map(({ offset, byteLength, firstRow }) =>
    struct([
      [1, i64(offset)],
      [2, i32(byteLength)],
      [3, i64(firstRow)],
    ]),
  );
  return encodeStruct([[1, list("struct", locations)]]);
}

/** @throws AppError `corrupt` */
export function decodeOffsetIndex(bytes: Uint8Array): readonly PageLocation[] {
  return structsField(decodeStruct(bytes).struct, 1).map((page) => ({
    offset: sizeField(page, 1),
    byteLength: sizeField(page, 2),
    firstRow: sizeField(page, 3),
  }));
}
