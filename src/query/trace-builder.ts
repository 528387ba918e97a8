// Puts a trace together from pieces of TracesData: first of the two passes. See README.md.
import type { Limits } from "../model/limits.ts";
import { WireReader } from "../otlp/wire.ts";
import { DropBits, MergedTrace, RESOURCE_SPANS_TAG } from "./merged-trace.ts";
import { newSpanView, RecordLayout, type SpanView } from "./record-layout.ts";
import { FreshIds, KIND_CLIENT, KIND_SERVER, SpanSet } from "./span-set.ts";
import { COMPRESS_BYTES, Spool } from "./spool.ts";

// Records are collected up to this size before they are compressed: 10,000 records of 9 KB would not compress one by
// one, and a part of this size inflates in 0.2 ms. A trace that fits one part is answered at once.
const PART_BYTES = 256 * 1024;

/** What has been counted, so that it can be taken back when the part that it stands for does not fit. */
interface Counts {
  spanCount: number;
  /** Spans in the spool, dropped ones included: the index of the next in `dropped`. */
  spooledSpans: number;
  byteLength: number;
  protobufBytes: number;
}

/**
 * Takes the pieces of one trace in the order of precedence. Of spans with the same id and kind the first is kept; a span
 * whose id has not 8 bytes is like no other. Holds the compressed pieces and about 20 bytes per span.
 */
