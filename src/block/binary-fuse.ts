// Trace-id filter: a binary fuse filter of three segments per key (Graf and Lemire, "Binary Fuse Filters: Fast and
// Smaller Than Xor Filters", 2022). No false negatives; false positives 2^-bits; 1.13 fingerprints a key when large.
import { assert } from "../util/assert.ts";
import { AppError } from "../util/errors.ts";
import { mix32 } from "../util/hash.ts";
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { wordAt } from "./byte-buffer.ts";
import { checkPartKind, encodePart, PART, PART_HEADER_BYTES } from "./part.ts";
import { COST_US, runSteps } from "./stretches.ts";

/** Bits, log2 of a segment's length, 2 bytes of zero, seed, number of keys, number of fingerprints. */
const HEADER_BYTES = 16;
/** Where in the part the fingerprints begin. */
const BODY_AT = PART_HEADER_BYTES + HEADER_BYTES;
const SEGMENT_LOG_MAX = 18;
// A try fails for about one set in a hundred; that this many fail does not happen to distinct ids.
const TRIES_MAX = 64;
/** Keys of one step of building. */
const STEP_KEYS = 2048;
/** A key is filled in, peeled off and assigned: each step does a third of the work for its keys. */
const STEP_US = (STEP_KEYS * COST_US.key) / 3;

/** Shape of a filter and a key's place in it. Reused from key to key. */
class Places {
  readonly segmentLog: number;
  readonly slotCount: number;
  /** Slots that a key's first place may be in: all but the last two segments. */
  readonly #window: number;
  low = 0;
  high = 0;
  first = 0;
  second = 0;
  third = 0;
  fingerprint = 0;

  constructor(segmentLog: number, slotCount: number) {
    this.segmentLog = segmentLog;
    this.slotCount = slotCount;
    this.#window = slotCount - 2 * 2 ** segmentLog;
  }

  /** Hashes the id to 64 bits, as two words from opposite ends, so that each depends on every bit. */
  hash(ids: Uint8Array, at: number, seed: number): void {
    const a = wordAt(ids, at);
    const b = wordAt(ids, at + 4);
    const c = wordAt(ids, at + 8);
    const d = wordAt(ids, at + 12);
    this.high = mix32(mix32(mix32(mix32(a ^ seed) ^ b) ^ c) ^ d);
    this.low = mix32(mix32(mix32(mix32(d ^ Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) ^ c) ^ b) ^ a);
  }

  /** Sets the three places and the fingerprint of the hash. */
  place(low: number, high: number): void {
    const length = 2 ** this.segmentLog;
    this.first = Math.floor((high / 0x1_0000_0000) * this.#window);
    this.second = (this.first + length) ^ (low & (length - 1));
    this.third = (this.first + 2 * length) ^ ((low >>> 14) & (length - 1));
    this.fingerprint = mix32(Math.imul(low, 0x27d4eb2f) ^ high);
  }

  at(which: number): number {
    return which === 0 ? this.first : which === 1 ? this.second : this.third;
  }
}

function shapeOf(keyCount: number): Places {
  const logarithm = Math.log(Math.max(2, keyCount));
  const segmentLog = Math.min(SEGMENT_LOG_MAX, Math.floor(logarithm / Math.log(3.33) + 2.25));
  const slotsPerKey = Math.max(1.125, 0.875 + (0.25 * Math.log(1e6)) / logarithm);
  const segments = Math.max(1, Math.ceil((slotsPerKey * keyCount) / 2 ** segmentLog) - 2);
  return new Places(segmentLog, (segments + 2) * 2 ** segmentLog);
}

/** For each slot the number of keys that may use it and the XOR of their hashes and of which of their places it is. */
class Slots {
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly counts: Uint32Array;
  readonly which: Uint8Array;

  constructor(slotCount: number) {
    this.low = new Uint32Array(slotCount);
    this.high = new Uint32Array(slotCount);
    this.counts = new Uint32Array(slotCount);
    this.which = new Uint8Array(slotCount);
  }

