// Ascending lists of trace ids, 16 bytes each.
import { parseTraceId, TRACE_ID_BYTES } from "../../../model/ids.ts";
import { mix32 } from "../../../util/hash.ts";
import { wordsOf } from "../columns/decode.ts";

/** Order of id `a` of `as` against id `b` of `bs`: negative, 0 or positive. */
export function compareIds(as: Uint8Array, a: number, bs: Uint8Array, b: number): number {
  const atA = TRACE_ID_BYTES * a;
  const atB = TRACE_ID_BYTES * b;
  for (let i = 0; i < TRACE_ID_BYTES; i++) {
    const difference = (as[atA + i] ?? 0) - (bs[atB + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Number of the id, 32 hex digits, in the list; -1 when it is not there. */
export function findTrace(ids: Uint8Array, traceId: string): number {
  const wanted = parseTraceId(traceId);
  let low = 0;
  let high = ids.length / TRACE_ID_BYTES;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareIds(ids, middle, wanted, 0) < 0) low = middle + 1;
    else high = middle;
  }
  const isThere = low < ids.length / TRACE_ID_BYTES && compareIds(ids, low, wanted, 0) === 0;
  return isThere ? low : -1;
}

/** The traces that more than one list has. */
export interface SplitTraces {
  /** Their ids, ascending, 16 bytes each. */
  readonly ids: Uint8Array;
  /** By list: 1 for each of its traces that another list has too; undefined: it has none of these. */
  readonly flags: readonly (Uint8Array | undefined)[];
}

const ID_WORDS = TRACE_ID_BYTES / 4;

/**
 * Finds them with hash tables, one for each value of the first bits: the lists are sorted, so each table is small and stays
 * in the processor's cache.
 */
export function findSplitTraces(lists: readonly Uint8Array[]): SplitTraces {
  const flags: (Uint8Array | undefined)[] = lists.map(() => undefined);
  const isAlone = lists.filter(({ length }) => length > 0).length < 2;
  if (isAlone) return { ids: new Uint8Array(0), flags };
  const table = new IdTable(lists);
  const split = new Set<number>();
  const mark = (list: number, trace: number): void => {
    const own = (flags[list] ??= new Uint8Array((lists[list]?.length ?? 0) / TRACE_ID_BYTES));
    own[trace] = 1;
  };
  for (const ranges of rangesByPrefix(lists)) {
    table.clear(ranges.reduce((sum, { start, end }) => sum + end - start, 0));
    for (const { list, start, end } of ranges) {
      for (let trace = start; trace < end; trace++) {
        const known = table.add(list, trace);
        if (known < 0) continue;
        const first = table.placeOf(known);
        mark(first.list, first.trace);
        mark(list, trace);
        split.add(known);
      }
    }
  }
  return { ids: table.sorted([...split]), flags };
}

const PREFIX_BITS = 12;

/** Traces [start, end) of a list. */
interface IdRange {
  readonly list: number;
  readonly start: number;
  readonly end: number;
}

/** For each value of the first bits that two lists or more have: the ids that begin so. */
function* rangesByPrefix(lists: readonly Uint8Array[]): Generator<readonly IdRange[]> {
  const next = lists.map(() => 0);
  for (let prefix = 0; prefix < 1 << PREFIX_BITS; prefix++) {
    const ranges: IdRange[] = [];
    lists.forEach((ids, list) => {
      const start = next[list] ?? 0;
      let end = start;
      while (16 * end < ids.length && prefixOf(ids, 16 * end) === prefix) end++;
      next[list] = end;
      if (end > start) ranges.push({ list, start, end });
    });
    if (ranges.length > 1) yield ranges;
  }
}

function prefixOf(ids: Uint8Array, at: number): number {
  return ((ids[at] ?? 0) << 4) | ((ids[at + 1] ?? 0) >>> 4);
}

/** Ids by their number through all lists. */
class IdTable {
  readonly #words: readonly Uint32Array[];
  /** Number of each list's first id. */
  readonly #firsts: number[] = [];
  /** 1 + an id's number, by hash; 0: free. */
  #slots = new Uint32Array(16);
  #mask = 0;

  constructor(lists: readonly Uint8Array[]) {
    this.#words = lists.map((ids) => wordsOf({ bytes: ids }));
    let count = 0;
    for (const words of this.#words) {
      this.#firsts.push(count);
      count += words.length / ID_WORDS;
    }
  }

  /** Forgets all ids and makes room for `count`. */
  clear(count: number): void {
    let slots = 16;
    while (slots < 2 * count) slots *= 2;
    this.#mask = slots - 1;
    if (slots > this.#slots.length) this.#slots = new Uint32Array(slots);
    else this.#slots.fill(0, 0, slots);
  }

  /** Adds an id unless an equal one is there. @returns the number of that one, or -1 */
  add(list: number, trace: number): number {
    const words = this.#words[list] ?? this.#slots;
    const at = ID_WORDS * trace;
    let slot = hashOf(words, at) & this.#mask;
    for (;;) {
      const number = (this.#slots[slot] ?? 0) - 1;
      if (number < 0) break;
      if (this.#isEqual(number, words, at)) return number;
      slot = (slot + 1) & this.#mask;
    }
    this.#slots[slot] = (this.#firsts[list] ?? 0) + trace + 1;
    return -1;
  }

  #isEqual(number: number, words: Uint32Array, at: number): boolean {
    const { list, trace } = this.placeOf(number);
    const others = this.#words[list];
    for (let i = 0; i < ID_WORDS; i++) if (others?.[ID_WORDS * trace + i] !== words[at + i]) return false;
    return true;
  }

  placeOf(number: number): { readonly list: number; readonly trace: number } {
    let list = this.#firsts.length - 1;
    while (list > 0 && (this.#firsts[list] ?? 0) > number) list--;
    return { list, trace: number - (this.#firsts[list] ?? 0) };
  }

  /** The ids with these numbers, ascending. */
  sorted(numbers: readonly number[]): Uint8Array {
    const ids = new Uint8Array(TRACE_ID_BYTES * numbers.length);
    numbers.forEach((number, index) => {
      const { list, trace } = this.placeOf(number);
      const words = this.#words[list]?.slice(ID_WORDS * trace, ID_WORDS * (trace + 1));
      if (words !== undefined) ids.set(new Uint8Array(words.buffer), TRACE_ID_BYTES * index);
    });
    const order = numbers.map((_, index) => index).sort((a, b) => compareIds(ids, a, ids, b));
    const sorted = new Uint8Array(ids.length);
    order.forEach((from, to) => {
      const id = ids.subarray(TRACE_ID_BYTES * from, TRACE_ID_BYTES * (from + 1));
      sorted.set(id, TRACE_ID_BYTES * to);
    });
    return sorted;
  }
}

function hashOf(words: Uint32Array, at: number): number {
  let hash = mix32(words[at] ?? 0);
  hash = mix32(hash ^ (words[at + 1] ?? 0));
  hash = mix32(hash ^ (words[at + 2] ?? 0));
  return mix32(hash ^ (words[at + 3] ?? 0));
}
