// A column chunk whose pages are decoded one by one, when they are asked for.
import { AppError } from "../util/errors.ts";
import { decodePlain, type Values } from "./column-values.ts";
import { type Codes, COLUMN_PAGE_ROWS, decodeCodes, decodeLevels, type Levels } from "./levels.ts";
import { decodePageBody, decodePageHeader, type PageHeader } from "./page.ts";
import { type ColumnSchema, ENCODING } from "./parquet-schema.ts";

/** Rows [firstRow, firstRow + rowCount) of a column. */
export interface ColumnPage {
  readonly firstRow: number;
  readonly rowCount: number;
  /** Bit i of byte i / 8, from the lowest: row firstRow + i has a value; undefined when all have. */
  readonly present: Uint8Array | undefined;
  /** The values that are there, in row order: codes into the column's dictionary, or the values themselves. */
  readonly content:
    | { readonly kind: "codes"; readonly codes: Codes }
    | { readonly kind: "values"; readonly values: Values };
}

interface StoredPage {
  readonly header: PageHeader;
  readonly bodyAt: number;
  readonly firstRow: number;
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `column: ${what}`);
}

/**
 * A chunk may be kept and used again: what was checked of it is not checked again, and its dictionary stays decoded.
 */
export class ColumnChunk {
  readonly schema: ColumnSchema;
  /** Rows of all pages. */
  readonly rowCount: number;
  /** Pages before this one hold codes, it and those behind it values. */
  readonly codedPageCount: number;
  readonly #bytes: Uint8Array;
  readonly #pages: StoredPage[] = [];
  readonly #dictionaryPage: Pick<StoredPage, "header" | "bodyAt"> | undefined;
  #dictionary: Values | undefined;
  /** 1 for each page that was decoded without a fault. */
  readonly #isSound: Uint8Array;

  /**
   * Reads the headers of the pages.
   * @param bytes the chunk, not copied
   * @throws AppError `corrupt`
   */
  constructor(schema: ColumnSchema, bytes: Uint8Array) {
    this.schema = schema;
    this.#bytes = bytes;
    let firstRow = 0;
    for (let at = 0; at < bytes.length;) {
      const { header, bodyAt } = decodePageHeader(bytes, at);
      at = bodyAt + header.length;
      if (header.kind === "dictionary") {
        if (this.#dictionaryPage !== undefined || this.#pages.length > 0) {
          throw corrupt("a dictionary that is not first");
        }
        this.#dictionaryPage = { header, bodyAt };
        continue;
      }
      if (header.valueCount > COLUMN_PAGE_ROWS) throw corrupt("too many rows");
      this.#pages.push({ header, bodyAt, firstRow });
      firstRow += header.valueCount;
    }
    this.rowCount = firstRow;
    this.#isSound = new Uint8Array(this.#pages.length);
    const firstPlain = this.#pages.findIndex(({ header }) => header.encoding === ENCODING.plain);
    this.codedPageCount = firstPlain < 0 ? this.#pages.length : firstPlain;
    if (this.#pages.slice(this.codedPageCount).some(({ header }) => header.encoding !== ENCODING.plain)) {
      throw corrupt("a page of codes behind one of values");
    }
  }

  /** Bytes that it takes when its dictionary is decoded. */
  get memoryBytes(): number {
    const { header } = this.#dictionaryPage ?? {};
    return this.#bytes.length + (header === undefined ? 0 : header.rawLength + 8 * header.valueCount);
  }

  get pageCount(): number {
    return this.#pages.length;
  }

  /** Rows of page `index`. */
  rowsOf(index: number): number {
    return this.#pages[index]?.header.valueCount ?? 0;
  }

  /** Distinct values by code; undefined when no page has codes. @throws AppError `corrupt` */
  get dictionary(): Values | undefined {
    if (this.#dictionary !== undefined || this.#dictionaryPage === undefined) return this.#dictionary;
    const { header } = this.#dictionaryPage;
    if (header.encoding !== ENCODING.plain) throw corrupt(`dictionary of encoding ${header.encoding}`);
    this.#dictionary = decodePlain(this.schema, this.#inflate(this.#dictionaryPage), header.valueCount);
    return this.#dictionary;
  }

  /**
   * Decodes page `index`, anew each time, and checks it the first time.
   * @throws AppError `corrupt`, also when there is no such page
   */
  page(index: number): ColumnPage {
    const page = this.#pages[index];
    if (page === undefined) throw corrupt(`no page ${index}`);
    const isSound = this.#isSound[index] === 1;
    const raw = this.#inflate(page, isSound);
    const rowCount = page.header.valueCount;
    const levels: Levels = this.schema.optional
      ? decodeLevels(raw, rowCount)
      : { present: undefined, valueCount: rowCount, end: 0 };
    const content = this.#content(page.header, raw.subarray(levels.end), levels.valueCount, isSound);
    this.#isSound[index] = 1;
    return { firstRow: page.firstRow, rowCount, present: levels.present, content };
  }

  #content(header: PageHeader, values: Uint8Array, count: number, isSound: boolean): ColumnPage["content"] {
    if (header.encoding === ENCODING.plain) {
      return { kind: "values", values: decodePlain(this.schema, values, count) };
    }
    const { dictionary } = this;
    if (header.encoding !== ENCODING.dictionary || dictionary === undefined) {
      throw corrupt(`page of encoding ${header.encoding}`);
    }
    return { kind: "codes", codes: decodeCodes(values, 0, count, isSound ? Infinity : dictionary.count) };
  }

  #inflate({ header, bodyAt }: Pick<StoredPage, "header" | "bodyAt">, isSound = false): Uint8Array {
    const body = this.#bytes.subarray(bodyAt, bodyAt + header.length);
    return decodePageBody(header, body, this.schema.compression, isSound);
  }
}
