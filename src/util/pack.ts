// Plain values as compact bytes: numbers, text, lists, objects, maps, typed arrays. For messages between isolates that run
// this code, with a bound; JSON has no bigint, and a structured clone of a view sends the whole buffer behind it.
import { AppError } from "./errors.ts";

const TAG = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  /** Zigzag varint. */
  int: 4,
  double: 5,
  bigint: 6,
  text: 7,
  /** A text that was there before: its number. */
  known: 8,
  list: 9,
  /** Number of a shape, then the values. */
  object: 10,
  /** A new shape: its keys, then the values. */
  shaped: 11,
  map: 12,
  array: 13,
} as const;

const ARRAYS = [
  Uint8Array,
  Uint16Array,
  Uint32Array,
  Int32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

/** Longer texts are rarely there twice. */
const KNOWN_CHARS_MAX = 64;
const INT_MAX = 2 ** 30;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/**
 * @param maxBytes of the result
 * @throws AppError `too_large`; Error for what is no plain value
 */
export function pack(value: unknown, maxBytes: number): Uint8Array {
  const packer = new Packer(maxBytes);
  packer.add(value);
  return packer.bytes();
}

/**
 * What was packed; as with JSON.parse the caller says what that is. Typed arrays are in buffers of their own.
 * @throws AppError `corrupt`
 */
export function unpack(bytes: Uint8Array): ReturnType<typeof JSON.parse> {
  return new Unpacker(bytes).read();
}

class Packer {
  readonly #maxBytes: number;
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #texts = new Map<string, number>();
  readonly #shapes = new Map<string, number>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  add(value: unknown): void {
    switch (typeof value) {
      case "undefined":
        return this.#tag(TAG.undefined);
      case "boolean":
        return this.#tag(value ? TAG.true : TAG.false);
      case "number":
        return this.#addNumber(value);
      case "bigint":
        this.#tag(TAG.bigint);
        return this.#addRaw(encoder.encode(value.toString(36)));
      case "string":
        return this.#addText(value);
      case "object":
        return value === null ? this.#tag(TAG.null) : this.#addObject(value);
      case "function":
      case "symbol":
        throw new Error(`a ${typeof value} is no plain value`);
    }
  }

  #addNumber(value: number): void {
    if (Number.isInteger(value) && Math.abs(value) < INT_MAX && !Object.is(value, -0)) {
      this.#tag(TAG.int);
      return this.#varint(value < 0 ? -2 * value - 1 : 2 * value);
    }
    this.#tag(TAG.double);
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  #addText(text: string): void {
    const known = this.#texts.get(text);
    if (known !== undefined) {
      this.#tag(TAG.known);
      return this.#varint(known);
    }
    if (text.length <= KNOWN_CHARS_MAX) this.#texts.set(text, this.#texts.size);
    this.#tag(TAG.text);
    this.#addRaw(encoder.encode(text));
  }

  #addObject(value: object): void {
    if (Array.isArray(value)) {
      this.#tag(TAG.list);
      this.#varint(value.length);
      for (const each of value) this.add(each);
    } else if (ArrayBuffer.isView(value)) {
      this.#addArray(value);
    } else if (value instanceof Map) {
      this.#tag(TAG.map);
      this.#varint(value.size);
      for (const [key, each] of value) {
        this.add(key);
        this.add(each);
      }
    } else {
      this.#addMembers(value);
    }
  }

  #addArray(value: ArrayBufferView): void {
    const kind = ARRAYS.findIndex((type) => value instanceof type);
    if (kind < 0) throw new Error("a view of this kind is no plain value");
    this.#tag(TAG.array);
    this.#tag(kind);
    this.#addRaw(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }

  #addMembers(value: object): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype) throw new Error("an object of a class is no plain value");
    const keys = Object.keys(value);
    const name = JSON.stringify(keys);
    const shape = this.#shapes.get(name);
    if (shape === undefined) {
      this.#shapes.set(name, this.#shapes.size);
      this.#tag(TAG.shaped);
      this.#varint(keys.length);
      for (const key of keys) this.#addText(key);
    } else {
      this.#tag(TAG.object);
      this.#varint(shape);
    }
    for (const each of Object.values(value)) this.add(each);
  }

  #addRaw(bytes: Uint8Array): void {
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #tag(tag: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = tag;
  }

  #varint(value: number): void {
    this.#reserve(5);
    let left = value;
    while (left >= 128) {
      this.#bytes[this.#length++] = (left & 127) | 128;
      left >>>= 7;
    }
    this.#bytes[this.#length++] = left;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed > this.#maxBytes) {
      throw new AppError("too_large", `more than ${this.#maxBytes} bytes in one part of an answer`);
    }
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, Math.min(2 * this.#bytes.length, this.#maxBytes)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

class Unpacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  readonly #texts: string[] = [];
  readonly #shapes: string[][] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): unknown {
    const tag = this.#byte();
    switch (tag) {
      case TAG.undefined:
        return undefined;
      case TAG.null:
        return null;
      case TAG.false:
        return false;
      case TAG.true:
        return true;
      case TAG.int: {
        const zigzag = this.#varint();
        return zigzag % 2 === 1 ? -((zigzag + 1) / 2) : zigzag / 2;
      }
      case TAG.double:
        this.#need(8);
        this.#at += 8;
        return this.#view.getFloat64(this.#at - 8, true);
      case TAG.bigint:
        return bigintOf(decoder.decode(this.#raw()));
      case TAG.text:
      case TAG.known:
        return this.#textOf(tag);
      default:
        return this.#readMany(tag);
    }
  }

  #readMany(tag: number): unknown {
    switch (tag) {
      case TAG.list:
        return this.#list();
      case TAG.object:
      case TAG.shaped:
        return this.#object(tag);
      case TAG.map:
        return this.#map();
      case TAG.array:
        return this.#array();
      default:
        throw corrupt();
    }
  }

  #textOf(tag: number): string {
    if (tag === TAG.known) {
      const known = this.#texts[this.#varint()];
      if (known === undefined) throw corrupt();
      return known;
    }
    const text = decoder.decode(this.#raw());
    if (text.length <= KNOWN_CHARS_MAX) this.#texts.push(text);
    return text;
  }

  #list(): unknown[] {
    const list: unknown[] = [];
    for (let left = this.#varint(); left > 0; left--) list.push(this.read());
    return list;
  }

  #object(tag: number): object {
    const keys = tag === TAG.shaped ? this.#shape() : this.#shapes[this.#varint()];
    if (keys === undefined) throw corrupt();
    return Object.fromEntries(keys.map((key) => [key, this.read()]));
  }

  #shape(): string[] {
    const keys: string[] = [];
    for (let left = this.#varint(); left > 0; left--) keys.push(this.#textOf(this.#byte()));
    this.#shapes.push(keys);
    return keys;
  }

  #map(): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (let left = this.#varint(); left > 0; left--) {
      const key = this.read();
      map.set(key, this.read());
    }
    return map;
  }

  #array(): ArrayBufferView {
    const type = ARRAYS[this.#byte()];
    const bytes = this.#raw();
    if (type === undefined || bytes.length % type.BYTES_PER_ELEMENT !== 0) throw corrupt();
    return new type(bytes.slice().buffer);
  }

  #raw(): Uint8Array {
    const length = this.#varint();
    this.#need(length);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++] ?? 0;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.#byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw corrupt();
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length) throw corrupt();
  }
}

function bigintOf(text: string): bigint {
  const digits = text.startsWith("-") ? text.slice(1) : text;
  if (!/^[0-9a-z]+$/.test(digits)) throw corrupt();
  let value = 0n;
  // A chunk of ten digits of base 36 is a safe integer.
  for (let at = 0; at < digits.length; at += 10) {
    const chunk = digits.slice(at, at + 10);
    value = value * 36n ** BigInt(chunk.length) + BigInt(Number.parseInt(chunk, 36));
  }
  return text.startsWith("-") ? -value : value;
}

function corrupt(): AppError {
  return new AppError("corrupt", "the message is not what it should be");
}