  /** Adds (`step` 1) or removes (-1) the key at `places`. */
  toggle(places: Places, low: number, high: number, step: 1 | -1): void {
    for (let which = 0; which < 3; which++) {
      const slot = places.at(which);
      this.low[slot] = (this.low[slot] ?? 0) ^ low;
      this.high[slot] = (this.high[slot] ?? 0) ^ high;
      this.which[slot] = (this.which[slot] ?? 0) ^ which;
      this.counts[slot] = (this.counts[slot] ?? 0) + step;
    }
  }
}

/** Keys in the order in which they were peeled off, each with the slot that was then its own. */
interface Peeled {
  count: number;
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly which: Uint8Array;
}

/** Takes off keys that are alone in a slot until none is left; false when the keys knot up. */
function* peel(slots: Slots, places: Places, keyCount: number, peeled: Peeled): Generator<number, boolean> {
  const alone: number[] = [];
  for (let slot = 0; slot < places.slotCount; slot++) if (slots.counts[slot] === 1) alone.push(slot);
  peeled.count = 0;
  for (let from = -1; from < peeled.count && alone.length > 0;) {
    yield STEP_US;
    from = peeled.count;
    peelSome(slots, places, alone, peeled);
  }
  return peeled.count === keyCount;
}

/** Peels off STEP_KEYS keys, or all that can be. */
function peelSome(slots: Slots, places: Places, alone: number[], peeled: Peeled): void {
  const end = peeled.count + STEP_KEYS;
  while (peeled.count < end) {
    const slot = alone.pop();
    if (slot === undefined) return;
    if (slots.counts[slot] !== 1) continue;
    const low = slots.low[slot] ?? 0;
    const high = slots.high[slot] ?? 0;
    const at = peeled.count++;
    peeled.low[at] = low;
    peeled.high[at] = high;
    peeled.which[at] = slots.which[slot] ?? 0;
    places.place(low, high);
    slots.toggle(places, low, high, -1);
    for (let which = 0; which < 3; which++) {
      const other = places.at(which);
      if (slots.counts[other] === 1) alone.push(other);
    }
  }
}

/** Fingerprint bits. */
export type FilterBits = 8 | 16 | 32;

/** Trace ids of 16 bytes each; with `indexes`, for each id a number from 0 to 255 that belongs to the key. */
export interface FilterKeys {
  readonly ids: Uint8Array;
  readonly indexes?: Uint8Array;
}

/** Whether the key, by position, is the one before. */
function isRepeated({ ids, indexes }: FilterKeys, key: number): boolean {
  if (key === 0 || (indexes !== undefined && indexes[key - 1] !== indexes[key])) return false;
  const at = key * TRACE_ID_BYTES;
  for (let i = at; i < at + TRACE_ID_BYTES; i++) if (ids[i - TRACE_ID_BYTES] !== ids[i]) return false;
  return true;
}

/** The seed for keys with `index`: ids with another one hash as if they were others. */
function seedOf(seed: number, index: number): number {
  return (seed + Math.imul(index, 0x9e3779b1)) >>> 0;
}

/** @returns the number of distinct keys */
function* fill(keys: FilterKeys, places: Places, slots: Slots, seed: number): Generator<number, number> {
  const count = keys.ids.length / TRACE_ID_BYTES;
  let keyCount = 0;
  for (let from = 0; from < count; from += STEP_KEYS) {
    yield STEP_US;
    keyCount += fillSome(keys, { from, to: Math.min(count, from + STEP_KEYS), seed }, places, slots);
  }
  return keyCount;
}

interface KeyRange {
  readonly from: number;
  readonly to: number;
  readonly seed: number;
}

function fillSome(keys: FilterKeys, { from, to, seed }: KeyRange, places: Places, slots: Slots): number {
  const { ids, indexes } = keys;
  let keyCount = 0;
  for (let key = from; key < to; key++) {
    if (isRepeated(keys, key)) continue;
    places.hash(ids, key * TRACE_ID_BYTES, indexes === undefined ? seed : seedOf(seed, indexes[key] ?? 0));
    const { low, high } = places;
    places.place(low, high);
    slots.toggle(places, low, high, 1);
    keyCount++;
  }
  return keyCount;
}

type Fingerprints = Uint8Array | Uint16Array | Uint32Array;

function emptyFingerprints(count: number, bits: FilterBits): Fingerprints {
  if (bits === 8) return new Uint8Array(count);
  return bits === 16 ? new Uint16Array(count) : new Uint32Array(count);
}

/** From the last key peeled to the first: its own slot is not used by those that come later. */
function* assign(peeled: Peeled, places: Places, fingerprints: Fingerprints): Generator<number, void> {
  for (let end = peeled.count; end > 0; end -= STEP_KEYS) {
    yield STEP_US;
    assignSome(peeled, { from: Math.max(0, end - STEP_KEYS), end }, places, fingerprints);
  }
}

function assignSome(
  peeled: Peeled,
  { from, end }: { readonly from: number; readonly end: number },
  places: Places,
  fingerprints: Fingerprints,
): void {
  for (let i = end - 1; i >= from; i--) {
    places.place(peeled.low[i] ?? 0, peeled.high[i] ?? 0);
    const { first, second, third, fingerprint } = places;
    const own = places.at(peeled.which[i] ?? 0);
    // The own slot is still 0, so that it can take part in the XOR of all three.
    fingerprints[own] =
      fingerprint ^ (fingerprints[first] ?? 0) ^ (fingerprints[second] ?? 0) ^ (fingerprints[third] ?? 0);
  }
}

/**
 * Builds the filter part over keys of which equal ones are side by side. The same keys give the same bytes.
 */
export function buildFilter(keys: FilterKeys, bits: FilterBits): Uint8Array {
  return runSteps(filterSteps(keys, bits));
}

/** `buildFilter` in steps that yield their cost in us, before they are done. */
export function* filterSteps(keys: FilterKeys, bits: FilterBits): Generator<number, Uint8Array> {
  const { ids } = keys;
  assert(ids.length % TRACE_ID_BYTES === 0, "whole trace ids");
  const idCount = ids.length / TRACE_ID_BYTES;
  const places = shapeOf(idCount);
  const peeled: Peeled = {
    count: 0,
    low: new Uint32Array(idCount),
    high: new Uint32Array(idCount),
    which: new Uint8Array(idCount),
  };
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const seed = mix32(tries + 1);
    const slots = new Slots(places.slotCount);
    const keyCount = yield* fill(keys, places, slots, seed);
    if (!(yield* peel(slots, places, keyCount, peeled))) continue;
    const fingerprints = emptyFingerprints(places.slotCount, bits);
    yield* assign(peeled, places, fingerprints);
    const body = new Uint8Array(HEADER_BYTES + fingerprints.byteLength);
    const view = new DataView(body.buffer);
    body.set([bits, places.segmentLog]);
    view.setUint32(4, seed, true);
    view.setUint32(8, keyCount, true);
    view.setUint32(12, places.slotCount, true);
    body.set(new Uint8Array(fingerprints.buffer), HEADER_BYTES);
    // Fingerprints are as good as random: zstd would only cost time.
    return encodePart(PART.filter, body, "none");
  }
  throw new AppError("internal", `no filter for ${idCount} trace ids`);
}

