// Which frames of an epoch may hold a trace: a hash table over typed arrays, since single-span batches make
// 70,000 frames of a 32 MB epoch and objects for each would cost more than the spans.
import type { Codec } from "../util/codec.ts";
import type { FrameHead } from "./frame.ts";

/** A frame and where its body begins. */
export interface FrameRef {
  readonly row: number;
  readonly offset: number;
  readonly codec: Codec;
  readonly rawLength: number;
  readonly bodyLength: number;
  readonly bodyCrc: number;
}

const CODECS: readonly Codec[] = ["raw", "gzip", "zstd", "deflate"];
const FRAME_FIELDS = 6;
const TRACE_FIELDS = 4;
const HASH = 0;
const NEWEST = 1;
const BYTES = 2;
const SPANS = 3;
const NONE = 0xffffffff;

function grown(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  if (length <= array.length) return array;
  const larger = new Uint32Array(Math.max(2 * array.length, length));
  larger.set(array);
  return larger;
}

/** Index of one epoch. Adding is O(hashes of the frame); finding is O(frames found). */
export class LiveIndex {
  #frames = new Uint32Array(64 * FRAME_FIELDS);
  #frameCount = 0;
  #spanCount = 0;
  #rawBytes = 0;
  #minStartNs: bigint | undefined;
  #maxEndNs = 0n;
  // Open addressing: slot -> trace. A trace is (hash, newest entry, bytes, spans); of traces with the same hash there is
  // one. Entries of one hash are chained, so that a trace in every frame costs O(1) an entry and not a longer probe each
  // time.
  #slots = new Uint32Array(256).fill(NONE);
  #traces = new Uint32Array(64 * TRACE_FIELDS);
  #traceCount = 0;
  #entryFrame = new Uint32Array(256);
  #entryNext = new Uint32Array(256);
  #entryCount = 0;
  // Frames without hashes may hold any trace.
  readonly #anyTrace: number[] = [];

  get spanCount(): number {
    return this.#spanCount;
  }

