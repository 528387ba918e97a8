// Fields by row: as values, as numbers, as codes of equal values.
import type { Field } from "../../ast.ts";
import { type Codec, decoderOf, doublesOf, wordsOf } from "./decode.ts";
import { openField } from "./fields.ts";
import { nextRow } from "./mask.ts";
import { spread } from "./pages.ts";
import { type Layer, rowDecoder } from "./row-decoder.ts";
import { NONE, type Scan } from "./scan.ts";
import { groupValue, type Scalar, type Value, valueKey } from "./value.ts";

/** The value of a field at a row. */
export type RowReader = (row: number) => Value;

export function fieldReader(scan: Scan, field: Field): RowReader {
  const { layers, absent } = openField(scan, field);
  const decoders = layers.map((layer) => rowDecoder(scan, layer));
  const first = decoders.length === 1 ? decoders[0] : undefined;
  const read = (row: number): Value => {
    if (first !== undefined) return first(row) ?? absent;
    for (const decode of decoders) {
      const value = decode(row);
      if (value !== undefined) return value;
    }
    return absent;
  };
  if (!field.parent) return read;
  const { parents } = scan;
  return (row) => {
    const parent = parents[row] ?? NONE;
    return parent === NONE ? undefined : read(parent);
  };
}

/** Numbers from here on are not all exact as doubles. */
const EXACT_MAX = 2 ** 53;

/** The numbers of a field, page by page. */
export class PageNumbers {
  readonly isInt: boolean;
  readonly #scan: Scan;
  readonly #layer: Layer;
  readonly #entries: Numbers | undefined;
  #own = new Float64Array(0);

  /** Undefined when not all values of the field are single numbers of one column. */
  static open(scan: Scan, field: Field): PageNumbers | undefined {
    const { layers, absent } = openField(scan, field);
    const [layer] = layers;
    if (field.parent || absent !== undefined || layers.length !== 1 || layer === undefined) return undefined;
    const { kind } = layer.codec;
    return kind === "int" || kind === "double" ? new PageNumbers(scan, layer) : undefined;
  }

  private constructor(scan: Scan, layer: Layer) {
    this.isInt = layer.codec.kind === "int";
    this.#scan = scan;
    this.#layer = layer;
    const { dictionary } = layer.column;
    this.#entries = dictionary && numbersOf(layer.codec, dictionary, new Float64Array(dictionary.count));
  }

  /**
   * By row of the page, NaN where there is none; undefined when doubles do not hold them exactly. Overwritten by the next
   * page.
   */
  of(index: number): Float64Array | undefined {
    const { column, codec } = this.#layer;
    const rowCount = this.#scan.pageStart(index + 1) - this.#scan.pageStart(index);
    if (this.#own.length < rowCount) this.#own = new Float64Array(rowCount);
    const own = this.#own.subarray(0, rowCount);
    const page = column.page(index);
    const { content } = page;
    if (content.kind === "values" && page.present === undefined) {
      const { isExact } = numbersOf(codec, content.values, own);
      page.release?.();
      return isExact ? own : undefined;
    }
    const numbers =
      content.kind === "codes"
        ? this.#entries
        : numbersOf(codec, content.values, new Float64Array(content.values.count));
    const isExact = numbers?.isExact === true;
    if (page.present !== undefined) own.fill(Number.NaN);
    if (isExact) spread({ ...page, firstRow: 0 }, numbers.values, own);
    page.release?.();
    return isExact ? own : undefined;
  }
}

/**
 * The numbers of a field for all rows, NaN where there is none; undefined when doubles do not hold them exactly, or when
 * not all of them are single numbers.
 */
export function numericRows(scan: Scan, field: Field, rows: Uint8Array): NumericRows | undefined {
  const pages = PageNumbers.open(scan, field);
  if (pages === undefined) return undefined;
  const values = new Float64Array(scan.rowCount).fill(Number.NaN);
  for (let index = 0; index < scan.pageCount; index++) {
    const start = scan.pageStart(index);
    if (!rows.subarray(start, scan.pageStart(index + 1)).includes(1)) continue;
    const numbers = pages.of(index);
    if (numbers === undefined) return undefined;
    values.set(numbers, start);
  }
  return { values, isInt: pages.isInt };
}

export interface NumericRows {
  /** By row. */
  readonly values: Float64Array;
  readonly isInt: boolean;
}

interface Numbers {
  readonly values: Float64Array;
  readonly isExact: boolean;
}

/** @param out as long as there are values */
function numbersOf(codec: Codec, values: ColumnPageValues, out: Float64Array): Numbers {
  if (values.kind !== "fixed") return { values: out, isExact: false };
  if (codec.kind === "double") {
    out.set(doublesOf(values));
    return { values: out, isExact: true };
  }
  const words = wordsOf(values);
  const greatest = values.width === 4 ? fillFrom32(words, out) : fillFrom64(words, out);
  return { values: out, isExact: greatest < EXACT_MAX };
}

/**
 * Ints of 64 bits as doubles, those beyond 2^53 rounded.
 * @returns the greatest magnitude, or a little more
 */
export function fillFrom64(words: Uint32Array, out: Float64Array): number {
  let greatest = 0;
  for (let i = 0; i < out.length; i++) {
    const high = (words[2 * i + 1] ?? 0) | 0;
    out[i] = high * 0x1_0000_0000 + (words[2 * i] ?? 0);
    greatest |= high < 0 ? ~high : high;
  }
  return (greatest + 1) * 0x1_0000_0000;
}

function fillFrom32(words: Uint32Array, out: Float64Array): number {
  for (let i = 0; i < out.length; i++) out[i] = (words[i] ?? 0) | 0;
  return 0x8000_0000;
}

type ColumnPageValues = NonNullable<Layer["column"]["dictionary"]>;

/** Equal values of a field have one code. */
export interface RowCodes {
  /** By row; of rows that are not asked for, any. */
  readonly codes: Uint32Array;
  /** By code. Code 0 is a missing value. */
  readonly values: readonly (Scalar | undefined)[];
}

/** Gives codes to values. */
class Interner {
  readonly values: (Scalar | undefined)[] = [undefined];
  readonly #codes = new Map<string, number>();

