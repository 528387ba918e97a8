// Zipkin v1 as its senders wrote it, in JSON and in Thrift. Made from the format's description, not from src/zipkin.
import { ipv6Bytes } from "./zipkin.ts";
import type { ZipkinEndpoint } from "./zipkin.ts";
import type { Value } from "./thrift.ts";
import { encodeThrift, i64, text } from "./thrift.ts";

/** A number is a DOUBLE, a bigint an I64. */
export type V1Value =
  | string
  | boolean
  | number
  | bigint
  | Uint8Array
  | { readonly i16: number }
  | { readonly i32: number };

export interface ZipkinV1Span {
  traceId: string;
  id: string;
  parentId?: string;
  name?: string;
  timestamp?: number;
  duration?: number;
  annotations?: { timestamp?: number; value: string; endpoint?: ZipkinEndpoint }[];
  binaryAnnotations?: { key: string; value: V1Value; endpoint?: ZipkinEndpoint }[];
}

// ---- JSON: texts and bools as they are, the rest with its type

function jsonValue(value: V1Value): object {
  if (typeof value === "string" || typeof value === "boolean") return { value };
  if (typeof value === "number") return { type: "DOUBLE", value };
  if (typeof value === "bigint") return { type: "I64", value: String(value) };
  if (value instanceof Uint8Array) return { type: "BYTES", value: Buffer.from(value).toString("base64") };
  return "i16" in value ? { type: "I16", value: value.i16 } : { type: "I32", value: value.i32 };
}

export function encodeV1Json(spans: readonly ZipkinV1Span[], indent = 0): Uint8Array {
  const written = spans.map(({ binaryAnnotations, ...span }) => ({
    ...span,
    ...(binaryAnnotations && {
      binaryAnnotations: binaryAnnotations.map(({ value, ...rest }) => ({ ...rest, ...jsonValue(value) })),
    }),
  }));
  return new TextEncoder().encode(JSON.stringify(written, null, indent));
}

// ---- Thrift: values are bytes, numbers among them big-endian

function bigEndian(size: number, put: (bytes: Buffer) => void): Uint8Array {
  const bytes = Buffer.alloc(size);
  put(bytes);
  return new Uint8Array(bytes);
}

function thriftValue(value: V1Value): [type: number, bytes: Value] {
  if (typeof value === "string") return [6, text(value)];
  if (typeof value === "boolean") return [0, text(Uint8Array.of(value ? 1 : 0))];
  if (typeof value === "number") return [5, text(bigEndian(8, (bytes) => bytes.writeDoubleBE(value)))];
  if (typeof value === "bigint") return [4, text(bigEndian(8, (bytes) => bytes.writeBigInt64BE(value)))];
  if (value instanceof Uint8Array) return [1, text(value)];
  if ("i16" in value) return [2, text(bigEndian(2, (bytes) => bytes.writeInt16BE(value.i16)))];
  return [3, text(bigEndian(4, (bytes) => bytes.writeInt32BE(value.i32)))];
}

function thriftEndpoint({ serviceName, ipv4, ipv6, port }: ZipkinEndpoint): Value {
  const octets = (ipv4 ?? "0.0.0.0").split(".").map(Number);
  return {
    struct: [
      [1, { i32: octets.reduce((sum, octet) => (sum << 8) | octet, 0) }],
      [2, { i16: ((port ?? 0) << 16) >> 16 }],
      [3, text(serviceName ?? "")],
      [4, ipv6 === undefined ? undefined : text(ipv6Bytes(ipv6))],
    ],
  };
}

export function thriftV1Span(span: ZipkinV1Span): Value {
  const id = (hex: string): Value => i64(BigInt(`0x${hex}`));
  const high = span.traceId.length > 16 ? span.traceId.slice(0, -16) : undefined;
  return {
    struct: [
      [1, id(span.traceId.slice(-16))],
      [3, text(span.name ?? "")],
      [4, id(span.id)],
      [5, span.parentId === undefined ? undefined : id(span.parentId)],
      [
        6,
        {
          of: 12,
          list: (span.annotations ?? []).map(({ timestamp, value, endpoint }) => ({
            struct: [
              [1, i64(timestamp ?? 0)],
              [2, text(value)],
              [3, endpoint && thriftEndpoint(endpoint)],
            ],
          })),
        },
      ],
      [
        8,
        {
          of: 12,
          list: (span.binaryAnnotations ?? []).map(({ key, value, endpoint }) => {
            const [type, bytes] = thriftValue(value);
            return {
              struct: [
                [1, text(key)],
                [2, bytes],
                [3, { i32: type }],
                [4, endpoint && thriftEndpoint(endpoint)],
              ],
            };
          }),
        },
      ],
      [9, { bool: false }],
      [10, span.timestamp === undefined ? undefined : i64(span.timestamp)],
      [11, span.duration === undefined ? undefined : i64(span.duration)],
      [12, high === undefined ? undefined : id(high)],
    ],
  };
}

/** A list at the top has no field around it: the struct's head and stop are cut away. */
export function encodeV1ThriftList(spans: readonly Value[]): Uint8Array {
  return encodeThrift({ struct: [[1, { list: spans, of: 12 }]] }, "binary").slice(3, -1);
}

export function encodeV1Thrift(spans: readonly ZipkinV1Span[]): Uint8Array {
  return encodeV1ThriftList(spans.map(thriftV1Span));
}
