// A column chunk whose pages are decoded one by one, when they are asked for.
import { freeBuffer } from "../util/bytes.ts";
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
  /**
   * Gives the memory of the page back at once, when its arrays are not used any more; undefined: it is not its own. Left to
   * a collection, the pages of one query are hundreds of megabytes, and collecting them takes an eighth of its time.
   */
  readonly release?: (() => void) | undefined;
}

interface StoredPage {
  readonly header: PageHeader;
  readonly bodyAt: number;
  readonly firstRow: number;
}

const NO_BYTES = new Uint8Array(0);

function corrupt(what: string): AppError {
  return new AppError("corrupt", `column: ${what}`);
}

/** Inflated bytes of a row up to which pages stay inflated: a code of one byte, and a bit that says whether it is there. */
const NARROW_ROW_BYTES = 1.25;

/**
 * A chunk may be kept and used again: what was checked of it is not checked again, its dictionary stays decoded, and so do
 * its pages when they are narrow: of a column of codes a scan would take longer to inflate it than to look at it.
 */
export class ColumnChunk {
  readonly schema: ColumnSchema;
  /** Rows of all pages. */
  readonly rowCount: number;
  /** Pages before this one hold codes, it and those behind it values. */
  readonly codedPageCount: number;
  /** Bytes that it takes when its dictionary, and its pages if they are narrow, are decoded. */
  readonly memoryBytes: number;
  /** Emptied when nothing of it is needed any more. */
  #bytes: Uint8Array;
  readonly #pages: StoredPage[] = [];
  readonly #dictionaryPage: Pick<StoredPage, "header" | "bodyAt"> | undefined;
  #dictionary: Values | undefined;
  /** 1 for each page that was decoded without a fault. */
  readonly #isSound: Uint8Array;
  /** Pages that stay decoded; undefined: none does. */
  readonly #decoded: (ColumnPage | undefined)[] | undefined;
  /** Of these pages and of the dictionary, how many are still to be decoded. */
  #undecoded: number;

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
    const rawBytes = this.#pages.reduce((sum, { header }) => sum + header.rawLength, 0);
    const isNarrow = rawBytes <= NARROW_ROW_BYTES * this.rowCount;
    this.#decoded = isNarrow ? this.#pages.map(() => undefined) : undefined;
    this.#undecoded = this.#pages.length + (this.#dictionaryPage === undefined ? 0 : 1);
    const dictionary = this.#dictionaryPage?.header;
    const dictionaryBytes = dictionary === undefined ? 0 : dictionary.rawLength + 8 * dictionary.valueCount;
    this.memoryBytes = bytes.length + dictionaryBytes + (isNarrow ? rawBytes : 0);
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
    this.#countDecoded();
    return this.#dictionary;
  }

  /**
   * Decodes page `index`, anew each time unless it is narrow, and checks it the first time.
   * @throws AppError `corrupt`, also when there is no such page
   */
  page(index: number): ColumnPage {
    const kept = this.#decoded?.[index];
    if (kept !== undefined) return kept;
    const page = this.#decode(index);
    if (this.#decoded !== undefined) {
      this.#decoded[index] = page;
      this.#countDecoded();
    }
    return page;
  }

  #countDecoded(): void {
    this.#undecoded--;
    if (this.#decoded !== undefined && this.#undecoded === 0) this.#bytes = NO_BYTES;
  }

  #decode(index: number): ColumnPage {
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
    const isOwn = this.#decoded === undefined && this.schema.compression !== "none";
    const release = isOwn ? () => freeBuffer(raw) : undefined;
    return { firstRow: page.firstRow, rowCount, present: levels.present, content, release };
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
