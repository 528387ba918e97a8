// How a batch's spans and bytes are shared among services: the messages around the spans are read, the spans passed over.
import {
  ANY_VALUE,
  KEY_VALUE,
  LENGTH,
  RESOURCE,
  RESOURCE_SPANS,
  SCOPE_SPANS,
  TRACES_DATA,
  WireReader,
  tagOf,
} from "./wire.ts";

export interface ServiceShare {
  readonly name: string;
  readonly spans: number;
  /** Inflated bytes, resource and scopes included. */
  readonly bytes: number;
}

/** Services of a batch that are told apart; the rest is one, `other`. */
const SERVICES_MAX = 50;
const OTHER = "other";
/** Of spans without a service.name, as OpenTelemetry calls them. */
const UNKNOWN = "unknown_service";
/** Bytes of a name that are read. */
const NAME_BYTES = 200;

const RECORD_TAG = tagOf(TRACES_DATA.resourceSpans, LENGTH);
const RESOURCE_TAG = tagOf(RESOURCE_SPANS.resource, LENGTH);
const SCOPE_SPANS_TAG = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
const SPAN_TAG = tagOf(SCOPE_SPANS.spans, LENGTH);
const ATTRIBUTE_TAG = tagOf(RESOURCE.attributes, LENGTH);
const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const STRING_TAG = tagOf(ANY_VALUE.stringValue, LENGTH);
const KEY = new TextEncoder().encode("service.name");

/**
 * The services of a batch, each once, in the order of their first spans. A batch without spans has none.
 * @param bytes TracesData that `walkBatch` accepts
 */
export function servicesOf(bytes: Uint8Array): ServiceShare[] {
  const shares = new Map<string, { spans: number; bytes: number }>();
  const scan = new Scan(bytes);
  for (const [start, end] of scan.fields(0, bytes.length, RECORD_TAG)) {
    const { spans, name } = scan.record(start, end);
    if (spans === 0) continue;
    const isKnown = shares.has(name) || shares.size < SERVICES_MAX - 1;
    const key = isKnown ? name : OTHER;
    const share = shares.get(key) ?? { spans: 0, bytes: 0 };
    share.spans += spans;
    share.bytes += end - start;
    shares.set(key, share);
  }
  return [...shares].map(([name, { spans, bytes: length }]) => ({ name, spans, bytes: length }));
}

class Scan {
  readonly #bytes: Uint8Array;
  readonly #reader: WireReader;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#reader = new WireReader(bytes);
  }

  record(start: number, end: number): { readonly spans: number; readonly name: string } {
    const reader = this.#reader;
    let spans = 0;
    let name: string | undefined;
    reader.pos = start;
    while (reader.pos < end) {
      const tag = reader.tag(end);
      if (tag !== RESOURCE_TAG && tag !== SCOPE_SPANS_TAG) {
        reader.skip(tag, end);
        continue;
      }
      const length = reader.length(end);
      const after = reader.pos + length;
      if (tag === SCOPE_SPANS_TAG) spans += this.#spans(after);
      // Repeated messages are one: the last name counts.
      else name = this.#name(reader.pos, after) ?? name;
      reader.pos = after;
    }
    return { spans, name: name ?? UNKNOWN };
  }

  /** Bodies of the fields with this tag in the message [start, end). */
  *fields(start: number, end: number, wanted: number): Generator<readonly [number, number]> {
    const reader = this.#reader;
    for (let pos = start; pos < end;) {
      reader.pos = pos;
      const tag = reader.tag(end);
      if (tag !== wanted) {
        reader.skip(tag, end);
        pos = reader.pos;
        continue;
      }
      const length = reader.length(end);
      const body = reader.pos;
      pos = body + length;
      yield [body, pos];
    }
  }

  /** Spans of the ScopeSpans from the reader's place to `end`. */
  #spans(end: number): number {
    const reader = this.#reader;
    const bytes = this.#bytes;
    let spans = 0;
    let pos = reader.pos;
    while (pos < end) {
      // Nearly all fields are spans of 128 to 16,383 bytes.
      const low = bytes[pos + 1] ?? 0;
      const high = bytes[pos + 2] ?? 128;
      if (bytes[pos] === SPAN_TAG && low > 127 && high < 128) {
        spans++;
        pos += 3 + (low & 127) + (high << 7);
        continue;
      }
      reader.pos = pos;
      const tag = reader.tag(end);
      if (tag === SPAN_TAG) spans++;
      reader.skip(tag, end);
      pos = reader.pos;
    }
    return spans;
  }

  /** The service.name of the Resource [start, end); undefined when it has none that is a text. */
  #name(start: number, end: number): string | undefined {
    const reader = this.#reader;
    let name: string | undefined;
    reader.pos = start;
    while (reader.pos < end) {
      const tag = reader.tag(end);
      if (tag !== ATTRIBUTE_TAG) {
        reader.skip(tag, end);
        continue;
      }
      const length = reader.length(end);
      const from = reader.pos;
      const to = from + length;
      if (this.#mayBeName(from)) name = this.#text(from, to) ?? name;
      reader.pos = to;
    }
    return name;
  }

  /** False for an attribute that begins with a key of another length: nearly all are told by that. */
  #mayBeName(start: number): boolean {
    return this.#bytes[start] !== KEY_TAG || this.#bytes[start + 1] === KEY.length;
  }

  /** The text of the attribute [start, end) if it is the service's name. */
  #text(start: number, end: number): string | undefined {
    const key = this.#last(start, end, KEY_TAG);
    if (key === undefined || !this.#isKey(key[0], key[1])) return undefined;
    const value = this.#last(start, end, VALUE_TAG);
    const text = value === undefined ? undefined : this.#last(value[0], value[1], STRING_TAG);
    if (text === undefined) return undefined;
    const [at, textEnd] = text;
    return new TextDecoder().decode(this.#bytes.subarray(at, Math.min(textEnd, at + NAME_BYTES)));
  }

  #last(start: number, end: number, tag: number): readonly [number, number] | undefined {
    let last: readonly [number, number] | undefined;
    for (const field of this.fields(start, end, tag)) last = field;
    return last;
  }

  #isKey(start: number, end: number): boolean {
    return end - start === KEY.length && KEY.every((byte, i) => this.#bytes[start + i] === byte);
  }
}
