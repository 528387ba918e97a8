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
  // Open addressing over distinct hashes: slot -> (hash, newest entry). Entries of one hash are chained, so that a
  // trace in every frame costs O(1) an entry and not a longer probe each time.
  #slotHash = new Uint32Array(256);
  #slotHead = new Uint32Array(256).fill(NONE);
  #hashCount = 0;
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
    if (head.traceHashes === undefined) this.#anyTrace.push(frame);
    else for (const hash of head.traceHashes) this.#addEntry(hash, frame);
  }

  /** Frames that may hold a trace with this hash, in the order they were added. */
  find(hash: number): FrameRef[] {
    const frames = [...this.#anyTrace];
    let entry = this.#slotHead[this.#slotOf(hash)] ?? NONE;
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

  #slotOf(hash: number): number {
    const mask = this.#slotHash.length - 1;
    let slot = hash & mask;
    while (this.#slotHead[slot] !== NONE && this.#slotHash[slot] !== hash) slot = (slot + 1) & mask;
    return slot;
  }

  #addEntry(hash: number, frame: number): void {
    if (2 * this.#hashCount >= this.#slotHash.length) this.#growSlots();
    const slot = this.#slotOf(hash);
    const newest = this.#slotHead[slot] ?? NONE;
    if (newest === NONE) this.#hashCount++;
    const entry = this.#entryCount++;
    this.#entryFrame = grown(this.#entryFrame, this.#entryCount);
    this.#entryNext = grown(this.#entryNext, this.#entryCount);
    this.#entryFrame[entry] = frame;
    this.#entryNext[entry] = newest;
    this.#slotHash[slot] = hash;
    this.#slotHead[slot] = entry;
  }

  #growSlots(): void {
    const hashes = this.#slotHash;
    const heads = this.#slotHead;
    this.#slotHash = new Uint32Array(2 * hashes.length);
    this.#slotHead = new Uint32Array(2 * heads.length).fill(NONE);
    for (let i = 0; i < heads.length; i++) {
      if (heads[i] === NONE) continue;
      const slot = this.#slotOf(hashes[i] ?? 0);
      this.#slotHash[slot] = hashes[i] ?? 0;
      this.#slotHead[slot] = heads[i] ?? NONE;
    }
  }
}
