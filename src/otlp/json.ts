// OTLP JSON -> OTLP protobuf, the one stored form. Usual bodies go through json-stream.ts; all others are parsed here and
// the value is walked once and written straight to bytes.
import type { Limits } from "../model/limits.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { findJsonError, hasMoreTokens } from "./json-scan.ts";
import { FieldWriter, isObject } from "./json-scalars.ts";
import type { JsonObject, Names } from "./json-scalars.ts";
import { streamToProtobuf } from "./json-stream.ts";
import { MESSAGE } from "./schema.ts";
import {
  ANY_VALUE,
  ARRAY_VALUE,
  ENTITY_REF,
  EVENT,
  KEY_VALUE,
  KEY_VALUE_LIST,
  LENGTH,
  LINK,
  RESOURCE,
  RESOURCE_SPANS,
  SCOPE,
  SCOPE_SPANS,
  SPAN,
  STATUS,
  TRACES_DATA,
  VARINT,
  tagOf,
} from "./wire.ts";
import { WireWriter } from "./wire-writer.ts";

const MIB = 1024 * 1024;
/** Bodies up to this size are parsed unseen: they cannot hold enough to hurt. */
const UNSCANNED_BYTES = MIB;

const SPAN_KINDS: Names = new Map([
  ["SPAN_KIND_UNSPECIFIED", 0],
  ["SPAN_KIND_INTERNAL", 1],
  ["SPAN_KIND_SERVER", 2],
  ["SPAN_KIND_CLIENT", 3],
  ["SPAN_KIND_PRODUCER", 4],
  ["SPAN_KIND_CONSUMER", 5],
]);
const STATUS_CODES: Names = new Map([
  ["STATUS_CODE_UNSET", 0],
  ["STATUS_CODE_OK", 1],
  ["STATUS_CODE_ERROR", 2],
]);

/** camelCase by snake_case, of all fields that differ. The mapping allows both. */
const CAMEL_CASE: ReadonlyMap<string, string> = new Map(
  [
    TRACES_DATA,
    RESOURCE_SPANS,
    SCOPE_SPANS,
    RESOURCE,
    ENTITY_REF,
    SCOPE,
    SPAN,
    EVENT,
    LINK,
    STATUS,
    ANY_VALUE,
  ]
    .flatMap((message) => Object.keys(message))
    .map((name): [string, string] => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      name,
    ])
    .filter(([snake, camel]) => snake !== camel),
);

// Bytes left for a message's length; a wrong guess moves its body once.
const SMALL = 1;
const MEDIUM = 2;
const LARGE = 3;

/** Converts one document. */
class Converter extends FieldWriter {
  run(document: unknown): void {
    if (!isObject(document)) throw this.wrong("an object", document);
    this.#fields(MESSAGE.tracesData, document);
  }

  /** Writes the known fields of `object`. Null means absent; unknown fields are passed over, whatever is in them. */
  #fields(type: number, object: JsonObject): void {
    const level = this.level++;
    for (const key in object) {
      const value = object[key];
      if (value === null) continue;
      this.path[level] = key;
      if (this.#field(type, key, value)) continue;
      const camelCase = CAMEL_CASE.get(key);
      if (camelCase !== undefined) this.#field(type, camelCase, value);
    }
    this.level = level;
  }

