// Fields by row: as values, as numbers, as codes of equal values.
import type { Field } from "../../ast.ts";
import type { ColumnPage } from "../../storage.ts";
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

/**
 * The numbers of a field for all rows, NaN where there is none; undefined when doubles do not hold them exactly, or when
 * not all of them are single numbers.
 */
export function numericRows(scan: Scan, field: Field, rows: Uint8Array): NumericRows | undefined {
  const { layers, absent } = openField(scan, field);
  if (field.parent || absent !== undefined || layers.length !== 1) return undefined;
  const [layer] = layers;
  if (layer === undefined || (layer.codec.kind !== "int" && layer.codec.kind !== "double")) return undefined;
  const values = new Float64Array(scan.rowCount).fill(Number.NaN);
  const entries = layer.column.dictionary && numbersOf(layer.codec, layer.column.dictionary);
  for (let index = 0; index < scan.pageCount; index++) {
    const start = scan.pageStart(index);
    if (!rows.subarray(start, scan.pageStart(index + 1)).includes(1)) continue;
    if (!fillPage(values, layer, layer.column.page(index), entries)) return undefined;
  }
  return { values, isInt: layer.codec.kind === "int" };
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

function fillPage(
  out: Float64Array,
  { codec }: Layer,
  page: ColumnPage,
  entries: Numbers | undefined,
): boolean {
  const { content } = page;
  const numbers = content.kind === "codes" ? entries : numbersOf(codec, content.values);
  if (numbers === undefined || !numbers.isExact) return false;
  spread(page, numbers.values, out);
  return true;
}

function numbersOf(codec: Codec, values: ColumnPageValues): Numbers {
  if (values.kind !== "fixed") return { values: new Float64Array(0), isExact: false };
  if (codec.kind === "double") return { values: doublesOf(values), isExact: true };
  const numbers = new Float64Array(values.count);
  const words = wordsOf(values);
  let greatest = 0;
  for (let i = 0; i < numbers.length; i++) {
    const number =
      values.width === 4
        ? (words[i] ?? 0) | 0
        : ((words[2 * i + 1] ?? 0) | 0) * 0x1_0000_0000 + (words[2 * i] ?? 0);
    numbers[i] = number;
    const magnitude = Math.abs(number);
    if (magnitude > greatest) greatest = magnitude;
  }
  return { values: numbers, isExact: greatest < EXACT_MAX };
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
export function layerCodes(scan: Scan, { column, codec }: Layer, absent: Value, rows: Uint8Array): RowCodes {
  const interner = new Interner();
  const codes = new Uint32Array(scan.rowCount).fill(interner.codeOf(groupValue(absent)));
  const entries = column.dictionary && entryCodes(interner, codec, column.dictionary, absent);
  for (let index = 0; index < scan.pageCount; index++) {
    const start = scan.pageStart(index);
    if (!rows.subarray(start, scan.pageStart(index + 1)).includes(1)) continue;
    const page = column.page(index);
    const { content } = page;
    const table = content.kind === "codes" ? entries : entryCodes(interner, codec, content.values, absent);
    if (table !== undefined) spread(page, table, codes);
  }
  return { codes, values: interner.values };
}

function entryCodes(interner: Interner, codec: Codec, values: ColumnPageValues, absent: Value): Uint32Array {
  const decode = decoderOf(codec, values);
  const codes = new Uint32Array(values.count);
  for (let i = 0; i < codes.length; i++) codes[i] = interner.codeOf(groupValue(decode(i) ?? absent));
  return codes;
}
