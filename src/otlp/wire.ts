// Protobuf's wire format, read in place: tags, varints, lengths. Strict where a lenient reader would guess.
import { AppError } from "../util/errors.ts";

/** Wire types, the low three bits of a tag. OTLP uses no groups (3, 4); 6 and 7 do not exist. */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH = 2;
export const FIXED32 = 5;

/** Field numbers of the OTLP messages that are read without decoding. */
export const TRACES_DATA = { resourceSpans: 1 } as const;
export const RESOURCE_SPANS = { resource: 1, scopeSpans: 2, schemaUrl: 3 } as const;
export const SCOPE_SPANS = { scope: 1, spans: 2, schemaUrl: 3 } as const;
export const RESOURCE = { attributes: 1, droppedAttributesCount: 2, entityRefs: 3 } as const;
export const ENTITY_REF = { schemaUrl: 1, type: 2, idKeys: 3, descriptionKeys: 4 } as const;
export const SCOPE = { name: 1, version: 2, attributes: 3, droppedAttributesCount: 4 } as const;
export const SPAN = {
  traceId: 1,
  spanId: 2,
  traceState: 3,
  parentSpanId: 4,
  name: 5,
  kind: 6,
  startTimeUnixNano: 7,
  endTimeUnixNano: 8,
  attributes: 9,
  droppedAttributesCount: 10,
  events: 11,
  droppedEventsCount: 12,
  links: 13,
  droppedLinksCount: 14,
  status: 15,
  flags: 16,
} as const;
export const EVENT = { timeUnixNano: 1, name: 2, attributes: 3, droppedAttributesCount: 4 } as const;
export const LINK = {
  traceId: 1,
  spanId: 2,
  traceState: 3,
  attributes: 4,
  droppedAttributesCount: 5,
  flags: 6,
} as const;
export const STATUS = { message: 2, code: 3 } as const;
export const KEY_VALUE = { key: 1, value: 2 } as const;
export const ANY_VALUE = {
  stringValue: 1,
  boolValue: 2,
  intValue: 3,
  doubleValue: 4,
  arrayValue: 5,
  kvlistValue: 6,
  bytesValue: 7,
} as const;
export const ARRAY_VALUE = { values: 1 } as const;
export const KEY_VALUE_LIST = { values: 1 } as const;

/** A tag: the field number and how its value is written. */
export function tagOf(field: number, wireType: number): number {
  return ((field << 3) | wireType) >>> 0;
}

/** The error for bytes that are not well-formed protobuf. `at` is the offset of the offending field or number. */
export function malformed(what: string, at: number): AppError {
  return new AppError("invalid_argument", `malformed OTLP protobuf: ${what} at byte ${at}`);
}

/**
 * A position in `bytes` that only moves forward. Every read is checked against `end`, the end of the message
 * that is being read, never only against the end of the array: a length that lies cannot reach a sibling.
 */
export class WireReader {
  readonly bytes: Uint8Array;
  pos: number;

  constructor(bytes: Uint8Array, pos = 0) {
    this.bytes = bytes;
    this.pos = pos;
  }

  /**
   * A varint of at most 32 bits in at most 5 bytes: tags and lengths. Padding (`81 80 00`) is allowed, writers
   * that reserve room for a length produce it.
   * @throws AppError `invalid_argument`
   */
  uint32(end: number): number {
    const at = this.pos;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.pos >= end) throw malformed("varint cut short", at);
      const byte = this.bytes[this.pos++] ?? 0;
      if (shift === 28 && byte > 15) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw malformed("varint exceeds 32 bits", at);
  }

  /**
   * A tag whose field number is at least 1 and whose wire type is not a group.
   * @throws AppError `invalid_argument`
   */
  tag(end: number): number {
    const at = this.pos;
    const tag = this.uint32(end);
    checkTag(tag, at);
    return tag;
  }

  /**
   * A length, checked to lie within `end`.
   * @throws AppError `invalid_argument`
   */
  length(end: number): number {
    const at = this.pos;
    const length = this.uint32(end);
    if (length > end - this.pos) throw malformed("length exceeds its message", at);
    return length;
  }

  /** Passes over a varint of at most 64 bits. */
  skipVarint(end: number): void {
    const at = this.pos;
    for (let i = 0; i < 10; i++) {
      if (this.pos >= end) throw malformed("varint cut short", at);
      const byte = this.bytes[this.pos++] ?? 0;
      // The tenth byte holds bit 63 alone.
      if (i === 9 && byte > 1) break;
      if (byte < 128) return;
    }
    throw malformed("varint exceeds 64 bits", at);
  }

  /** Passes over `count` bytes. */
  skipBytes(count: number, end: number): void {
    if (count > end - this.pos) throw malformed("field cut short", this.pos);
    this.pos += count;
  }

  /** Passes over the value that belongs to `tag`. */
  skip(tag: number, end: number): void {
    switch (tag & 7) {
      case VARINT:
        return this.skipVarint(end);
      case FIXED64:
        return this.skipBytes(8, end);
      case FIXED32:
        return this.skipBytes(4, end);
      default:
        return this.skipBytes(this.length(end), end);
    }
  }
}

/**
 * Refuses field number 0 and wire types that OTLP does not use.
 * @throws AppError `invalid_argument`
 */
export function checkTag(tag: number, at: number): void {
  if (tag < 8) throw malformed("field number 0", at);
  const wireType = tag & 7;
  if (wireType === 3 || wireType === 4) throw malformed("group", at);
  if (wireType > FIXED32) throw malformed(`wire type ${wireType}`, at);
}