  /** Inflated bytes of all frames. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** Unix ns around the times of all spans: [minStart, maxEnd]; zeros when there is none. */
  get bounds(): { readonly minStartNs: bigint; readonly maxEndNs: bigint } {
    return { minStartNs: this.#minStartNs ?? 0n, maxEndNs: this.#maxEndNs };
  }

  get frameCount(): number {
    return this.#frameCount;
  }

  /** Distinct hashes. */
  get traceCount(): number {
    return this.#traceCount;
  }

  /** Whether a frame has a trace with this hash, as far as frames say. */
  has(hash: number): boolean {
    return this.#slots[this.#slotOf(hash)] !== NONE;
  }

  /** Bytes of the spans of a trace, as far as frames say. */
  bytesOf(hash: number): number {
    return this.#sizeOf(hash, BYTES);
  }

  /** Spans of a trace, likewise. */
  spansOf(hash: number): number {
    return this.#sizeOf(hash, SPANS);
  }

  /** Adds the frame whose body begins at `offset` of `row`. */
  add(head: FrameHead, row: number, offset: number): void {
    const frame = this.#frameCount++;
    this.#frames = grown(this.#frames, this.#frameCount * FRAME_FIELDS);
    this.#frames.set(
      [row, offset, CODECS.indexOf(head.codec), head.rawLength, head.bodyLength, head.bodyCrc],
      frame * FRAME_FIELDS,
    );
    this.#spanCount += head.spanCount;
    this.#rawBytes += head.rawLength;
    if (this.#minStartNs === undefined || head.minStartNs < this.#minStartNs)
      this.#minStartNs = head.minStartNs;
    if (head.maxEndNs > this.#maxEndNs) this.#maxEndNs = head.maxEndNs;
    const { traceHashes, traceSizes } = head;
    if (traceHashes === undefined) this.#anyTrace.push(frame);
    else
      traceHashes.forEach((hash, i) => {
        const at = this.#addEntry(hash, frame) * TRACE_FIELDS;
        if (traceSizes === undefined) return;
        this.#traces[at + BYTES] = (this.#traces[at + BYTES] ?? 0) + (traceSizes[i] ?? 0);
        this.#traces[at + SPANS] =
          (this.#traces[at + SPANS] ?? 0) + (traceSizes[traceHashes.length + i] ?? 0);
      });
  }

  /** Frames that may hold a trace with this hash, in the order they were added. */
  find(hash: number): FrameRef[] {
    const frames = [...this.#anyTrace];
    const trace = this.#slots[this.#slotOf(hash)] ?? NONE;
    let entry = trace === NONE ? NONE : (this.#traces[trace * TRACE_FIELDS + NEWEST] ?? NONE);
    while (entry !== NONE) {
      frames.push(this.#entryFrame[entry] ?? 0);
      entry = this.#entryNext[entry] ?? NONE;
    }
    return frames.sort((a, b) => a - b).map((frame) => this.#frame(frame));
  }

  /** Every frame whose body begins in `row` or later, in the order they were added; none that is added meanwhile. */
  *all(row = 0): Generator<FrameRef> {
    const end = this.#frameCount;
    for (let frame = this.#firstOf(row); frame < end; frame++) yield this.#frame(frame);
  }

  /** The first frame of the row or, if it has none, of a later one. Rows ascend. */
  #firstOf(row: number): number {
    let low = 0;
    let high = this.#frameCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#frames[middle * FRAME_FIELDS] ?? 0) < row) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #frame(frame: number): FrameRef {
    const [row = 0, offset = 0, codec = 0, rawLength = 0, bodyLength = 0, bodyCrc = 0] =
      this.#frames.subarray(frame * FRAME_FIELDS, (frame + 1) * FRAME_FIELDS);
    return { row, offset, codec: CODECS[codec] ?? "raw", rawLength, bodyLength, bodyCrc };
  }

  #sizeOf(hash: number, field: number): number {
    const trace = this.#slots[this.#slotOf(hash)] ?? NONE;
    return trace === NONE ? 0 : (this.#traces[trace * TRACE_FIELDS + field] ?? 0);
  }

  /** The slot of the trace with this hash, or the free one in which it belongs. */
  #slotOf(hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const trace = this.#slots[slot] ?? NONE;
      if (trace === NONE || this.#traces[trace * TRACE_FIELDS + HASH] === hash) return slot;
    }
  }

  /** Returns the trace. */
  #addEntry(hash: number, frame: number): number {
    if (2 * this.#traceCount >= this.#slots.length) this.#growSlots();
    const slot = this.#slotOf(hash);
    const trace = this.#slots[slot] === NONE ? this.#addTrace(hash, slot) : (this.#slots[slot] ?? 0);
    const entry = this.#entryCount++;
    this.#entryFrame = grown(this.#entryFrame, this.#entryCount);
    this.#entryNext = grown(this.#entryNext, this.#entryCount);
    this.#entryFrame[entry] = frame;
    this.#entryNext[entry] = this.#traces[trace * TRACE_FIELDS + NEWEST] ?? NONE;
    this.#traces[trace * TRACE_FIELDS + NEWEST] = entry;
    return trace;
  }

  #addTrace(hash: number, slot: number): number {
    const trace = this.#traceCount++;
    this.#traces = grown(this.#traces, this.#traceCount * TRACE_FIELDS);
    this.#traces[trace * TRACE_FIELDS + HASH] = hash;
    this.#traces[trace * TRACE_FIELDS + NEWEST] = NONE;
    this.#slots[slot] = trace;
    return trace;
  }

  #growSlots(): void {
    this.#slots = new Uint32Array(2 * this.#slots.length).fill(NONE);
    for (let trace = 0; trace < this.#traceCount; trace++) {
      this.#slots[this.#slotOf(this.#traces[trace * TRACE_FIELDS + HASH] ?? 0)] = trace;
    }
  }
}
