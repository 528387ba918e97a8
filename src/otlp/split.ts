// A batch into one batch a shard, without decoding it: ranges are copied, only the lengths around them are written anew.
import type { Limits } from "../model/limits.ts";
import { assert } from "../util/assert.ts";
import { concatBytes } from "../util/bytes.ts";
import { shardOfHash, traceHash } from "../util/hash.ts";
import { hasGoodIds } from "./rewrite.ts";
import { readSpanIds, type SpanIds, visitSpans } from "./spans.ts";
import { type TraceSizes, TraceTally } from "./trace-tally.ts";
import type { BatchSummary } from "./walk.ts";
import { LENGTH, RESOURCE_SPANS, SCOPE_SPANS, TRACES_DATA, WireReader, tagOf } from "./wire.ts";
import { varintLength } from "./wire-writer.ts";

/** What one shard gets of a batch. */
export interface ShardPart extends Pick<BatchSummary, "spanCount" | "minStartNs" | "maxEndNs">, TraceSizes {
  readonly shard: number;
  /** Bytes of what `write` makes. */
  readonly byteLength: number;
  /** The part as TracesData, written anew by each call into a buffer of its own. The batch must not have changed. */
  readonly write: () => Uint8Array<ArrayBuffer>;
}

const RECORD_TAG = tagOf(TRACES_DATA.resourceSpans, LENGTH);
const SCOPE_TAG = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
const SPAN_TAG = tagOf(SCOPE_SPANS.spans, LENGTH);

/** Slots (a power of 2) for trace ids whose hash is known: a batch has several spans of a trace. */
const RECENT_IDS = 256;
const FIRST_NUMBERS = 32;

/** The batch around the spans: messages without their children, that is all other fields in their order. */
interface Frame {
  /** Of TracesData. */
  readonly top: Uint8Array;
  /** Of each ResourceSpans. */
  readonly records: Uint8Array[];
  /** Of each ScopeSpans. */
  readonly scopes: Uint8Array[];
  /** By ScopeSpans: the index of its ResourceSpans. */
  readonly recordOf: number[];
}

/** Bytes of a length-delimited field with a tag of one byte. */
function fieldLength(bodyLength: number): number {
  return 1 + varintLength(bodyLength) + bodyLength;
}

function doubled(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(2 * numbers.length);
  grown.set(numbers);
  return grown;
}

/** The spans of one shard: what is known of them, and the messages they are to be written in. */
class Part {
  readonly shard: number;
  readonly traces = new TraceTally();
  readonly #bytes: Uint8Array;
  readonly #frame: Frame;
  /** By span, three numbers: start, end, index of its ScopeSpans. */
  #spans = new Int32Array(FIRST_NUMBERS);
  #used = 0;
  // Times as unsigned halves: a bigint per span would cost as much as the rest.
  #minHigh = 0xffffffff;
  #minLow = 0xffffffff;
  #maxHigh = 0;
  #maxLow = 0;
  /** Lengths of the ResourceSpans, and of the ScopeSpans, that are written, in their order. */
  readonly #recordLengths: number[] = [];
  readonly #scopeLengths: number[] = [];

  constructor(shard: number, bytes: Uint8Array, frame: Frame) {
    this.shard = shard;
    this.#bytes = bytes;
    this.#frame = frame;
  }

