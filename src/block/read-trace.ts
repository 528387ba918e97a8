// Reads the spans of one trace from a range of otlp_span pages.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { assert } from "../util/assert.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { wordAt } from "./byte-buffer.ts";
import { FieldCursor } from "./field-cursor.ts";
import { type Page, readPages } from "./page-stream.ts";
import { ENCODING } from "./parquet-schema.ts";
import { ResourceTable } from "./resource-table.ts";
import { readSuffix, SUFFIX_BYTES } from "./suffix.ts";
import { SpanGroups } from "./span-groups.ts";
import { TRACE_ID_TAG } from "./tags.ts";

/**
 * Decodes the pages as they arrive and yields, for each page that holds spans of the trace, one OTLP `TracesData`:
 * spans byte for byte as they were sent, in row order within their group of resource and scope. One page is in memory
 * at a time.
 *
 * @param pages the bytes of the range that `tracePages` gave, in chunks of any size
 * @param resources `WrittenBlock.resources` of the same block
 * @param traceId 16 bytes
 * @yields arrays that own their buffers
 * @throws AppError `corrupt` on a wrong checksum, a truncated page or lengths that do not add up
 */
export async function* readTracePages(
  pages: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
  resources: Uint8Array,
  traceId: Uint8Array,
): AsyncGenerator<Uint8Array, void, undefined> {
  assert(traceId.length === TRACE_ID_BYTES, "a trace id has 16 bytes");
  const table = new ResourceTable(resources);
  for await (const page of readPages(pages, "zstd")) {
    const data = asCorrupt(() => collect(page, table, traceId));
    if (data !== undefined) yield data;
  }
}

/** A stored span that is malformed is our fault, not a caller's. */
function asCorrupt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!isAppError(error) || error.kind === "corrupt") throw error;
    throw new AppError("corrupt", error.message, { cause: error });
  }
}

/** Bytes before a PLAIN value. */
const LENGTH_BYTES = 4;

/** The page's spans of the trace. */
function collect({ header, raw }: Page, table: ResourceTable, traceId: Uint8Array): Uint8Array | undefined {
  if (header.kind !== "data" || header.encoding !== ENCODING.plain) {
    throw new AppError("corrupt", "page: not of otlp_span");
  }
  const groups = new SpanGroups(table);
  const fields = new FieldCursor();
  let at = 0;
  let rows = 0;
  while (at < raw.length) {
    if (raw.length - at < LENGTH_BYTES) throw new AppError("corrupt", "page: a length is cut short");
    const length = wordAt(raw, at);
    const start = at + LENGTH_BYTES;
    const end = start + length;
    if (end > raw.length || length < SUFFIX_BYTES) throw new AppError("corrupt", "page: a span's length");
    fields.enter(raw, start, end - SUFFIX_BYTES);
    if (isOfTrace(fields, traceId)) {
      const { resource, scope } = readSuffix(raw, end);
      groups.add(raw.subarray(start, end - SUFFIX_BYTES), resource, scope);
    }
    rows++;
    at = end;
  }
  if (rows !== header.valueCount) throw new AppError("corrupt", "page: rows are missing");
  return groups.encode();
}

/** Whether the span has the id. Of a repeated id the last counts, so all fields are passed over: some 0.1 us. */
function isOfTrace(fields: FieldCursor, traceId: Uint8Array): boolean {
  let idAt = -1;
  while (fields.next()) if (fields.tag === TRACE_ID_TAG) idAt = fields.start;
  if (idAt < 0) return false;
  for (let i = 0; i < TRACE_ID_BYTES; i++) if (fields.bytes[idAt + i] !== traceId[i]) return false;
  return true;
}
