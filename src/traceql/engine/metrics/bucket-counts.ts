// Counts by cell and bucket: 64 buckets next to each other share a chunk of counters, of a byte each until one of them
// is full. Numbers of one series in one interval mostly lie within a few powers of two, which are a chunk each: some two
// bytes for a bucket that is not empty.
import { AppError } from "../../../util/errors.ts";

export const CHUNK_BITS: number = 6;
/** Buckets of a chunk: of a sketch, those between two powers of two. */
export const CHUNK_BUCKETS: number = 1 << CHUNK_BITS;
const IN_CHUNK = CHUNK_BUCKETS - 1;
const BYTE_MAX = 255;

/** Bytes of counters at most: a hundred series with quantiles for a thousand intervals, mostly. */
const COUNTER_BYTES_MAX = 24 * 1024 * 1024;
const INITIAL_CHUNKS = 1 << 6;

/** Chunks with counters of one width: what survives a structured clone. Chunk i is of cell `cells[i]`. */
interface ChunkList<T extends Uint8Array | Uint32Array> {
  readonly cells: Uint32Array;
  /** The chunk counts buckets [64 * places[i], 64 * places[i] + 64). */
  readonly places: Int32Array;
  /** 64 for each chunk. */
  readonly counts: T;
}

/** Plain values. */
export interface BucketPart {
  readonly narrow: ChunkList<Uint8Array>;
  readonly wide: ChunkList<Uint32Array>;
}

/** What is in the buckets of a cell that are not empty: `length` of them, ascending. */
export interface CellBuckets {
  readonly buckets: Int32Array;
  readonly counts: Float64Array;
  readonly length: number;
}

/** Where counters of a chunk are: its number among those of bytes, or -1 less its number among those of words. */
type ChunkRef = number;

/** No chunk has this number: there are fewer. */
const NO_CHUNK: ChunkRef = 0x7fff_ffff;

/** Words of a slot: cell, place, ref. They lie together, so that a look takes one line of the processor's cache. */
const SLOT_WORDS = 3;

export class BucketCounts {
  #slots = new Int32Array(SLOT_WORDS * 2 * INITIAL_CHUNKS).fill(NO_CHUNK);
  #mask = 2 * INITIAL_CHUNKS - 1;
  #chunkCount = 0;
  #narrow = new Uint8Array(CHUNK_BUCKETS * INITIAL_CHUNKS);
  #narrowCount = 0;
  #wide = new Uint32Array(0);
  #wideCount = 0;
  /** Chunks of bytes whose counters have moved. */
  readonly #free: number[] = [];
  readonly #maxBytes: number;

  /**
   * @param maxBytes of counters, as they would be were there a chunk of bytes for each one of words too: so it follows from
   *   the sums alone whether it is reached, and not from the order or the parts in which they were made
   */
  constructor(maxBytes = COUNTER_BYTES_MAX) {
    this.#maxBytes = maxBytes;
  }

  /** @throws AppError `too_large` */
  add(cell: number, bucket: number, count: number): void {
    this.#addTo(this.#slotOf(cell, bucket >> CHUNK_BITS), bucket & IN_CHUNK, count);
  }

  /**
   * @param counts of the buckets [64 * place, 64 * place + 64)
   * @returns their sum
   * @throws AppError `too_large`
   */
  addChunk(cell: number, place: number, counts: Uint8Array | Uint16Array | Uint32Array): number {
    const slot = this.#slotOf(cell, place);
    let sum = 0;
    for (let i = 0; i < CHUNK_BUCKETS; i++) {
      const count = counts[i] ?? 0;
      if (count === 0) continue;
      this.#addTo(slot, i, count);
      sum += count;
    }
    return sum;
  }

  #addTo(slot: number, within: number, count: number): void {
    let chunk = this.#slots[slot + 2] ?? 0;
    if (chunk >= 0) {
      const at = CHUNK_BUCKETS * chunk + within;
      const sum = (this.#narrow[at] ?? 0) + count;
      if (sum <= BYTE_MAX) {
        this.#narrow[at] = sum;
        return;
      }
      chunk = this.#widen(chunk);
      this.#slots[slot + 2] = chunk;
    }
    const at = CHUNK_BUCKETS * (-1 - chunk) + within;
    this.#wide[at] = (this.#wide[at] ?? 0) + count;
  }

