// The part of Parquet's type system that a block uses, with the numbers of parquet.thrift.
import { binary, bool, i32, struct, type ThriftValue } from "./thrift.ts";

export type Physical = "boolean" | "int32" | "int64" | "double" | "bytes" | "fixed";
export type Logical = "string" | "json" | "timestamp_ns";
export type Compression = "none" | "zstd";

export const PHYSICAL_CODE: Readonly<Record<Physical, number>> = {
  boolean: 0,
  int32: 1,
  int64: 2,
  double: 5,
  bytes: 6,
  fixed: 7,
};
export const COMPRESSION_CODE: Readonly<Record<Compression, number>> = { none: 0, zstd: 6 };
export const ENCODING = { plain: 0, rle: 3, dictionary: 8 } as const;

/** A leaf column. The schema is flat: no lists, maps or groups. */
export interface ColumnSchema {
  readonly name: string;
  readonly physical: Physical;
  /** Bytes of a `fixed` value. */
  readonly width?: number;
  readonly logical?: Logical;
  /** Whether a row may have no value. */
  readonly optional: boolean;
  readonly compression: Compression;
}

const OPTIONAL = 1;
const CONVERTED_UTF8 = 0;
const CONVERTED_JSON = 19;
const EMPTY = struct([]);

function logicalType(logical: Logical | undefined): ThriftValue | undefined {
  switch (logical) {
    case undefined:
      return undefined;
    case "string":
      return struct([[1, EMPTY]]);
    case "json":
      return struct([[12, EMPTY]]);
    case "timestamp_ns":
      // Not adjusted to UTC although it is: as TIMESTAMPTZ DuckDB would cut it to microseconds.
      return struct([
        [
          8,
          struct([
            [1, bool(false)],
            [2, struct([[3, EMPTY]])],
          ]),
        ],
      ]);
  }
}

/** SchemaElement of a leaf. */
export function leafElement(column: ColumnSchema): ThriftValue {
  const converted =
    column.logical === "string" ? CONVERTED_UTF8 : column.logical === "json" ? CONVERTED_JSON : undefined;
  return struct([
    [1, i32(PHYSICAL_CODE[column.physical])],
    [2, column.width === undefined ? undefined : i32(column.width)],
    [3, i32(column.optional ? OPTIONAL : 0)],
    [4, binary(column.name)],
    [6, converted === undefined ? undefined : i32(converted)],
    [10, logicalType(column.logical)],
  ]);
}

/** SchemaElement of the root. */
export function rootElement(columnCount: number): ThriftValue {
  return struct([
    [4, binary("spans")],
    [5, i32(columnCount)],
  ]);
}
