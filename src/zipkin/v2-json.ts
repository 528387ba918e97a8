// Zipkin v2 JSON, read in place.
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { BatchBuilder } from "../otlp/batch-builder.ts";
import { ByteKeys } from "../util/byte-keys.ts";
import { ByteSource } from "../util/byte-source.ts";
import { AppError } from "../util/errors.ts";
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  JsonCursor,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  kindOfValue,
} from "../util/json-cursor.ts";
import { JsonKeys } from "../util/json-keys.ts";
import { clearWords, isZero, parseHexId, parseWords } from "./hex-ids.ts";
import type { Range, V2Endpoint } from "./v2-span.ts";
import { SPAN_ID_WORDS, V2Span, isMicros } from "./v2-span.ts";
import { V2Writer } from "./v2-writer.ts";

const NULL = 0x6e;
const PORT_MAX = 65_535;

const KINDS = new ByteKeys([
  ["SERVER", 2],
  ["CLIENT", 3],
  ["PRODUCER", 4],
  ["CONSUMER", 5],
]);

const FIELD = {
  traceId: 0,
  id: 1,
  parentId: 2,
  name: 3,
  kind: 4,
  timestamp: 5,
  duration: 6,
  localEndpoint: 7,
  remoteEndpoint: 8,
  tags: 9,
  annotations: 10,
} as const;
const FIELDS = new JsonKeys(FIELD);

const ENDPOINT_FIELD = { serviceName: 0, ipv4: 1, ipv6: 2, port: 3 } as const;
const ENDPOINT_FIELDS = new JsonKeys(ENDPOINT_FIELD);

/** Where the values of an endpoint lie: texts made beforehand, since a batch has two thousand that nobody reads. */
function endpointPlaces(endpoint: string): Readonly<Record<"self" | keyof typeof ENDPOINT_FIELD, string>> {
  return {
    self: endpoint,
    serviceName: `${endpoint}.serviceName`,
    ipv4: `${endpoint}.ipv4`,
    ipv6: `${endpoint}.ipv6`,
    port: `${endpoint}.port`,
  };
}
const LOCAL = endpointPlaces(".localEndpoint");
const REMOTE = endpointPlaces(".remoteEndpoint");

const ANNOTATION_FIELD = { timestamp: 0, value: 1 } as const;
const ANNOTATION_FIELDS = new JsonKeys(ANNOTATION_FIELD);

/** Reads one span after the other from a body. A value that does not fit refuses its span and is passed over. */
class Reader {
  readonly #cursor: JsonCursor;
  readonly #bytes: Uint8Array;
  readonly #span = new V2Span();
  readonly #ipv6: Range = [0, 0];

  constructor(source: ByteSource) {
    this.#bytes = source.bytes;
    this.#cursor = new JsonCursor(source);
  }

  /** Hands each span of the list to `write`, with its index. */
  run(write: (span: V2Span, index: number) => void): void {
    const cursor = this.#cursor;
    const first = cursor.peek();
    if (first !== OPEN_BRACKET) {
      // What is no JSON at all is told as that.
      cursor.skip();
      throw new AppError("invalid_argument", `expected a list of spans, got ${kindOfValue(first)}`);
    }
    let index = 0;
    if (cursor.open(OPEN_BRACKET)) {
      do {
        this.#span.clear();
        this.#readSpan();
        write(this.#span, index++);
      } while (cursor.more(CLOSE_BRACKET));
    }
    cursor.finish();
  }

  /** Whether an object or array comes next. Null is absent; anything else refuses the span. */
  #opens(bracket: number, expected: string, place: string): boolean {
    const first = this.#cursor.peek();
    if (first === bracket) return true;
    this.#cursor.skip();
    if (first !== NULL) this.#span.refuse(`${place}: expected ${expected}, got ${kindOfValue(first)}`);
    return false;
  }