  codeOf(value: Scalar | undefined): number {
    if (value === undefined) return 0;
    const key = valueKey(value);
    let code = this.#codes.get(key);
    if (code === undefined) {
      code = this.values.length;
      this.values.push(value);
      this.#codes.set(key, code);
    }
    return code;
  }
}

/** The codes of a field in `rows`, a byte for each. Of a list the first element that is there counts. */
export function fieldCodes(scan: Scan, field: Field, rows: Uint8Array): RowCodes {
  const { layers, absent } = openField(scan, field);
  const [layer] = layers;
  if (layers.length === 1 && layer !== undefined && !field.parent) {
    return layerCodes(scan, layer, absent, rows);
  }
  return readerCodes(scan, fieldReader(scan, field), rows);
}

/** The codes of what `read` gives in `rows`. */
export function readerCodes(scan: Scan, read: RowReader, rows: Uint8Array): RowCodes {
  const interner = new Interner();
  const codes = new Uint32Array(scan.rowCount);
  for (let row = nextRow(rows, 0); row >= 0; row = nextRow(rows, row + 1)) {
    codes[row] = interner.codeOf(groupValue(read(row)));
  }
  return { codes, values: interner.values };
}

/** The codes of one column of a field. */
export function layerCodes(scan: Scan, layer: Layer, absent: Value, rows: Uint8Array): RowCodes {
  const pages = new LayerCodes(scan, layer, absent);
  const codes = new Uint32Array(scan.rowCount);
  for (let index = 0; index < scan.pageCount; index++) {
    const start = scan.pageStart(index);
    if (rows.subarray(start, scan.pageStart(index + 1)).includes(1)) codes.set(pages.of(index), start);
  }
  return { codes, values: pages.values };
}

/** Codes page by page. */
export interface PageCodes {
  /** By code; grows with the pages. Code 0 is a missing value. */
  readonly values: readonly (Scalar | undefined)[];
  /** By row of the page. Overwritten by the next page. */
  of(index: number): Uint32Array;
}

class LayerCodes implements PageCodes {
  readonly #scan: Scan;
  readonly #layer: Layer;
  readonly #absent: Value;
  readonly #interner = new Interner();
  readonly #absentCode: number;
  readonly #entries: Uint32Array | undefined;
  #own = new Uint32Array(0);

  constructor(scan: Scan, layer: Layer, absent: Value) {
    this.#scan = scan;
    this.#layer = layer;
    this.#absent = absent;
    this.#absentCode = this.#interner.codeOf(groupValue(absent));
    const { dictionary } = layer.column;
    this.#entries = dictionary && this.#codesOf(dictionary);
  }

  get values(): readonly (Scalar | undefined)[] {
    return this.#interner.values;
  }

  of(index: number): Uint32Array {
    const rowCount = this.#scan.pageStart(index + 1) - this.#scan.pageStart(index);
    if (this.#own.length < rowCount) this.#own = new Uint32Array(rowCount);
    const own = this.#own.subarray(0, rowCount);
    const page = this.#layer.column.page(index);
    const { content } = page;
    const table = content.kind === "codes" ? this.#entries : this.#codesOf(content.values);
    if (page.present !== undefined || table === undefined) own.fill(this.#absentCode);
    if (table !== undefined) spread({ ...page, firstRow: 0 }, table, own);
    page.release?.();
    return own;
  }

  #codesOf(values: ColumnPageValues): Uint32Array {
    const decode = decoderOf(this.#layer.codec, values);
    const codes = new Uint32Array(values.count);
    for (let i = 0; i < codes.length; i++) {
      codes[i] = this.#interner.codeOf(groupValue(decode(i) ?? this.#absent));
    }
    return codes;
  }
}

/** The codes of a field, for pages with one of `rows`. */
export function pageCodes(scan: Scan, field: Field, rows: Uint8Array): PageCodes {
  const { layers, absent } = openField(scan, field);
  const [layer] = layers;
  if (layers.length === 1 && layer !== undefined && !field.parent) return new LayerCodes(scan, layer, absent);
  const { codes, values } = readerCodes(scan, fieldReader(scan, field), rows);
  return { values, of: (index) => codes.subarray(scan.pageStart(index), scan.pageStart(index + 1)) };
}
