// Span ids in typed arrays: what de-duplication and the shared-span fix remember of a trace, without objects.
import { mix32 } from "../util/hash.ts";

export const KIND_SERVER = 2;
export const KIND_CLIENT = 3;

const KNOWN_KINDS = 6;

// Values of #kinds that no kind has: a kind is clamped above them, which only confuses the three least int32.
const FREE = -0x80000000;
const ANY_UNKNOWN_KIND = FREE + 1;
const LEAST_KIND = FREE + 2;

const FIRST_CAPACITY = 1024;
const MAX_LOAD = 0.8;

// The ids come from outside: without a secret, ids that share a slot could be made up and each look-up be a walk
// over all of them.
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

function slotHash(high: number, low: number, seed: number): number {
  return mix32(mix32(high ^ seed) ^ low);
}

/** A set of (span id, kind). Ids are big-endian halves, unsigned. 12 bytes a slot: 15 to 30 bytes a span. */
export class SpanSet {
  readonly #seed = randomSeed();
  #capacity = FIRST_CAPACITY;
  #count = 0;
  #highs = new Uint32Array(FIRST_CAPACITY);
  #lows = new Uint32Array(FIRST_CAPACITY);
  #kinds = new Int32Array(FIRST_CAPACITY).fill(FREE);

  /** Adds the pair; false when it was there. */
  add(high: number, low: number, kind: number): boolean {
    if (kind < 0 || kind >= KNOWN_KINDS) this.#insert(high, low, ANY_UNKNOWN_KIND);
    return this.#insert(high, low, Math.max(kind, LEAST_KIND));
  }

  has(high: number, low: number, kind: number): boolean {
    return this.#kinds[this.#slot(high, low, Math.max(kind, LEAST_KIND))] !== FREE;
  }

  /** Whether a span of any kind has this id. */
  hasId(high: number, low: number): boolean {
    for (let kind = 0; kind < KNOWN_KINDS; kind++) if (this.has(high, low, kind)) return true;
    return this.#kinds[this.#slot(high, low, ANY_UNKNOWN_KIND)] !== FREE;
  }

  #insert(high: number, low: number, kind: number): boolean {
    const slot = this.#slot(high, low, kind);
    if (this.#kinds[slot] !== FREE) return false;
    this.#highs[slot] = high;
    this.#lows[slot] = low;
    this.#kinds[slot] = kind;
    if (++this.#count > MAX_LOAD * this.#capacity) this.#grow();
    return true;
  }

  /** The slot that holds the pair, or the free one where it belongs. */
  #slot(high: number, low: number, kind: number): number {
    const mask = this.#capacity - 1;
    let slot = mix32(slotHash(high, low, this.#seed) ^ kind) & mask;
    while (
      this.#kinds[slot] !== FREE &&
      (this.#lows[slot] !== low || this.#highs[slot] !== high || this.#kinds[slot] !== kind)
    ) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const highs = this.#highs;
    const lows = this.#lows;
    const kinds = this.#kinds;
    this.#capacity *= 2;
    this.#highs = new Uint32Array(this.#capacity);
    this.#lows = new Uint32Array(this.#capacity);
    this.#kinds = new Int32Array(this.#capacity).fill(FREE);
    for (let i = 0; i < kinds.length; i++) {
      const kind = kinds[i] ?? FREE;
      if (kind === FREE) continue;
      const high = highs[i] ?? 0;
      const low = lows[i] ?? 0;
      const slot = this.#slot(high, low, kind);
      this.#highs[slot] = high;
      this.#lows[slot] = low;
      this.#kinds[slot] = kind;
    }
    // Megabytes each: not left to a collection.
    for (const { buffer } of [highs, lows, kinds]) buffer.transfer(0);
  }
}

/** Span id -> fresh id. Room for a number of entries that is known beforehand. */
export class FreshIds {
  readonly #seed = randomSeed();
  readonly #mask: number;
  readonly #highs: Uint32Array;
  readonly #lows: Uint32Array;
  readonly #fresh: Uint32Array;

  /** @param count entries that will be set, at most */
  constructor(count: number) {
    const capacity = 2 ** Math.ceil(Math.log2(2 * count + 2));
    this.#mask = capacity - 1;
    this.#highs = new Uint32Array(capacity);
    this.#lows = new Uint32Array(capacity);
    this.#fresh = new Uint32Array(capacity);
  }

  /** @param fresh at least 1 */
  set(high: number, low: number, fresh: number): void {
    const slot = this.#slot(high, low);
    this.#highs[slot] = high;
    this.#lows[slot] = low;
    this.#fresh[slot] = fresh;
  }

  /** The fresh id, 0 when there is none. */
  get(high: number, low: number): number {
    return this.#fresh[this.#slot(high, low)] ?? 0;
  }

  #slot(high: number, low: number): number {
    let slot = slotHash(high, low, this.#seed) & this.#mask;
    while (this.#fresh[slot] !== 0 && (this.#lows[slot] !== low || this.#highs[slot] !== high)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
