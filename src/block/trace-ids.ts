// The trace ids of a block, from the dictionary of their column: code = number of the trace.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import { decodePageBody, decodePageHeader } from "./page.ts";
import { type ColumnSchema, ENCODING } from "./parquet-schema.ts";

function corrupt(what: string): AppError {
  return new AppError("corrupt", `trace ids: ${what}`);
}

/**
 * The ids of a row group: 16 bytes each.
 * @param page the column's dictionary page, header included
 * @throws AppError `corrupt`
 */
export function decodeTraceIds(schema: ColumnSchema, page: Uint8Array, traceCount: number): Uint8Array {
  const { header, bodyAt } = decodePageHeader(page, 0);
  const ids = decodePageBody(header, page.subarray(bodyAt), schema.compression);
  const isSound =
    schema.physical === "fixed" &&
    schema.width === TRACE_ID_BYTES &&
    header.kind === "dictionary" &&
    header.encoding === ENCODING.plain &&
    header.valueCount === traceCount &&
    ids.length === traceCount * TRACE_ID_BYTES;
  if (!isSound) throw corrupt("no dictionary");
  return ids;
}

/** Order of the ids at `a` of `x` and at `b` of `y`, as bytes: negative, 0 or positive. */
export function compareTraceIds(x: Uint8Array, a: number, y: Uint8Array, b: number): number {
  for (let i = 0; i < TRACE_ID_BYTES; i++) {
    const difference = (x[a + i] ?? 0) - (y[b + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** @throws AppError `corrupt` when the ids, 16 bytes each, are not ascending */
export function checkAscending(ids: Uint8Array): void {
  for (let at = TRACE_ID_BYTES; at < ids.length; at += TRACE_ID_BYTES) {
    if (compareTraceIds(ids, at - TRACE_ID_BYTES, ids, at) >= 0) throw corrupt("not ascending");
  }
}
