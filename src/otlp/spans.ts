// Reading valid TracesData span by span, as byte ranges.
import { concatBytes } from "../util/bytes.ts";
import {
  FIXED64,
  LENGTH,
  RESOURCE_SPANS,
  SPAN,
  TRACES_DATA,
  VARINT,
  WireReader,
  malformed,
  tagOf,
} from "./wire.ts";

/** The body of a message, without its tag and length: offsets into the caller's array, half-open [start, end). */
export interface SpanRange {
  readonly start: number;
  readonly end: number;
}

/**
 * A ResourceSpans or ScopeSpans without its children. The arrays are views of the visited bytes (a copy only where a
 * field is repeated): copy what outlives them.
 */
export interface SpanGroup extends SpanRange {
  /**
   * All fields but the children, tags included, in their order: put these, then children, into a new message to
   * regroup. Unknown fields are among them.
   */
  readonly fields: Uint8Array;
  /** The body of the Resource or InstrumentationScope; undefined when there is none. Repeated ones are joined, which merges them. */
  readonly owner: Uint8Array | undefined;
  /** UTF-8; empty when there is none. */
  readonly schemaUrl: Uint8Array;
}

/**
 * Called in the order of the bytes, a group before its children and complete: fields that follow the children are seen
 * too. A group that returns false is passed over with its children.
 */
export interface SpanVisitor {
  resourceSpans?(group: SpanGroup): boolean | undefined;
  scopeSpans?(group: SpanGroup): boolean | undefined;
  /** The Span message body is [start, end). */
  span(start: number, end: number): void;
}

const RESOURCE_SPANS_TAG = tagOf(TRACES_DATA.resourceSpans, LENGTH);
const OWNER_TAG = tagOf(RESOURCE_SPANS.resource, LENGTH);
const CHILD_TAG = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
const SCHEMA_URL_TAG = tagOf(RESOURCE_SPANS.schemaUrl, LENGTH);

const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * Reads the fields of a group, without its children. ResourceSpans and ScopeSpans have the same numbers:
 *
 *     1  resource | scope           message
 *     2  scope_spans | spans        repeated message
 *     3  schema_url                 string
 */
function readGroup(bytes: Uint8Array, start: number, end: number): SpanGroup {
  const reader = new WireReader(bytes, start);
  const fields: Uint8Array[] = [];
  const owners: Uint8Array[] = [];
  let schemaUrl = EMPTY;
  let runStart = start;
  while (reader.pos < end) {
    const at = reader.pos;
    const tag = reader.tag(end);
    if ((tag & 7) !== LENGTH) {
      reader.skip(tag, end);
      continue;
    }
    const length = reader.length(end);
    const body = reader.pos;
    reader.pos += length;
    if (tag === CHILD_TAG) {
      if (at > runStart) fields.push(bytes.subarray(runStart, at));
      runStart = reader.pos;
    } else if (tag === OWNER_TAG) owners.push(bytes.subarray(body, reader.pos));
    else if (tag === SCHEMA_URL_TAG) schemaUrl = bytes.subarray(body, reader.pos);
  }
  if (end > runStart) fields.push(bytes.subarray(runStart, end));
  return { start, end, fields: join(fields) ?? EMPTY, owner: join(owners), schemaUrl };
}

function join(parts: readonly Uint8Array[]): Uint8Array | undefined {
  return parts.length > 1 ? concatBytes(parts) : parts[0];
}

/** Calls back for each field `wanted` (of wire type LENGTH) of the message [start, end). */
function eachField(
  bytes: Uint8Array,
  range: SpanRange,
  wanted: number,
  callback: (start: number, end: number) => void,
): void {
  const reader = new WireReader(bytes, range.start);
  while (reader.pos < range.end) {
    const tag = reader.tag(range.end);
    if (tag !== wanted) {
      reader.skip(tag, range.end);
      continue;
    }
    const length = reader.length(range.end);
    const start = reader.pos;
    reader.pos += length;
    callback(start, start + length);
  }
}

/**
 * Visits the spans of TracesData that `walkBatch` accepts. `bytes` must not change meanwhile.
 * @throws AppError `invalid_argument` when the groups are malformed; spans themselves are not looked into
 */
export function visitSpans(bytes: Uint8Array, visitor: SpanVisitor): void {
  eachField(bytes, { start: 0, end: bytes.length }, RESOURCE_SPANS_TAG, (start, end) => {
    const skipped = visitor.resourceSpans?.(readGroup(bytes, start, end)) === false;
    if (skipped) return;
    eachField(bytes, { start, end }, CHILD_TAG, (scopeStart, scopeEnd) => {
      if (visitor.scopeSpans?.(readGroup(bytes, scopeStart, scopeEnd)) === false) return;
      eachField(bytes, { start: scopeStart, end: scopeEnd }, CHILD_TAG, (spanStart, spanEnd) => {
        visitor.span(spanStart, spanEnd);
      });
    });
  });
}

