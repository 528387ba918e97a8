// One Zipkin v2 span as it was read, from JSON or protobuf. Texts stay where they are: ranges of the body.
import { ByteSource } from "../util/byte-source.ts";
import { clearWords } from "./hex-ids.ts";

/** Bytes [start, end) of the body; empty when absent. */
export type Range = [start: number, end: number];

export const TRACE_ID_WORDS = 4;
export const SPAN_ID_WORDS = 2;

export interface V2Endpoint {
  readonly service: Range;
  /** Text of an address, in `ipSource`. */
  readonly ip: Range;
  ipSource: ByteSource;
  port: number;
}

const NOTHING = new ByteSource(new Uint8Array());

function emptyEndpoint(): V2Endpoint {
  return { service: [0, 0], ip: [0, 0], ipSource: NOTHING, port: 0 };
}

function clearEndpoint(endpoint: V2Endpoint): void {
  endpoint.service[1] = endpoint.service[0];
  endpoint.ip[1] = endpoint.ip[0];
  endpoint.port = 0;
}

/**
 * Offsets that are cleared and filled again for each span: an array would give its memory back each time. As integers:
 * loops over doubles as positions take twice as long.
 */
export class Offsets {
  values = new Int32Array(64);
  length = 0;

  clear(): void {
    this.length = 0;
  }

  push(start: number, end: number): void {
    if (this.length === this.values.length) this.#grow();
    this.values[this.length] = start;
    this.values[this.length + 1] = end;
    this.length += 2;
  }

  at(index: number): number {
    return this.values[index] ?? 0;
  }

  #grow(): void {
    const grown = new Int32Array(2 * this.length);
    grown.set(this.values);
    this.values = grown;
  }
}

/** Tags of a span, and annotations: one of two bytes takes 16 in memory. Real spans have tens. */
export const MEMBERS_MAX = 65_536;

/** Read into again and again: one object for a whole batch. */
export class V2Span {
  readonly traceId = new Uint32Array(TRACE_ID_WORDS);
  readonly id = new Uint32Array(SPAN_ID_WORDS);
  /** Zero when absent. */
  readonly parentId = new Uint32Array(SPAN_ID_WORDS);
  readonly name: Range = [0, 0];
  /** OTLP's number; 0 when absent. */
  kind = 0;
  /** Microseconds; 0 when absent. */
  timestamp = 0;
  duration = 0;
  readonly local = emptyEndpoint();
  readonly remote = emptyEndpoint();
  /** Four offsets a tag: key and value. */
  readonly tags = new Offsets();
  /** Two offsets an annotation: its value. */
  readonly annotations = new Offsets();
  /** Microseconds of each annotation. */
  annotationTimes: number[] = [];
  /** Where and why the span is refused (`.traceId: ...`); "" when it is not. */
  refusal = "";

  clear(): void {
    clearWords(this.traceId);
    clearWords(this.id);
    clearWords(this.parentId);
    this.name[1] = this.name[0];
    this.kind = 0;
    this.timestamp = 0;
    this.duration = 0;
    clearEndpoint(this.local);
    clearEndpoint(this.remote);
    this.tags.clear();
    if (this.annotations.length > 0) this.annotationTimes = [];
    this.annotations.clear();
    this.refusal = "";
  }

  addTag(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    if (this.tags.length >= 4 * MEMBERS_MAX) return this.refuse(`.tags: more than ${MEMBERS_MAX}`);
    this.tags.push(keyStart, keyEnd);
    this.tags.push(valueStart, valueEnd);
  }

  addAnnotation(micros: number, value: readonly [number, number]): void {
    if (this.annotationTimes.length >= MEMBERS_MAX)
      return this.refuse(`.annotations: more than ${MEMBERS_MAX}`);
    this.annotations.push(value[0], value[1]);
    this.annotationTimes.push(micros);
  }

  /** Refuses the span; the first reason counts. */
  refuse(why: string): void {
    if (this.refusal === "") this.refusal = why;
  }
}

/** Whether a number is one of microseconds. */
export function isMicros(value: number): boolean {
  return value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}
