// A Parquet page: header, checksum, compression. One page is the unit of reading.
import { assert } from "../util/assert.ts";
import { exactBytes } from "../util/bytes.ts";
import { compressZstd, crc32, decompressView } from "../util/codec.ts";
import { AppError, isAppError } from "../util/errors.ts";
import type { Compression } from "./parquet-schema.ts";
import { ENCODING } from "./parquet-schema.ts";
import { decodeStruct, encodeStruct, i32, struct } from "./thrift.ts";
import { numberField, optionalNumber, sizeField, structField } from "./thrift-fields.ts";

/** Inflated bytes of a page that a reader accepts: a row group's largest page is bounded by the 32 MiB body limit. */
const PAGE_BYTES_MAX: number = 256 * 1024 * 1024;

/** No header that we write is longer; a reader that has this many bytes has all of it. */
export const PAGE_HEADER_BYTES_MAX = 64;

/** Data pages are version 1: levels and values are compressed together. */
const TYPE = { data: 0, dictionary: 2 } as const;

export interface PageHeader {
  readonly kind: "data" | "dictionary";
  readonly rawLength: number;
  readonly length: number;
  readonly crc: number;
  /** Data: rows, those without a value included. Dictionary: entries. */
  readonly valueCount: number;
  readonly encoding: number;
}

/** A page ready to be written: `header` then `body`. Both own their buffers. */
export interface EncodedPage {
  readonly header: Uint8Array;
  readonly body: Uint8Array;
  readonly rawLength: number;
}

export interface PageContent {
  readonly kind: "data" | "dictionary";
  /** What is compressed: for data pages definition levels and values. Copied. */
  readonly raw: Uint8Array;
  readonly valueCount: number;
  readonly encoding: number;
  readonly compression: Compression;
  readonly zstdLevel: number;
}

/** Compresses and frames a page. The checksum covers the compressed bytes, without the header. */
export function encodePage(page: PageContent): EncodedPage {
  const { kind, raw, valueCount, encoding } = page;
  assert(raw.length <= PAGE_BYTES_MAX, "a page stays within what readers accept");
  const body = page.compression === "zstd" ? compressZstd(raw, page.zstdLevel) : new Uint8Array(raw);
  const isData = kind === "data";
  const header = encodeStruct([
    [1, i32(TYPE[kind])],
    [2, i32(raw.length)],
    [3, i32(body.length)],
    [4, i32(crc32(body) | 0)],
    [
      5,
      isData
        ? struct([
            [1, i32(valueCount)],
            [2, i32(encoding)],
            [3, i32(ENCODING.rle)],
            [4, i32(ENCODING.rle)],
          ])
        : undefined,
    ],
    [
      7,
      isData
        ? undefined
        : struct([
            [1, i32(valueCount)],
            [2, i32(encoding)],
          ]),
    ],
  ]);
  assert(header.length <= PAGE_HEADER_BYTES_MAX, "readers know how long a header is");
  return { header, body, rawLength: raw.length };
}

/**
 * Reads the page header at `offset`.
 * @returns the header and where the page's body begins
 * @throws AppError `corrupt`
 */
export function decodePageHeader(bytes: Uint8Array, offset: number): { header: PageHeader; bodyAt: number } {
  const { struct: fields, end } = decodeStruct(bytes, offset);
  const type = sizeField(fields, 1);
  if (type !== TYPE.data && type !== TYPE.dictionary) throw new AppError("corrupt", `page: type ${type}`);
  const details = structField(fields, type === TYPE.data ? 5 : 7);
  const crc = optionalNumber(fields, 4);
  if (crc === undefined) throw new AppError("corrupt", "page: no checksum");
  const header: PageHeader = {
    kind: type === TYPE.data ? "data" : "dictionary",
    rawLength: sizeField(fields, 2),
    length: sizeField(fields, 3),
    crc: crc >>> 0,
    valueCount: sizeField(details, 1),
    encoding: numberField(details, 2),
  };
  if (header.rawLength > PAGE_BYTES_MAX || header.length > PAGE_BYTES_MAX) {
    throw new AppError("corrupt", `page: claims ${Math.max(header.rawLength, header.length)} bytes`);
  }
  return { header, bodyAt: end };
}

/**
 * Checks and inflates the body of a page. What is allocated is bounded by the header's claim and by what the checked
 * bytes really inflate to, whichever is less.
 * @param isChecked whether the checksum was compared before
 * @returns an array of exactly `header.rawLength` bytes (`body` itself when it is not compressed)
 * @throws AppError `corrupt`
 */
export function decodePageBody(
  header: PageHeader,
  body: Uint8Array,
  compression: Compression,
  isChecked = false,
): Uint8Array {
  if (body.length !== header.length) throw new AppError("corrupt", "page: cut short");
  if (!isChecked && crc32(body) !== header.crc) throw new AppError("corrupt", "page: wrong checksum");
  const raw = compression === "none" ? body : inflateView(body, header.rawLength);
  if (raw.length !== header.rawLength) {
    throw new AppError("corrupt", `page: ${raw.length} bytes instead of ${header.rawLength}`);
  }
  return raw;
}

/** zstd with every failure as `corrupt`: these bytes are our own. */
export function inflate(body: Uint8Array, maxBytes: number): Uint8Array {
  return exactBytes(inflateView(body, maxBytes));
}

/** The same, maybe as a view of a few bytes more. */
function inflateView(body: Uint8Array, maxBytes: number): Uint8Array {
  try {
    // At least 1: the runtime takes no limit of 0.
    return decompressView("zstd", body, Math.max(1, maxBytes), maxBytes);
  } catch (error) {
    if (!isAppError(error)) throw error;
    throw new AppError("corrupt", `block: ${error.message}`, { cause: error });
  }
}
