// Thrift, read in place: the binary and the compact protocol behind one set of methods. Bounded: no length, count or
// depth is believed before it is checked against the bytes that are left.
import { ByteSource } from "./byte-source.ts";
import { AppError } from "./errors.ts";

/** Types of values, with the numbers of the binary protocol. */
export const T = {
  stop: 0,
  bool: 2,
  i8: 3,
  double: 4,
  i16: 6,
  i32: 8,
  i64: 10,
  binary: 11,
  struct: 12,
  map: 13,
  set: 14,
  list: 15,
} as const;

export type ThriftProtocol = "binary" | "compact";

/** Levels of structs, lists and maps within each other. Jaeger's and Zipkin's deepest value lies 6 levels down. */
const DEPTH_MAX = 32;
const MESSAGE_VERSION_1 = 0x80;
const COMPACT_MESSAGE = 0x82;

/**
 * A position in Thrift bytes. Values come as they are asked for:
 *
 *     const outer = reader.beginStruct();
 *     while (reader.field() !== T.stop) { reader.fieldId ... or reader.skip(reader.fieldType); }
 *     reader.endStruct(outer);
 *
 * All methods throw AppError `invalid_argument` naming the byte.
 */
export abstract class ThriftReader {
  /** Which protocol this reads, for shortcuts past its methods. */
  abstract readonly protocol: ThriftProtocol;
  readonly source: ByteSource;
  readonly bytes: Uint8Array;
  protected readonly view: DataView;
  pos = 0;
  fieldType = 0;
  fieldId = 0;
  /** Type of the members of the list begun last. */
  elementType = 0;
  /** Halves of the i64 read last: two's complement, each unsigned. */
  low = 0;
  high = 0;
  /** Where the binary read last lies. */
  start = 0;
  end = 0;
  protected depth = 0;

  constructor(bytes: Uint8Array) {
    this.source = new ByteSource(bytes);
    this.bytes = bytes;
    this.view = this.source.view;
  }

  /** Returns what `endStruct` wants back. */
  beginStruct(): number {
    if (++this.depth > DEPTH_MAX) throw this.malformed(`nested deeper than ${DEPTH_MAX} levels`);
    const outer = this.fieldId;
    this.fieldId = 0;
    return outer;
  }

  endStruct(outer: number): void {
    this.depth--;
    this.fieldId = outer;
  }

  /** Reads the head of the next field; `T.stop` at the end of the struct. */
  abstract field(): number;
  abstract bool(): boolean;
  abstract i8(): number;
  abstract i16(): number;
  abstract i32(): number;
  /** Reads into `low` and `high`. */
  abstract i64(): void;
  abstract double(): number;
  /** Reads into `start` and `end`. */
  abstract binary(): void;
  /** Reads the head of a list or set into `elementType`. Returns the count, which the bytes left can hold. */
  abstract list(): number;
  /** Passes over a map. */
  protected abstract skipMap(): void;
  /** Passes over the head of a message, when there is one: name and sequence number. */
  abstract messageHead(): boolean;

  /** Passes over a value. */
  skip(type: number): void {
    switch (type) {
      case T.bool:
        return void this.bool();
      case T.i8:
        return void this.i8();
      case T.i16:
        return void this.i16();
      case T.i32:
        return void this.i32();
      case T.i64:
        return this.i64();
      case T.double:
        return void this.double();
      case T.binary:
        return this.binary();
      default:
        return this.#skipContainer(type);
    }
  }

