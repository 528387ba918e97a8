// The values of one page or dictionary, decoded as far as needed to index them: no string, no bigint.
import { AppError } from "../util/errors.ts";
import { wordAt } from "./byte-buffer.ts";
import type { ColumnSchema } from "./parquet-schema.ts";

/** Values by position. All arrays may be views of a page. */
export type Values =
  /** Value i is bytes [offsets[2 * i], offsets[2 * i + 1]). */
  | {
      readonly kind: "bytes";
      readonly count: number;
      readonly bytes: Uint8Array;
      readonly offsets: Uint32Array;
    }
  /** Value i is bytes [width * i, width * (i + 1)): ids, or little-endian numbers of 4 or 8 bytes. */
  | { readonly kind: "fixed"; readonly count: number; readonly bytes: Uint8Array; readonly width: number }
  /** Value i is bit i of byte i / 8, from the lowest. */
  | { readonly kind: "bits"; readonly count: number; readonly bytes: Uint8Array };

function corrupt(what: string): AppError {
  return new AppError("corrupt", `page: ${what}`);
}

/** Bytes of a value of the column; undefined when they vary. */
function widthOf(schema: ColumnSchema): number | undefined {
  switch (schema.physical) {
    case "int32":
      return 4;
    case "int64":
    case "double":
      return 8;
    case "fixed":
      return schema.width;
    case "boolean":
    case "bytes":
      return undefined;
  }
}

/**
 * Reads `count` PLAIN values that fill `bytes`.
 * @throws AppError `corrupt`
 */
export function decodePlain(schema: ColumnSchema, bytes: Uint8Array, count: number): Values {
  if (schema.physical === "boolean") {
    if (bytes.length !== Math.ceil(count / 8)) throw corrupt("booleans of another length");
    return { kind: "bits", count, bytes };
  }
  const width = widthOf(schema);
  if (width !== undefined) {
    if (bytes.length !== width * count) throw corrupt("values of another length");
    return { kind: "fixed", count, bytes, width };
  }
  // Each value takes at least its length, which bounds what a lying count allocates.
  if (count * 4 > bytes.length) throw corrupt("more values than bytes");
  const offsets = new Uint32Array(2 * count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const start = at + 4;
    const end = start + wordAt(bytes, at);
    if (end > bytes.length) throw corrupt("a value exceeds the page");
    offsets[2 * i] = start;
    offsets[2 * i + 1] = end;
    at = end;
  }
  if (at !== bytes.length) throw corrupt("bytes left over");
  return { kind: "bytes", count, bytes, offsets };
}

/** Value `index`: a view, in the file's byte order. Booleans are a byte of 0 or 1. */
export function valueBytes(values: Values, index: number): Uint8Array {
  switch (values.kind) {
    case "bytes":
      return values.bytes.subarray(values.offsets[2 * index], values.offsets[2 * index + 1]);
    case "fixed":
      return values.bytes.subarray(values.width * index, values.width * (index + 1));
    case "bits":
      return Uint8Array.of(((values.bytes[index >>> 3] ?? 0) >>> (index & 7)) & 1);
  }
}
