// One ResourceSpans record as offsets: which spans stay, which change, and how long the record is afterwards.
import { SPAN_ID_BYTES } from "../model/ids.ts";
import {
  ANY_VALUE,
  KEY_VALUE,
  LENGTH,
  RESOURCE,
  RESOURCE_SPANS,
  SCOPE_SPANS,
  SPAN,
  tagOf,
  VARINT,
  WireReader,
} from "../otlp/wire.ts";

const RESOURCE_TAG = tagOf(RESOURCE_SPANS.resource, LENGTH);
const RESOURCE_ATTRIBUTES_TAG = tagOf(RESOURCE.attributes, LENGTH);
const SCOPE_SPANS_TAG = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
const SCOPE_TAG = tagOf(SCOPE_SPANS.scope, LENGTH);
const SPANS_TAG = tagOf(SCOPE_SPANS.spans, LENGTH);
export const SPAN_ID_TAG = tagOf(SPAN.spanId, LENGTH);
export const PARENT_TAG = tagOf(SPAN.parentSpanId, LENGTH);
export const STATUS_TAG = tagOf(SPAN.status, LENGTH);
const KIND_TAG = tagOf(SPAN.kind, VARINT);

/** Bytes of an empty Scope or Status: a tag and a length of 0. */
const EMPTY_MESSAGE_BYTES = 2;
/** Bytes of a span id with its tag and length. */
export const ID_FIELD_BYTES = 10;

/** Bytes of `value` as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest >>>= 7) bytes++;
  return bytes;
}

/** Bytes of a field with a one-byte tag and a message of `length` bytes. */
export function fieldBytes(length: number): number {
  return 1 + varintBytes(length) + length;
}

/** A field with a one-byte tag and fewer than 128 bytes. */
function shortField(field: number, body: Iterable<number>): number[] {
  const bytes = [...body];
  return [tagOf(field, LENGTH), bytes.length, ...bytes];
}

const TEXT = new TextEncoder();

/**
 * The Resource of spans that were sent without any attribute in it: Grafana's data source shows no span of such a one.
 * The name is what OpenTelemetry's SDKs give to a service that has none. Behind a Resource that is there it adds to it.
 */
export const UNKNOWN_RESOURCE: Uint8Array<ArrayBuffer> = Uint8Array.from(
  shortField(
    RESOURCE_SPANS.resource,
    shortField(RESOURCE.attributes, [
      ...shortField(KEY_VALUE.key, TEXT.encode("service.name")),
      ...shortField(KEY_VALUE.value, shortField(ANY_VALUE.stringValue, TEXT.encode("unknown_service"))),
    ]),
  ),
);

/** The new body of a message that is copied as it is, tag and length included. */
export const VERBATIM = -1;
/** The new body of a message that is left out. */
export const DROPPED = -2;

/** A message in the record: [field, end) with its tag, [body, end) without. */
export interface MessageRange {
  field: number;
  body: number;
  end: number;
}

/** A span, as `RecordLayout.span` reads it. Ids are big-endian halves, unsigned; 0 when absent. */
export interface SpanView extends MessageRange {
  /** VERBATIM, DROPPED or the bytes of the new body. */
  newBody: number;
  kind: number;
  /** The id has 8 bytes: a span without such an id is like no other. */
  hasId: boolean;
  high: number;
  low: number;
  hasParent: boolean;
  /** The field is there and empty, which is left out: clients tell that from no field. */
  hasEmptyParent: boolean;
  parentHigh: number;
  parentLow: number;
  hasStatus: boolean;
  /** The id or the parent id changes. */
  rewritten: boolean;
}

// Numbers per span and per ScopeSpans in the arrays below.
const SPAN_SLOT = 12;
const SCOPE_SLOT = 7;

const HAS_ID = 1;
const HAS_PARENT = 2;
const HAS_STATUS = 4;
const REWRITTEN = 8;
const HAS_EMPTY_PARENT = 16;