  /** Writes one field of a message of this type. Returns false when the message has no such field. */
  #field(type: number, key: string, value: unknown): boolean {
    switch (type) {
      case MESSAGE.span:
        return this.#spanField(key, value) || this.#rareSpanField(key, value);
      case MESSAGE.event:
        return this.#eventField(key, value);
      case MESSAGE.link:
        return this.#linkField(key, value);
      case MESSAGE.status:
        return this.#statusField(key, value);
      case MESSAGE.scopeSpans:
        return this.#scopeSpansField(key, value);
      case MESSAGE.resourceSpans:
        return this.#resourceSpansField(key, value);
      case MESSAGE.resource:
        return this.#resourceField(key, value);
      case MESSAGE.scope:
        return this.#scopeField(key, value);
      case MESSAGE.entityRef:
        return this.#entityRefField(key, value);
      default:
        if (key !== "resourceSpans") return false;
        return this.#list(TRACES_DATA.resourceSpans, value, MESSAGE.resourceSpans);
    }
  }

  #resourceSpansField(key: string, value: unknown): boolean {
    switch (key) {
      case "resource":
        return this.#message(RESOURCE_SPANS.resource, value, MESSAGE.resource);
      case "scopeSpans":
        return this.#list(RESOURCE_SPANS.scopeSpans, value, MESSAGE.scopeSpans);
      case "schemaUrl":
        return this.string(RESOURCE_SPANS.schemaUrl, value);
      default:
        return false;
    }
  }

  #scopeSpansField(key: string, value: unknown): boolean {
    switch (key) {
      case "scope":
        return this.#message(SCOPE_SPANS.scope, value, MESSAGE.scope);
      case "spans":
        return this.#list(SCOPE_SPANS.spans, value, MESSAGE.span);
      case "schemaUrl":
        return this.string(SCOPE_SPANS.schemaUrl, value);
      default:
        return false;
    }
  }

  #resourceField(key: string, value: unknown): boolean {
    switch (key) {
      case "attributes":
        return this.#attributes(RESOURCE.attributes, value, 1);
      case "droppedAttributesCount":
        return this.uint32(RESOURCE.droppedAttributesCount, value);
      case "entityRefs":
        return this.#list(RESOURCE.entityRefs, value, MESSAGE.entityRef);
      default:
        return false;
    }
  }

  #entityRefField(key: string, value: unknown): boolean {
    switch (key) {
      case "schemaUrl":
        return this.string(ENTITY_REF.schemaUrl, value);
      case "type":
        return this.string(ENTITY_REF.type, value);
      case "idKeys":
        return this.strings(ENTITY_REF.idKeys, value);
      case "descriptionKeys":
        return this.strings(ENTITY_REF.descriptionKeys, value);
      default:
        return false;
    }
  }

  #scopeField(key: string, value: unknown): boolean {
    switch (key) {
      case "name":
        return this.string(SCOPE.name, value);
      case "version":
        return this.string(SCOPE.version, value);
      case "attributes":
        return this.#attributes(SCOPE.attributes, value, 1);
      case "droppedAttributesCount":
        return this.uint32(SCOPE.droppedAttributesCount, value);
      default:
        return false;
    }
  }

  #spanField(key: string, value: unknown): boolean {
    switch (key) {
      case "traceId":
        return this.id(SPAN.traceId, value);
      case "spanId":
        return this.id(SPAN.spanId, value);
      case "parentSpanId":
        return this.id(SPAN.parentSpanId, value);
      case "name":
        return this.string(SPAN.name, value);
      case "kind":
        return this.enumeration(SPAN.kind, value, SPAN_KINDS);
      case "startTimeUnixNano":
        return this.fixed64(SPAN.startTimeUnixNano, value);
      case "endTimeUnixNano":
        return this.fixed64(SPAN.endTimeUnixNano, value);
      case "attributes":
        return this.#attributes(SPAN.attributes, value, 1);
      case "status":
        return this.#message(SPAN.status, value, MESSAGE.status);
      case "flags":
        return this.fixed32(SPAN.flags, value);
      default:
        return false;
    }
  }

  #rareSpanField(key: string, value: unknown): boolean {
    switch (key) {
      case "events":
        return this.#list(SPAN.events, value, MESSAGE.event);
      case "links":
        return this.#list(SPAN.links, value, MESSAGE.link);
      case "traceState":
        return this.string(SPAN.traceState, value);
      case "droppedAttributesCount":
        return this.uint32(SPAN.droppedAttributesCount, value);
      case "droppedEventsCount":
        return this.uint32(SPAN.droppedEventsCount, value);
      case "droppedLinksCount":
        return this.uint32(SPAN.droppedLinksCount, value);
      default:
        return false;
    }
  }

  #eventField(key: string, value: unknown): boolean {
    switch (key) {
      case "timeUnixNano":
        return this.fixed64(EVENT.timeUnixNano, value);
      case "name":
        return this.string(EVENT.name, value);
      case "attributes":
        return this.#attributes(EVENT.attributes, value, 1);
      case "droppedAttributesCount":
        return this.uint32(EVENT.droppedAttributesCount, value);
      default:
        return false;
    }
  }

  #linkField(key: string, value: unknown): boolean {
    switch (key) {
      case "traceId":
        return this.id(LINK.traceId, value);
      case "spanId":
        return this.id(LINK.spanId, value);
      case "traceState":
        return this.string(LINK.traceState, value);
      case "attributes":
        return this.#attributes(LINK.attributes, value, 1);
      case "droppedAttributesCount":
        return this.uint32(LINK.droppedAttributesCount, value);
      case "flags":
        return this.fixed32(LINK.flags, value);
      default:
        return false;
    }
  }

  #statusField(key: string, value: unknown): boolean {
    switch (key) {
      case "message":
        return this.string(STATUS.message, value);
      case "code":
        return this.enumeration(STATUS.code, value, STATUS_CODES);
      default:
        return false;
    }
  }

  /** A repeated KeyValue. `depth` is the level of its values: 1 for attributes. */
  #attributes(field: number, value: unknown, depth: number): true {
    if (!Array.isArray(value)) throw this.wrong("an array", value);
    const out = this.out;
    const tag = tagOf(field, LENGTH);
    const level = this.level;
    this.level = level + 2;
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      this.path[level] = i;
      if (!isObject(item)) {
        this.level = level + 1;
        throw this.wrong("an object", item);
      }
      const body = out.open(tag, SMALL);
      const key = item["key"] ?? "";
      this.path[level + 1] = "key";
      this.string(KEY_VALUE.key, key);
      const part = item["value"] ?? null;
      this.path[level + 1] = "value";
      if (part !== null) this.#value(KEY_VALUE.value, part, depth);
      out.close(body, SMALL);
    }
    this.level = level;
    return true;
  }

  /** An AnyValue: at most one of its fields may be there. */
  #value(field: number, value: unknown, depth: number): true {
    if (!isObject(value)) throw this.wrong("an object", value);
    if (depth > this.maxValueDepth) {
      throw this.fail(`attribute value nested deeper than ${this.maxValueDepth} levels`);
    }
    const body = this.out.open(tagOf(field, LENGTH), SMALL);
    const level = this.level++;
    let known = 0;
    for (const key in value) {
      const part = value[key];
      if (part === null) continue;
      this.path[level] = key;
      if (this.#valueField(key, part, depth)) known++;
      else if (this.#valueField(CAMEL_CASE.get(key) ?? "", part, depth)) known++;
      if (known > 1) throw this.fail("the value has another type already");
    }
    this.level = level;
    this.out.close(body, SMALL);
    return true;
  }

  #valueField(key: string, value: unknown, depth: number): boolean {
    switch (key) {
      case "stringValue":
        if (typeof value !== "string") throw this.wrong("a string", value);
        this.out.string(tagOf(ANY_VALUE.stringValue, LENGTH), value);
        return true;
      case "intValue":
        return this.int64(ANY_VALUE.intValue, value);
      case "boolValue":
        if (typeof value !== "boolean") throw this.wrong("a boolean", value);
        this.out.varint64(tagOf(ANY_VALUE.boolValue, VARINT), value ? 1 : 0, 0);
        return true;
      case "doubleValue":
        return this.double(ANY_VALUE.doubleValue, value);
      case "arrayValue":
        return this.#arrayValue(value, depth);
      case "kvlistValue":
        return this.#kvlistValue(value, depth);
      case "bytesValue":
        return this.base64(ANY_VALUE.bytesValue, value);
      default:
        return false;
    }
  }

  #arrayValue(value: unknown, depth: number): true {
    if (!isObject(value)) throw this.wrong("an object", value);
    const body = this.out.open(tagOf(ANY_VALUE.arrayValue, LENGTH), SMALL);
    const values = value["values"] ?? [];
    if (!Array.isArray(values)) throw this.wrong("an array in values", values);
    const level = this.level;
    this.level = level + 2;
    this.path[level] = "values";
    for (let i = 0; i < values.length; i++) {
      this.path[level + 1] = i;
      this.#value(ARRAY_VALUE.values, values[i], depth + 1);
    }
    this.level = level;
    this.out.close(body, SMALL);
    return true;
  }

  #kvlistValue(value: unknown, depth: number): true {
    if (!isObject(value)) throw this.wrong("an object", value);
    const body = this.out.open(tagOf(ANY_VALUE.kvlistValue, LENGTH), SMALL);
    this.path[this.level++] = "values";
    this.#attributes(KEY_VALUE_LIST.values, value["values"] ?? [], depth + 1);
    this.level--;
    this.out.close(body, SMALL);
    return true;
  }

  #message(field: number, value: unknown, type: number): true {
    if (!isObject(value)) throw this.wrong("an object", value);
    const room = type === MESSAGE.span ? MEDIUM : type <= MESSAGE.scopeSpans ? LARGE : SMALL;
    const body = this.out.open(tagOf(field, LENGTH), room);
    this.#fields(type, value);
    this.out.close(body, room);
    return true;
  }

  #list(field: number, value: unknown, type: number): true {
    if (!Array.isArray(value)) throw this.wrong("an array", value);
    const level = this.level++;
    for (let i = 0; i < value.length; i++) {
      this.path[level] = i;
      this.#message(field, value[i], type);
    }
    this.level = level;
    return true;
  }
}

