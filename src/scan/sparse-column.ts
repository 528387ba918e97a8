// A column of which only a few rows are known: what is asked for of traces that are shown, or that go on in other blocks.
// Their pages are spread over the whole column, so that decoding them costs as much as all of it; the rows fit any cache.
import { valueBytes, type Values } from "../block/column-values.ts";
import { countValues } from "../traceql/engine/columns/pages.ts";
import type { Column, ColumnPage } from "../traceql/storage.ts";

/** What is known of a page. */
interface Picked {
  /** The rows that were asked for and have a value, by their places in the page. */
  readonly places: Uint16Array;
  readonly content: ColumnPage["content"];
}

/** Pages have the values of the rows that were asked for; other rows have none. */
export class SparseColumn implements Column {
  readonly dictionary: Values | undefined;
  readonly codedPageCount: number;
  /** The rows that were asked for. */
  readonly rows: Uint32Array;
  readonly #pageRows: Uint32Array;
  readonly #pages = new Map<number, Picked>();
  #byteLength = 0;

  /**
   * @param pageRows first row of each page, then the number of rows
   * @param rows ascending
   * @throws AppError `corrupt`
   */
  constructor(column: Column, pageRows: Uint32Array, rows: Uint32Array) {
    this.rows = rows;
    this.#pageRows = pageRows;
    this.codedPageCount = column.codedPageCount;
    const codes = new Map<number, number>();
    let at = 0;
    for (let index = 0; index + 1 < pageRows.length && at < rows.length; index++) {
      const end = firstFrom(rows, at, pageRows[index + 1] ?? 0);
      if (end > at) this.#pages.set(index, this.#pick(column.page(index), rows.subarray(at, end), codes));
      at = end;
    }
    this.dictionary = column.dictionary && pickValues(column.dictionary, [...codes.keys()]);
    this.#byteLength += rows.byteLength + (this.dictionary === undefined ? 0 : sizeOf(this.dictionary));
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** The bitmap is made anew each time: for few rows it is the largest part. */
  page(index: number): ColumnPage {
    const firstRow = this.#pageRows[index] ?? 0;
    const rowCount = (this.#pageRows[index + 1] ?? firstRow) - firstRow;
    const present = new Uint8Array((rowCount + 7) >>> 3);
    const picked = this.#pages.get(index);
    for (const place of picked?.places ?? []) {
      present[place >>> 3] = (present[place >>> 3] ?? 0) | (1 << (place & 7));
    }
    const nothing = index < this.codedPageCount ? NO_CODES : NO_VALUES;
    return { firstRow, rowCount, present, content: picked?.content ?? nothing };
  }

  /** @param codes the column's codes so far, by which their values will be numbered */
  #pick(page: ColumnPage, rows: Uint32Array, codes: Map<number, number>): Picked {
    const { content } = page;
    const { places, positions } = placesOf(page, rows);
    this.#byteLength += places.byteLength;
    if (content.kind === "values") {
      const values = pickValues(content.values, positions);
      this.#byteLength += sizeOf(values);
      return { places, content: { kind: "values", values } };
    }
    const own = Uint32Array.from(positions, (position) => {
      const code = content.codes[position] ?? 0;
      const known = codes.get(code) ?? codes.size;
      codes.set(code, known);
      return known;
    });
    this.#byteLength += own.byteLength;
    return { places, content: { kind: "codes", codes: own } };
  }
}

const NO_CODES: ColumnPage["content"] = { kind: "codes", codes: new Uint32Array(0) };
const NO_VALUES: ColumnPage["content"] = {
  kind: "values",
  values: { kind: "fixed", count: 0, bytes: new Uint8Array(0), width: 1 },
};

function firstFrom(rows: Uint32Array, from: number, row: number): number {
  let at = from;
  while (at < rows.length && (rows[at] ?? 0) < row) at++;
  return at;
}

/** The rows that have a value, and where it stands among those of the page. */
function placesOf(
  { firstRow, present }: ColumnPage,
  rows: Uint32Array,
): { readonly places: Uint16Array; readonly positions: readonly number[] } {
  const places: number[] = [];
  const positions: number[] = [];
  let position = 0;
  let passed = 0;
  for (const row of rows) {
    const place = row - firstRow;
    position += countValues(present, passed, place);
    passed = place;
    if (bitOf(present, place) === 0) continue;
    places.push(place);
    positions.push(position);
  }
  return { places: Uint16Array.from(places), positions };
}

function bitOf(present: Uint8Array | undefined, i: number): number {
  return present === undefined ? 1 : ((present[i >>> 3] ?? 0) >>> (i & 7)) & 1;
}

/** Some of the values, in buffers of their own. */
function pickValues(values: Values, positions: readonly number[]): Values {
  const count = positions.length;
  if (values.kind === "bits") {
    const bytes = new Uint8Array((count + 7) >>> 3);
    positions.forEach((position, i) => {
      if (bitOf(values.bytes, position) === 1) bytes[i >>> 3] = (bytes[i >>> 3] ?? 0) | (1 << (i & 7));
    });
    return { kind: "bits", count, bytes };
  }
  const parts = positions.map((position) => valueBytes(values, position));
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  const offsets = new Uint32Array(2 * count);
  let at = 0;
  parts.forEach((part, i) => {
    bytes.set(part, at);
    offsets[2 * i] = at;
    at += part.length;
    offsets[2 * i + 1] = at;
  });
  if (values.kind === "fixed") return { kind: "fixed", count, bytes, width: values.width };
  return { kind: "bytes", count, bytes, offsets };
}

function sizeOf(values: Values): number {
  return values.bytes.length + (values.kind === "bytes" ? values.offsets.byteLength : 0);
}