  /** Visits the cells that have entries, in ascending order. What they are given is overwritten by the next cell. */
  visit(visit: (cell: number, found: CellBuckets) => void): void {
    const keys = this.#sortedKeys();
    let room = CHUNK_BUCKETS;
    let buckets = new Int32Array(room);
    let counts = new Float64Array(room);
    for (let next = 0; next < keys.length;) {
      const cell = cellOf(keys[next] ?? 0);
      let end = next;
      while (end < keys.length && cellOf(keys[end] ?? 0) === cell) end++;
      if ((end - next) * CHUNK_BUCKETS > room) {
        room = (end - next) * CHUNK_BUCKETS;
        buckets = new Int32Array(room);
        counts = new Float64Array(room);
      }
      let length = 0;
      for (; next < end; next++) length = this.#readChunk(keys[next] ?? 0, { buckets, counts, length });
      visit(cell, { buckets, counts, length });
    }
  }

  /** Appends the entries of a chunk. @returns the new length */
  #readChunk(key: number, { buckets, counts, length }: CellBuckets): number {
    const place = placeOf(key);
    const chunk = this.#slots[this.#slotOf(cellOf(key), place) + 2] ?? 0;
    const isNarrow = chunk >= 0;
    const counters = isNarrow ? this.#narrow : this.#wide;
    const from = CHUNK_BUCKETS * (isNarrow ? chunk : -1 - chunk);
    let end = length;
    for (let i = 0; i < CHUNK_BUCKETS; i++) {
      const count = counters[from + i] ?? 0;
      if (count === 0) continue;
      buckets[end] = (place << CHUNK_BITS) + i;
      counts[end++] = count;
    }
    return end;
  }

  part(): BucketPart {
    const all = Array.from(this.#sortedKeys(), (key) => {
      const cell = cellOf(key);
      const place = placeOf(key);
      return { cell, place, chunk: this.#slots[this.#slotOf(cell, place) + 2] ?? 0 };
    });
    const narrow = all.filter(({ chunk }) => chunk >= 0);
    const wide = all.filter(({ chunk }) => chunk < 0);
    const narrowCounts = new Uint8Array(CHUNK_BUCKETS * narrow.length);
    narrow.forEach(({ chunk }, i) => {
      const from = CHUNK_BUCKETS * chunk;
      narrowCounts.set(this.#narrow.subarray(from, from + CHUNK_BUCKETS), CHUNK_BUCKETS * i);
    });
    const wideCounts = new Uint32Array(CHUNK_BUCKETS * wide.length);
    wide.forEach(({ chunk }, i) => {
      const from = CHUNK_BUCKETS * (-1 - chunk);
      wideCounts.set(this.#wide.subarray(from, from + CHUNK_BUCKETS), CHUNK_BUCKETS * i);
    });
    return {
      narrow: { ...placesOf(narrow), counts: narrowCounts },
      wide: { ...placesOf(wide), counts: wideCounts },
    };
  }

  /** @param numberOf the number of a cell here; undefined: it is left out. @throws AppError `too_large` */
  addPart({ narrow, wide }: BucketPart, numberOf: (cell: number) => number | undefined): void {
    for (const { cells, places, counts } of [narrow, wide]) {
      for (let i = 0; i < cells.length; i++) {
        const own = numberOf(cells[i] ?? 0);
        if (own === undefined) continue;
        const from = CHUNK_BUCKETS * i;
        this.addChunk(own, places[i] ?? 0, counts.subarray(from, from + CHUNK_BUCKETS));
      }
    }
  }

  /** Cell and place of each chunk as one double: their native sort takes a tenth of the time of a comparison function's. */
  #sortedKeys(): Float64Array {
    const keys = new Float64Array(this.#chunkCount);
    let next = 0;
    for (let slot = 0; slot < this.#slots.length; slot += SLOT_WORDS) {
      if (this.#slots[slot + 2] === NO_CHUNK) continue;
      keys[next++] = ((this.#slots[slot] ?? 0) >>> 0) * PLACES + (this.#slots[slot + 1] ?? 0) + PLACES / 2;
    }
    return keys.sort();
  }

  /** The slot of a chunk, made when it is not there. */
  #slotOf(cell: number, place: number): number {
    const slots = this.#slots;
    // Chunks of one cell begin in slots next to each other.
    let hash = Math.imul(cell, 0x9e3779b1);
    hash = (hash ^ (hash >>> 15)) + place;
    for (let number = hash & this.#mask; ; number = (number + 1) & this.#mask) {
      const slot = SLOT_WORDS * number;
      if (slots[slot + 2] === NO_CHUNK) return this.#insert(slot, cell, place);
      if (slots[slot] === (cell | 0) && slots[slot + 1] === place) return slot;
    }
  }

  #insert(slot: number, cell: number, place: number): number {
    this.#checkRoom(this.#chunkCount + 1, this.#wideCount);
    this.#slots.set([cell, place, this.#newNarrow()], slot);
    this.#chunkCount++;
    if (2 * this.#chunkCount <= this.#mask) return slot;
    const before = this.#slots;
    this.#mask = 2 * this.#mask + 1;
    this.#slots = new Int32Array(SLOT_WORDS * (this.#mask + 1)).fill(NO_CHUNK);
    for (let old = 0; old < before.length; old += SLOT_WORDS) {
      if (before[old + 2] !== NO_CHUNK) this.#reinsert(before.subarray(old, old + SLOT_WORDS));
    }
    return this.#slotOf(cell, place);
  }

  #reinsert(entry: Int32Array): void {
    let hash = Math.imul(entry[0] ?? 0, 0x9e3779b1);
    hash = (hash ^ (hash >>> 15)) + (entry[1] ?? 0);
    let number = hash & this.#mask;
    while (this.#slots[SLOT_WORDS * number + 2] !== NO_CHUNK) number = (number + 1) & this.#mask;
    this.#slots.set(entry, SLOT_WORDS * number);
  }

  #newNarrow(): ChunkRef {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const at = this.#narrowCount * CHUNK_BUCKETS;
    if (at === this.#narrow.length) {
      const grown = new Uint8Array(2 * at);
      grown.set(this.#narrow);
      this.#narrow = grown;
    }
    return this.#narrowCount++;
  }

  /** Moves the counters of a chunk of bytes to words. */
  #widen(chunk: ChunkRef): ChunkRef {
    this.#checkRoom(this.#chunkCount, this.#wideCount + 1);
    const at = this.#wideCount * CHUNK_BUCKETS;
    if (at === this.#wide.length) {
      const length = Math.max(CHUNK_BUCKETS * INITIAL_CHUNKS, 2 * at);
      const grown = new Uint32Array(length);
      grown.set(this.#wide);
      this.#wide = grown;
    }
    const from = CHUNK_BUCKETS * chunk;
    this.#wide.set(this.#narrow.subarray(from, from + CHUNK_BUCKETS), at);
    this.#narrow.fill(0, from, from + CHUNK_BUCKETS);
    this.#free.push(chunk);
    return -1 - this.#wideCount++;
  }

  #checkRoom(chunks: number, wideChunks: number): void {
    const bytes = roomFor(chunks) + (wideChunks === 0 ? 0 : 4 * roomFor(wideChunks));
    if (bytes <= this.#maxBytes) return;
    throw new AppError(
      "too_large",
      "too many series and intervals for this function: use a larger step or fewer labels",
    );
  }
}

/** Bytes of counters, of a byte each, that so many chunks come to by doubling. */
function roomFor(chunks: number): number {
  return CHUNK_BUCKETS * Math.max(INITIAL_CHUNKS, 2 ** (32 - Math.clz32(chunks - 1)));
}

/** Places are within +-2^15, so that a key is exact. */
const PLACES = 2 ** 16;

function cellOf(key: number): number {
  return Math.floor(key / PLACES);
}

function placeOf(key: number): number {
  return (key % PLACES) - PLACES / 2;
}

function placesOf(
  chunks: readonly { readonly cell: number; readonly place: number }[],
): Pick<ChunkList<Uint8Array>, "cells" | "places"> {
  return {
    cells: Uint32Array.from(chunks, ({ cell }) => cell),
    places: Int32Array.from(chunks, ({ place }) => place),
  };
}
