// Walks the fields of a message and the form of an attribute: the inner loop of writing a block.
import {
  ARRAY_TAG,
  BOOL_TAG,
  BYTES_TAG,
  DOUBLE_TAG,
  INT_TAG,
  KEY_TAG,
  MAP_TAG,
  STRING_TAG,
  VALUE_TAG,
} from "./tags.ts";
import { FIXED32, FIXED64, LENGTH, malformed, VARINT, WireReader } from "../otlp/wire.ts";
import { concatBytes } from "../util/bytes.ts";
import type { Words } from "./words.ts";

const EMPTY: Uint8Array = new Uint8Array(0);

/** Steps through the fields of one message after another; reused, so that a field costs no object. */
export class FieldCursor {
  bytes: Uint8Array = EMPTY;
  /** Tag of the current field. */
  tag = 0;
  /** The current field's value without its length: [start, end) in `bytes`. */
  start = 0;
  end = 0;
  #limit = 0;

  /** Begins with the message [start, end). */
  enter(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.end = start;
    this.#limit = end;
  }

  /**
   * Steps to the next field; false after the last.
   * @throws AppError `invalid_argument` when the message is malformed
   */
  next(): boolean {
    const { bytes } = this;
    const limit = this.#limit;
    let at = this.end;
    if (at >= limit) return false;
    const tag = bytes[at++] ?? 0;
    if (tag > 127) return this.#longTag(tag);
    const wireType = tag & 7;
    let end = at;
    if (wireType === LENGTH) {
      let length = bytes[at++] ?? 0;
      if (length > 127) {
        const second = bytes[at++] ?? 0;
        if (second > 127) return this.#slow();
        length += (second - 1) << 7;
      }
      end = at + length;
    } else if (wireType === VARINT) {
      while ((bytes[end] ?? 0) > 127) end++;
      end++;
    } else if (wireType === FIXED64) end += 8;
    else return this.#slow();
    if (end > limit || tag < 8) throw malformed("field cut short", this.end);
    this.tag = tag;
    this.start = at;
    this.end = end;
    return true;
  }

  /** A tag of several bytes is that of span.flags, which most spans have, or of an unknown field. */
  #longTag(first: number): boolean {
    const at = this.end + 2;
    const second = this.bytes[at - 1] ?? 0;
    const isFlags = (first & 7) === FIXED32 && second > 0 && second < 128 && at + 4 <= this.#limit;
    if (!isFlags) return this.#slow();
    this.tag = first + ((second - 1) << 7);
    this.start = at;
    this.end = at + 4;
    return true;
  }

  #slow(): boolean {
    const limit = this.#limit;
    const reader = new WireReader(this.bytes, this.end);
    this.tag = reader.tag(limit);
    if ((this.tag & 7) === LENGTH) {
      const length = reader.length(limit);
      this.start = reader.pos;
      this.end = reader.pos + length;
    } else {
      this.start = reader.pos;
      reader.skip(this.tag, limit);
      this.end = reader.pos;
    }
    return true;
  }
}

/** Types of attribute values that have columns, and the rest. The numbers index the columns of a key. */
export const VALUE_TYPE = { string: 0, int: 1, double: 2, bool: 3, other: 4 } as const;
export const VALUE_TYPES = 5;

/** Reads the varint at `at` into `words`: 64 bits, sign-extended as protobuf writes negative numbers. */
export function readVarint(bytes: Uint8Array, at: number, words: Words): void {
  let byte = bytes[at] ?? 0;
  let low = byte & 127;
  let high = 0;
  for (let i = 1; byte > 127 && i < 10; i++) {
    byte = bytes[at + i] ?? 0;
    const bits = byte & 127;
    const shift = 7 * i;
    if (shift < 28) low |= bits << shift;
    else if (shift === 28) {
      low |= bits << 28;
      high = bits >>> 4;
    } else high |= bits << (shift - 32);
  }
  words.low = low >>> 0;
  words.high = high >>> 0;
}

/** One KeyValue: where its key is, of which type its value is and where that lies. Reused. */
export class AttributeCursor {
  /** What the positions count in: the span's bytes or, of a value in several parts, their join. */
  keyBytes: Uint8Array = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  type: number = VALUE_TYPE.other;
  /** Whether it has the form of nearly all: key, then value, which is one number or text; all lengths below 128. */
  isPlain = false;
  valueBytes: Uint8Array = EMPTY;
  /** The text, varint or 8 bytes; of type `other` the body of the AnyValue. */
  valueStart = 0;
  valueEnd = 0;
  readonly #fields = new FieldCursor();

