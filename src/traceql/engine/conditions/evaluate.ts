// Conditions over the rows of one source.
import type { Field } from "../../ast.ts";
import type { ColumnPage } from "../../storage.ts";
import { openField } from "../columns/fields.ts";
import type { Codec } from "../columns/decode.ts";
import { spread, spreadSole } from "../columns/pages.ts";
import type { Layer } from "../columns/row-decoder.ts";
import { fieldReader } from "../columns/rows.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { isTrue } from "../columns/value.ts";
import type { Condition } from "./condition.ts";
import { entryTable, type States } from "./entry-table.ts";
import { compileExpression } from "./expression.ts";
import { dictionaryStates, type NotedTest, notePage, pageNote, spreadNote } from "./noted-states.ts";
import { PageBounds } from "./page-bounds.ts";
import {
  emptyMask,
  fullMask,
  intersect,
  isEmpty,
  type Mask,
  nextRow,
  subtract,
  unite,
} from "../columns/mask.ts";
import type { Predicate } from "./predicate.ts";

/**
 * The rows among `candidates` for which the condition holds. Operands are evaluated for rows that need them only: pages
 * without such a row are not decoded.
 * @param candidates undefined: all rows
 * @returns a mask of its own
 * @throws AppError `invalid_argument` for a division by zero, `corrupt`
 */
export function evaluateCondition(scan: Scan, condition: Condition, candidates: Mask | undefined): Mask {
  switch (condition.kind) {
    case "constant":
      return condition.holds ? copyOf(scan, candidates) : emptyMask(scan.rowCount);
    case "field": {
      const mask = fieldMask(scan, condition.field, condition.predicate, candidates);
      return candidates === undefined ? mask : intersect(mask, candidates);
    }
    case "rows":
      return rowsMask(scan, condition, candidates ?? fullMask(scan.rowCount));
    case "not":
      return subtract(copyOf(scan, candidates), evaluateCondition(scan, condition.operand, candidates));
    case "and":
      return all(scan, condition.operands, candidates);
    case "or":
      return any(scan, condition.operands, candidates);
  }
}

function all(scan: Scan, operands: readonly Condition[], candidates: Mask | undefined): Mask {
  let mask = candidates;
  for (const operand of operands) {
    if (mask !== undefined && isEmpty(mask)) break;
    mask = evaluateCondition(scan, operand, mask);
  }
  return mask === undefined || mask === candidates ? copyOf(scan, candidates) : mask;
}

function any(scan: Scan, operands: readonly Condition[], candidates: Mask | undefined): Mask {
  const rest = copyOf(scan, candidates);
  const mask = emptyMask(scan.rowCount);
  for (const operand of operands) {
    if (isEmpty(rest)) break;
    const holds = evaluateCondition(scan, operand, rest);
    unite(mask, holds);
    subtract(rest, holds);
  }
  return mask;
}

function copyOf(scan: Scan, candidates: Mask | undefined): Mask {
  return candidates?.slice() ?? fullMask(scan.rowCount);
}

function rowsMask(
  scan: Scan,
  { node, fields }: Condition & { readonly kind: "rows" },
  candidates: Mask,
): Mask {
  const mask = emptyMask(scan.rowCount);
  if (isEmpty(candidates)) return mask;
  let row = 0;
  const readers = new Map(fields.map((field) => [field, fieldReader(scan, field)]));
  const evaluate = compileExpression(node, (field) => {
    const read = readers.get(field);
    return () => read?.(row);
  });
  for (row = nextRow(candidates, 0); row >= 0; row = nextRow(candidates, row + 1)) {
    if (isTrue(evaluate())) mask[row] = 1;
  }
  return mask;
}

/** The rows whose field the predicate holds for; of rows that are no candidates, any. */
function fieldMask(scan: Scan, field: Field, predicate: Predicate, candidates: Mask | undefined): Mask {
  if (!field.parent) return ownMask(scan, field, predicate, candidates);
  const ofParents = ownMask(scan, field, predicate, undefined);
  const withoutParent = predicate.test(undefined) ? 1 : 0;
  const mask = emptyMask(scan.rowCount);
  const { parents } = scan;
  for (let row = 0; row < scan.rowCount; row++) {
    const parent = parents[row] ?? NONE;
    mask[row] = parent === NONE ? withoutParent : (ofParents[parent] ?? 0);
  }
  return mask;
}

/** While several columns are looked at, a row that none has decided yet is 0. */
const UNDECIDED: States = { missing: 0, fails: 1, holds: 2 };

