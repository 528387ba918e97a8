// Pre-order of one trace: parents before children, siblings in the order of span-order.ts.
import { grownUint32 } from "./byte-buffer.ts";
import { mix32 } from "../util/hash.ts";
import type { SpanIndex } from "./span-index.ts";
import { ENTRY_WORDS, WORDS } from "./span-scanner.ts";

const KIND_SERVER = 2;
const KIND_CLIENT = 3;
const NONE = 0xffff_ffff;

/** Rows of a trace in their final order. The arrays are reused by the next trace; `count` entries are valid. */
export interface TraceRows {
  count: number;
  /** Number of the span in the index. */
  spans: Uint32Array<ArrayBuffer>;
  /** Rows back to the parent; 0: none, or it is not in this block. */
  distances: Uint32Array<ArrayBuffer>;
}

/**
 * Orders traces one after another, in time linear in their spans. What is odd is settled the same way each time:
 *
 * - a parent that is absent is none; a span is never its own parent;
 * - a cycle of parents is cut before its first span, in the order given, which becomes a root;
 * - of several spans with one id the first server is the parent of their children, or the first of all; a server that
 *   shares its id with a client is the client's child, which is how Zipkin reports a call.
 */
export class Preorder {
  readonly rows: TraceRows = { count: 0, spans: new Uint32Array(64), distances: new Uint32Array(64) };
  // All by position in the sorted trace.
  #parents = new Uint32Array(64);
  #firstChild = new Uint32Array(64);
  #nextSibling = new Uint32Array(64);
  #row = new Uint32Array(64);
  #stack = new Uint32Array(64);
  // Spans by id, open addressing: the slot's first span, first server, first client; NONE: no such.
  #first = new Uint32Array(128);
  #server = new Uint32Array(128);
  #client = new Uint32Array(128);
  #mask = 127;

  /** Orders `sorted`, the spans of one trace without duplicates, as `sortSpans` leaves them. */
  order(index: SpanIndex, sorted: Uint32Array): TraceRows {
    const count = sorted.length;
    this.#reserve(count);
    this.#fillIds(index, sorted);
    for (let at = 0; at < count; at++) this.#parents[at] = this.#parentOf(index, sorted, at);
    this.#cutCycles(count);
    this.#linkChildren(count);
    this.#walk(sorted);
    return this.rows;
  }