  /**
   * Reads the KeyValue body [start, end).
   * @throws AppError `invalid_argument` when it is malformed
   */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.keyBytes = bytes;
    this.valueBytes = bytes;
    const keyEnd = start + 2 + (bytes[start + 1] ?? 0);
    const valueAt = keyEnd + 2;
    const valueLength = bytes[keyEnd + 1] ?? 0;
    const mayBePlain =
      bytes[start] === KEY_TAG &&
      (bytes[start + 1] ?? 255) < 128 &&
      bytes[keyEnd] === VALUE_TAG &&
      valueLength < 128 &&
      valueAt + valueLength === end &&
      valueLength > 1;
    this.isPlain = mayBePlain && this.#plainValue(bytes, valueAt, end);
    if (this.isPlain) {
      this.keyStart = start + 2;
      this.keyEnd = keyEnd;
      return;
    }
    this.#general(bytes, start, end);
  }

  /** Reads the KeyValue body [start, end), which was found to be plain and of `type` before; not its key. */
  readPlain(bytes: Uint8Array, start: number, end: number, type: number): void {
    const keyEnd = start + 2 + (bytes[start + 1] ?? 0);
    this.type = type;
    this.valueBytes = bytes;
    this.valueStart = keyEnd + (type === VALUE_TYPE.string ? 4 : 3);
    this.valueEnd = end;
  }

  /** Whether the AnyValue [start, end) is one field that fills it. */
  #plainValue(bytes: Uint8Array, start: number, end: number): boolean {
    const tag = bytes[start];
    this.valueStart = start + 1;
    this.valueEnd = end;
    if (tag === STRING_TAG) {
      this.type = VALUE_TYPE.string;
      this.valueStart = start + 2;
      return (bytes[start + 1] ?? 255) === end - start - 2;
    }
    if (tag === DOUBLE_TAG) {
      this.type = VALUE_TYPE.double;
      return end - start === 9;
    }
    if (tag !== INT_TAG && tag !== BOOL_TAG) return false;
    this.type = tag === INT_TAG ? VALUE_TYPE.int : VALUE_TYPE.bool;
    let last = start + 1;
    while (last < end && (bytes[last] ?? 0) > 127) last++;
    return last === end - 1;
  }

  #general(bytes: Uint8Array, start: number, end: number): void {
    const fields = this.#fields;
    fields.enter(bytes, start, end);
    this.keyStart = start;
    this.keyEnd = start;
    const values: Uint8Array[] = [];
    let valueStart = start;
    let valueEnd = start;
    while (fields.next()) {
      if (fields.tag === KEY_TAG) {
        this.keyStart = fields.start;
        this.keyEnd = fields.end;
      } else if (fields.tag === VALUE_TAG) {
        valueStart = fields.start;
        valueEnd = fields.end;
        values.push(bytes.subarray(valueStart, valueEnd));
      }
    }
    // Messages that are sent in parts are merged, which is what joining their bytes does.
    if (values.length > 1) {
      this.valueBytes = concatBytes(values);
      valueStart = 0;
      valueEnd = this.valueBytes.length;
    }
    this.#anyValue(valueStart, valueEnd);
  }

  /** Takes the last field of the oneof. */
  #anyValue(start: number, end: number): void {
    const fields = this.#fields;
    fields.enter(this.valueBytes, start, end);
    this.type = VALUE_TYPE.other;
    this.valueStart = start;
    this.valueEnd = end;
    while (fields.next()) {
      const type = scalarType(fields.tag);
      if (type === undefined) continue;
      this.type = type;
      this.valueStart = type === VALUE_TYPE.other ? start : fields.start;
      this.valueEnd = type === VALUE_TYPE.other ? end : fields.end;
    }
  }
}

/** The type of the AnyValue field with `tag`; undefined for unknown fields. */
function scalarType(tag: number): number | undefined {
  switch (tag) {
    case STRING_TAG:
      return VALUE_TYPE.string;
    case INT_TAG:
      return VALUE_TYPE.int;
    case DOUBLE_TAG:
      return VALUE_TYPE.double;
    case BOOL_TAG:
      return VALUE_TYPE.bool;
    default:
      return tag === ARRAY_TAG || tag === MAP_TAG || tag === BYTES_TAG ? VALUE_TYPE.other : undefined;
  }
}
