// Zipkin v2 spans to OTLP.
import type { Limits } from "../model/limits.ts";
import { boolAttribute, intAttribute } from "../otlp/attributes.ts";
import type { BatchBuilder } from "../otlp/batch-builder.ts";
import { Nanos } from "../otlp/nanos.ts";
import { EVENT, FIXED64, LENGTH, SPAN, STATUS, VARINT, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { ByteSource } from "../util/byte-source.ts";
import { Flattened } from "./flattened.ts";
import { isSame, isZero } from "./hex-ids.ts";
import { ResourceFinder } from "./resource-finder.ts";
import { RULE, TagRules, statusCodeOf } from "./tag-rules.ts";
import type { Offsets, Range, V2Endpoint, V2Span } from "./v2-span.ts";
import { SPAN_ID_WORDS, TRACE_ID_WORDS } from "./v2-span.ts";

const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const LINKS_TAG = tagOf(SPAN.links, LENGTH);
const EVENTS_TAG = tagOf(SPAN.events, LENGTH);

export const START_ABSENT_KEY = "otel.zipkin.absentField.startTime";
const STATUS_ERROR = 2;
const KIND_INTERNAL = 1;
const BAR = 0x7c;
const SEEN_SLOTS = 256;

const encoder = new TextEncoder();
const LOCAL_IP = new ByteSource(encoder.encode("net.host.ip"));
const REMOTE_IP = new ByteSource(encoder.encode("net.peer.ip"));
const REMOTE_SERVICE = new ByteSource(encoder.encode("peer.service"));
const STATUS_DESCRIPTION = new ByteSource(encoder.encode("otel.status_description"));

/** Whether the tags at `a` and `b` of `offsets` have the same key. */
function isSameKey(source: ByteSource, offsets: Int32Array, a: number, b: number): boolean {
  const start = offsets[a] ?? 0;
  const length = (offsets[a + 1] ?? 0) - start;
  const other = offsets[b] ?? 0;
  return (offsets[b + 1] ?? 0) - other === length && source.isSame(start, other, length);
}

/**
 * Writes the spans of one body to a builder.
 *
 * | Zipkin                | OTLP                                                                          |
 * | --------------------- | ----------------------------------------------------------------------------- |
 * | traceId, id, parentId | ids, padded on the left; a parent that is zero or `id`: none                  |
 * | name                  | name                                                                          |
 * | timestamp, duration   | start and end; no timestamp: 0 and an attribute that says so                  |
 * | kind                  | kind; none and tag span.kind=internal: INTERNAL                               |
 * | localEndpoint         | service.name of the resource; net.host.ip, net.host.port                      |
 * | remoteEndpoint        | peer.service, net.peer.ip, net.peer.port                                      |
 * | tags                  | attributes, or what tag-rules.ts says                                         |
 * | annotations           | events                                                                        |
 * | shared, debug         | nothing; shared ids are taken apart when a trace is read                      |
 */
export class V2Writer {
  readonly #builder: BatchBuilder;
  readonly #out: WireWriter;
  readonly #source: ByteSource;
  readonly #rules: TagRules;
  readonly #resources: ResourceFinder;
  readonly #flattened: Flattened;
  readonly #nanos = new Nanos();
  // What the tags of the span at hand say beside its attributes.
  #kind = 0;
  #statusCode: number | undefined;
  readonly #statusDescription: Range = [0, 0];
  #isError = false;
  readonly #links: { readonly number: number; readonly offsets: Int32Array }[] = [];
  /** Where in `tags` a key with this hash came last, plus `#seenBase`: finds keys that come twice. */
  readonly #seen = new Int32Array(SEEN_SLOTS);
  #seenBase = 1;

  /** @param source what the ranges of the spans refer to */
  constructor(builder: BatchBuilder, source: ByteSource, limits: Limits) {
    this.#builder = builder;
    this.#out = builder.out;
    this.#source = source;
    this.#rules = new TagRules(source);
    this.#resources = new ResourceFinder(builder, source);
    this.#flattened = new Flattened(builder.out, limits.maxValueDepth);
  }

  /** Writes a span, or counts it as refused. `index` is its place in the batch. */
  write(span: V2Span, index: number): void {
    if (span.refusal !== "") {
      this.#builder.refuseUnbegun(index, span.refusal);
      return;
    }
    this.#builder.begin();
    this.#identity(span);
    // The service comes before tags: a span without one has no resource to put tags into.
    this.#resources.begin(span.local.service);
    this.#endpoints(span);
    this.#tags(span);
    this.#annotations(span);
    this.#finish();
    this.#builder.end(this.#resources.scope());
  }

  #identity(span: V2Span): void {
    const out = this.#out;
    out.words(tagOf(SPAN.traceId, LENGTH), span.traceId, TRACE_ID_WORDS);
    out.words(tagOf(SPAN.spanId, LENGTH), span.id, SPAN_ID_WORDS);
    if (!isZero(span.parentId) && !isSame(span.parentId, span.id)) {
      out.words(tagOf(SPAN.parentSpanId, LENGTH), span.parentId, SPAN_ID_WORDS);
    }
    const [start, end] = span.name;
    if (start !== end) out.text(tagOf(SPAN.name, LENGTH), this.#source, start, end);
    const nanos = this.#nanos;
    nanos.setMicros(span.timestamp);
    out.fixed64(tagOf(SPAN.startTimeUnixNano, FIXED64), nanos.low, nanos.high);
    nanos.addMicros(span.duration);
    out.fixed64(tagOf(SPAN.endTimeUnixNano, FIXED64), nanos.low, nanos.high);
    if (span.timestamp === 0) boolAttribute(out, ATTRIBUTES_TAG, START_ABSENT_KEY, true);
  }

  #endpoints({ local, remote }: V2Span): void {
    this.#address(local, LOCAL_IP, "net.host.port");
    const [start, end] = remote.service;
    if (start !== end) {
      this.#out.namedAttribute(ATTRIBUTES_TAG, REMOTE_SERVICE, this.#source, remote.service);
    }
    this.#address(remote, REMOTE_IP, "net.peer.port");
  }

  #address({ ip, ipSource, port }: V2Endpoint, ipKey: ByteSource, portKey: string): void {
    if (ip[0] !== ip[1]) this.#out.namedAttribute(ATTRIBUTES_TAG, ipKey, ipSource, ip);
    if (port > 0) intAttribute(this.#out, ATTRIBUTES_TAG, portKey, port);
  }

  /** Short ASCII, as these are, comes faster from its codes than from a decoder (80 ns a call). */
  #text(start: number, end: number): string {
    const { bytes } = this.#source;
    if (end - start > 24) return this.#source.text(start, end);
    let text = "";
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0;
      if (byte > 127) return this.#source.text(start, end);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #tags({ kind, tags }: V2Span): void {
    this.#kind = kind;
    this.#statusCode = undefined;
    this.#statusDescription[1] = this.#statusDescription[0];
    this.#isError = false;
    this.#links.length = 0;
    this.#dropRepeated(tags);
    const source = this.#source;
    const out = this.#out;
    const { values, length } = tags;
    for (let i = 0; i < length; i += 4) {
      const start = values[i] ?? 0;
      if (start < 0) continue;
      const rule = this.#rules.of(start, values[i + 1] ?? 0);
      const isTaken =
        rule !== RULE.attribute &&
        (rule === RULE.resource ? this.#resources.takeTag(values, i) : this.#ruled(rule, values, i));
      if (!isTaken) out.textAttribute(ATTRIBUTES_TAG, source, values, i);
    }
  }

  /** Marks tags whose key comes again. One comparison a tag: a third key of the same hash between hides one. */
  #dropRepeated({ values, length }: Offsets): void {
    const source = this.#source;
    const { bytes } = source;
    const seen = this.#seen;
    const base = this.#seenBase;
    for (let i = 0; i < length; i += 4) {
      const start = values[i] ?? 0;
      const end = values[i + 1] ?? 0;
      const middle = bytes[(start + end) >>> 1] ?? 0;
      const last = bytes[end - 1] ?? 0;
      const slot = ((end - start) * 37 + middle * 11 + last * 3) & (SEEN_SLOTS - 1);
      const earlier = (seen[slot] ?? 0) - base;
      if (earlier >= 0 && isSameKey(source, values, earlier, i)) values[earlier] = -1;
      seen[slot] = base + i;
    }
    this.#seenBase = base + length;
  }

  /** Takes a tag that has a place of its own. Returns false when it stays an attribute all the same. */
  #ruled(rule: number, offsets: Int32Array, at: number): boolean {
    const key: Range = [offsets[at] ?? 0, offsets[at + 1] ?? 0];
    const value: Range = [offsets[at + 2] ?? 0, offsets[at + 3] ?? 0];
    switch (rule) {
      case RULE.traceState:
        this.#out.text(tagOf(SPAN.traceState, LENGTH), this.#source, value[0], value[1]);
        return true;
      case RULE.statusCode:
        this.#statusCode = statusCodeOf(this.#text(value[0], value[1]));
        return this.#statusCode !== undefined;
      case RULE.statusDescription:
        [this.#statusDescription[0], this.#statusDescription[1]] = value;
        return true;
      case RULE.error:
        this.#isError = true;
        return this.#text(value[0], value[1]) === "true";
      case RULE.spanKind:
        if (this.#kind !== 0 || this.#text(value[0], value[1]) !== "internal") return false;
        this.#kind = KIND_INTERNAL;
        return true;
      case RULE.link: {
        const number = Number(this.#text(key[0], key[1]).slice("otlp.link.".length));
        this.#links.push({ number, offsets: Int32Array.of(...key, ...value) });
        return true;
      }
      default:
        return this.#resources.take(rule, value);
    }
  }

  #annotations({ annotations, annotationTimes }: V2Span): void {
    const out = this.#out;
    for (const [i, micros] of annotationTimes.entries()) {
      const start = annotations.at(2 * i);
      const end = annotations.at(2 * i + 1);
      const body = out.open(EVENTS_TAG, 1);
      this.#nanos.setMicros(micros);
      out.fixed64(tagOf(EVENT.timeUnixNano, FIXED64), this.#nanos.low, this.#nanos.high);
      const hasBar = this.#source.bytes.subarray(start, end).includes(BAR);
      if (hasBar) this.#flattened.event(this.#text(start, end));
      else if (start !== end) out.text(tagOf(EVENT.name, LENGTH), this.#source, start, end);
      out.close(body, 1);
    }
  }

  /** Writes what only all of the tags together say. */
  #finish(): void {
    const out = this.#out;
    if (this.#kind > 0) out.varint64(tagOf(SPAN.kind, VARINT), this.#kind, 0);
    if (this.#links.length > 0) this.#writeLinks();
    const [start, end] = this.#statusDescription;
    if (start !== end && this.#statusCode === undefined) {
      // Without a code the description is nobody's.
      out.namedAttribute(ATTRIBUTES_TAG, STATUS_DESCRIPTION, this.#source, this.#statusDescription);
    }
    const hasMessage = start !== end && this.#statusCode !== undefined;
    const code = this.#isError ? STATUS_ERROR : (this.#statusCode ?? 0);
    if (code === 0 && !hasMessage) return;
    const body = out.open(tagOf(SPAN.status, LENGTH), 1);
    if (hasMessage) out.text(tagOf(STATUS.message, LENGTH), this.#source, start, end);
    if (code > 0) out.varint64(tagOf(STATUS.code, VARINT), code, 0);
    out.close(body, 1);
  }

  /** In order of their numbers: exporters sort keys as text, which puts 10 before 2. */
  #writeLinks(): void {
    this.#links.sort((a, b) => a.number - b.number);
    for (const { offsets } of this.#links) {
      const text = this.#source.text(offsets[2] ?? 0, offsets[3] ?? 0);
      if (!this.#flattened.link(LINKS_TAG, text)) {
        this.#out.textAttribute(ATTRIBUTES_TAG, this.#source, offsets, 0);
      }
    }
  }
}
