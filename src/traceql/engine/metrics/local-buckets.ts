// Buckets of one source while it is read: counters that are found with one look into a table, and that do not change their
// width. They are added up afterwards: half of the time of counting in the cells at once.
import { NONE } from "../columns/scan.ts";
import { CHUNK_BITS, CHUNK_BUCKETS } from "./bucket-counts.ts";
import { isFiniteWord, NO_BUCKET, powerOfTwoOf, sketchBucket, sketchBucketOf } from "./sketch.ts";

/** Places that most numbers have: 1 to 2^64 in a sketch, or all powers of two up to 2^4096. */
const PLACES = 64;
const SKETCH_FIRST = sketchBucket(1) / CHUNK_BUCKETS;
/** So far below 0 that it stays there whichever bucket is added: no counter is there. */
const NO_ROOM = -CHUNK_BUCKETS;
const NOT_YET = 2 * NO_ROOM;
/** Entries of the table: 4 MB. */
const TABLE_MAX = 1 << 20;
const COUNTERS_MAX = 1 << 20;
const INITIAL_COUNTERS = 1 << 14;
/** Counters of two bytes: of a block's they fit the processor's second cache. */
const COUNT_MAX = 0xffff;

/** Rows of a page with their numbers. */
export interface BucketRows {
  /** By row: its interval; NONE: it does not count. */
  readonly intervals: Int32Array;
  /** By row: the code of its series. */
  readonly codes: Uint32Array;
  /** By row; what is not finite does not count. */
  readonly values: Float64Array;
}

/** Takes a number that there is no room for. */
type Beyond = (code: number, interval: number, bucket: number) => void;

/** Of a double by its words, which are its bits: no call for each number is needed. */
function bucketAt(words: Uint32Array, i: number, isSketch: boolean): number {
  const high = (words[2 * i + 1] ?? 0) | 0;
  if (!isFiniteWord(high)) return NO_BUCKET;
  return isSketch ? sketchBucketOf(high) : powerOfTwoOf(high >>> 0, words[2 * i] ?? 0);
}

export class LocalBuckets {
  readonly #isSketch: boolean;
  readonly #intervalCount: number;
  /** By cell, then by place: where its counters begin; NOT_YET: it has none. */
  readonly #table: Int32Array;
  #counters = new Uint16Array(INITIAL_COUNTERS);
  #used = 0;

  /** @param isSketch whether buckets are those of a sketch, or else powers of two. @param seriesCount codes with room */
  constructor(isSketch: boolean, intervalCount: number, seriesCount: number) {
    this.#isSketch = isSketch;
    this.#intervalCount = intervalCount;
    const length = PLACES * intervalCount * seriesCount;
    this.#table = new Int32Array(length <= TABLE_MAX ? length : 0).fill(NOT_YET);
  }

  /** Counts what is finite. @param beyond takes what there is no room for */
  count({ intervals, codes, values }: BucketRows, beyond: Beyond): void {
    const words = new Uint32Array(values.buffer, values.byteOffset, 2 * values.length);
    const table = this.#table;
    const isSketch = this.#isSketch;
    const intervalCount = this.#intervalCount;
    const first = isSketch ? SKETCH_FIRST : 0;
    let counters = this.#counters;
    for (let i = 0; i < intervals.length; i++) {
      const interval = intervals[i] ?? NONE;
      const bucket = interval === NONE ? NO_BUCKET : bucketAt(words, i, isSketch);
      if (bucket === NO_BUCKET) continue;
      const code = codes[i] ?? 0;
      const place = (bucket >> CHUNK_BITS) - first;
      const entry = PLACES * (code * intervalCount + interval) + place;
      const isNear = place >>> 0 < PLACES && entry < table.length;
      const known = isNear ? table[entry] : NO_ROOM;
      const from = known === NOT_YET ? this.#take(entry) : known;
      if (known === NOT_YET) counters = this.#counters;
      const at = (from ?? NO_ROOM) + (bucket & (CHUNK_BUCKETS - 1));
      const count = counters[at] ?? COUNT_MAX;
      if (count === COUNT_MAX) beyond(code, interval, bucket);
      else counters[at] = count + 1;
    }
  }

  /** Counters of their own for an entry of the table; NO_ROOM: there is no room. */
  #take(entry: number): number {
    const at = this.#used;
    if (at + CHUNK_BUCKETS > COUNTERS_MAX) return NO_ROOM;
    if (at + CHUNK_BUCKETS > this.#counters.length) {
      const grown = new Uint16Array(2 * this.#counters.length);
      grown.set(this.#counters);
      this.#counters = grown;
    }
    this.#used = at + CHUNK_BUCKETS;
    this.#table[entry] = at;
    return at;
  }

  /** Hands out what was counted: the 64 buckets from 64 * `place` on of a series and an interval. */
  visit(visit: (code: number, interval: number, place: number, counts: Uint16Array) => void): void {
    const first = this.#isSketch ? SKETCH_FIRST : 0;
    for (let entry = 0; entry < this.#table.length; entry++) {
      const at = this.#table[entry] ?? NO_ROOM;
      if (at < 0) continue;
      const cell = Math.floor(entry / PLACES);
      const code = Math.floor(cell / this.#intervalCount);
      const counts = this.#counters.subarray(at, at + CHUNK_BUCKETS);
      visit(code, cell - code * this.#intervalCount, first + (entry % PLACES), counts);
    }
  }
}