/**
 * Parses a JSON body within bounds. Bytes that are not UTF-8 become U+FFFD.
 * @param body neither changed nor retained
 * @throws AppError `invalid_argument` naming the byte where the JSON is malformed; `too_large` when a body above 1 MiB
 * has more than `limits.maxJsonTokens` tokens
 */
export function parseJson(body: Uint8Array, limits: Limits): unknown {
  if (body.length > UNSCANNED_BYTES && hasMoreTokens(body, limits.maxJsonTokens)) {
    throw new AppError("too_large", `JSON body has more than ${limits.maxJsonTokens} values`);
  }
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch (error) {
    const at = findJsonError(body);
    const where =
      at < 0 ? `: ${messageOf(error)}` : at < body.length ? ` at byte ${at}` : `: it ends at byte ${at}`;
    throw new AppError("invalid_argument", `malformed JSON${where}`, { cause: error });
  }
}

/**
 * Converts an ExportTraceServiceRequest in OTLP's JSON form to protobuf. Field names in camelCase or snake_case; unknown
 * fields are passed over; null is absent; ids are hex of any length (`walkBatch` judges them), other bytes base64;
 * 64-bit integers are numbers or, exactly, strings; enums are numbers or names; lone surrogates and bytes that are not
 * UTF-8 become U+FFFD; of duplicate keys the last counts.
 * @param body UTF-8; neither changed nor retained
 * @returns an array that owns its buffer
 * @throws AppError `invalid_argument` naming the JSON path of a value that does not fit (or is nested deeper than
 * `limits.maxValueDepth`), or the byte where the JSON is malformed; `too_large` when a body above 1 MiB has more than
 * `limits.maxJsonTokens` tokens and is not of the usual form, which is converted without a heap of values
 */
export function jsonToProtobuf(body: Uint8Array, limits: Limits): Uint8Array {
  const streamed = streamToProtobuf(body, limits.maxValueDepth);
  if (streamed !== undefined) return streamed;
  const document = parseJson(body, limits);
  // Protobuf takes 0.4 times the bytes of JSON; a buffer that suffices is not copied while it grows.
  const out = new WireWriter(Math.floor(body.length / 2) + 64);
  new Converter(out, limits).run(document);
  return out.take();
}
