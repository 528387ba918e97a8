// Jaeger's Batch in Thrift to OTLP, read in place.
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { BatchBuilder } from "../otlp/batch-builder.ts";
import { Nanos } from "../otlp/nanos.ts";
import { EVENT, FIXED64, LENGTH, LINK, RESOURCE, SPAN, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { isName } from "../util/byte-keys.ts";
import type { ByteSource } from "../util/byte-source.ts";
import type { ThriftProtocol, ThriftReader } from "../util/thrift-reader.ts";
import { T, readThrift } from "../util/thrift-reader.ts";
import { Process } from "./process.ts";
import { SpanStatus } from "./span-status.ts";
import { TAG_TYPE, Tag } from "./tags.ts";

const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const EVENT_ATTRIBUTES_TAG = tagOf(EVENT.attributes, LENGTH);
const REF_TYPE_KEY = "opentracing.ref_type";
const CHILD_OF = 0;
/** References of a span. An empty one has a byte here and 300 in memory; real spans have one or two. */
const REFERENCES_MAX = 10_000;
const EVENT_KEY = new TextEncoder().encode("event");

/** Trace id and span id as words, most significant first, and a SpanRefType. */
interface Reference {
  readonly ids: Uint32Array;
  type: number;
}

// Where ids lie in a span's words: trace id, span id, parent.
const TRACE = 0;
const ID = 4;
const PARENT = 6;

class BatchReader {
  readonly #reader: ThriftReader;
  readonly #source: ByteSource;
  readonly #builder: BatchBuilder;
  readonly #out: WireWriter;
  readonly #process: Process;
  readonly #status: SpanStatus;
  readonly #tag = new Tag();
  readonly #eventTag = new Tag();
  readonly #nanos = new Nanos();
  readonly #ids = new Uint32Array(8);
  readonly #traceId = this.#ids.subarray(TRACE, ID);
  readonly #id = this.#ids.subarray(ID, PARENT);
  readonly #parent = new Uint32Array(2);
  readonly #name: [start: number, end: number] = [0, 0];
  #startLow = 0;
  #startHigh = 0;
  #durationLow = 0;
  #durationHigh = 0;
  #references: Reference[] = [];
  #index = 0;

  constructor(reader: ThriftReader, builder: BatchBuilder) {
    this.#reader = reader;
    this.#source = reader.source;
    this.#builder = builder;
    this.#out = builder.out;
    this.#process = new Process(reader.source);
    this.#status = new SpanStatus(reader.source);
  }

  /** A Batch, or as agents get it, a call of emitBatch whose only argument is one. */
  run(): void {
    const reader = this.#reader;
    if (!reader.messageHead()) this.#batch();
    else {
      const outer = reader.beginStruct();
      while (reader.field() !== T.stop) {
        if (reader.fieldId === 1 && reader.fieldType === T.struct) this.#batch();
        else reader.skip(reader.fieldType);
      }
      reader.endStruct(outer);
    }
    if (reader.pos !== reader.bytes.length) throw reader.malformed("something behind the batch");
  }

  /** Batch: process 1 (Process), spans 2 (list of Span). The process may come behind the spans. */
  #batch(): void {
    const reader = this.#reader;
    const outer = reader.beginStruct();
    const resource = this.#builder.reserveResource();
    const scope = { id: -1 };
    while (reader.field() !== T.stop) {
      if (reader.fieldId === 1 && reader.fieldType === T.struct) this.#process.read(reader);
      else if (reader.fieldId === 2 && reader.fieldType === T.list) {
        const count = reader.list();
        if (count > 0 && reader.elementType !== T.struct) throw reader.malformed("spans that are no structs");
        for (let i = 0; i < count; i++) this.#span(resource, scope);
      } else reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
    this.#builder.fillResource(resource, (out) =>
      this.#process.write(out, tagOf(RESOURCE.attributes, LENGTH)),
    );
  }

  /**
   * Span: traceIdLow 1, traceIdHigh 2, spanId 3, parentSpanId 4 (i64); operationName 5; references 6 (list of SpanRef);
   * flags 7 (i32); startTime 8, duration 9 (i64, microseconds); tags 10 (list of Tag); logs 11 (list of Log).
   */
  #span(resource: number, scope: { id: number }): void {
    const reader = this.#reader;
    this.#builder.begin();
    const ids = this.#ids;
    for (let i = 0; i < ids.length; i++) ids[i] = 0;
    this.#name[0] = this.#name[1] = 0;
    this.#startLow = this.#startHigh = this.#durationLow = this.#durationHigh = 0;
    if (this.#references.length > 0) this.#references = [];
    this.#status.clear();
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      if (reader.fieldType === T.i64) this.#number();
      else if (!this.#field()) reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
    const index = this.#index++;
    if (isZero(this.#traceId)) this.#builder.refuse(index, ".traceIdLow: trace id is missing or zero");
    else if (isZero(this.#id)) this.#builder.refuse(index, ".spanId: missing or zero");
    else {
      this.#finish();
      if (scope.id < 0) scope.id = this.#builder.scopeOf(resource, "", "");
      this.#builder.end(scope.id);
    }
  }

  #number(): void {
    const reader = this.#reader;
    reader.i64();
    const { low, high } = reader;
    switch (reader.fieldId) {
      case 1:
        return this.#setWords(TRACE + 2, high, low);
      case 2:
        return this.#setWords(TRACE, high, low);
      case 3:
        return this.#setWords(ID, high, low);
      case 4:
        return this.#setWords(PARENT, high, low);
      case 8:
        this.#startLow = low;
        this.#startHigh = high;
        return;
      case 9:
        this.#durationLow = low;
        this.#durationHigh = high;
        return;
      default:
    }
  }

  #setWords(at: number, high: number, low: number): void {
    this.#ids[at] = high;
    this.#ids[at + 1] = low;
  }

  /** Reads a field that is no number. Returns false when it is none that is known. */
  #field(): boolean {
    const reader = this.#reader;
    const { fieldId, fieldType } = reader;
    if (fieldId === 5 && fieldType === T.binary) {
      reader.binary();
      this.#name[0] = reader.start;
      this.#name[1] = reader.end;
      return true;
    }
    if (fieldType !== T.list || (fieldId !== 6 && fieldId !== 10 && fieldId !== 11)) return false;
    const count = reader.list();
    const { elementType } = reader;
    for (let i = 0; i < count; i++) {
      if (elementType !== T.struct) reader.skip(elementType);
      else if (fieldId === 10) this.#spanTag();
      else if (fieldId === 11) this.#log();
      else this.#reference();
    }
    return true;
  }

  #spanTag(): void {
    const tag = this.#tag;
    tag.read(this.#reader);
    if (!this.#status.take(tag)) tag.write(this.#out, ATTRIBUTES_TAG, this.#source);
  }

  /** Log: timestamp 1 (i64, microseconds), fields 2 (list of Tag). The string field `event` is the event's name. */
  #log(): void {
    const reader = this.#reader;
    const out = this.#out;
    const body = out.open(tagOf(SPAN.events, LENGTH), 1);
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      if (reader.fieldId === 1 && reader.fieldType === T.i64) {
        reader.i64();
        this.#nanos.setMicros64(reader.low, reader.high);
        out.fixed64(tagOf(EVENT.timeUnixNano, FIXED64), this.#nanos.low, this.#nanos.high);
      } else if (reader.fieldId === 2 && reader.fieldType === T.list) {
        const count = reader.list();
        const { elementType } = reader;
        for (let i = 0; i < count; i++) {
          if (elementType === T.struct) this.#eventField();
          else reader.skip(elementType);
        }
      } else reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
    out.close(body, 1);
  }

  #eventField(): void {
    const tag = this.#eventTag;
    tag.read(this.#reader);
    if (tag.type === TAG_TYPE.string && isName(this.#source.bytes, tag.keyStart, tag.keyEnd, EVENT_KEY)) {
      this.#out.text(tagOf(EVENT.name, LENGTH), this.#source, tag.textStart, tag.textEnd);
    } else tag.write(this.#out, EVENT_ATTRIBUTES_TAG, this.#source);
  }

  /** SpanRef: refType 1 (0 CHILD_OF, 1 FOLLOWS_FROM); traceIdLow 2, traceIdHigh 3, spanId 4 (i64). */
  #reference(): void {
    const reader = this.#reader;
    const reference: Reference = { ids: new Uint32Array(6), type: CHILD_OF };
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      const { fieldId, fieldType } = reader;
      if (fieldId === 1 && fieldType === T.i32) reference.type = reader.i32();
      else if (fieldType === T.i64 && fieldId >= 2 && fieldId <= 4) {
        reader.i64();
        const at = fieldId === 2 ? TRACE + 2 : fieldId === 3 ? TRACE : ID;
        reference.ids[at] = reader.high;
        reference.ids[at + 1] = reader.low;
      } else reader.skip(fieldType);
    }
    reader.endStruct(outer);
    if (this.#references.length === REFERENCES_MAX) {
      throw reader.malformed(`a span with more than ${REFERENCES_MAX} references`);
    }
    this.#references.push(reference);
  }

  /** Writes what is not written as it comes: ids, name, times, kind, status, links. */
  #finish(): void {
    const out = this.#out;
    out.words(tagOf(SPAN.traceId, LENGTH), this.#traceId, 4);
    out.words(tagOf(SPAN.spanId, LENGTH), this.#id, 2);
    this.#findParent();
    if (!isZero(this.#parent)) out.words(tagOf(SPAN.parentSpanId, LENGTH), this.#parent, 2);
    const [start, end] = this.#name;
    if (start !== end) out.text(tagOf(SPAN.name, LENGTH), this.#source, start, end);
    const nanos = this.#nanos;
    nanos.setMicros64(this.#startLow, this.#startHigh);
    out.fixed64(tagOf(SPAN.startTimeUnixNano, FIXED64), nanos.low, nanos.high);
    nanos.addMicros64(this.#durationLow, this.#durationHigh);
    out.fixed64(tagOf(SPAN.endTimeUnixNano, FIXED64), nanos.low, nanos.high);
    this.#status.write(out);
    for (const reference of this.#references) this.#writeLink(reference);
  }

  /** The parent is the one named, else the first CHILD_OF, else the first reference at all within the trace. */
  #findParent(): void {
    const parent = this.#parent;
    parent[0] = this.#ids[PARENT] ?? 0;
    parent[1] = this.#ids[PARENT + 1] ?? 0;
    if (!isZero(parent) || this.#references.length === 0) return;
    const inTrace = this.#references.filter(({ ids }) => isSameTrace(ids, this.#ids));
    const found = inTrace.find(({ type }) => type === CHILD_OF) ?? inTrace[0];
    if (found !== undefined) parent.set(found.ids.subarray(ID));
  }

  /** A reference that is not the parent's. One to the parent that FOLLOWS_FROM is kept: it says how they relate. */
  #writeLink({ ids, type }: Reference): void {
    const [high, low] = this.#parent;
    const isParent = ids[ID] === high && ids[ID + 1] === low && isSameTrace(ids, this.#ids);
    if (isParent && type === CHILD_OF) return;
    const out = this.#out;
    const body = out.open(tagOf(SPAN.links, LENGTH), 1);
    out.words(tagOf(LINK.traceId, LENGTH), ids, 4);
    out.words(tagOf(LINK.spanId, LENGTH), ids.subarray(ID), 2);
    const text = type === CHILD_OF ? "child_of" : "follows_from";
    out.stringAttribute(tagOf(LINK.attributes, LENGTH), REF_TYPE_KEY, text);
    out.close(body, 1);
  }
}

function isZero(words: Uint32Array): boolean {
  let all = 0;
  for (let i = 0; i < words.length; i++) all |= words[i] ?? 0;
  return all === 0;
}

function isSameTrace(a: Uint32Array, b: Uint32Array): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

/**
 * Converts a Jaeger Batch in Thrift. Spans without ids are counted as refused, with the place of the first of them;
 * unknown fields, and known ones of another type, are passed over.
 * @param body neither changed nor retained
 * @param protocol absent: told by the first byte
 * @throws AppError `invalid_argument` when the body is no Thrift, naming the byte; `too_large` when the spans take more
 * than `limits.maxBodyBytes` as OTLP
 */
export function convertBatch(body: Uint8Array, limits: Limits, protocol?: ThriftProtocol): Converted {
  const builder = new BatchBuilder(body.length, limits);
  new BatchReader(readThrift(body, protocol), builder).run();
  return builder.finish();
}
