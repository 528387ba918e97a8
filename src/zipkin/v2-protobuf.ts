// Zipkin v2 protobuf: zipkin.proto3.ListOfSpans, read in place.
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { BatchBuilder } from "../otlp/batch-builder.ts";
import { FIXED64, LENGTH, VARINT, WireReader, tagOf } from "../otlp/wire.ts";
import { ByteSource } from "../util/byte-source.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { clearWords, isZero } from "./hex-ids.ts";
import { formatIp } from "./ip.ts";
import type { Range, V2Endpoint } from "./v2-span.ts";
import { V2Span, isMicros } from "./v2-span.ts";
import { V2Writer } from "./v2-writer.ts";

const TWO_32 = 2 ** 32;
const PORT_MAX = 65_535;
const OTLP_PREFIX = "malformed OTLP protobuf";
const SPANS_TAG = tagOf(1, LENGTH);
/** OTLP's numbers by Zipkin's: none, CLIENT, SERVER, PRODUCER, CONSUMER. */
const KINDS = [0, 3, 2, 4, 5];
const encoder = new TextEncoder();

class Reader {
  readonly #wire: WireReader;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #span = new V2Span();

  constructor(body: Uint8Array) {
    this.#wire = new WireReader(body);
    this.#bytes = body;
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  }