/** Where the identifying fields of a span lie. Offsets count from the start of `bytes`, not of the span. */
export interface SpanIds {
  /** Offset and length of the id; an absent one has length 0. Of a span that `walkBatch` counts: 16 and 8 bytes. */
  traceIdAt: number;
  traceIdLength: number;
  spanIdAt: number;
  spanIdLength: number;
  /** A root has length 0, or, from some senders, 8 zero bytes; any length may occur. */
  parentSpanIdAt: number;
  parentSpanIdLength: number;
  /** SpanKind as sent, a signed 32-bit number: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  /** Offset of the fixed64 (little-endian, ns since the Unix epoch), or -1 when absent, which means 0. */
  startTimeAt: number;
  endTimeAt: number;
}

const TRACE_ID_TAG = tagOf(SPAN.traceId, LENGTH);
const SPAN_ID_TAG = tagOf(SPAN.spanId, LENGTH);
const PARENT_SPAN_ID_TAG = tagOf(SPAN.parentSpanId, LENGTH);
const KIND_TAG = tagOf(SPAN.kind, VARINT);
const START_TAG = tagOf(SPAN.startTimeUnixNano, FIXED64);
const END_TAG = tagOf(SPAN.endTimeUnixNano, FIXED64);

const LONG = 128;
/** Of a byte: whether the tag goes on, and its wire type. */
const LONG_OR_WIRE_TYPE = LONG | 7;

/** The low 32 bits of the varint at `pos`, of at most 10 bytes, as protobuf reads an int32. */
function readInt32(bytes: Uint8Array, pos: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[pos + i] ?? 0;
    value |= (byte & 127) << (7 * i);
    if (byte < 128) break;
  }
  return value;
}

/**
 * Reads the identity of the span [start, end) in `bytes` without decoding the rest. Fields may come in any order, of a
 * repeated one the last counts.
 * @throws AppError `invalid_argument` when a field does not fit the span
 */
export function readSpanIds(bytes: Uint8Array, start: number, end: number): SpanIds {
  const ids: SpanIds = {
    traceIdAt: start,
    traceIdLength: 0,
    spanIdAt: start,
    spanIdLength: 0,
    parentSpanIdAt: start,
    parentSpanIdLength: 0,
    kind: 0,
    startTimeAt: -1,
    endTimeAt: -1,
  };
  let pos = start;
  while (pos < end) {
    const tag = bytes[pos] ?? 0;
    const next = pos + 1 < end ? (bytes[pos + 1] ?? 0) : LONG;
    const kind = tag & LONG_OR_WIRE_TYPE;
    // Nearly all fields have a tag of one byte and a length below 128: read in place, the rest by the reader.
    if (kind === LENGTH && next < LONG) {
      if (tag <= PARENT_SPAN_ID_TAG) setId(ids, tag, pos + 2, next);
      pos += 2 + next;
    } else if (kind === VARINT && next < LONG) {
      if (tag === KIND_TAG) ids.kind = next;
      pos += 2;
    } else if (kind === FIXED64) {
      if (tag === START_TAG) ids.startTimeAt = pos + 1;
      else if (tag === END_TAG) ids.endTimeAt = pos + 1;
      pos += 9;
    } else {
      pos = readOther(ids, new WireReader(bytes, pos), end);
    }
    if (pos > end) throw malformed("field cut short", start);
  }
  return ids;
}

function setId(ids: SpanIds, tag: number, at: number, length: number): void {
  if (tag === TRACE_ID_TAG) {
    ids.traceIdAt = at;
    ids.traceIdLength = length;
  } else if (tag === SPAN_ID_TAG) {
    ids.spanIdAt = at;
    ids.spanIdLength = length;
  } else if (tag === PARENT_SPAN_ID_TAG) {
    ids.parentSpanIdAt = at;
    ids.parentSpanIdLength = length;
  }
}

/** Reads the field at the reader in any form. Returns the position behind it. */
function readOther(ids: SpanIds, reader: WireReader, end: number): number {
  const tag = reader.tag(end);
  const at = reader.pos;
  if ((tag & 7) === LENGTH) {
    const length = reader.length(end);
    setId(ids, tag, reader.pos, length);
    return reader.pos + length;
  }
  reader.skip(tag, end);
  if (tag === KIND_TAG) ids.kind = readInt32(reader.bytes, at);
  else if (tag === START_TAG) ids.startTimeAt = at;
  else if (tag === END_TAG) ids.endTimeAt = at;
  return reader.pos;
}
