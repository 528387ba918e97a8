// Thrift's compact protocol, as far as Parquet's footer and page headers use it. Cold code: values are trees.
import { AppError } from "../util/errors.ts";

/** A value with the type that it has on the wire. */
export type ThriftValue =
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "i8" | "i16" | "i32"; readonly value: number }
  | { readonly type: "i64"; readonly value: bigint }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "binary"; readonly value: Uint8Array }
  | { readonly type: "list"; readonly of: ThriftValue["type"]; readonly value: readonly ThriftValue[] }
  | { readonly type: "struct"; readonly value: ThriftStruct };

/** Fields by their number; absent ones are not in the map. */
export type ThriftStruct = ReadonlyMap<number, ThriftValue>;

type ThriftType = ThriftValue["type"];

/** A boolean field is its type (1 true, 2 false); as a list element it is type 1 or 2 and a byte. */
const TRUE = 1;
const FALSE = 2;
const CODES: Readonly<Record<ThriftType, number>> = {
  bool: FALSE,
  i8: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  struct: 12,
};
const SET = 10;
const TYPES: ReadonlyMap<number, ThriftType> = new Map<number, ThriftType>([
  [TRUE, "bool"],
  [FALSE, "bool"],
  [3, "i8"],
  [4, "i16"],
  [5, "i32"],
  [6, "i64"],
  [7, "double"],
  [8, "binary"],
  [9, "list"],
  [SET, "list"],
  [12, "struct"],
]);

/** Parquet's deepest value is about 8 levels down. */
const DEPTH_MAX = 32;

const encoder = new TextEncoder();

export function i32(value: number): ThriftValue {
  return { type: "i32", value };
}

export function i64(value: number | bigint): ThriftValue {
  return { type: "i64", value: BigInt(value) };
}

export function bool(value: boolean): ThriftValue {
  return { type: "bool", value };
}

export function binary(value: Uint8Array | string): ThriftValue {
  return { type: "binary", value: typeof value === "string" ? encoder.encode(value) : value };
}

export function list(of: ThriftType, value: readonly ThriftValue[]): ThriftValue {
  return { type: "list", of, value };
}

/** A struct of the fields that are not undefined, in the given order, which must be ascending. */
export function struct(fields: readonly (readonly [number, ThriftValue | undefined])[]): ThriftValue {
  return { type: "struct", value: structOf(fields) };
}

function structOf(fields: readonly (readonly [number, ThriftValue | undefined])[]): ThriftStruct {
  const map = new Map<number, ThriftValue>();
  for (const [id, value] of fields) if (value !== undefined) map.set(id, value);
  return map;
}

class Encoder {
  #bytes = new Uint8Array(256);
  #length = 0;

  #byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  #raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #varint(value: number): void {
    let rest = value >>> 0;
    for (; rest > 127; rest >>>= 7) this.#byte((rest & 127) | 128);
    this.#byte(rest);
  }

  #varint64(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    for (; rest > 127n; rest >>= 7n) this.#byte(Number(rest & 127n) | 128);
    this.#byte(Number(rest));
  }

  fields(fields: ThriftStruct): void {
    let last = 0;
    for (const [id, field] of fields) {
      const code = field.type === "bool" && field.value ? TRUE : CODES[field.type];
      const delta = id - last;
      if (delta > 0 && delta < 16) this.#byte((delta << 4) | code);
      else {
        this.#byte(code);
        this.#varint((id << 1) ^ (id >> 31));
      }
      if (field.type !== "bool") this.value(field);
      last = id;
    }
    this.#byte(0);
  }

  value(field: ThriftValue): void {
    switch (field.type) {
      case "bool":
        return this.#byte(field.value ? TRUE : FALSE);
      case "i8":
        return this.#byte(field.value & 255);
      case "i16":
      case "i32":
        return this.#varint((field.value << 1) ^ (field.value >> 31));
      case "i64":
        return this.#varint64((field.value << 1n) ^ (field.value >> 63n));
      case "double":
        return this.#raw(new Uint8Array(Float64Array.of(field.value).buffer));
      case "binary":
        this.#varint(field.value.length);
        return this.#raw(field.value);
      case "list":
        return this.#list(field.of, field.value);
      case "struct":
        return this.fields(field.value);
    }
  }

  #list(of: ThriftType, values: readonly ThriftValue[]): void {
    if (values.length < 15) this.#byte((values.length << 4) | CODES[of]);
    else {
      this.#byte(0xf0 | CODES[of]);
      this.#varint(values.length);
    }
    for (const value of values) this.value(value);
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** The bytes of a struct. The result owns its buffer. */
export function encodeStruct(
  fields: readonly (readonly [number, ThriftValue | undefined])[],
): Uint8Array<ArrayBuffer> {
  const out = new Encoder();
  out.fields(structOf(fields));
  return out.take();
}

