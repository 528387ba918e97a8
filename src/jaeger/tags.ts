// Jaeger's Tag: read into one object again and again, written as an attribute.
import { boolValue, bytesValue, doubleValue, intValue } from "../otlp/attributes.ts";
import { ANY_VALUE, KEY_VALUE, LENGTH, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import type { ByteSource } from "../util/byte-source.ts";
import type { ThriftReader } from "../util/thrift-reader.ts";
import { T } from "../util/thrift-reader.ts";

const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const STRING_VALUE_TAG = tagOf(ANY_VALUE.stringValue, LENGTH);

/** TagType. */
export const TAG_TYPE = { string: 0, double: 1, bool: 2, long: 3, binary: 4 } as const;

// Where the ranges lie in `offsets`.
const KEY = 0;
const TEXT = 2;
const BINARY = 4;

// Heads of fields in the binary protocol: type and id. The last is that of the value, by TagType.
const BINARY_KEY = 0x0b0001;
const BINARY_TYPE = 0x080002;
const BINARY_VALUES = [0x0b0003, 0x040004, 0x020005, 0x0a0006, 0x0b0007];
/** Bytes of the shortest plain tag there, a bool with an empty key. */
const BINARY_MIN = 19;

// Heads in the compact protocol: difference of ids and type.
const COMPACT_TEXT = 0x18;
const COMPACT_TYPE = 0x15;
const COMPACT_TRUE = 0x31;
const COMPACT_FALSE = 0x32;
/** Of the value, by TagType; a bool is its own. */
const COMPACT_VALUES = [COMPACT_TEXT, 0x27, COMPACT_TRUE, 0x46, 0x58];
const COMPACT_MIN = 6;

/** A tag as it was read. Texts and bytes stay where they are: ranges of the body. */
export class Tag {
  /** Start and end of the key, of vStr, of vBinary. */
  readonly offsets = new Int32Array(6);
  type = 0;
  double = 0;
  bool = false;
  low = 0;
  high = 0;

  /** Takes over what `other` holds. */
  assign(other: Tag): void {
    this.offsets.set(other.offsets);
    this.type = other.type;
    this.double = other.double;
    this.bool = other.bool;
    this.low = other.low;
    this.high = other.high;
  }

  /**
   * Tag: key 1 (string), vType 2 (TagType), vStr 3 (string), vDouble 4, vBool 5, vLong 6 (i64), vBinary 7.
   * A value that is not there is that type's zero. What a plain tag's type does not name keeps the value of before.
   */
  read(reader: ThriftReader): void {
    const isRead = reader.protocol === "binary" ? this.#plainBinary(reader) : this.#plainCompact(reader);
    if (isRead) return;
    this.offsets.fill(0);
    this.type = 0;
    this.double = 0;
    this.bool = false;
    this.low = 0;
    this.high = 0;
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) this.#field(reader);
    reader.endStruct(outer);
  }

  /**
   * Reads a tag in the form that all clients write: key, type and the value of that type, in this order, and nothing
   * else. Field by field it takes twice the time. Returns false, having read nothing, when it is in another.
   */
  #plainBinary(reader: ThriftReader): boolean {
    const { view, bytes } = reader.source;
    const { pos } = reader;
    const rest = bytes.length - pos;
    if (rest < BINARY_MIN || view.getInt32(pos) >>> 8 !== BINARY_KEY) return false;
    const keyLength = view.getInt32(pos + 3);
    if (keyLength < 0 || keyLength > rest - BINARY_MIN) return false;
    const keyEnd = pos + 7 + keyLength;
    if (view.getInt32(keyEnd) >>> 8 !== BINARY_TYPE) return false;
    const type = view.getInt32(keyEnd + 3);
    if (view.getInt32(keyEnd + 7) >>> 8 !== BINARY_VALUES[type]) return false;
    const end = this.#binaryValue(reader.source, type, keyEnd + 10);
    if (end < 0 || end >= bytes.length || bytes[end] !== T.stop) return false;
    this.offsets[KEY] = pos + 7;
    this.offsets[KEY + 1] = keyEnd;
    this.type = type;
    reader.pos = end + 1;
    return true;
  }

  /** Reads the value of `type` at `at`, behind which there is a byte. Returns its end, or -1 when it is cut short. */
  #binaryValue({ view, bytes }: ByteSource, type: number, at: number): number {
    if (type === TAG_TYPE.bool) {
      this.bool = bytes[at] !== 0;
      return at + 1;
    }
    const rest = bytes.length - at;
    if (type === TAG_TYPE.string || type === TAG_TYPE.binary) {
      const length = rest < 4 ? -1 : view.getInt32(at);
      return length < 0 || length > rest - 4 ? -1 : this.#setRange(type, at + 4, length);
    }
    if (rest < 8) return -1;
    if (type === TAG_TYPE.double) this.double = view.getFloat64(at);
    else {
      this.high = view.getUint32(at);
      this.low = view.getUint32(at + 4);
    }
    return at + 8;
  }

  #setRange(type: number, start: number, length: number): number {
    const at = type === TAG_TYPE.string ? TEXT : BINARY;
    this.offsets[at] = start;
    this.offsets[at + 1] = start + length;
    return start + length;
  }

  /** As `#plainBinary`. Lengths of two bytes are left to the general form. */
  #plainCompact(reader: ThriftReader): boolean {
    const { bytes } = reader.source;
    const { pos } = reader;
    const keyLength = bytes[pos + 1] ?? 128;
    const keyEnd = pos + 2 + keyLength;
    if (bytes[pos] !== COMPACT_TEXT || keyLength > 127 || bytes.length - pos - keyLength < COMPACT_MIN) {
      return false;
    }
    // A zigzag varint: odd is negative, and none that is known takes more than a byte.
    const zigzag = bytes[keyEnd + 1] ?? 1;
    if (bytes[keyEnd] !== COMPACT_TYPE || (zigzag & 0x81) !== 0) return false;
    const type = zigzag >>> 1;
    const end = this.#compactValue(reader, type, keyEnd + 2);
    if (end < 0 || end >= bytes.length || bytes[end] !== T.stop) {
      reader.pos = pos;
      return false;
    }
    this.offsets[KEY] = pos + 2;
    this.offsets[KEY + 1] = keyEnd;
    this.type = type;
    reader.pos = end + 1;
    return true;
  }

  /** Reads the value of `type` whose head is at `at`. Returns its end, perhaps past that of the body, or -1. */
  #compactValue(reader: ThriftReader, type: number, at: number): number {
    const { view, bytes } = reader.source;
    const head = bytes[at];
    this.bool = head === COMPACT_TRUE;
    if (type === TAG_TYPE.bool) return this.bool || head === COMPACT_FALSE ? at + 1 : -1;
    if (head !== COMPACT_VALUES[type]) return -1;
    if (type === TAG_TYPE.string || type === TAG_TYPE.binary) {
      const length = bytes[at + 1] ?? 128;
      return length > 127 ? -1 : this.#setRange(type, at + 2, length);
    }
    if (type === TAG_TYPE.double) {
      if (at + 9 > bytes.length) return -1;
      this.double = view.getFloat64(at + 1, true);
      return at + 9;
    }
    reader.pos = at + 1;
    reader.i64();
    this.low = reader.low;
    this.high = reader.high;
    return reader.pos;
  }

  #field(reader: ThriftReader): void {
    const { fieldId, fieldType } = reader;
    if (fieldType === T.binary) {
      reader.binary();
      const at = fieldId === 1 ? KEY : fieldId === 3 ? TEXT : fieldId === 7 ? BINARY : -1;
      if (at < 0) return;
      this.offsets[at] = reader.start;
      this.offsets[at + 1] = reader.end;
    } else if (fieldId === 2 && fieldType === T.i32) this.type = reader.i32();
    else if (fieldId === 4 && fieldType === T.double) this.double = reader.double();
    else if (fieldId === 5 && fieldType === T.bool) this.bool = reader.bool();
    else if (fieldId === 6 && fieldType === T.i64) {
      reader.i64();
      this.low = reader.low;
      this.high = reader.high;
    } else reader.skip(fieldType);
  }

  get keyStart(): number {
    return this.offsets[KEY] ?? 0;
  }

  get keyEnd(): number {
    return this.offsets[KEY + 1] ?? 0;
  }

  get textStart(): number {
    return this.offsets[TEXT] ?? 0;
  }

  get textEnd(): number {
    return this.offsets[TEXT + 1] ?? 0;
  }

  /** The text of a string tag, "" of another type. */
  textOf(source: ByteSource): string {
    if (this.type !== TAG_TYPE.string) return "";
    return source.text(this.textStart, this.textEnd);
  }

  /** Writes the tag as an attribute, the repeated field `tag`. A type that Jaeger does not have gives no value. */
  write(out: WireWriter, tag: number, source: ByteSource): void {
    if (this.type === TAG_TYPE.string) {
      out.textAttribute(tag, source, this.offsets, KEY);
      return;
    }
    const body = out.open(tag, 1);
    out.text(KEY_TAG, source, this.keyStart, this.keyEnd);
    this.#writeValue(out, source);
    out.close(body, 1);
  }

  /** Writes the tag under another key, its text with `prefix` in front. */
  writeAs(out: WireWriter, tag: number, source: ByteSource, renamed: { key: string; prefix: string }): void {
    if (this.type === TAG_TYPE.string) {
      out.stringAttribute(tag, renamed.key, renamed.prefix + this.textOf(source));
      return;
    }
    const body = out.open(tag, 1);
    out.string(KEY_TAG, renamed.key);
    this.#writeValue(out, source);
    out.close(body, 1);
  }

  #writeValue(out: WireWriter, source: ByteSource): void {
    switch (this.type) {
      case TAG_TYPE.double:
        return doubleValue(out, this.double);
      case TAG_TYPE.bool:
        return boolValue(out, this.bool);
      case TAG_TYPE.long:
        return intValue(out, this.low, this.high);
      case TAG_TYPE.binary:
        return bytesValue(out, source.bytes, this.offsets[BINARY] ?? 0, this.offsets[BINARY + 1] ?? 0);
      default: {
        const body = out.open(VALUE_TAG, 1);
        if (this.textStart !== this.textEnd) out.text(STRING_VALUE_TAG, source, this.textStart, this.textEnd);
        out.close(body, 1);
      }
    }
  }
}