  #skipContainer(type: number): void {
    const outer = this.beginStruct();
    if (type === T.struct) while (this.field() !== T.stop) this.skip(this.fieldType);
    else if (type === T.map) this.skipMap();
    else if (type === T.list || type === T.set) {
      const count = this.list();
      const { elementType } = this;
      for (let i = 0; i < count; i++) this.skip(elementType);
    } else throw this.malformed(`type ${type}`);
    this.endStruct(outer);
  }

  malformed(what: string, at: number = this.pos): AppError {
    return new AppError("invalid_argument", `malformed Thrift: ${what} at byte ${at}`);
  }

  /** Takes `count` bytes. Returns where they begin. */
  protected take(count: number): number {
    const at = this.pos;
    if (count > this.bytes.length - at) throw this.malformed("value cut short", at);
    this.pos = at + count;
    return at;
  }

  protected takeBinary(length: number): void {
    if (length < 0 || length > this.bytes.length - this.pos) throw this.malformed("length exceeds the body");
    this.start = this.pos;
    this.end = this.pos + length;
    this.pos = this.end;
  }

  /** A count of values that take at least `size` bytes each. */
  protected checkCount(count: number, size: number): number {
    if (count < 0 || count * size > this.bytes.length - this.pos)
      throw this.malformed("count exceeds the body");
    return count;
  }
}

/** Least bytes of a value in the binary protocol, by type; 0 for what is no type. */
const BINARY_SIZES = [0, 0, 1, 1, 8, 0, 2, 0, 4, 0, 8, 4, 1, 6, 5, 5];

/**
 *     struct = { type:u8 id:i16 value } 0x00      list = type:u8 count:i32 { value }
 *     binary = length:i32 bytes                   map  = type:u8 type:u8 count:i32 { value value }
 */
class BinaryReader extends ThriftReader {
  override readonly protocol = "binary";

  override field(): number {
    this.fieldType = this.bytes[this.take(1)] ?? 0;
    if (this.fieldType !== T.stop) this.fieldId = this.view.getInt16(this.take(2));
    return this.fieldType;
  }

  override bool(): boolean {
    return this.bytes[this.take(1)] !== 0;
  }

  override i8(): number {
    return this.view.getInt8(this.take(1));
  }

  override i16(): number {
    return this.view.getInt16(this.take(2));
  }

  override i32(): number {
    return this.view.getInt32(this.take(4));
  }

  override i64(): void {
    const at = this.take(8);
    this.high = this.view.getUint32(at);
    this.low = this.view.getUint32(at + 4);
  }

  override double(): number {
    return this.view.getFloat64(this.take(8));
  }

  override binary(): void {
    this.takeBinary(this.i32());
  }

  override list(): number {
    this.elementType = this.bytes[this.take(1)] ?? 0;
    return this.checkCount(this.i32(), this.#sizeOf(this.elementType));
  }

  protected override skipMap(): void {
    const keyType = this.i8();
    const valueType = this.i8();
    const count = this.i32();
    if (count === 0) return;
    this.checkCount(count, this.#sizeOf(keyType) + this.#sizeOf(valueType));
    for (let i = 0; i < count; i++) {
      this.skip(keyType);
      this.skip(valueType);
    }
  }

  #sizeOf(type: number): number {
    const size = BINARY_SIZES[type] ?? 0;
    if (size === 0) throw this.malformed(`type ${type}`);
    return size;
  }

  /** Version and kind in four bytes, a name, a sequence number. */
  override messageHead(): boolean {
    if (this.bytes[this.pos] !== MESSAGE_VERSION_1) return false;
    this.take(4);
    this.binary();
    this.take(4);
    return true;
  }
}

/** Types of the compact protocol by number; 1 and 2 are a bool and its value. */
const COMPACT_TYPES: readonly number[] = [
  T.stop,
  T.bool,
  T.bool,
  T.i8,
  T.i16,
  T.i32,
  T.i64,
  T.double,
  T.binary,
  T.list,
  T.set,
  T.map,
  T.struct,
];

/**
 *     struct = { (delta:4 type:4 | 0:4 type:4 id:zigzag) value } 0x00
 *     list   = (count:4 type:4 | 15:4 type:4 count:varint) { value }
 *     map    = 0x00 | count:varint keyType:4 valueType:4 { value value }
 *     binary = length:varint bytes                integers are zigzag varints, doubles little-endian
 */
class CompactReader extends ThriftReader {
  override readonly protocol = "compact";
  /** Value of the bool field whose head was read last: it has no bytes of its own. */
  #fieldBool: boolean | undefined;