/**
 * Whether the filter may hold the key. Its checksum is not verified, which would cost more than the answer.
 * @param index 0 for keys without one
 * @throws AppError `corrupt` when `filter` is no filter
 */
export function filterMayHold(filter: Uint8Array, traceId: Uint8Array, index: number): boolean {
  checkPartKind(filter, PART.filter);
  if (filter.length < BODY_AT) throw new AppError("corrupt", "filter: cut short");
  const bits = filter[PART_HEADER_BYTES] ?? 0;
  const segmentLog = filter[PART_HEADER_BYTES + 1] ?? 0;
  const keyCount = wordAt(filter, PART_HEADER_BYTES + 8);
  const slotCount = wordAt(filter, PART_HEADER_BYTES + 12);
  const isSound =
    (bits === 8 || bits === 16 || bits === 32) &&
    segmentLog <= SEGMENT_LOG_MAX &&
    slotCount >= 3 * 2 ** segmentLog &&
    filter.length === BODY_AT + slotCount * (bits / 8);
  if (!isSound) throw new AppError("corrupt", "filter: lengths do not add up");
  if (keyCount === 0) return false;
  const places = new Places(segmentLog, slotCount);
  places.hash(traceId, 0, seedOf(wordAt(filter, PART_HEADER_BYTES + 4), index));
  places.place(places.low, places.high);
  return hasFingerprint(filter, places, bits / 8);
}

/** Whether the fingerprints, of `width` bytes, at the three places XOR to that of the key. */
function hasFingerprint(filter: Uint8Array, places: Places, width: number): boolean {
  const { first, second, third, fingerprint } = places;
  for (let byte = 0; byte < width; byte++) {
    const stored =
      (filter[BODY_AT + first * width + byte] ?? 0) ^
      (filter[BODY_AT + second * width + byte] ?? 0) ^
      (filter[BODY_AT + third * width + byte] ?? 0);
    if (stored !== ((fingerprint >>> (8 * byte)) & 0xff)) return false;
  }
  return true;
}