  add(start: number, end: number, scope: number): void {
    if (this.#used + 3 > this.#spans.length) this.#spans = doubled(this.#spans);
    this.#spans[this.#used++] = start;
    this.#spans[this.#used++] = end;
    this.#spans[this.#used++] = scope;
  }

  addTimes(view: DataView, { startTimeAt, endTimeAt }: SpanIds): void {
    const startLow = startTimeAt < 0 ? 0 : view.getUint32(startTimeAt, true);
    const startHigh = startTimeAt < 0 ? 0 : view.getUint32(startTimeAt + 4, true);
    if (startHigh < this.#minHigh || (startHigh === this.#minHigh && startLow < this.#minLow)) {
      this.#minHigh = startHigh;
      this.#minLow = startLow;
    }
    const endLow = endTimeAt < 0 ? 0 : view.getUint32(endTimeAt, true);
    const endHigh = endTimeAt < 0 ? 0 : view.getUint32(endTimeAt + 4, true);
    if (endHigh > this.#maxHigh || (endHigh === this.#maxHigh && endLow > this.#maxLow)) {
      this.#maxHigh = endHigh;
      this.#maxLow = endLow;
    }
  }

  /** Measures what `#write` will write, message by message. */
  finish(): ShardPart {
    const byteLength = this.#measure();
    return {
      shard: this.shard,
      spanCount: this.#used / 3,
      minStartNs: (BigInt(this.#minHigh) << 32n) | BigInt(this.#minLow),
      maxEndNs: (BigInt(this.#maxHigh) << 32n) | BigInt(this.#maxLow),
      ...this.traces.finish(),
      byteLength,
      write: () => this.#write(byteLength),
    };
  }

  #measure(): number {
    const { top, records, recordOf } = this.#frame;
    let byteLength = top.length;
    for (let at = 0; at < this.#used;) {
      const record = recordOf[this.#scopeAt(at)] ?? 0;
      let recordLength = records[record]?.length ?? 0;
      while (at < this.#used && recordOf[this.#scopeAt(at)] === record) {
        const end = this.#measureScope(at);
        recordLength += fieldLength(this.#scopeLengths.at(-1) ?? 0);
        at = end;
      }
      this.#recordLengths.push(recordLength);
      byteLength += fieldLength(recordLength);
    }
    return byteLength;
  }

  /** Adds the length of the ScopeSpans whose spans begin at `first`. Returns where they end. */
  #measureScope(first: number): number {
    const scope = this.#scopeAt(first);
    let byteLength = this.#frame.scopes[scope]?.length ?? 0;
    let at = first;
    for (; at < this.#used && this.#scopeAt(at) === scope; at += 3) {
      byteLength += fieldLength((this.#spans[at + 1] ?? 0) - (this.#spans[at] ?? 0));
    }
    this.#scopeLengths.push(byteLength);
    return at;
  }

  #scopeAt(at: number): number {
    return this.#spans[at + 2] ?? 0;
  }

  #write(byteLength: number): Uint8Array<ArrayBuffer> {
    const { top, records, scopes, recordOf } = this.#frame;
    const out = new PartWriter(byteLength);
    out.copy(top);
    let record = -1;
    let scope = -1;
    let recordsOpened = 0;
    let scopesOpened = 0;
    for (let at = 0; at < this.#used; at += 3) {
      const start = this.#spans[at] ?? 0;
      const end = this.#spans[at + 1] ?? 0;
      if (this.#spans[at + 2] !== scope) {
        scope = this.#spans[at + 2] ?? 0;
        if (recordOf[scope] !== record) {
          record = recordOf[scope] ?? 0;
          out.head(RECORD_TAG, this.#recordLengths[recordsOpened++] ?? 0);
          out.copy(records[record]);
        }
        out.head(SCOPE_TAG, this.#scopeLengths[scopesOpened++] ?? 0);
        out.copy(scopes[scope]);
      }
      out.head(SPAN_TAG, end - start);
      out.copy(this.#bytes.subarray(start, end));
    }
    return out.finish();
  }
}

/** Fills a buffer of a length that was measured. */
class PartWriter {
  readonly #out: Uint8Array<ArrayBuffer>;
  #pos = 0;

  constructor(byteLength: number) {
    this.#out = new Uint8Array(byteLength);
  }

  head(tag: number, length: number): void {
    this.#out[this.#pos++] = tag;
    let rest = length;
    for (; rest > 127; rest >>>= 7) this.#out[this.#pos++] = (rest & 127) | 128;
    this.#out[this.#pos++] = rest;
  }

  copy(bytes: Uint8Array | undefined): void {
    if (bytes === undefined || bytes.length === 0) return;
    this.#out.set(bytes, this.#pos);
    this.#pos += bytes.length;
  }

  finish(): Uint8Array<ArrayBuffer> {
    assert(this.#pos === this.#out.length, "a part has the length that was measured");
    return this.#out;
  }
}

/** All fields of TracesData but the ResourceSpans: unknown ones, which nearly no batch has. */
function topFields(bytes: Uint8Array): Uint8Array {
  const reader = new WireReader(bytes);
  const found: Uint8Array[] = [];
  while (reader.pos < bytes.length) {
    const at = reader.pos;
    const tag = reader.tag(bytes.length);
    reader.skip(tag, bytes.length);
    if (tag !== RECORD_TAG) found.push(bytes.subarray(at, reader.pos));
  }
  return concatBytes(found);
}

function sameId(view: DataView, a: number, b: number): boolean {
  for (let i = 12; i >= 0; i -= 4) if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
  return true;
}

/** Hands the spans of one batch to the parts. */
class Splitter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #frame: Frame;
  readonly #parts: (Part | undefined)[];
  readonly #limits: Limits;
  // By slot: where the last trace id lies (0 is none), its shard, and its index in the tally of the shard's part.
  readonly #recentIds = new Int32Array(RECENT_IDS);
  readonly #recentShards = new Uint8Array(RECENT_IDS);
  readonly #recentTraces = new Int32Array(RECENT_IDS);

  constructor(bytes: Uint8Array, count: number, limits: Limits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#frame = { top: topFields(bytes), records: [], scopes: [], recordOf: [] };
    this.#parts = Array.from({ length: count });
    this.#limits = limits;
  }

  run(): ShardPart[] {
    const { records, scopes, recordOf } = this.#frame;
    visitSpans(this.#bytes, {
      resourceSpans: ({ fields }) => records.push(fields) > 0,
      scopeSpans: ({ fields }) => scopes.push(fields) > 0 && recordOf.push(records.length - 1) > 0,
      span: (start, end) => this.#span(start, end),
    });
    return this.#parts.flatMap((part) => (part === undefined ? [] : [part.finish()]));
  }

  #span(start: number, end: number): void {
    if (end - start > this.#limits.maxSpanBytes) return;
    const ids = readSpanIds(this.#bytes, start, end);
    if (!hasGoodIds(this.#bytes, ids)) return;
    const part = this.#partOf(ids.traceIdAt, end - start);
    part.add(start, end, this.#frame.scopes.length - 1);
    part.addTimes(this.#view, ids);
  }

  /** The part that the trace belongs to, in which the span is counted. */
  #partOf(traceIdAt: number, byteLength: number): Part {
    const slot = this.#view.getInt32(traceIdAt + 12) & (RECENT_IDS - 1);
    const recent = this.#recentIds[slot] ?? 0;
    if (recent > 0 && sameId(this.#view, recent, traceIdAt)) {
      const known = this.#part(this.#recentShards[slot] ?? 0);
      known.traces.again(this.#recentTraces[slot] ?? 0, byteLength);
      return known;
    }
    const hash = traceHash(this.#bytes, traceIdAt);
    const shard = shardOfHash(hash, this.#parts.length);
    const part = this.#part(shard);
    this.#recentIds[slot] = traceIdAt;
    this.#recentShards[slot] = shard;
    this.#recentTraces[slot] = part.traces.add(hash, byteLength);
    return part;
  }

  #part(shard: number): Part {
    return (this.#parts[shard] ??= new Part(shard, this.#bytes, this.#frame));
  }
}

/**
 * Splits a batch by the shard of each span's trace. A part has the spans of its shard in their order, each byte for byte
 * within its resource and scope; of these messages all other fields come first, unknown ones included. Spans that
 * `walkBatch` counts as rejected are left out, as are groups without a span. The fields of a group are in every part that
 * has a span of it: the sum of the parts may exceed the batch, no part does.
 * @param bytes a batch that `walkBatch` accepts
 * @param count shards, a power of 2 up to 64
 * @returns parts with a span, by shard ascending; nothing is written yet, so that their lengths can be judged first
 */
export function splitByShard(bytes: Uint8Array, count: number, limits: Limits): ShardPart[] {
  return new Splitter(bytes, count, limits).run();
}
