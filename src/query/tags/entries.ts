// The values that a column has, each entry of its dictionary once, in some rows or in all.
import { hasValue } from "../../traceql/engine/columns/pages.ts";
import type { Column, ColumnPage, Values } from "../../traceql/storage.ts";

/** Rows of a source: a byte for each, 1 or 0. Undefined: all of them. */
export type Rows = Uint8Array | undefined;

/** Values of a column, as many as `indexes` says. */
export interface Entries {
  readonly values: Values;
  readonly indexes: Iterable<number>;
}

/** @param pageCount pages of the column. @throws AppError `corrupt` */
export function* entriesOf(column: Column, pageCount: number, rows: Rows): Generator<Entries> {
  const { dictionary, codedPageCount } = column;
  if (dictionary !== undefined) {
    const used = rows && usedCodes(column, dictionary.count, rows);
    yield { values: dictionary, indexes: used === undefined ? upTo(dictionary.count) : setOf(used) };
  }
  for (let index = codedPageCount; index < pageCount; index++) {
    const page = column.page(index);
    if (page.content.kind !== "values") continue;
    const { values } = page.content;
    yield { values, indexes: rows === undefined ? upTo(values.count) : positionsIn(page, rows) };
  }
}

/** Whether any of the rows has a value. @throws AppError `corrupt` */
export function hasAny(column: Column, pageCount: number, rows: Uint8Array): boolean {
  for (let index = 0; index < pageCount; index++) {
    const positions = positionsIn(column.page(index), rows);
    if (positions.next().done !== true) return true;
  }
  return false;
}

function* upTo(count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}

function* setOf(flags: Uint8Array): Generator<number> {
  for (let i = flags.indexOf(1); i >= 0; i = flags.indexOf(1, i + 1)) yield i;
}

function usedCodes(column: Column, count: number, rows: Uint8Array): Uint8Array {
  const used = new Uint8Array(count);
  for (let index = 0; index < column.codedPageCount; index++) {
    const page = column.page(index);
    if (page.content.kind !== "codes") continue;
    const { codes } = page.content;
    for (const position of positionsIn(page, rows)) used[codes[position] ?? 0] = 1;
  }
  return used;
}

/** Where the rows' values stand among those of the page. */
function* positionsIn({ firstRow, rowCount, present }: ColumnPage, rows: Uint8Array): Generator<number> {
  let position = 0;
  for (let i = 0; i < rowCount; i++) {
    if (!hasValue(present, i)) continue;
    if (rows[firstRow + i] === 1) yield position;
    position++;
  }
}