export class TraceBuilder {
  readonly #limits: Limits;
  readonly #spool: Spool;
  readonly #seen = new SpanSet();
  readonly #dropped = new DropBits();
  readonly #layout = new RecordLayout();
  readonly #view: SpanView = newSpanView();
  // Ids that a SERVER and a CLIENT span share, as pairs of halves in order of discovery.
  #shared = new Uint32Array(64);
  #sharedCount = 0;
  #counts: Counts = { spanCount: 0, spooledSpans: 0, byteLength: 0, protobufBytes: 0 };
  #countsAtPart: Counts = { ...this.#counts };
  readonly #part = new Uint8Array(PART_BYTES);
  #partLength = 0;
  #exceededBytes: number | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#spool = new Spool(limits.maxTraceSpoolBytes);
  }

  /** Spans kept so far. */
  get spanCount(): number {
    return this.#counts.spanCount;
  }

  /**
   * Takes in the ResourceSpans of a TracesData message; `piece` is not kept. Records before a malformed one are kept.
   * @returns false when a limit is reached: nothing more is taken
   * @throws AppError `invalid_argument` when the piece is malformed
   */
  add(piece: Uint8Array): boolean {
    const reader = new WireReader(piece);
    while (reader.pos < piece.length && this.#exceededBytes === undefined) {
      const field = reader.pos;
      const tag = reader.tag(piece.length);
      if (tag !== RESOURCE_SPANS_TAG) {
        reader.skip(tag, piece.length);
        continue;
      }
      const end = reader.length(piece.length) + reader.pos;
      this.#layout.scan(piece, field, reader.pos, end);
      reader.pos = end;
      this.#record(piece.subarray(field, end));
    }
    return this.#exceededBytes === undefined;
  }

  /** Ends the first pass; the builder is of no use afterwards. */
  finish(): MergedTrace {
    const isSmall = this.#spool.isEmpty;
    // A small trace is written at once: nothing is gained by compressing it in between.
    this.#flushPart(isSmall ? "raw" : "zstd");
    const { spanCount, byteLength, protobufBytes } = this.#counts;
    return new MergedTrace({
      spool: this.#spool,
      dropped: this.#dropped,
      fresh: this.#freshIds(),
      spanCount,
      byteLength,
      protobufBytes,
      exceededBytes: this.#exceededBytes,
      isSmall,
    });
  }

  /** Decides about the spans of the record in the layout, and spools it when one of them is kept. */
  #record(record: Uint8Array): void {
    const duplicateBytes = this.#dropDuplicates();
    if (duplicateBytes < 0) return;
    const byteLength = this.#trim(record.length - duplicateBytes);
    if (byteLength < 0) return;
    const protobufBytes = this.#layout.measure();
    if (!this.#spoolRecord(record)) return;
    const counts = this.#counts;
    for (let i = 0; i < this.#layout.spanCount; i++) {
      const dropped = this.#layout.isDropped(i);
      this.#dropped.set(counts.spooledSpans++, dropped);
      if (!dropped) counts.spanCount++;
    }
    counts.byteLength += byteLength;
    counts.protobufBytes += protobufBytes;
  }

  /** Returns the bytes of the spans that were seen before, -1 when all were. */
  #dropDuplicates(): number {
    const layout = this.#layout;
    const span = this.#view;
    let kept = 0;
    let bytes = 0;
    for (let i = 0; i < layout.spanCount; i++) {
      layout.span(i, span);
      if (!span.hasId || this.#seen.add(span.high, span.low, span.kind)) {
        kept++;
        if (span.hasId) this.#noteShared(span);
      } else {
        layout.drop(i);
        bytes += span.end - span.field;
      }
    }
    return kept === 0 ? -1 : bytes;
  }

  #noteShared({ high, low, kind }: SpanView): void {
    if (kind !== KIND_CLIENT && kind !== KIND_SERVER) return;
    if (!this.#seen.has(high, low, kind === KIND_CLIENT ? KIND_SERVER : KIND_CLIENT)) return;
    if (this.#sharedCount + 2 > this.#shared.length) {
      const grown = new Uint32Array(2 * this.#shared.length);
      grown.set(this.#shared);
      this.#shared = grown;
    }
    this.#shared[this.#sharedCount++] = high;
    this.#shared[this.#sharedCount++] = low;
  }

  /**
   * Drops the spans from the first that does not fit the limit of a trace. Returns the record's bytes that are left,
   * -1 when no span is.
   */
  #trim(recordBytes: number): number {
    const room = this.#limits.maxTraceBytes - this.#counts.byteLength;
    if (recordBytes <= room) return recordBytes;
    this.#exceededBytes = this.#limits.maxTraceBytes;
    const layout = this.#layout;
    const span = this.#view;
    let spanBytes = 0;
    for (let i = 0; i < layout.spanCount; i++) {
      if (!layout.isDropped(i)) spanBytes += layout.span(i, span).end - span.field;
    }
    let left = recordBytes - spanBytes;
    let cut = false;
    let kept = 0;
    for (let i = 0; i < layout.spanCount; i++) {
      if (layout.isDropped(i)) continue;
      const bytes = layout.span(i, span).end - span.field;
      cut ||= left + bytes > room;
      if (cut) layout.drop(i);
      else {
        left += bytes;
        kept++;
      }
    }
    return kept === 0 ? -1 : left;
  }

  /** False when the spool has no room for it, or had none for what came before. */
  #spoolRecord(record: Uint8Array): boolean {
    if (this.#partLength + record.length > PART_BYTES && !this.#flushPart()) return false;
    if (record.length > PART_BYTES) {
      // A flushed part precedes it, so nothing has to be taken back but the record itself.
      if (this.#spool.push(record, "zstd")) return true;
      this.#exceededBytes = this.#limits.maxTraceSpoolBytes;
      return false;
    }
    if (this.#partLength === 0) this.#countsAtPart = { ...this.#counts };
    this.#part.set(record, this.#partLength);
    this.#partLength += record.length;
    return true;
  }

  #flushPart(codec: "raw" | "zstd" = "zstd"): boolean {
    if (this.#partLength === 0) return true;
    const part = this.#part.subarray(0, this.#partLength);
    this.#partLength = 0;
    if (this.#spool.push(part, part.length < COMPRESS_BYTES ? "raw" : codec)) return true;
    this.#counts = this.#countsAtPart;
    this.#exceededBytes = this.#limits.maxTraceSpoolBytes;
    return false;
  }

  /** Gives each shared id the next number that is no span's id. */
  #freshIds(): FreshIds | undefined {
    if (this.#sharedCount === 0) return undefined;
    const fresh = new FreshIds(this.#sharedCount / 2);
    let next = 1;
    for (let i = 0; i < this.#sharedCount; i += 2) {
      while (this.#seen.hasId(0, next)) next++;
      fresh.set(this.#shared[i] ?? 0, this.#shared[i + 1] ?? 0, next++);
    }
    return fresh;
  }
}
