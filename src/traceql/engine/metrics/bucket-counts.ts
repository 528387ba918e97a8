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

/** Words of a slot: cell, bucket, count. They lie together, so that a look takes one line of the processor's cache. */
const SLOT_WORDS = 3;

export class BucketCounts {
  size = 0;
  /** A slot is free when its count is 0. */
  #slots = new Uint32Array(SLOT_WORDS * INITIAL_SLOTS);
  #mask = INITIAL_SLOTS - 1;

  /** @throws AppError `too_large` */
  add(cell: number, bucket: number, count: number): void {
    const slots = this.#slots;
    const wanted = bucket >>> 0;
    // Four buckets next to each other begin in slots next to each other: numbers of one series are often alike.
    let hash = Math.imul(cell, 0x9e3779b1) ^ Math.imul(wanted >>> 2, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = ((hash << 2) | (wanted & 3)) & this.#mask;
    for (;;) {
      const at = SLOT_WORDS * slot;
      const known = slots[at + 2] ?? 0;
      if (known === 0) break;
      if (slots[at] === cell && slots[at + 1] === wanted) {
        slots[at + 2] = known + count;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
    slots.set([cell, wanted, count], SLOT_WORDS * slot);
    this.size++;
    if (3 * this.size > 2 * this.#mask) this.#grow();
  }

  #grow(): void {
    if (this.size > ENTRIES_MAX) {
      throw new AppError(
        "too_large",
        "too many series and intervals for this function: use a larger step or fewer labels",
      );
    }
    const { cells, buckets, counts } = this.entries();
    this.#mask = 2 * this.#mask + 1;
    this.#slots = new Uint32Array(SLOT_WORDS * (this.#mask + 1));
    this.size = 0;
    for (let i = 0; i < counts.length; i++) this.add(cells[i] ?? 0, buckets[i] ?? 0, counts[i] ?? 0);
  }

  /** In no order. */
  entries(): BucketEntries {
    const cells = new Uint32Array(this.size);
    const buckets = new Int32Array(this.size);
    const counts = new Uint32Array(this.size);
    let next = 0;
    for (let at = 0; at < this.#slots.length; at += SLOT_WORDS) {
      const count = this.#slots[at + 2] ?? 0;
      if (count === 0) continue;
      cells[next] = this.#slots[at] ?? 0;
      buckets[next] = this.#slots[at + 1] ?? 0;
      counts[next++] = count;
    }
    return { cells, buckets, counts };
  }
}