function ownMask(scan: Scan, field: Field, predicate: Predicate, candidates: Mask | undefined): Mask {
  const { layers, absent } = openField(scan, field);
  const whenAbsent = predicate.test(absent) ? 1 : 0;
  const [only] = layers;
  if (layers.length === 1 && only !== undefined) {
    const mask = emptyMask(scan.rowCount);
    if (whenAbsent === 1) mask.fill(1, 0, scan.rowCount);
    const states: States = { missing: whenAbsent, fails: 0, holds: 1 };
    spreadLayer(scan, only, { predicate, states, candidates }, mask);
    return mask;
  }
  const decided = emptyMask(scan.rowCount);
  for (const layer of layers) {
    const states = emptyMask(scan.rowCount);
    const isAny = spreadLayer(scan, layer, { predicate, states: UNDECIDED, candidates }, states);
    if (isAny) decide(decided, states);
  }
  for (let row = 0; row < scan.rowCount; row++) {
    const state = decided[row] ?? 0;
    decided[row] = state === 0 ? whenAbsent : state - 1;
  }
  return decided;
}

/** The first column that has a value decides. */
function decide(decided: Mask, states: Mask): void {
  for (let row = 0; row < states.length; row++) {
    if (decided[row] === 0) decided[row] = states[row] ?? 0;
  }
}

interface Test {
  readonly predicate: Predicate;
  readonly states: States;
  /** Undefined: all rows. */
  readonly candidates: Mask | undefined;
}

/** Writes the states of a column's rows. False when there was nothing to write: all are what rows without value are. */
function spreadLayer(scan: Scan, { column, codec }: Layer, test: Test, out: Mask): boolean {
  const { dictionary, codedPageCount, notes } = column;
  const before = out[0] ?? 0;
  const noted = { ...test, notes };
  const coded = codesTest(dictionary && dictionaryStates(codec, dictionary, noted), before);
  const bounds = test.states.fails === before ? PageBounds.of({ codec, notes }, scan.pageCount) : undefined;
  let isAny = false;
  for (let index = coded.written.count === 0 ? codedPageCount : 0; index < scan.pageCount; index++) {
    if (!isWanted(scan, index, test.candidates)) continue;
    isAny = true;
    const rows = out.subarray(scan.pageStart(index), scan.pageStart(index + 1));
    const note = index < codedPageCount ? undefined : pageNote(noted, index, rows.length);
    if (note !== undefined) spreadNote(note, test.states, rows, before);
    else if (index < codedPageCount || bounds?.mayHold(index, test.predicate) !== false) {
      const page = column.page(index);
      if (page.content.kind === "codes") spreadCodes(page, coded, out);
      else spreadValues(page, { index, codec, noted, bounds }, out);
      page.release?.();
    }
  }
  bounds?.end();
  return isAny;
}

function isWanted(scan: Scan, page: number, candidates: Mask | undefined): boolean {
  return candidates === undefined || !isEmpty(candidates, scan.pageStart(page), scan.pageStart(page + 1));
}

interface CodesTest {
  /** State by entry of the dictionary. */
  readonly entries: Uint8Array;
  readonly written: WrittenEntries;
}

function codesTest(entries: Uint8Array | undefined, before: number): CodesTest {
  const known = entries ?? NO_ENTRIES;
  return { entries: known, written: entriesOtherThan(known, before) };
}

function spreadCodes(page: ColumnPage, { entries, written }: CodesTest, out: Mask): void {
  const { content, present } = page;
  if (content.kind === "codes" && written.count === 1 && present === undefined) {
    const sole = { code: written.first, entry: entries[written.first] ?? 0 };
    if (spreadSole(page, content.codes, sole, out)) return;
  }
  spread(page, entries, out);
}

interface ValuesTest {
  readonly index: number;
  readonly codec: Codec;
  readonly noted: NotedTest;
  readonly bounds: PageBounds | undefined;
}

function spreadValues(page: ColumnPage, { index, codec, noted, bounds }: ValuesTest, out: Mask): void {
  const { content } = page;
  if (content.kind !== "values") return;
  const table = entryTable(codec, content.values, noted.predicate, noted.states);
  spread(page, table, out);
  notePage(noted, index, page, table);
  bounds?.look(index, content.values);
}

const NO_ENTRIES = new Uint8Array(0);

/** Entries that make a difference. */
interface WrittenEntries {
  readonly count: number;
  readonly first: number;
}

/** The entries that differ from what the rows are already. */
function entriesOtherThan(table: Uint8Array, state: number): WrittenEntries {
  const first = table.findIndex((each) => each !== state);
  let count = 0;
  for (let entry = Math.max(0, first); entry < table.length; entry++) if (table[entry] !== state) count++;
  return { count, first };
}
