// OTLP attributes as the JSON of a block's columns. See FORMAT.md, "JSON". Cold code: most spans need none.
import { ascii, type JsonWriter } from "../otlp/json-writer.ts";
import { concatBytes } from "../util/bytes.ts";
import { toHex } from "../util/hex.ts";
import { AttributeCursor, FieldCursor, readVarint, VALUE_TYPE } from "./field-cursor.ts";
import * as tags from "./tags.ts";
import { decodeUtf8 } from "./utf8.ts";
import { toBigInt } from "./words.ts";

/** A KeyValue body [start, end). */
export interface AttributeRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

// The walk at ingest refuses deeper values; what is older than its limit prints as null from here on.
const DEPTH_MAX = 100;

const QUOTE = 0x22;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const NULL = ascii("null");
const TRUE = ascii("true");
const FALSE = ascii("false");

const KEYS = {
  attributes: ascii('"attributes":'),
  name: ascii('"name":'),
  spanId: ascii('"span_id":'),
  timeUnixNano: ascii('"time_unix_nano":'),
  traceId: ascii('"trace_id":'),
  traceState: ascii('"trace_state":'),
  version: ascii('"version":'),
};

/** A double that reads back as a double: with a fraction or an exponent, or, if not finite, a string. */
function doubleText(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** Each method prints one JSON text into the writer, which the caller empties. */
export class JsonValues {
  readonly #out: JsonWriter;
  /** Read anew before it is looked at: a value that is a map uses it as well. */
  readonly #attribute = new AttributeCursor();

  constructor(out: JsonWriter) {
    this.#out = out;
  }

  /** An object of the attributes; of a repeated key the first counts. Empty keys and values are kept. */
  attributes(attributes: readonly AttributeRange[], depth = 0): void {
    const out = this.#out;
    const attribute = this.#attribute;
    // Most lists have one attribute: its key need not be remembered.
    const seen = attributes.length > 1 ? new Set<string>() : undefined;
    let count = 0;
    out.byte(OPEN_OBJECT);
    for (const { bytes, start, end } of attributes) {
      attribute.read(bytes, start, end);
      if (seen !== undefined) {
        const key = decodeUtf8(attribute.keyBytes.subarray(attribute.keyStart, attribute.keyEnd));
        if (seen.has(key)) continue;
        seen.add(key);
      }
      count++;
      out.string(attribute.keyBytes, attribute.keyStart, attribute.keyEnd);
      out.byte(COLON);
      this.#value(attribute, depth);
      out.byte(COMMA);
    }
    this.#close(CLOSE_OBJECT, count);
  }

  /** `count` members were written, each with a comma behind it. */
  #close(bracket: number, count: number): void {
    if (count > 0) this.#out.close(bracket);
    else this.#out.byte(bracket);
  }

  #value({ type, valueBytes, valueStart, valueEnd }: AttributeCursor, depth: number): void {
    const out = this.#out;
    if (type === VALUE_TYPE.string) out.string(valueBytes, valueStart, valueEnd);
    else if (type === VALUE_TYPE.other) this.#anyValue(valueBytes, valueStart, valueEnd, depth);
    else this.#scalar(type, valueBytes, valueStart);
  }

  #scalar(type: number, bytes: Uint8Array, at: number): void {
    if (type === VALUE_TYPE.double) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      return this.#print(doubleText(view.getFloat64(at, true)));
    }
    const words = { low: 0, high: 0 };
    readVarint(bytes, at, words);
    if (type === VALUE_TYPE.bool) return this.#out.text((words.low | words.high) === 0 ? FALSE : TRUE);
    if (words.high === 0) return this.#out.number(words.low);
    this.#print(String(BigInt.asIntN(64, toBigInt(words))));
  }

  /** ASCII text. `ascii` would make an array of it first, which takes ten times as long. */
  #print(text: string): void {
    for (let i = 0; i < text.length; i++) this.#out.byte(text.charCodeAt(i));
  }

  /** The AnyValue [start, end): the last field of its oneof; a list or map that comes in parts is joined. */
  #anyValue(bytes: Uint8Array, start: number, end: number, depth: number): void {
    const out = this.#out;
    const fields = new FieldCursor();
    fields.enter(bytes, start, end);
    let tag = 0;
    let parts: Uint8Array[] = [];
    while (fields.next()) {
      if (!isAnyValueTag(fields.tag)) continue;
      if (fields.tag !== tag) parts = [];
      tag = fields.tag;
      parts.push(bytes.subarray(fields.start, fields.end));
    }
    const last = parts.at(-1);
    if (last === undefined) return out.text(NULL);
    switch (tag) {
      case tags.STRING_TAG:
        return out.string(last, 0, last.length);
      case tags.BYTES_TAG:
        return out.base64(last, 0, last.length);
      case tags.ARRAY_TAG:
        return depth >= DEPTH_MAX ? out.text(NULL) : this.#list(concatBytes(parts), depth + 1);
      case tags.MAP_TAG:
        if (depth >= DEPTH_MAX) return out.text(NULL);
        return this.attributes(rangesOf(concatBytes(parts), tags.MAP_VALUES_TAG), depth + 1);
      default:
        return this.#scalar(scalarType(tag), last, 0);
    }
  }

  #list(bytes: Uint8Array, depth: number): void {
    this.#out.byte(OPEN_LIST);
    const values = rangesOf(bytes, tags.ARRAY_VALUES_TAG);
    for (const { start, end } of values) {
      this.#anyValue(bytes, start, end, depth);
      this.#out.byte(COMMA);
    }
    this.#close(CLOSE_LIST, values.length);
  }

  /** The body of a Resource: its attributes. */
  resource(body: Uint8Array): void {
    this.attributes(rangesOf(body, tags.RESOURCE_ATTRIBUTES_TAG));
  }

  /** The body of an InstrumentationScope: `{"name", "version", "attributes"}`, the latter two if there are any. */
  scope(body: Uint8Array): void {
    const out = this.#out;
    out.byte(OPEN_OBJECT);
    this.#text(KEYS.name, lastOf(body, tags.SCOPE_NAME_TAG) ?? new Uint8Array(0));
    const version = lastOf(body, tags.SCOPE_VERSION_TAG);
    if (version !== undefined && version.length > 0) this.#text(KEYS.version, version);
    this.#attributesMember(rangesOf(body, tags.SCOPE_ATTRIBUTES_TAG));
    out.close(CLOSE_OBJECT);
  }

  #text(key: Uint8Array, value: Uint8Array): void {
    this.#out.text(key);
    this.#out.string(value, 0, value.length);
    this.#out.byte(COMMA);
  }

  #attributesMember(attributes: readonly AttributeRange[]): void {
    if (attributes.length === 0) return;
    this.#out.text(KEYS.attributes);
    this.attributes(attributes);
    this.#out.byte(COMMA);
  }

  /** A list of the events, given as message bodies. */
  events(events: readonly AttributeRange[]): void {
    const out = this.#out;
    out.byte(OPEN_LIST);
    for (const { bytes, start, end } of events) {
      const body = bytes.subarray(start, end);
      const time = lastOf(body, tags.EVENT_TIME_TAG);
      out.byte(OPEN_OBJECT);
      out.text(KEYS.timeUnixNano);
      this.#print(String(time === undefined ? 0n : uint64(time)));
      out.byte(COMMA);
      this.#text(KEYS.name, lastOf(body, tags.EVENT_NAME_TAG) ?? new Uint8Array(0));
      this.#attributesMember(rangesOf(body, tags.EVENT_ATTRIBUTES_TAG));
      out.close(CLOSE_OBJECT);
      out.byte(COMMA);
    }
    this.#close(CLOSE_LIST, events.length);
  }

  /** A list of the links, given as message bodies. */
  links(links: readonly AttributeRange[]): void {
    const out = this.#out;
    out.byte(OPEN_LIST);
    for (const { bytes, start, end } of links) {
      const body = bytes.subarray(start, end);
      out.byte(OPEN_OBJECT);
      this.#hex(KEYS.traceId, lastOf(body, tags.LINK_TRACE_ID_TAG));
      this.#hex(KEYS.spanId, lastOf(body, tags.LINK_SPAN_ID_TAG));
      const state = lastOf(body, tags.LINK_TRACE_STATE_TAG);
      if (state !== undefined && state.length > 0) this.#text(KEYS.traceState, state);
      this.#attributesMember(rangesOf(body, tags.LINK_ATTRIBUTES_TAG));
      out.close(CLOSE_OBJECT);
      out.byte(COMMA);
    }
    this.#close(CLOSE_LIST, links.length);
  }

  #hex(key: Uint8Array, id: Uint8Array | undefined): void {
    const out = this.#out;
    out.text(key);
    out.byte(QUOTE);
    if (id !== undefined) this.#print(toHex(id));
    out.byte(QUOTE);
    out.byte(COMMA);
  }
}