  /** Whether a string was read. */
  #string(place: string): boolean {
    const cursor = this.#cursor;
    if (cursor.isString()) {
      cursor.string();
      return true;
    }
    const first = cursor.peek();
    cursor.skip();
    if (first !== NULL) this.#span.refuse(`${place}: expected a string, got ${kindOfValue(first)}`);
    return false;
  }

  #range(range: Range, place: string): void {
    if (!this.#string(place)) return;
    range[0] = this.#cursor.start;
    range[1] = this.#cursor.end;
  }

  /** Microseconds as a number, or as digits in a string, which some senders write. */
  #micros(place: string): number {
    const cursor = this.#cursor;
    if (cursor.isNumber()) {
      const value = cursor.number();
      if (isMicros(value)) return value;
    } else if (cursor.peek() === NULL) {
      cursor.skip();
      return 0;
    } else {
      const isText = cursor.isString();
      cursor.skip();
      const value = isText ? this.#digits() : -1;
      if (value >= 0) return value;
    }
    this.#span.refuse(`${place}: expected microseconds, an unsigned integer`);
    return 0;
  }

  /** The number of up to 16 digits that the string read last holds, or -1. */
  #digits(): number {
    const { start, end } = this.#cursor;
    if (end === start || end - start > 16) return -1;
    let value = 0;
    for (let i = start; i < end; i++) {
      const digit = (this.#bytes[i] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return isMicros(value) ? value : -1;
  }

  #readSpan(): void {
    const cursor = this.#cursor;
    const span = this.#span;
    const first = cursor.peek();
    if (first !== OPEN_BRACE) {
      cursor.skip();
      span.refuse(`: expected an object, got ${kindOfValue(first)}`);
      return;
    }
    let fields = 0;
    if (cursor.open(OPEN_BRACE)) {
      do {
        const field = cursor.keyOf(FIELDS);
        if (field >= 0) fields |= 1 << field;
        this.#field(field);
      } while (cursor.more(CLOSE_BRACE));
    }
    if ((fields & (1 << FIELD.traceId)) === 0) span.refuse(".traceId: missing");
    if ((fields & (1 << FIELD.id)) === 0) span.refuse(".id: missing");
    if (isZero(span.traceId)) span.refuse(".traceId: all zero");
    if (isZero(span.id)) span.refuse(".id: valid span id required, got zeros");
  }

  #field(field: number): void {
    const span = this.#span;
    switch (field) {
      case FIELD.traceId:
        return this.#id(".traceId", "16 or 32", span.traceId);
      case FIELD.id:
        return this.#id(".id", "16", span.id);
      case FIELD.parentId:
        return this.#id(".parentId", "16", span.parentId);
      case FIELD.name:
        return this.#range(span.name, ".name");
      case FIELD.kind:
        return this.#kind();
      case FIELD.timestamp:
        span.timestamp = this.#micros(".timestamp");
        return;
      case FIELD.duration:
        span.duration = this.#micros(".duration");
        return;
      case FIELD.localEndpoint:
        return this.#endpoint(span.local, LOCAL);
      case FIELD.remoteEndpoint:
        return this.#endpoint(span.remote, REMOTE);
      case FIELD.tags:
        return this.#tags();
      case FIELD.annotations:
        return this.#annotations();
      default:
        return this.#cursor.skip();
    }
  }

  #id(place: string, digits: string, words: Uint32Array): void {
    if (this.#plainId(words)) return;
    clearWords(words);
    if (!this.#string(place)) return;
    const { start, end } = this.#cursor;
    // An empty parent is no parent.
    if (start === end && words === this.#span.parentId) return;
    if (!parseHexId(this.#bytes, start, end, words))
      this.#span.refuse(`${place}: expected ${digits} hex digits`);
  }

  /** Reads an id of 16 or 32 digits, which need not be looked at to find its end. Returns false when it is another. */
  #plainId(words: Uint32Array): boolean {
    const bytes = this.#bytes;
    const cursor = this.#cursor;
    if (!cursor.isString()) return false;
    const start = cursor.pos + 1;
    let count = words.length;
    if (bytes[start + 8 * count] !== QUOTE) count = SPAN_ID_WORDS;
    if (bytes[start + 8 * count] !== QUOTE || !parseWords(bytes, start, count, words)) return false;
    cursor.pos = start + 8 * count + 1;
    return true;
  }

  #kind(): void {
    this.#span.kind = 0;
    if (!this.#string(".kind")) return;
    const kind = KINDS.of(this.#bytes, this.#cursor.start, this.#cursor.end);
    if (kind < 0) this.#span.refuse(".kind: expected CLIENT, SERVER, PRODUCER or CONSUMER");
    else this.#span.kind = kind;
  }

  #endpoint(endpoint: V2Endpoint, places: typeof LOCAL): void {
    const cursor = this.#cursor;
    if (!this.#opens(OPEN_BRACE, "an object", places.self) || !cursor.open(OPEN_BRACE)) return;
    const ipv6 = this.#ipv6;
    ipv6[1] = ipv6[0];
    endpoint.ipSource = this.#cursor.source;
    do {
      switch (cursor.keyOf(ENDPOINT_FIELDS)) {
        case ENDPOINT_FIELD.serviceName:
          this.#range(endpoint.service, places.serviceName);
          break;
        case ENDPOINT_FIELD.ipv4:
          this.#range(endpoint.ip, places.ipv4);
          break;
        case ENDPOINT_FIELD.ipv6:
          this.#range(ipv6, places.ipv6);
          break;
        case ENDPOINT_FIELD.port:
          this.#port(endpoint, places.port);
          break;
        default:
          cursor.skip();
      }
    } while (cursor.more(CLOSE_BRACE));
    // OTLP has one address; an endpoint with both is one host.
    if (endpoint.ip[0] !== endpoint.ip[1]) return;
    endpoint.ip[0] = ipv6[0];
    endpoint.ip[1] = ipv6[1];
  }

  #port(endpoint: V2Endpoint, place: string): void {
    const cursor = this.#cursor;
    const first = cursor.peek();
    let port = 0;
    if (cursor.isNumber()) port = cursor.number();
    else {
      cursor.skip();
      if (first === NULL) return;
      port = kindOfValue(first) === "a string" ? this.#digits() : -1;
    }
    if (Number.isInteger(port) && port >= 0 && port <= PORT_MAX) endpoint.port = port;
    else this.#span.refuse(`${place}: expected a number from 0 to ${PORT_MAX}`);
  }

  #tags(): void {
    const cursor = this.#cursor;
    const { tags } = this.#span;
    tags.clear();
    if (!this.#opens(OPEN_BRACE, "an object", ".tags") || !cursor.open(OPEN_BRACE)) return;
    do {
      cursor.key();
      const { start, end } = cursor;
      const first = cursor.peek();
      if (first === OPEN_BRACE || first === OPEN_BRACKET) {
        cursor.skip();
        this.#span.refuse(`.tags: expected strings, got ${kindOfValue(first)}`);
        continue;
      }
      // A number or boolean counts as its text.
      if (first === QUOTE) cursor.string();
      else cursor.scalar();
      if (first === NULL) continue;
      this.#span.addTag(start, end, cursor.start, cursor.end);
    } while (cursor.more(CLOSE_BRACE));
  }

  #annotations(): void {
    const cursor = this.#cursor;
    this.#span.annotations.clear();
    this.#span.annotationTimes = [];
    if (!this.#opens(OPEN_BRACKET, "an array", ".annotations") || !cursor.open(OPEN_BRACKET)) return;
    let index = 0;
    do this.#annotation(`.annotations[${index++}]`);
    while (cursor.more(CLOSE_BRACKET));
  }

  #annotation(place: string): void {
    const cursor = this.#cursor;
    if (!this.#opens(OPEN_BRACE, "an object", place)) return;
    const value: Range = [-1, -1];
    let timestamp = 0;
    if (cursor.open(OPEN_BRACE)) {
      do {
        const field = cursor.keyOf(ANNOTATION_FIELDS);
        if (field === ANNOTATION_FIELD.timestamp) timestamp = this.#micros(`${place}.timestamp`);
        else if (field === ANNOTATION_FIELD.value) this.#range(value, `${place}.value`);
        else cursor.skip();
      } while (cursor.more(CLOSE_BRACE));
    }
    if (value[0] < 0) return this.#span.refuse(`${place}.value: missing`);
    this.#span.addAnnotation(timestamp, value);
  }
}

/**
 * Converts a Zipkin v2 JSON body. Spans that cannot be taken are counted, with the place in the first of them; null is
 * absent, unknown fields are passed over, numbers and booleans in tags become their text, of equal keys the last counts.
 * @param body UTF-8; used up (escapes are undone in place), not retained
 * @throws AppError `invalid_argument` when the body is no list or no JSON, naming the byte, or nested deeper than 1000
 * levels; `too_large` when the spans take more than `limits.maxBodyBytes` as OTLP or are of more than 50,000 resources
 */
export function convertV2Json(body: Uint8Array, limits: Limits): Converted {
  const builder = new BatchBuilder(body.length, limits);
  const source = new ByteSource(body);
  const writer = new V2Writer(builder, source, limits);
  new Reader(source).run((span, index) => writer.write(span, index));
  return builder.finish();
}