  #reserve(count: number): void {
    this.rows.spans = grownUint32(this.rows.spans, count);
    this.rows.distances = grownUint32(this.rows.distances, count);
    this.#parents = grownUint32(this.#parents, count);
    this.#firstChild = grownUint32(this.#firstChild, count);
    this.#nextSibling = grownUint32(this.#nextSibling, count);
    this.#row = grownUint32(this.#row, count);
    this.#stack = grownUint32(this.#stack, count);
    let slots = 16;
    while (slots < 2 * count) slots *= 2;
    this.#mask = slots - 1;
    this.#first = grownUint32(this.#first, slots).fill(NONE, 0, slots);
    this.#server = grownUint32(this.#server, slots).fill(NONE, 0, slots);
    this.#client = grownUint32(this.#client, slots).fill(NONE, 0, slots);
  }

  /** The slot of the id, taken or free. */
  #slot(index: SpanIndex, sorted: Uint32Array, low: number, high: number): number {
    let slot = mix32(low ^ Math.imul(high, 0x9e3779b1)) & this.#mask;
    for (;;) {
      const at = this.#first[slot] ?? NONE;
      if (at === NONE) return slot;
      const base = (sorted[at] ?? 0) * ENTRY_WORDS;
      const isSame =
        index.words[base + WORDS.spanIdLow] === low && index.words[base + WORDS.spanIdHigh] === high;
      if (isSame) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #fillIds(index: SpanIndex, sorted: Uint32Array): void {
    const { words } = index;
    for (let at = 0; at < sorted.length; at++) {
      const base = (sorted[at] ?? 0) * ENTRY_WORDS;
      const low = words[base + WORDS.spanIdLow] ?? 0;
      const slot = this.#slot(index, sorted, low, words[base + WORDS.spanIdHigh] ?? 0);
      const kind = words[base + WORDS.kind];
      if (this.#first[slot] === NONE) this.#first[slot] = at;
      if (kind === KIND_SERVER && this.#server[slot] === NONE) this.#server[slot] = at;
      if (kind === KIND_CLIENT && this.#client[slot] === NONE) this.#client[slot] = at;
    }
  }

  #parentOf(index: SpanIndex, sorted: Uint32Array, at: number): number {
    const { words } = index;
    const base = (sorted[at] ?? 0) * ENTRY_WORDS;
    if (words[base + WORDS.kind] === KIND_SERVER) {
      const low = words[base + WORDS.spanIdLow] ?? 0;
      const own = this.#slot(index, sorted, low, words[base + WORDS.spanIdHigh] ?? 0);
      const client = this.#client[own] ?? NONE;
      if (client !== NONE) return client;
    }
    const low = words[base + WORDS.parentIdLow] ?? 0;
    const high = words[base + WORDS.parentIdHigh] ?? 0;
    if ((low | high) === 0) return NONE;
    const slot = this.#slot(index, sorted, low, high);
    const server = this.#server[slot] ?? NONE;
    const parent = server === NONE ? (this.#first[slot] ?? NONE) : server;
    return parent === at ? NONE : parent;
  }

  /** Each span has at most one parent, so a walk up ends at a root, at a walk before, or runs into itself: a cycle. */
  #cutCycles(count: number): void {
    const parents = this.#parents;
    const walk = this.#row.fill(0, 0, count);
    for (let from = 0; from < count; from++) {
      let at = from;
      while (at !== NONE && walk[at] === 0) {
        walk[at] = from + 1;
        at = parents[at] ?? NONE;
      }
      if (at === NONE || walk[at] !== from + 1) continue;
      let first = at;
      for (let on = parents[at] ?? NONE; on !== at; on = parents[on] ?? NONE) first = Math.min(first, on);
      parents[first] = NONE;
    }
  }

  /** Children in order: prepended from the last to the first. */
  #linkChildren(count: number): void {
    this.#firstChild.fill(NONE, 0, count);
    for (let at = count - 1; at >= 0; at--) {
      const parent = this.#parents[at] ?? NONE;
      if (parent === NONE) continue;
      this.#nextSibling[at] = this.#firstChild[parent] ?? NONE;
      this.#firstChild[parent] = at;
    }
  }

  #walk(sorted: Uint32Array): void {
    let row = 0;
    for (let root = 0; root < sorted.length; root++) {
      if (this.#parents[root] !== NONE) continue;
      let at = root;
      let depth = 0;
      while (at !== NONE) {
        this.#place(sorted, at, row++);
        this.#stack[depth] = at;
        const child = this.#firstChild[at] ?? NONE;
        depth = child === NONE ? this.#climb(depth) : depth + 1;
        at = child === NONE ? this.#siblingAt(depth) : child;
      }
    }
    this.rows.count = row;
  }

  #place(sorted: Uint32Array, at: number, row: number): void {
    const parent = this.#parents[at] ?? NONE;
    this.rows.spans[row] = sorted[at] ?? 0;
    this.rows.distances[row] = parent === NONE ? 0 : row - (this.#row[parent] ?? 0);
    this.#row[at] = row;
  }

  /** Depth of the nearest span upwards that has a sibling left; 0 for none below the root. */
  #climb(from: number): number {
    let depth = from;
    while (depth > 0 && this.#siblingAt(depth) === NONE) depth--;
    return depth;
  }

  /** The sibling that follows the span at `depth`; roots have none here. */
  #siblingAt(depth: number): number {
    return depth === 0 ? NONE : (this.#nextSibling[this.#stack[depth] ?? 0] ?? NONE);
  }
}
