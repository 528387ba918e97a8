// Zipkin v1 in Thrift's binary protocol: a list of spans.
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { BatchBuilder } from "../otlp/batch-builder.ts";
import type { ThriftReader } from "../util/thrift-reader.ts";
import { T, readThrift } from "../util/thrift-reader.ts";
import { formatIpv4, formatIpv6 } from "./ip.ts";
import type { V1Annotation, V1BinaryAnnotation, V1Endpoint, V1Span, V1Value } from "./v1-span.ts";
import { V1Writer } from "./v1-writer.ts";
import { MEMBERS_MAX } from "./v2-span.ts";

const TWO_32 = 2 ** 32;
const ANNOTATION_TYPE = { bool: 0, bytes: 1, i16: 2, i32: 3, i64: 4, double: 5 } as const;
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** A span while its fields come. */
interface Draft {
  readonly traceId: Uint32Array;
  readonly id: Uint32Array;
  readonly parentId: Uint32Array;
  name: string;
  timestamp: number;
  duration: number | undefined;
  readonly annotations: V1Annotation[];
  readonly binaryAnnotations: V1BinaryAnnotation[];
}

class Reader {
  readonly #reader: ThriftReader;

  constructor(reader: ThriftReader) {
    this.#reader = reader;
  }

  /** Hands each span of the list to `write`, with its index. */
  run(write: (span: V1Span, index: number) => void): void {
    const reader = this.#reader;
    const count = reader.list();
    if (count > 0 && reader.elementType !== T.struct) throw reader.malformed("a list of no structs", 0);
    for (let i = 0; i < count; i++) write(this.#span(), i);
    if (reader.pos !== reader.bytes.length) throw reader.malformed("something behind the list");
  }

  /**
   * Span: trace_id 1 (i64); name 3; id 4, parent_id 5 (i64); annotations 6; binary_annotations 8; debug 9;
   * timestamp 10, duration 11 (i64, microseconds); trace_id_high 12 (i64).
   */
  #span(): V1Span {
    const reader = this.#reader;
    const span: Draft = {
      traceId: new Uint32Array(4),
      id: new Uint32Array(2),
      parentId: new Uint32Array(2),
      name: "",
      timestamp: 0,
      duration: undefined,
      annotations: [],
      binaryAnnotations: [],
    };
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      if (reader.fieldType === T.i64) this.#number(span);
      else if (reader.fieldId === 3 && reader.fieldType === T.binary) span.name = this.#text();
      else if (reader.fieldId === 6 && reader.fieldType === T.list) {
        this.#list(() => span.annotations.push(this.#annotation()));
      } else if (reader.fieldId === 8 && reader.fieldType === T.list) {
        this.#list(() => span.binaryAnnotations.push(this.#binaryAnnotation()));
      } else reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
    return span;
  }