function grown(array: Int32Array<ArrayBuffer>, needed: number): Int32Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const larger = new Int32Array(Math.max(2 * array.length, needed));
  larger.set(array);
  return larger;
}

function readKind(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i] ?? 0;
    value |= (byte & 127) << (7 * i);
    if (byte < 128) break;
  }
  return value;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

/** VERBATIM, or the bytes of the body with an empty status if there is none and without an empty parent. */
function newLength(length: number, flags: number, parentFields: number): number {
  const status = flags & HAS_STATUS ? 0 : EMPTY_MESSAGE_BYTES;
  const parent = flags & HAS_EMPTY_PARENT ? parentFields : 0;
  return status + parent === 0 ? VERBATIM : length + status - parent;
}

/**
 * The layout of one record at a time; the arrays are used again for the next. First `scan`, then `drop` and `rewrite`
 * as the caller decides, then `measure`; after that the numbers say how to write the record.
 */
export class RecordLayout {
  /** The array that the record lies in, as given to `scan`. */
  bytes: Uint8Array = new Uint8Array(0);
  readonly record: MessageRange = { field: 0, body: 0, end: 0 };
  /** Whether the resource has attributes. */
  hasAttributes = false;
  /** VERBATIM, DROPPED or the bytes of the new body. */
  newBody = VERBATIM;
  spanCount = 0;
  scopeCount = 0;
  #spans = new Int32Array(64 * SPAN_SLOT);
  #scopes = new Int32Array(4 * SCOPE_SLOT);

  /**
   * Takes in the ResourceSpans whose field begins at `field` and whose body is [body, end). Has no effect but on this.
   * @throws AppError `invalid_argument` when groups or span fields do not fit
   */
  scan(bytes: Uint8Array, field: number, body: number, end: number): void {
    this.bytes = bytes;
    this.record.field = field;
    this.record.body = body;
    this.record.end = end;
    this.hasAttributes = false;
    this.newBody = VERBATIM;
    this.spanCount = 0;
    this.scopeCount = 0;
    const reader = new WireReader(bytes, body);
    while (reader.pos < end) {
      const at = reader.pos;
      const tag = reader.tag(end);
      if (tag === SCOPE_SPANS_TAG) {
        const length = reader.length(end);
        this.#scanScope(reader, at, reader.pos + length);
        continue;
      }
      if (tag === RESOURCE_TAG && !this.hasAttributes) this.#scanResource(reader, end);
      else reader.skip(tag, end);
    }
  }

