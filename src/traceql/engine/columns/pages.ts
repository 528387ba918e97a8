// What stands in a page, spread over rows.
import type { Codes, ColumnPage } from "../../storage.ts";

/** An entry for each code, or each value of a page; or for each row. */
export type Table = Uint8Array | Uint32Array | Float64Array;

const EMPTY = new Uint8Array(0);

/** Whether row `i` of the page has a value. */
export function hasValue(present: Uint8Array | undefined, i: number): boolean {
  return present === undefined || (((present[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 1;
}

/** Bits that are set in a byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let bits = byte; bits > 0; bits &= bits - 1) count++;
  return count;
});

/** How many of the rows [from, to) of the page have a value. */
export function countValues(present: Uint8Array | undefined, from: number, to: number): number {
  if (present === undefined) return to - from;
  let count = 0;
  let i = from;
  for (; i < to && (i & 7) !== 0; i++) if (hasValue(present, i)) count++;
  for (; i + 8 <= to; i += 8) count += ONES[present[i >>> 3] ?? 0] ?? 0;
  for (; i < to; i++) if (hasValue(present, i)) count++;
  return count;
}

/**
 * Sets the rows of `out` that have a value in the page to what `table` has for the value: by code when the page holds codes,
 * by position otherwise. Other rows stay as they are.
 */
export function spread<T extends Table>(page: ColumnPage, table: T, out: T): void {
  const { content } = page;
  if (content.kind === "codes") {
    const { codes } = content;
    if (codes instanceof Uint8Array && table instanceof Uint8Array && out instanceof Uint8Array) {
      spreadBytes(page, codes, table, out);
    } else if (
      page.present === undefined &&
      codes instanceof Uint8Array &&
      table instanceof Uint32Array &&
      out instanceof Uint32Array
    ) {
      spreadWords(page, codes, table, out);
    } else if (page.present === undefined) spreadCodes(page, content.codes, table, out);
    else spreadPresentCodes(page, content.codes, table, out);
  } else if (page.present === undefined) out.set(table, page.firstRow);
  else spreadPresentValues(page, table, out);
}

/** Of so many rows one at most is found by searching for the next one: where hits are denser, a look at each row is faster. */
const SPARSE_ONE_IN = 64;

/**
 * What `spread` does with a page without gaps when only one entry of its table makes a difference.
 * @returns false: these are too many, and not all are written
 */
export function spreadSole(
  { firstRow, rowCount }: ColumnPage,
  codes: Codes,
  { code, entry }: { readonly code: number; readonly entry: number },
  out: Uint8Array,
): boolean {
  let left = Math.ceil(rowCount / SPARSE_ONE_IN);
  let at = codes.indexOf(code);
  for (; at >= 0 && left > 0; left--) {
    out[firstRow + at] = entry;
    at = codes.indexOf(code, at + 1);
  }
  return at < 0;
}

/** As `spread` for the most frequent types: code that sees only these is twice as fast. */
function spreadBytes(page: ColumnPage, codes: Uint8Array, table: Uint8Array, out: Uint8Array): void {
  const { firstRow, rowCount, present } = page;
  // A code always is within a table of this size.
  const whole = new Uint8Array(256);
  whole.set(table.subarray(0, 256));
  if (present === undefined) {
    for (let i = 0; i < rowCount; i++) out[firstRow + i] = whole[codes[i] ?? 0] ?? 0;
    return;
  }
  let position = 0;
  for (let group = 0; group < present.length; group++) {
    const base = firstRow + 8 * group;
    for (let bits = present[group] ?? 0; bits !== 0; bits &= bits - 1) {
      out[base + 31 - Math.clz32(bits & -bits)] = whole[codes[position++] ?? 0] ?? 0;
    }
  }
}

function spreadWords(page: ColumnPage, codes: Uint8Array, table: Uint32Array, out: Uint32Array): void {
  const { firstRow, rowCount } = page;
  const whole = new Uint32Array(256);
  whole.set(table.subarray(0, 256));
  for (let i = 0; i < rowCount; i++) out[firstRow + i] = whole[codes[i] ?? 0] ?? 0;
}

function spreadCodes({ firstRow, rowCount }: ColumnPage, codes: Codes, table: Table, out: Table): void {
  for (let i = 0; i < rowCount; i++) out[firstRow + i] = table[codes[i] ?? 0] ?? 0;
}

/** Visits set bits only: three times as fast as a look at each row where few have a value. */
function spreadPresentCodes(page: ColumnPage, codes: Codes, table: Table, out: Table): void {
  const { firstRow, present = EMPTY } = page;
  let position = 0;
  for (let group = 0; group < present.length; group++) {
    const base = firstRow + 8 * group;
    for (let bits = present[group] ?? 0; bits !== 0; bits &= bits - 1) {
      out[base + 31 - Math.clz32(bits & -bits)] = table[codes[position++] ?? 0] ?? 0;
    }
  }
}

function spreadPresentValues(page: ColumnPage, table: Table, out: Table): void {
  const { firstRow, present = EMPTY } = page;
  let position = 0;
  for (let group = 0; group < present.length; group++) {
    const base = firstRow + 8 * group;
    for (let bits = present[group] ?? 0; bits !== 0; bits &= bits - 1) {
      out[base + 31 - Math.clz32(bits & -bits)] = table[position++] ?? 0;
    }
  }
}