  /** ListOfSpans: spans 1. */
  run(write: (span: V2Span, index: number) => void): void {
    const wire = this.#wire;
    const end = this.#bytes.length;
    let index = 0;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag !== SPANS_TAG) {
        wire.skip(tag, end);
        continue;
      }
      const length = wire.length(end);
      this.#span.clear();
      this.#readSpan(wire.pos + length);
      write(this.#span, index++);
    }
  }

  /**
   * Span: trace_id 1, parent_id 2, id 3 (bytes); kind 4 (enum); name 5; timestamp 6 (fixed64), duration 7 (uint64), in
   * microseconds; local_endpoint 8, remote_endpoint 9; annotations 10; tags 11 (map); debug 12, shared 13 (bool).
   */
  #readSpan(end: number): void {
    const wire = this.#wire;
    const span = this.#span;
    while (wire.pos < end) this.#field(wire.tag(end), end);
    if (isZero(span.traceId)) span.refuse(".trace_id: missing or all zero");
    if (isZero(span.id)) span.refuse(".id: valid span id required, it is missing or all zero");
  }

  #field(tag: number, end: number): void {
    const span = this.#span;
    switch (tag) {
      case tagOf(1, LENGTH):
        return this.#id(".trace_id", span.traceId, end);
      case tagOf(2, LENGTH):
        return this.#id(".parent_id", span.parentId, end);
      case tagOf(3, LENGTH):
        return this.#id(".id", span.id, end);
      case tagOf(4, VARINT):
        span.kind = KINDS[this.#varint(end)] ?? 0;
        return;
      case tagOf(5, LENGTH):
        return this.#range(span.name, end);
      case tagOf(6, FIXED64):
        span.timestamp = this.#micros(".timestamp", this.#fixed64(end));
        return;
      case tagOf(7, VARINT):
        span.duration = this.#micros(".duration", this.#varint(end));
        return;
      case tagOf(8, LENGTH):
        return this.#endpoint(span.local, ".local_endpoint", end);
      case tagOf(9, LENGTH):
        return this.#endpoint(span.remote, ".remote_endpoint", end);
      case tagOf(10, LENGTH):
        return this.#annotation(end);
      case tagOf(11, LENGTH):
        return this.#tag(end);
      default:
        return this.#wire.skip(tag, end);
    }
  }

  /** Endpoint: service_name 1; ipv4 2, ipv6 3 (bytes); port 4 (int32). */
  #endpoint(endpoint: V2Endpoint, place: string, parentEnd: number): void {
    const wire = this.#wire;
    const end = wire.length(parentEnd) + wire.pos;
    const ipv4: Range = [0, 0];
    const ipv6: Range = [0, 0];
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === tagOf(1, LENGTH)) this.#range(endpoint.service, end);
      else if (tag === tagOf(2, LENGTH)) this.#range(ipv4, end);
      else if (tag === tagOf(3, LENGTH)) this.#range(ipv6, end);
      else if (tag === tagOf(4, VARINT)) {
        const port = this.#varint(end);
        if (port <= PORT_MAX) endpoint.port = port;
        else this.#span.refuse(`${place}.port: expected a number from 0 to ${PORT_MAX}`);
      } else wire.skip(tag, end);
    }
    const [from, to] = ipv4[0] === ipv4[1] ? ipv6 : ipv4;
    if (from === to) return;
    const text = formatIp(this.#bytes.subarray(from, to));
    if (text === "") this.#span.refuse(`${place}: expected 4 bytes of ipv4 or 16 of ipv6`);
    endpoint.ipSource = new ByteSource(encoder.encode(text));
    [endpoint.ip[0], endpoint.ip[1]] = [0, endpoint.ipSource.bytes.length];
  }

  /** Annotation: timestamp 1 (fixed64), value 2. */
  #annotation(parentEnd: number): void {
    const wire = this.#wire;
    const end = wire.length(parentEnd) + wire.pos;
    const value: Range = [0, 0];
    let timestamp = 0;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === tagOf(1, FIXED64)) timestamp = this.#micros(".annotations.timestamp", this.#fixed64(end));
      else if (tag === tagOf(2, LENGTH)) this.#range(value, end);
      else wire.skip(tag, end);
    }
    this.#span.addAnnotation(timestamp, value);
  }

  /** An entry of the map: key 1, value 2. */
  #tag(parentEnd: number): void {
    const wire = this.#wire;
    const end = wire.length(parentEnd) + wire.pos;
    const key: Range = [0, 0];
    const value: Range = [0, 0];
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === tagOf(1, LENGTH)) this.#range(key, end);
      else if (tag === tagOf(2, LENGTH)) this.#range(value, end);
      else wire.skip(tag, end);
    }
    this.#span.addTag(key[0], key[1], value[0], value[1]);
  }

  #range(range: Range, end: number): void {
    const length = this.#wire.length(end);
    range[0] = this.#wire.pos;
    this.#wire.pos += length;
    range[1] = this.#wire.pos;
  }

  /** An id of up to as many bytes as `words` hold, padded with zeros on the left. */
  #id(place: string, words: Uint32Array, end: number): void {
    const length = this.#wire.length(end);
    const start = this.#wire.pos;
    this.#wire.pos += length;
    clearWords(words);
    if (length > 4 * words.length) {
      this.#span.refuse(`${place}: expected at most ${4 * words.length} bytes, got ${length}`);
      return;
    }
    for (let i = 0; i < length; i++) {
      const at = 4 * words.length - length + i;
      const word = at >>> 2;
      words[word] = ((words[word] ?? 0) << 8) | (this.#bytes[start + i] ?? 0);
    }
  }

  #micros(place: string, value: number): number {
    if (isMicros(value)) return value;
    this.#span.refuse(`${place}: exceeds 2^53 microseconds`);
    return 0;
  }

  #fixed64(end: number): number {
    const at = this.#wire.pos;
    this.#wire.skipBytes(8, end);
    return this.#view.getUint32(at + 4, true) * TWO_32 + this.#view.getUint32(at, true);
  }

  /** A varint of 64 bits, unsigned; inexact beyond 2^53, where nothing takes it. */
  #varint(end: number): number {
    const start = this.#wire.pos;
    this.#wire.skipVarint(end);
    let value = 0;
    for (let at = this.#wire.pos - 1; at >= start; at--) value = value * 128 + ((this.#bytes[at] ?? 0) & 127);
    return value;
  }
}

/**
 * Converts a Zipkin v2 protobuf body. Spans that cannot be taken are counted, with the place in the first of them;
 * unknown fields are passed over, of equal keys the last counts.
 * @param body neither changed nor retained
 * @throws AppError `invalid_argument` when the body is no protobuf, naming the byte; `too_large` when the spans take
 * more than `limits.maxBodyBytes` as OTLP
 */
export function convertV2Protobuf(body: Uint8Array, limits: Limits): Converted {
  const builder = new BatchBuilder(body.length, limits);
  const writer = new V2Writer(builder, new ByteSource(body), limits);
  try {
    new Reader(body).run((span, index) => writer.write(span, index));
  } catch (error) {
    // The reader of the wire format speaks of the format that it was made for.
    if (!isAppError(error) || !error.message.startsWith(OTLP_PREFIX)) throw error;
    throw new AppError(
      "invalid_argument",
      `malformed Zipkin protobuf${error.message.slice(OTLP_PREFIX.length)}`,
      {
        cause: error,
      },
    );
  }
  return builder.finish();
}