function isAnyValueTag(tag: number): boolean {
  return scalarType(tag) !== VALUE_TYPE.other || tag === tags.STRING_TAG || isComposite(tag);
}

function isComposite(tag: number): boolean {
  return tag === tags.ARRAY_TAG || tag === tags.MAP_TAG || tag === tags.BYTES_TAG;
}

function scalarType(tag: number): number {
  if (tag === tags.INT_TAG) return VALUE_TYPE.int;
  if (tag === tags.DOUBLE_TAG) return VALUE_TYPE.double;
  return tag === tags.BOOL_TAG ? VALUE_TYPE.bool : VALUE_TYPE.other;
}

function uint64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** The values of all fields with `tag`. */
function rangesOf(bytes: Uint8Array, tag: number): AttributeRange[] {
  const fields = new FieldCursor();
  fields.enter(bytes, 0, bytes.length);
  const ranges: AttributeRange[] = [];
  while (fields.next()) if (fields.tag === tag) ranges.push({ bytes, start: fields.start, end: fields.end });
  return ranges;
}

/** The last value of a field, as a view. */
export function lastOf(bytes: Uint8Array, tag: number): Uint8Array | undefined {
  const last = rangesOf(bytes, tag).at(-1);
  return last && bytes.subarray(last.start, last.end);
}

/** `service.name` of a Resource body as UTF-8; empty when absent or no string. */
export function serviceNameOf(resource: Uint8Array): Uint8Array {
  const attribute = new AttributeCursor();
  for (const { bytes, start, end } of rangesOf(resource, tags.RESOURCE_ATTRIBUTES_TAG)) {
    attribute.read(bytes, start, end);
    const key = decodeUtf8(attribute.keyBytes.subarray(attribute.keyStart, attribute.keyEnd));
    if (key !== "service.name") continue;
    if (attribute.type !== VALUE_TYPE.string) break;
    return attribute.valueBytes.subarray(attribute.valueStart, attribute.valueEnd);
  }
  return new Uint8Array(0);
}
