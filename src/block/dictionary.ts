// Dictionaries of a column's distinct values. Codes count up in order of first use.
import { mix32 } from "../util/hash.ts";
import { ByteBuffer, grownUint32 } from "./byte-buffer.ts";
import { appendText } from "./utf8.ts";

/** What a dictionary column asks of its dictionary, whatever the values are. */
export interface Dictionary {
  /** Number of distinct values. */
  readonly size: number;
  /** Appends value `code` to `out` as Parquet's PLAIN encoding has it. */
  writePlain(code: number, out: ByteBuffer): void;
  /** Forgets all codes from `size` on. */
  truncate(size: number): void;
}

const INITIAL_SLOTS = 16;

/**
 * Open addressing; at most half full. A slot is two words, code + 1 and the code's hash: side by side, as memory is what a
 * look-up waits for. A code of 0: the slot is free.
 */
class Slots {
  table = new Uint32Array(2 * INITIAL_SLOTS);
  /** Number of slots less 1. */
  mask = INITIAL_SLOTS - 1;

  /** Notes that `code` has `hash`; `slot` is free. */
  put(slot: number, code: number, hash: number): void {
    this.table[2 * slot] = code + 1;
    this.table[2 * slot + 1] = hash;
    if (2 * code > this.mask) this.#rebuild(code + 1, 2 * (this.mask + 1));
  }

  /** Makes a table of `slots` with the codes 0 to `size`. */
  #rebuild(size: number, slots: number): void {
    const from = this.table;
    const table = new Uint32Array(2 * slots);
    const mask = slots - 1;
    for (let at = 0; at < from.length; at += 2) {
      const entry = from[at] ?? 0;
      if (entry === 0 || entry > size) continue;
      const hash = from[at + 1] ?? 0;
      let slot = hash & mask;
      while (table[2 * slot] !== 0) slot = (slot + 1) & mask;
      table[2 * slot] = entry;
      table[2 * slot + 1] = hash;
    }
    this.table = table;
    this.mask = mask;
  }

  truncate(size: number): void {
    let slots = INITIAL_SLOTS;
    while (slots < 2 * size) slots *= 2;
    this.#rebuild(size, slots);
  }
}

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let h = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    h = Math.imul(h ^ word, 0x9e3779b1);
    h ^= h >>> 15;
  }
  for (; at < end; at++) h = Math.imul(h ^ (bytes[at] ?? 0), 0x01000193);
  return mix32(h);
}

/** Distinct byte strings; they are copied. */
export class ByteDictionary implements Dictionary {
  readonly #heap = new ByteBuffer();
  /** Value `code` ends here in the heap and begins where the one before ends. */
  #ends = new Uint32Array(INITIAL_SLOTS);
  readonly #slots = new Slots();
  readonly #isText: boolean;
  size = 0;

  /** @param content text is written with its length and as valid UTF-8, values of a fixed length as they are */
  constructor(content: "text" | "fixed" = "text") {
    this.#isText = content === "text";
  }

  /** The code of `bytes` from `start` to `end`, a new one if need be. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(bytes, start, end);
    const { table, mask } = this.#slots;
    let slot = hash & mask;
    for (;;) {
      const code = (table[2 * slot] ?? 0) - 1;
      if (code < 0) break;
      if (table[2 * slot + 1] === hash && this.equals(code, bytes, start, end)) return code;
      slot = (slot + 1) & mask;
    }
    const code = this.append(bytes, start, end);
    this.#slots.put(slot, code, hash);
    return code;
  }

  /**
   * Appends a value without looking for an equal one. For dictionaries that are never asked to `intern`: they are in
   * order of something else, such as the resources.
   */
  append(bytes: Uint8Array, start: number, end: number): number {
    const code = this.size++;
    this.#heap.append(bytes, start, end);
    this.#ends = grownUint32(this.#ends, this.size);
    this.#ends[code] = this.#heap.length;
    return code;
  }

  /** Whether value `code` is `bytes` from `start` to `end`. */
  equals(code: number, bytes: Uint8Array, start: number, end: number): boolean {
    let at = code === 0 ? 0 : (this.#ends[code - 1] ?? 0);
    if ((this.#ends[code] ?? 0) - at !== end - start) return false;
    const heap = this.#heap.bytes;
    for (let i = start; i < end; i++) if (heap[at++] !== bytes[i]) return false;
    return true;
  }

  /** Value `code`, a view that the next `intern` may move. */
  value(code: number): Uint8Array {
    const start = code === 0 ? 0 : (this.#ends[code - 1] ?? 0);
    return this.#heap.bytes.subarray(start, this.#ends[code] ?? 0);
  }

  writePlain(code: number, out: ByteBuffer): void {
    const start = code === 0 ? 0 : (this.#ends[code - 1] ?? 0);
    const end = this.#ends[code] ?? 0;
    if (this.#isText) appendText(out, this.#heap.bytes, start, end);
    else out.append(this.#heap.bytes, start, end);
  }

  truncate(size: number): void {
    this.size = size;
    this.#heap.length = size === 0 ? 0 : (this.#ends[size - 1] ?? 0);
    if (size === 0) this.#heap.clear();
    this.#slots.truncate(size);
  }
}

/** Distinct numbers of 32 or 64 bits, as their low and high word. */
export class WordDictionary implements Dictionary {
  readonly #wide: boolean;
  #words = new Uint32Array(2 * INITIAL_SLOTS);
  readonly #slots = new Slots();
  /** One more than the code of each number below 256, which most are; 0: it has none. */
  readonly #small = new Uint32Array(256);
  size = 0;

  /** @param bits size of a value in the file; of 32 only the low word is written */
  constructor(bits: 32 | 64) {
    this.#wide = bits === 64;
  }

  intern(low: number, high: number): number {
    const isSmall = high === 0 && low >>> 8 === 0;
    const known = isSmall ? (this.#small[low] ?? 0) : 0;
    if (known > 0) return known - 1;
    const code = this.#intern(low, high);
    if (isSmall) this.#small[low] = code + 1;
    return code;
  }

  #intern(low: number, high: number): number {
    const hash = mix32(Math.imul(high, 0x9e3779b1) ^ low);
    const { table, mask } = this.#slots;
    const words = this.#words;
    let slot = hash & mask;
    for (;;) {
      const code = (table[2 * slot] ?? 0) - 1;
      if (code < 0) break;
      if (words[2 * code] === low >>> 0 && words[2 * code + 1] === high >>> 0) return code;
      slot = (slot + 1) & mask;
    }
    const code = this.size++;
    this.#words = grownUint32(words, 2 * this.size);
    this.#words[2 * code] = low;
    this.#words[2 * code + 1] = high;
    this.#slots.put(slot, code, hash);
    return code;
  }

  writePlain(code: number, out: ByteBuffer): void {
    out.appendUint32(this.#words[2 * code] ?? 0);
    if (this.#wide) out.appendUint32(this.#words[2 * code + 1] ?? 0);
  }

  truncate(size: number): void {
    this.size = size;
    this.#slots.truncate(size);
    this.#small.fill(0);
  }
}