  #number(span: Draft): void {
    const reader = this.#reader;
    reader.i64();
    switch (reader.fieldId) {
      case 1:
        [span.traceId[2], span.traceId[3]] = [reader.high, reader.low];
        return;
      case 4:
        [span.id[0], span.id[1]] = [reader.high, reader.low];
        return;
      case 5:
        [span.parentId[0], span.parentId[1]] = [reader.high, reader.low];
        return;
      case 10:
        span.timestamp = this.#micros();
        return;
      case 11:
        span.duration = this.#micros();
        return;
      case 12:
        [span.traceId[0], span.traceId[1]] = [reader.high, reader.low];
        return;
      default:
    }
  }

  /** The i64 read last as microseconds: negative is 0, beyond 2^53 (the year 2255) is that. */
  #micros(): number {
    const { low, high } = this.#reader;
    return high > 0x7fffffff ? 0 : Math.min(high * TWO_32 + low, Number.MAX_SAFE_INTEGER);
  }

  #text(): string {
    const reader = this.#reader;
    reader.binary();
    return decoder.decode(reader.bytes.subarray(reader.start, reader.end));
  }

  #list(read: () => void): void {
    const reader = this.#reader;
    const count = reader.list();
    if (count > MEMBERS_MAX) throw reader.malformed(`a span with more than ${MEMBERS_MAX} annotations`);
    const { elementType } = reader;
    for (let i = 0; i < count; i++) {
      if (elementType === T.struct) read();
      else reader.skip(elementType);
    }
  }

  /** Annotation: timestamp 1 (i64, microseconds), value 2, host 3 (Endpoint). */
  #annotation(): V1Annotation {
    const reader = this.#reader;
    let timestamp = 0;
    let value = "";
    let endpoint: V1Endpoint | undefined;
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      if (reader.fieldId === 1 && reader.fieldType === T.i64) {
        reader.i64();
        timestamp = this.#micros();
      } else if (reader.fieldId === 2 && reader.fieldType === T.binary) value = this.#text();
      else if (reader.fieldId === 3 && reader.fieldType === T.struct) endpoint = this.#endpoint();
      else reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
    return { timestamp, value, endpoint };
  }

  /** BinaryAnnotation: key 1, value 2 (binary), annotation_type 3 (i32), host 4 (Endpoint). */
  #binaryAnnotation(): V1BinaryAnnotation {
    const reader = this.#reader;
    let key = "";
    let value = new Uint8Array();
    let type = -1;
    let endpoint: V1Endpoint | undefined;
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      const { fieldId, fieldType } = reader;
      if (fieldId === 1 && fieldType === T.binary) key = this.#text();
      else if (fieldId === 2 && fieldType === T.binary) {
        reader.binary();
        value = reader.bytes.slice(reader.start, reader.end);
      } else if (fieldId === 3 && fieldType === T.i32) type = reader.i32();
      else if (fieldId === 4 && fieldType === T.struct) endpoint = this.#endpoint();
      else reader.skip(fieldType);
    }
    reader.endStruct(outer);
    return { key, value: valueOf(type, value), endpoint };
  }

  /** Endpoint: ipv4 1 (i32), port 2 (i16, unsigned), service_name 3, ipv6 4 (16 bytes). */
  #endpoint(): V1Endpoint {
    const reader = this.#reader;
    let ipv4 = 0;
    let port = 0;
    let serviceName = "";
    let ipv6 = "";
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      const { fieldId, fieldType } = reader;
      if (fieldId === 1 && fieldType === T.i32) ipv4 = reader.i32();
      else if (fieldId === 2 && fieldType === T.i16) port = reader.i16() & 0xffff;
      else if (fieldId === 3 && fieldType === T.binary) serviceName = this.#text();
      else if (fieldId === 4 && fieldType === T.binary) {
        reader.binary();
        const bytes = reader.bytes.subarray(reader.start, reader.end);
        if (bytes.length === 16) ipv6 = formatIpv6(bytes);
      } else reader.skip(fieldType);
    }
    reader.endStruct(outer);
    const octets = Uint8Array.of(ipv4 >>> 24, ipv4 >>> 16, ipv4 >>> 8, ipv4);
    return { serviceName, ipv4: ipv4 === 0 ? "" : formatIpv4(octets), ipv6, port };
  }
}

/** The value of a binary annotation, big-endian. One of too few bytes for its type stays bytes. */
function valueOf(type: number, bytes: Uint8Array): V1Value {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === ANNOTATION_TYPE.bool) return { type: "bool", value: bytes[0] === 1 };
  if (type === ANNOTATION_TYPE.i16 && bytes.length === 2) return intOf(view.getInt16(0));
  if (type === ANNOTATION_TYPE.i32 && bytes.length === 4) return intOf(view.getInt32(0));
  if (type === ANNOTATION_TYPE.i64 && bytes.length === 8) {
    return { type: "int", low: view.getUint32(4), high: view.getUint32(0) };
  }
  if (type === ANNOTATION_TYPE.double && bytes.length === 8)
    return { type: "double", value: view.getFloat64(0) };
  if (type >= ANNOTATION_TYPE.bytes && type <= ANNOTATION_TYPE.double) return { type: "bytes", value: bytes };
  return { type: "string", value: decoder.decode(bytes) };
}

function intOf(value: number): V1Value {
  return { type: "int", low: value >>> 0, high: value < 0 ? 0xffffffff : 0 };
}

/**
 * Converts a Zipkin v1 Thrift body (binary protocol). Spans without ids are counted as refused; unknown fields, and known
 * ones of another type, are passed over.
 * @param body neither changed nor retained
 * @param nowMs milliseconds since the Unix epoch, for spans without any time
 * @throws AppError `invalid_argument` when the body is no Thrift, naming the byte; `too_large`
 */
export function convertV1Thrift(body: Uint8Array, limits: Limits, nowMs: number): Converted {
  const builder = new BatchBuilder(body.length, limits);
  const writer = new V1Writer(builder, nowMs);
  new Reader(readThrift(body, "binary")).run((span, index) => writer.write(span, index));
  return builder.finish();
}
