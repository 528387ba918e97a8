// Jaeger's and Zipkin's Thrift, written by Apache's library (both protocols) from plain values.
import { createRequire } from "node:module";

/** A value with its Thrift type; a struct's fields by number, in order. */
export type Value =
  | { readonly i16: number }
  | { readonly i32: number }
  | { readonly i64: bigint | number }
  | { readonly double: number }
  | { readonly bool: boolean }
  | { readonly text: string | Uint8Array }
  | { readonly list: readonly Value[]; readonly of?: number }
  | { readonly map: readonly (readonly [Value, Value])[] }
  | { readonly struct: Fields };

export type Fields = readonly (readonly [id: number, value: Value | undefined])[];
export type Protocol = "binary" | "compact";

interface Writer {
  writeStructBegin(name: string): void;
  writeStructEnd(): void;
  writeFieldBegin(name: string, type: number, id: number): void;
  writeFieldEnd(): void;
  writeFieldStop(): void;
  writeListBegin(type: number, size: number): void;
  writeListEnd(): void;
  writeMapBegin(key: number, value: number, size: number): void;
  writeMapEnd(): void;
  writeMessageBegin(name: string, type: number, seqid: number): void;
  writeMessageEnd(): void;
  writeBool(value: boolean): void;
  writeI16(value: number): void;
  writeI32(value: number): void;
  writeI64(value: unknown): void;
  writeDouble(value: number): void;
  writeBinary(value: Buffer): void;
  flush(): void;
}

interface Library {
  readonly TBufferedTransport: new (buffer: undefined, onFlush: (bytes: Buffer) => void) => object;
  readonly TBinaryProtocol: new (transport: object) => Writer;
  readonly TCompactProtocol: new (transport: object) => Writer;
  readonly Int64: new (high: number, low: number) => unknown;
}

const library = createRequire(import.meta.url)("thrift") as Library;
const TYPES = {
  bool: 2,
  double: 4,
  i16: 6,
  i32: 8,
  i64: 10,
  text: 11,
  struct: 12,
  map: 13,
  list: 15,
} as const;

function typeOf(value: Value): number {
  const name = (Object.keys(value) as (keyof typeof TYPES)[]).find((key) => key in TYPES);
  return TYPES[name!];
}

function write(out: Writer, value: Value): void {
  if ("bool" in value) out.writeBool(value.bool);
  else if ("double" in value) out.writeDouble(value.double);
  else if ("i16" in value) out.writeI16(value.i16);
  else if ("i32" in value) out.writeI32(value.i32);
  else if ("i64" in value) {
    const bits = BigInt.asUintN(64, BigInt(value.i64));
    out.writeI64(new library.Int64(Number(bits >> 32n), Number(bits & 0xffffffffn)));
  } else if ("text" in value) out.writeBinary(Buffer.from(value.text));
  else if ("struct" in value) writeStruct(out, value.struct);
  else writeContainer(out, value);
}

function writeContainer(out: Writer, value: Extract<Value, { list: unknown } | { map: unknown }>): void {
  if ("list" in value) {
    const [first] = value.list;
    out.writeListBegin(value.of ?? (first ? typeOf(first) : TYPES.struct), value.list.length);
    for (const item of value.list) write(out, item);
    out.writeListEnd();
    return;
  }
  const [first] = value.map;
  out.writeMapBegin(
    first ? typeOf(first[0]) : TYPES.text,
    first ? typeOf(first[1]) : TYPES.text,
    value.map.length,
  );
  for (const [key, item] of value.map) {
    write(out, key);
    write(out, item);
  }
  out.writeMapEnd();
}

function writeStruct(out: Writer, fields: Fields): void {
  out.writeStructBegin("");
  for (const [id, field] of fields) {
    if (field === undefined) continue;
    out.writeFieldBegin("", typeOf(field), id);
    write(out, field);
    out.writeFieldEnd();
  }
  out.writeFieldStop();
  out.writeStructEnd();
}

/** `value` in Thrift; with `call`, as the only argument of a call of that name. */
export function encodeThrift(value: Value, protocol: Protocol, call?: string): Uint8Array {
  let bytes: Uint8Array = new Uint8Array();
  const transport = new library.TBufferedTransport(undefined, (buffer) => (bytes = new Uint8Array(buffer)));
  const out =
    protocol === "binary" ? new library.TBinaryProtocol(transport) : new library.TCompactProtocol(transport);
  if (call === undefined) write(out, value);
  else {
    out.writeMessageBegin(call, 4, 0);
    write(out, { struct: [[1, value]] });
    out.writeMessageEnd();
  }
  out.flush();
  return bytes;
}

export const text = (value: string | Uint8Array): Value => ({ text: value });
export const i64 = (value: bigint | number): Value => ({ i64: value });

export type TagValue = string | number | bigint | boolean | Uint8Array;

/** Jaeger's Tag: a number is a double, a bigint a long. */
export function jaegerTag(key: string | Uint8Array, value: TagValue): Value {
  const type = (number: number): [number, Value] => [2, { i32: number }];
  if (typeof value === "string") return { struct: [[1, text(key)], type(0), [3, text(value)]] };
  if (typeof value === "number") return { struct: [[1, text(key)], type(1), [4, { double: value }]] };
  if (typeof value === "boolean") return { struct: [[1, text(key)], type(2), [5, { bool: value }]] };
  if (typeof value === "bigint") return { struct: [[1, text(key)], type(3), [6, i64(value)]] };
  return { struct: [[1, text(key)], type(4), [7, text(value)]] };
}

export interface JaegerSpan {
  traceIdLow: bigint;
  traceIdHigh?: bigint;
  spanId: bigint;
  parentSpanId?: bigint;
  operationName?: string | Uint8Array;
  references?: readonly { type: number; low: bigint; high: bigint; spanId: bigint }[];
  startTime?: bigint | number;
  duration?: bigint | number;
  tags?: readonly Value[];
  logs?: readonly { timestamp: bigint | number; fields: readonly Value[] }[];
}

export function jaegerSpan(span: JaegerSpan): Value {
  const references = span.references?.map(({ type, low, high, spanId }): Value => ({
    struct: [
      [1, { i32: type }],
      [2, i64(low)],
      [3, i64(high)],
      [4, i64(spanId)],
    ],
  }));
  const logs = span.logs?.map(({ timestamp, fields }): Value => ({
    struct: [
      [1, i64(timestamp)],
      [2, { list: fields, of: 12 }],
    ],
  }));
  return {
    struct: [
      [1, i64(span.traceIdLow)],
      [2, i64(span.traceIdHigh ?? 0)],
      [3, i64(span.spanId)],
      [4, i64(span.parentSpanId ?? 0)],
      [5, text(span.operationName ?? "operation")],
      [6, references && { list: references, of: 12 }],
      [7, { i32: 1 }],
      [8, i64(span.startTime ?? 1_700_000_000_000_000)],
      [9, i64(span.duration ?? 1500)],
      [10, span.tags && { list: span.tags, of: 12 }],
      [11, logs && { list: logs, of: 12 }],
      [12, { bool: false }],
    ],
  };
}

export function jaegerBatch(spans: readonly Value[], serviceName = "shop", tags?: readonly Value[]): Value {
  return {
    struct: [
      [
        1,
        {
          struct: [
            [1, text(serviceName)],
            [2, tags && { list: tags, of: 12 }],
          ],
        },
      ],
      [2, { list: spans, of: 12 }],
    ],
  };
}