  override field(): number {
    const head = this.bytes[this.take(1)] ?? 0;
    const type = head & 15;
    this.fieldType = this.#typeOf(type);
    if (this.fieldType === T.stop) return T.stop;
    this.fieldId = head >> 4 === 0 ? this.i16() : this.fieldId + (head >> 4);
    this.#fieldBool = this.fieldType === T.bool ? type === 1 : undefined;
    return this.fieldType;
  }

  override bool(): boolean {
    const known = this.#fieldBool;
    if (known === undefined) return this.bytes[this.take(1)] === 1;
    this.#fieldBool = undefined;
    return known;
  }

  override i8(): number {
    return this.view.getInt8(this.take(1));
  }

  override i16(): number {
    return (this.i32() << 16) >> 16;
  }

  override i32(): number {
    const value = this.#varint();
    return (value >>> 1) ^ -(value & 1);
  }

  override i64(): void {
    const { bytes, pos: at } = this;
    let pos = at;
    let low = 0;
    let high = 0;
    let byte = 128;
    // Behind the end lie zeros, which end it.
    for (let shift = 0; shift < 28 && byte > 127; shift += 7) {
      byte = bytes[pos++] ?? 0;
      low |= (byte & 127) << shift;
    }
    if (byte > 127) {
      byte = bytes[pos++] ?? 0;
      low |= byte << 28;
      high = (byte & 127) >>> 4;
    }
    for (let shift = 3; byte > 127; shift += 7) {
      if (shift > 31) throw this.malformed("varint exceeds 64 bits", at);
      byte = bytes[pos++] ?? 0;
      high |= (byte & 127) << shift;
    }
    if (pos > bytes.length) throw this.malformed("value cut short", bytes.length);
    this.pos = pos;
    const sign = -(low & 1);
    this.low = (((low >>> 1) | (high << 31)) ^ sign) >>> 0;
    this.high = ((high >>> 1) ^ sign) >>> 0;
  }

  override double(): number {
    return this.view.getFloat64(this.take(8), true);
  }

  override binary(): void {
    this.takeBinary(this.#varint());
  }

  override list(): number {
    const head = this.bytes[this.take(1)] ?? 0;
    this.elementType = this.#typeOf(head & 15);
    this.#fieldBool = undefined;
    return this.checkCount(head >> 4 === 15 ? this.#varint() : head >> 4, 1);
  }

  protected override skipMap(): void {
    const count = this.checkCount(this.#varint(), 2);
    if (count === 0) return;
    const types = this.bytes[this.take(1)] ?? 0;
    this.#fieldBool = undefined;
    for (let i = 0; i < count; i++) {
      this.skip(this.#typeOf(types >> 4));
      this.skip(this.#typeOf(types & 15));
    }
  }

  /** A varint of 32 bits, unsigned. */
  #varint(): number {
    const at = this.pos;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.take(1)] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw this.malformed("varint exceeds 32 bits", at);
  }

  #typeOf(type: number): number {
    const known = COMPACT_TYPES[type];
    if (known === undefined) throw this.malformed(`type ${type}`);
    return known;
  }

  /** Protocol, version and kind in two bytes, a sequence number, a name. */
  override messageHead(): boolean {
    if (this.bytes[this.pos] !== COMPACT_MESSAGE) return false;
    this.take(2);
    this.#varint();
    this.binary();
    return true;
  }
}

/**
 * A reader of `bytes`, which are neither changed nor retained beyond it. Without a protocol the first byte tells: the
 * binary protocol begins with a type (up to 15) or 0x80, the compact one with a field's number and type or 0x82.
 */
export function readThrift(bytes: Uint8Array, protocol?: ThriftProtocol): ThriftReader {
  const first = bytes[0] ?? 0;
  const isCompact =
    protocol === undefined ? first > T.list && first !== MESSAGE_VERSION_1 : protocol === "compact";
  return isCompact ? new CompactReader(bytes) : new BinaryReader(bytes);
}
