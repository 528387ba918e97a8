// Conditions over the rows of one source.
import type { Field } from "../../ast.ts";
import { openField } from "../columns/fields.ts";
import { spread } from "../columns/pages.ts";
import type { Layer } from "../columns/row-decoder.ts";
import { fieldReader } from "../columns/rows.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { isTrue } from "../columns/value.ts";
import type { Condition } from "./condition.ts";
import { entryTable, type States } from "./entry-table.ts";
import { dictionaryStates, notePage, pageNote, spreadNote } from "./noted-states.ts";
import { compileExpression } from "./expression.ts";
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
 * @returns a mask of its own
 * @throws AppError `invalid_argument` for a division by zero, `corrupt`
 */
export function evaluateCondition(scan: Scan, condition: Condition, candidates: Mask): Mask {
  switch (condition.kind) {
    case "constant":
      return condition.holds ? candidates.slice() : emptyMask(scan.rowCount);
    case "field":
      return intersect(fieldMask(scan, condition.field, condition.predicate, candidates), candidates);
    case "rows":
      return rowsMask(scan, condition, candidates);
    case "not":
      return subtract(candidates.slice(), evaluateCondition(scan, condition.operand, candidates));
    case "and": {
      let mask = candidates.slice();
      for (const operand of condition.operands) {
        if (isEmpty(mask)) break;
        mask = evaluateCondition(scan, operand, mask);
      }
      return mask;
    }
    case "or": {
      const rest = candidates.slice();
      const mask = emptyMask(scan.rowCount);
      for (const operand of condition.operands) {
        if (isEmpty(rest)) break;
        const holds = evaluateCondition(scan, operand, rest);
        unite(mask, holds);
        subtract(rest, holds);
      }
      return mask;
    }
  }
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
function fieldMask(scan: Scan, field: Field, predicate: Predicate, candidates: Mask): Mask {
  if (!field.parent) return ownMask(scan, field, predicate, candidates);
  const ofParents = ownMask(scan, field, predicate, fullMask(scan.rowCount));
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

function ownMask(scan: Scan, field: Field, predicate: Predicate, candidates: Mask): Mask {
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
  readonly candidates: Mask;
}

/** Writes the states of a column's rows. False when there was nothing to write: all are what rows without value are. */
function spreadLayer(scan: Scan, { column, codec }: Layer, test: Test, out: Mask): boolean {
  const { predicate, states, candidates } = test;
  const { dictionary, codedPageCount, notes } = column;
  const noted = { predicate, states, notes };
  const entries = dictionary && dictionaryStates(codec, dictionary, noted);
  const before = out[0] ?? 0;
  const isIdle = entries === undefined || isUniform(entries, before);
  let isAny = false;
  for (let index = isIdle ? codedPageCount : 0; index < scan.pageCount; index++) {
    if (isEmpty(candidates, scan.pageStart(index), scan.pageStart(index + 1))) continue;
    const note = index < codedPageCount ? undefined : pageNote(noted, index);
    if (note !== undefined) {
      spreadNote(note, states, out.subarray(scan.pageStart(index), scan.pageStart(index + 1)), before);
      isAny = true;
      continue;
    }
    const page = column.page(index);
    const { content } = page;
    const table = content.kind === "codes" ? entries : entryTable(codec, content.values, predicate, states);
    if (table !== undefined) {
      spread(page, table, out);
      notePage(noted, index, page, table);
      isAny = true;
    }
    page.release?.();
  }
  return isAny;
}

/** Whether no entry differs from what the rows are already. */
function isUniform(table: Uint8Array, state: number): boolean {
  return table.every((each) => each === state);
}