  #scanResource(reader: WireReader, recordEnd: number): void {
    const length = reader.length(recordEnd);
    const end = reader.pos + length;
    while (reader.pos < end && !this.hasAttributes) {
      const tag = reader.tag(end);
      if (tag === RESOURCE_ATTRIBUTES_TAG) this.hasAttributes = true;
      reader.skip(tag, end);
    }
    reader.pos = end;
  }

  #scanScope(reader: WireReader, field: number, end: number): void {
    const at = SCOPE_SLOT * this.scopeCount++;
    this.#scopes = grown(this.#scopes, at + SCOPE_SLOT);
    const first = this.spanCount;
    const body = reader.pos;
    let hasScope = 0;
    while (reader.pos < end) {
      const spanField = reader.pos;
      const tag = reader.tag(end);
      if (tag === SPANS_TAG) {
        const length = reader.length(end);
        this.#scanSpan(reader, spanField, reader.pos + length);
        continue;
      }
      if (tag === SCOPE_TAG) hasScope = 1;
      reader.skip(tag, end);
    }
    this.#scopes.set([field, body, end, first, this.spanCount, hasScope, VERBATIM], at);
  }

  /**
   * The fields of a Span that matter here:
   *
   *     2  span_id           bytes, 8
   *     4  parent_span_id    bytes, 8 or none
   *     6  kind              varint
   *    15  status            message
   */
  #scanSpan(reader: WireReader, field: number, end: number): void {
    const { bytes } = reader;
    const body = reader.pos;
    let kind = 0;
    let flags = 0;
    let idAt = 0;
    let idFields = 0;
    let parentAt = 0;
    let parentFields = 0;
    let parentLength = 0;
    while (reader.pos < end) {
      const at = reader.pos;
      const tag = reader.tag(end);
      if ((tag & 7) !== LENGTH) {
        if (tag === KIND_TAG) kind = readKind(bytes, reader.pos);
        reader.skip(tag, end);
        continue;
      }
      const length = reader.length(end);
      const value = reader.pos;
      reader.pos = value + length;
      if (tag === SPAN_ID_TAG) {
        idAt = value;
        idFields += reader.pos - at;
        flags = length === SPAN_ID_BYTES ? flags | HAS_ID : flags & ~HAS_ID;
      } else if (tag === PARENT_TAG) {
        parentAt = value;
        parentFields += reader.pos - at;
        parentLength = length;
        flags = length === SPAN_ID_BYTES ? flags | HAS_PARENT : flags & ~HAS_PARENT;
      } else if (tag === STATUS_TAG) flags |= HAS_STATUS;
    }
    if (parentFields > 0 && parentLength === 0) flags |= HAS_EMPTY_PARENT;
    const slot = SPAN_SLOT * this.spanCount++;
    this.#spans = grown(this.#spans, slot + SPAN_SLOT);
    const spans = this.#spans;
    spans[slot] = field;
    spans[slot + 1] = body;
    spans[slot + 2] = end;
    spans[slot + 3] = newLength(end - body, flags, parentFields);
    spans[slot + 4] = kind;
    spans[slot + 5] = flags;
    this.#setIds(slot, flags, idAt, parentAt);
    spans[slot + 10] = idFields;
    spans[slot + 11] = parentFields;
  }

  #setIds(slot: number, flags: number, idAt: number, parentAt: number): void {
    const spans = this.#spans;
    const { bytes } = this;
    spans[slot + 6] = flags & HAS_ID ? word(bytes, idAt) : 0;
    spans[slot + 7] = flags & HAS_ID ? word(bytes, idAt + 4) : 0;
    spans[slot + 8] = flags & HAS_PARENT ? word(bytes, parentAt) : 0;
    spans[slot + 9] = flags & HAS_PARENT ? word(bytes, parentAt + 4) : 0;
  }

  /** Reads span `index` into `view`, which the caller uses again. */
  span(index: number, view: SpanView): SpanView {
    const spans = this.#spans;
    const slot = SPAN_SLOT * index;
    const flags = spans[slot + 5] ?? 0;
    view.field = spans[slot] ?? 0;
    view.body = spans[slot + 1] ?? 0;
    view.end = spans[slot + 2] ?? 0;
    view.newBody = spans[slot + 3] ?? 0;
    view.kind = spans[slot + 4] ?? 0;
    view.hasId = (flags & HAS_ID) !== 0;
    view.high = (spans[slot + 6] ?? 0) >>> 0;
    view.low = (spans[slot + 7] ?? 0) >>> 0;
    view.hasParent = (flags & HAS_PARENT) !== 0;
    view.hasEmptyParent = (flags & HAS_EMPTY_PARENT) !== 0;
    view.parentHigh = (spans[slot + 8] ?? 0) >>> 0;
    view.parentLow = (spans[slot + 9] ?? 0) >>> 0;
    view.hasStatus = (flags & HAS_STATUS) !== 0;
    view.rewritten = (flags & REWRITTEN) !== 0;
    return view;
  }

  /** The ScopeSpans `index`: its range, its spans [firstSpan, endSpan), and how it is written. */
  scope(index: number): MessageRange & {
    readonly firstSpan: number;
    readonly endSpan: number;
    readonly hasScope: boolean;
    readonly newBody: number;
  } {
    const at = SCOPE_SLOT * index;
    const scopes = this.#scopes;
    return {
      field: scopes[at] ?? 0,
      body: scopes[at + 1] ?? 0,
      end: scopes[at + 2] ?? 0,
      firstSpan: scopes[at + 3] ?? 0,
      endSpan: scopes[at + 4] ?? 0,
      hasScope: scopes[at + 5] === 1,
      newBody: scopes[at + 6] ?? 0,
    };
  }

  /** Leaves span `index` out. */
  drop(index: number): void {
    this.#spans[SPAN_SLOT * index + 3] = DROPPED;
  }

  isDropped(index: number): boolean {
    return this.#spans[SPAN_SLOT * index + 3] === DROPPED;
  }

  /** Says that span `index` gets both its id and its parent id anew, or only the parent id. */
  rewrite(index: number, both: boolean): void {
    const spans = this.#spans;
    const slot = SPAN_SLOT * index;
    const flags = spans[slot + 5] ?? 0;
    const length = (spans[slot + 2] ?? 0) - (spans[slot + 1] ?? 0);
    const status = flags & HAS_STATUS ? 0 : EMPTY_MESSAGE_BYTES;
    const id = both ? ID_FIELD_BYTES - (spans[slot + 10] ?? 0) : 0;
    const parent = ID_FIELD_BYTES - (spans[slot + 11] ?? 0);
    spans[slot + 3] = length + status + id + parent;
    spans[slot + 5] = flags | REWRITTEN;
  }

  /** Works out the new lengths from the inside out. Returns the bytes of the record as a field, 0 when none is left. */
  measure(): number {
    const { record } = this;
    let length = record.end - record.body + (this.hasAttributes ? 0 : UNKNOWN_RESOURCE.length);
    let changed = !this.hasAttributes;
    let kept = false;
    for (let index = 0; index < this.scopeCount; index++) {
      const at = SCOPE_SLOT * index;
      const newBody = this.#measureScope(at);
      this.#scopes[at + 6] = newBody;
      if (newBody !== DROPPED) kept = true;
      if (newBody === VERBATIM) continue;
      changed = true;
      length -= (this.#scopes[at + 2] ?? 0) - (this.#scopes[at] ?? 0);
      if (newBody !== DROPPED) length += fieldBytes(newBody);
    }
    this.newBody = kept ? (changed ? length : VERBATIM) : DROPPED;
    if (!kept) return 0;
    return changed ? fieldBytes(length) : record.end - record.field;
  }

  #measureScope(at: number): number {
    const scopes = this.#scopes;
    const spans = this.#spans;
    const hasScope = scopes[at + 5] === 1;
    let length = (scopes[at + 2] ?? 0) - (scopes[at + 1] ?? 0) + (hasScope ? 0 : EMPTY_MESSAGE_BYTES);
    let changed = !hasScope;
    let kept = false;
    const end = SPAN_SLOT * (scopes[at + 4] ?? 0);
    for (let slot = SPAN_SLOT * (scopes[at + 3] ?? 0); slot < end; slot += SPAN_SLOT) {
      const newBody = spans[slot + 3] ?? 0;
      if (newBody !== DROPPED) kept = true;
      if (newBody === VERBATIM) continue;
      changed = true;
      length -= (spans[slot + 2] ?? 0) - (spans[slot] ?? 0);
      if (newBody !== DROPPED) length += fieldBytes(newBody);
    }
    if (!kept) return DROPPED;
    return changed ? length : VERBATIM;
  }
}

/** A view for `RecordLayout.span` to fill. */
export function newSpanView(): SpanView {
  return {
    field: 0,
    body: 0,
    end: 0,
    newBody: 0,
    kind: 0,
    hasId: false,
    high: 0,
    low: 0,
    hasParent: false,
    hasEmptyParent: false,
    parentHigh: 0,
    parentLow: 0,
    hasStatus: false,
    rewritten: false,
  };
}
