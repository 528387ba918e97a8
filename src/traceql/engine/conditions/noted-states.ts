// What a predicate says of a column, noted for later queries: of the entries of a dictionary a state each, of a page of
// values one bitmap or two. A page that is noted need not be inflated again.
import type { ColumnPage, Notes, Values } from "../../storage.ts";
import type { Codec } from "../columns/decode.ts";
import { hasValue } from "../columns/pages.ts";
import { entryTable, type States } from "./entry-table.ts";
import type { Predicate } from "./predicate.ts";

/** The states that notes are made of. */
const NOTED: States = { missing: 0, fails: 1, holds: 2 };

/** Dictionaries with less are evaluated as fast as a note is found. */
const ENTRIES_MIN = 64;

/** The state of each entry of a dictionary. @throws AppError `corrupt` */
export function dictionaryStates(
  codec: Codec,
  dictionary: Values,
  { predicate, states, notes }: NotedTest,
): Uint8Array {
  const isCheap = dictionary.kind !== "bytes" || dictionary.count < ENTRIES_MIN;
  if (isCheap || notes === undefined || predicate.key === undefined) {
    return entryTable(codec, dictionary, predicate, states);
  }
  const name = `entries ${predicate.key}`;
  let noted = notes.get(name);
  if (noted === undefined) {
    noted = entryTable(codec, dictionary, predicate, NOTED);
    notes.set(name, noted);
  }
  const stateOf = Uint8Array.of(states.missing, states.fails, states.holds);
  return noted.map((state) => stateOf[state] ?? 0);
}

export interface NotedTest {
  readonly predicate: Predicate;
  readonly states: States;
  readonly notes: Notes | undefined;
}

/** What is noted of a page. */
export interface PageNote {
  /** By bit: rows with a value for which the predicate is false; undefined: all for which it is not true. */
  readonly fails: Uint8Array | undefined;
  /** By bit: rows with a value for which it is true. */
  readonly holds: Uint8Array;
}

function pageName({ key }: Predicate, page: number): string {
  return `page ${page} ${key}`;
}

/** @param rowCount of the page */
export function pageNote(
  { predicate, notes }: NotedTest,
  page: number,
  rowCount: number,
): PageNote | undefined {
  const note = predicate.key === undefined ? undefined : notes?.get(pageName(predicate, page));
  if (note === undefined) return undefined;
  const length = bitBytes(rowCount);
  const fails = note.length === length ? undefined : note.subarray(length);
  return { holds: note.subarray(0, length), fails };
}

function bitBytes(rowCount: number): number {
  return (rowCount + 7) >>> 3;
}

/** Notes what the states of a page's values are: the next time it need not be inflated. */
export function notePage(
  { predicate, states, notes }: NotedTest,
  index: number,
  page: ColumnPage,
  table: Uint8Array,
): void {
  if (notes === undefined || predicate.key === undefined) return;
  const { content, present } = page;
  // A number is there or not, while a text may be JSON without what is asked for.
  const isPlain = present === undefined && content.kind === "values" && content.values.kind === "fixed";
  const note = isPlain ? plainNote(table, states) : partedNote(page, table, states);
  notes.set(pageName(predicate, index), note);
}

/** Moves the lowest bits of four bytes to the highest four of a word. */
const FOUR_BITS = 0x1020_4080;

/** Four states at a time: one by one they take as long as it took to find them. */
function plainNote(table: Uint8Array, { fails, holds }: States): Uint8Array {
  const note = new Uint8Array(bitBytes(table.length));
  const padded = new Uint8Array(8 * note.length);
  padded.set(table);
  const fours = new Uint32Array(padded.buffer);
  // A bit that tells the two states apart.
  const shift = 31 - Math.clz32(holds & ~fails);
  for (let group = 0; group < note.length; group++) {
    const low = Math.imul(((fours[2 * group] ?? 0) >>> shift) & 0x0101_0101, FOUR_BITS) >>> 28;
    const high = Math.imul(((fours[2 * group + 1] ?? 0) >>> shift) & 0x0101_0101, FOUR_BITS) >>> 28;
    note[group] = low | (high << 4);
  }
  return note;
}

function partedNote({ rowCount, present }: ColumnPage, table: Uint8Array, states: States): Uint8Array {
  const length = bitBytes(rowCount);
  const note = new Uint8Array(2 * length);
  let position = 0;
  for (let i = 0; i < rowCount; i++) {
    if (!hasValue(present, i)) continue;
    const state = table[position++] ?? 0;
    const at = state === states.holds ? 0 : state === states.fails ? length : -1;
    if (at >= 0) note[at + (i >>> 3)] = (note[at + (i >>> 3)] ?? 0) | (1 << (i & 7));
  }
  return note;
}

/** Writes the states of a page's rows; those without value, and those that are `state` already, stay as they are. */
export function spreadNote(
  { fails, holds }: PageNote,
  states: States,
  rows: Uint8Array,
  state: number,
): void {
  if (fails === undefined && states.fails !== state) {
    rows.fill(states.fails);
    spreadBits(holds, rows, states.holds);
    return;
  }
  if (fails !== undefined && states.fails !== state) spreadBits(fails, rows, states.fails);
  if (states.holds !== state) spreadBits(holds, rows, states.holds);
}

function spreadBits(bits: Uint8Array, rows: Uint8Array, state: number): void {
  for (let group = 0; group < bits.length; group++) {
    for (let left = bits[group] ?? 0; left !== 0; left &= left - 1) {
      rows[8 * group + 31 - Math.clz32(left & -left)] = state;
    }
  }
}
