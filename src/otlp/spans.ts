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
 * A group as it was read. ResourceSpans and ScopeSpans have the same numbers:
 *
 *     1  resource | scope           message
 *     2  scope_spans | spans        repeated message
 *     3  schema_url                 string
 *
 * Most batches repeat the groups of those before, so `fields` is often all that is asked for.
 */
class Group implements SpanGroup {
  readonly start: number;
  readonly end: number;
  readonly fields: Uint8Array;

  constructor(start: number, end: number, fields: Uint8Array) {
    this.start = start;
    this.end = end;
    this.fields = fields;
  }

  get owner(): Uint8Array | undefined {
    return join(this.#valuesOf(OWNER_TAG));
  }

  get schemaUrl(): Uint8Array {
    return this.#valuesOf(SCHEMA_URL_TAG).at(-1) ?? EMPTY;
  }

  #valuesOf(tag: number): Uint8Array[] {
    const { fields } = this;
    const values: Uint8Array[] = [];
    eachField(fields, { start: 0, end: fields.length }, tag, (start, end) => {
      values.push(fields.subarray(start, end));
    });
    return values;
  }
}

/**
 * Reads the fields of a group, and where its children lie.
 * @param children is filled with start and end of each child
 */
function readGroup(bytes: Uint8Array, start: number, end: number, children: number[]): SpanGroup {
  const reader = new WireReader(bytes, start);
  // Fields lie in one run nearly always: those before the children.
  let first = EMPTY;
  let others: Uint8Array[] | undefined;
  let runStart = start;
  children.length = 0;
  while (reader.pos < end) {
    const at = reader.pos;
    const tag = reader.tag(end);
    if (tag !== CHILD_TAG) {
      reader.skip(tag, end);
      continue;
    }
    const length = reader.length(end);
    children.push(reader.pos, reader.pos + length);
    reader.pos += length;
    if (at > runStart) {
      const run = bytes.subarray(runStart, at);
      if (first.length === 0) first = run;
      else (others ??= []).push(run);
    }
    runStart = reader.pos;
  }
  if (end > runStart) {
    const run = bytes.subarray(runStart, end);
    if (first.length === 0) first = run;
    else (others ??= []).push(run);
  }
  return new Group(start, end, others === undefined ? first : concatBytes([first, ...others]));
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
  const scopes: number[] = [];
  const spans: number[] = [];
  eachField(bytes, { start: 0, end: bytes.length }, RESOURCE_SPANS_TAG, (start, end) => {
    const resource = readGroup(bytes, start, end, scopes);
    if (visitor.resourceSpans?.(resource) === false) return;
    for (let i = 0; i < scopes.length; i += 2) {
      const scope = readGroup(bytes, scopes[i] ?? 0, scopes[i + 1] ?? 0, spans);
      if (visitor.scopeSpans?.(scope) === false) continue;
      for (let j = 0; j < spans.length; j += 2) visitor.span(spans[j] ?? 0, spans[j + 1] ?? 0);
    }
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
