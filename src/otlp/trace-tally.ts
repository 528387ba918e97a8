// How many spans and bytes of each trace a batch holds, by the hash of its id.
import { AppError } from "../util/errors.ts";

/** A 32-bit hash and an index of this many bits make one exact number, which sorts fast. */
const MAX_TRACES = 2 ** 21;

/** The traces of a batch. Those with the same hash count as one: nobody can tell them apart by it. */
export interface TraceSizes {
  /** Distinct `traceHash`, ascending. Owns its buffer. */
  readonly traceHashes: Uint32Array;
  /** By trace, in the order of the hashes: bytes of its spans, without resource and scope; then, again by trace, spans. */
  readonly traceSizes: Uint32Array;
}

const FIELDS = 3;
const FIRST_TRACES = 16;

/** Collects the traces of a batch in the order of its spans; a trace may be added several times. */
export class TraceTally {
  /** By trace: hash, bytes, spans. */
  #numbers = new Uint32Array(FIRST_TRACES * FIELDS);
  #count = 0;

  /** A span of a trace that may be new. Returns an index for `again`. @throws AppError `too_large` */
  add(hash: number, bytes: number): number {
    const index = this.#count++;
    const at = index * FIELDS;
    if (at === this.#numbers.length) this.#grow();
    this.#numbers[at] = hash;
    this.#numbers[at + 1] = bytes;
    this.#numbers[at + 2] = 1;
    return index;
  }

  /** One more span of the trace that was added as `index`. */
  again(index: number, bytes: number): void {
    const numbers = this.#numbers;
    const at = index * FIELDS;
    numbers[at + 1] = (numbers[at + 1] ?? 0) + bytes;
    numbers[at + 2] = (numbers[at + 2] ?? 0) + 1;
  }

  /** The sum over all that was added. */
  finish(): TraceSizes {
    const numbers = this.#numbers;
    const keys = new Float64Array(this.#count);
    for (let i = 0; i < keys.length; i++) keys[i] = (numbers[i * FIELDS] ?? 0) * MAX_TRACES + i;
    keys.sort();
    const hashes = new Uint32Array(keys.length);
    const sizes = new Uint32Array(2 * keys.length);
    let last = -1;
    for (const key of keys) {
      const hash = Math.floor(key / MAX_TRACES);
      const at = (key - hash * MAX_TRACES) * FIELDS;
      if (last < 0 || hash !== hashes[last]) hashes[++last] = hash;
      sizes[last] = (sizes[last] ?? 0) + (numbers[at + 1] ?? 0);
      sizes[keys.length + last] = (sizes[keys.length + last] ?? 0) + (numbers[at + 2] ?? 0);
    }
    const count = last + 1;
    if (count === keys.length) return { traceHashes: hashes, traceSizes: sizes };
    sizes.copyWithin(count, keys.length, keys.length + count);
    return { traceHashes: hashes.slice(0, count), traceSizes: sizes.slice(0, 2 * count) };
  }

  #grow(): void {
    const length = 2 * this.#numbers.length;
    if (length > MAX_TRACES * FIELDS) {
      throw new AppError("too_large", `batch has more than ${MAX_TRACES} traces`);
    }
    const larger = new Uint32Array(length);
    larger.set(this.#numbers);
    this.#numbers = larger;
  }
}
