// Jaeger's Tag: read into one object again and again, written as an attribute.
import { boolValue, bytesValue, doubleValue, intValue } from "../otlp/attributes.ts";
import { ANY_VALUE, KEY_VALUE, LENGTH, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
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

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

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
   * A value that is not there is that type's zero.
   */
  read(reader: ThriftReader): void {
    // One by one: fill() is a call into the runtime, which ten times a span is a tenth of the whole.
    const { offsets } = this;
    offsets[KEY] = 0;
    offsets[KEY + 1] = 0;
    offsets[TEXT] = 0;
    offsets[TEXT + 1] = 0;
    offsets[BINARY] = 0;
    offsets[BINARY + 1] = 0;
    this.type = 0;
    this.double = 0;
    this.bool = false;
    this.low = 0;
    this.high = 0;
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) this.#field(reader);
    reader.endStruct(outer);
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
  textOf(bytes: Uint8Array): string {
    if (this.type !== TAG_TYPE.string) return "";
    return decoder.decode(bytes.subarray(this.textStart, this.textEnd));
  }

  /** Writes the tag as an attribute, the repeated field `tag`. A type that Jaeger does not have gives no value. */
  write(out: WireWriter, tag: number, bytes: Uint8Array): void {
    if (this.type === TAG_TYPE.string) {
      out.textAttribute(tag, bytes, this.offsets, KEY);
      return;
    }
    const body = out.open(tag, 1);
    out.text(KEY_TAG, bytes, this.keyStart, this.keyEnd);
    this.#writeValue(out, bytes);
    out.close(body, 1);
  }

  /** Writes the tag under another key, its text with `prefix` in front. */
  writeAs(out: WireWriter, tag: number, bytes: Uint8Array, renamed: { key: string; prefix: string }): void {
    if (this.type === TAG_TYPE.string) {
      out.stringAttribute(tag, renamed.key, renamed.prefix + this.textOf(bytes));
      return;
    }
    const body = out.open(tag, 1);
    out.string(KEY_TAG, renamed.key);
    this.#writeValue(out, bytes);
    out.close(body, 1);
  }

  #writeValue(out: WireWriter, bytes: Uint8Array): void {
    switch (this.type) {
      case TAG_TYPE.double:
        return doubleValue(out, this.double);
      case TAG_TYPE.bool:
        return boolValue(out, this.bool);
      case TAG_TYPE.long:
        return intValue(out, this.low, this.high);
      case TAG_TYPE.binary:
        return bytesValue(out, bytes, this.offsets[BINARY] ?? 0, this.offsets[BINARY + 1] ?? 0);
      default: {
        const body = out.open(VALUE_TAG, 1);
        if (this.textStart !== this.textEnd) out.text(STRING_VALUE_TAG, bytes, this.textStart, this.textEnd);
        out.close(body, 1);
      }
    }
  }
}
