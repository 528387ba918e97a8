// The rules for the parts of an upload, which the strictest store sets for all.
import { assert } from "../util/assert.ts";

/** Bytes that every part but the last has at least: S3's and R2's rule. */
export const PART_BYTES_MIN = 5 * 1024 * 1024;

// https://developers.cloudflare.com/r2/platform/limits/
const PARTS_MAX = 10_000;

/** Counts the parts of one upload and refuses, as a bug, what R2 would refuse when it is too late. */
export class PartLengths {
  #count = 0;
  #total = 0;
  #length = 0;
  #last = false;
  #ended = false;

  /** Whether it was completed or aborted. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes of all parts. */
  get total(): number {
    return this.#total;
  }

  /** @returns the number of the part, from 1 */
  add(length: number): number {
    assert(!this.#ended, "an upload that has ended takes no parts");
    assert(!this.#last, "only the last part of an upload may be short");
    assert(length > 0 && this.#count < PARTS_MAX, "an upload has 1 to 10,000 parts, none empty");
    if (this.#count === 0) this.#length = length;
    assert(length <= this.#length, "no part of an upload is longer than its first");
    // A first part below the minimum is the last one too.
    this.#last = length < this.#length || length < PART_BYTES_MIN;
    this.#total += length;
    this.#count += 1;
    return this.#count;
  }

  /** Before the parts are joined. */
  checkComplete(): void {
    assert(this.#count > 0, "an upload is of at least one part");
    assert(!this.#ended, "an upload is completed once");
  }

  /** After it was completed or aborted. */
  end(): void {
    this.#ended = true;
  }
}
