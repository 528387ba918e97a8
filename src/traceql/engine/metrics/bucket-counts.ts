// Counts by cell and bucket: a hash table in typed arrays, because a Map takes 60 bytes and 80 ns an entry.
import { AppError } from "../../../util/errors.ts";

const INITIAL_SLOTS = 1 << 10;
/** Entries at most: 24 MB of slots. A query beyond that has thousands of series with quantiles for hundreds of intervals. */
const ENTRIES_MAX = 1 << 20;

/** What survives a structured clone: entry i counts `counts[i]` in cell `cells[i]` and bucket `buckets[i]`. */
export interface BucketEntries {
  readonly cells: Uint32Array;
  readonly buckets: Int32Array;
  readonly counts: Uint32Array;
}

export class BucketCounts {
  size = 0;
  #cells = new Uint32Array(INITIAL_SLOTS);
  #buckets = new Int32Array(INITIAL_SLOTS);
  /** 0: free. */
  #counts = new Uint32Array(INITIAL_SLOTS);

  /** @throws AppError `too_large` */
  add(cell: number, bucket: number, count: number): void {
    const mask = this.#counts.length - 1;
    let hash = Math.imul(cell, 0x9e3779b1) ^ Math.imul(bucket, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    for (;;) {
      const known = this.#counts[slot] ?? 0;
      if (known === 0) break;
      if (this.#cells[slot] === cell && this.#buckets[slot] === bucket) {
        this.#counts[slot] = known + count;
        return;
      }
      slot = (slot + 1) & mask;
    }
    this.#cells[slot] = cell;
    this.#buckets[slot] = bucket;
    this.#counts[slot] = count;
    this.size++;
    if (2 * this.size > this.#counts.length) this.#grow();
  }

  #grow(): void {
    if (this.size > ENTRIES_MAX) {
      throw new AppError(
        "too_large",
        "too many series and intervals for this function: use a larger step or fewer labels",
      );
    }
    const { cells, buckets, counts } = this.entries();
    const slots = 2 * this.#counts.length;
    this.#cells = new Uint32Array(slots);
    this.#buckets = new Int32Array(slots);
    this.#counts = new Uint32Array(slots);
    this.size = 0;
    for (let i = 0; i < counts.length; i++) this.add(cells[i] ?? 0, buckets[i] ?? 0, counts[i] ?? 0);
  }

  /** In no order. */
  entries(): BucketEntries {
    const cells = new Uint32Array(this.size);
    const buckets = new Int32Array(this.size);
    const counts = new Uint32Array(this.size);
    let at = 0;
    this.#counts.forEach((count, slot) => {
      if (count === 0) return;
      cells[at] = this.#cells[slot] ?? 0;
      buckets[at] = this.#buckets[slot] ?? 0;
      counts[at++] = count;
    });
    return { cells, buckets, counts };
  }
}