function bad(what: string, at: number): AppError {
  return new AppError("corrupt", `thrift: ${what} at byte ${at}`);
}

class Decoder {
  readonly #bytes: Uint8Array;
  pos: number;

  constructor(bytes: Uint8Array, pos: number) {
    this.#bytes = bytes;
    this.pos = pos;
  }

  #byte(): number {
    const byte = this.#bytes[this.pos];
    if (byte === undefined) throw bad("cut short", this.pos);
    this.pos++;
    return byte;
  }

  #varint(): number {
    const at = this.pos;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw bad("varint exceeds 32 bits", at);
  }

  #zigzag32(): number {
    const value = this.#varint();
    return (value >>> 1) ^ -(value & 1);
  }

  #zigzag64(): bigint {
    const at = this.pos;
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) {
        const bits = BigInt.asUintN(64, value);
        return (bits >> 1n) ^ -(bits & 1n);
      }
    }
    throw bad("varint exceeds 64 bits", at);
  }

  /** `count` bytes as a view. */
  #view(count: number): Uint8Array {
    if (count > this.#bytes.length - this.pos) throw bad("length exceeds the bytes", this.pos);
    this.pos += count;
    return this.#bytes.subarray(this.pos - count, this.pos);
  }

  fields(depth: number): ThriftStruct {
    if (depth > DEPTH_MAX) throw bad("nested too deeply", this.pos);
    const fields = new Map<number, ThriftValue>();
    let id = 0;
    for (;;) {
      const at = this.pos;
      const head = this.#byte();
      if (head === 0) return fields;
      id = head >> 4 === 0 ? this.#zigzag32() : id + (head >> 4);
      const code = head & 15;
      const type = TYPES.get(code);
      if (type === undefined) throw bad(`type ${code}`, at);
      fields.set(id, type === "bool" ? { type, value: code === TRUE } : this.#value(type, depth));
    }
  }

  #value(type: ThriftType, depth: number): ThriftValue {
    switch (type) {
      case "bool":
        return { type, value: this.#byte() === TRUE };
      case "i8":
        return { type, value: (this.#byte() << 24) >> 24 };
      case "i16":
      case "i32":
        return { type, value: this.#zigzag32() };
      case "i64":
        return { type, value: this.#zigzag64() };
      case "double": {
        const bytes = this.#view(8);
        return { type, value: new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true) };
      }
      case "binary":
        return { type, value: this.#view(this.#varint()) };
      case "list":
        return this.#list(depth + 1);
      case "struct":
        return { type, value: this.fields(depth + 1) };
    }
  }

  #list(depth: number): ThriftValue {
    if (depth > DEPTH_MAX) throw bad("nested too deeply", this.pos);
    const at = this.pos;
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.#varint() : head >> 4;
    const of = TYPES.get(head & 15);
    if (of === undefined) throw bad(`list of type ${head & 15}`, at);
    // Each element takes at least a byte, which bounds what a lying count can make us allocate.
    if (count > this.#bytes.length - this.pos) throw bad("list exceeds the bytes", at);
    const value: ThriftValue[] = [];
    for (let i = 0; i < count; i++) value.push(this.#value(of, depth));
    return { type: "list", of, value };
  }
}

/**
 * Reads the struct that begins at `offset`. Binary values are views of `bytes`.
 * @returns the struct and the position behind it
 * @throws AppError `corrupt`
 */
export function decodeStruct(bytes: Uint8Array, offset = 0): { struct: ThriftStruct; end: number } {
  const decoder = new Decoder(bytes, offset);
  const fields = decoder.fields(0);
  return { struct: fields, end: decoder.pos };
}
