// A column chunk, from bytes to codes and values.
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

export interface ColumnData {
  readonly schema: ColumnSchema;
  /** Distinct values by code; undefined when no page has codes. */
  readonly dictionary: Values | undefined;
  readonly pages: readonly ColumnPage[];
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `column: ${what}`);
}

function decodeDictionary(schema: ColumnSchema, header: PageHeader, raw: Uint8Array): Values {
  if (header.encoding !== ENCODING.plain) throw corrupt(`dictionary of encoding ${header.encoding}`);
  return decodePlain(schema, raw, header.valueCount);
}

function decodeContent(
  schema: ColumnSchema,
  page: { readonly encoding: number; readonly values: Uint8Array; readonly count: number },
  dictionary: Values | undefined,
): ColumnPage["content"] {
  if (page.encoding === ENCODING.plain) {
    return { kind: "values", values: decodePlain(schema, page.values, page.count) };
  }
  if (page.encoding !== ENCODING.dictionary || dictionary === undefined) {
    throw corrupt(`page of encoding ${page.encoding}`);
  }
  return { kind: "codes", codes: decodeCodes(page.values, 0, page.count, dictionary.count) };
}

/**
 * Decodes the chunk `bytes`, checking every page.
 * @param rowCount rows of the block, which the pages must add up to
 * @throws AppError `corrupt`
 */
export function decodeColumn(schema: ColumnSchema, bytes: Uint8Array, rowCount: number): ColumnData {
  let dictionary: Values | undefined;
  const pages: ColumnPage[] = [];
  let at = 0;
  let firstRow = 0;
  while (at < bytes.length) {
    const { header, bodyAt } = decodePageHeader(bytes, at);
    if (header.kind === "data" && header.valueCount > COLUMN_PAGE_ROWS) throw corrupt("too many rows");
    at = bodyAt + header.length;
    const raw = decodePageBody(header, bytes.subarray(bodyAt, at), schema.compression);
    if (header.kind === "dictionary") {
      if (dictionary !== undefined || pages.length > 0) throw corrupt("a dictionary that is not first");
      dictionary = decodeDictionary(schema, header, raw);
      continue;
    }
    const rows = header.valueCount;
    const levels: Levels = schema.optional
      ? decodeLevels(raw, rows)
      : { present: undefined, valueCount: rows, end: 0 };
    const values = raw.subarray(levels.end);
    const content = decodeContent(
      schema,
      { encoding: header.encoding, values, count: levels.valueCount },
      dictionary,
    );
    pages.push({ firstRow, rowCount: rows, present: levels.present, content });
    firstRow += rows;
  }
  if (firstRow !== rowCount) throw corrupt(`${firstRow} rows instead of ${rowCount}`);
  return { schema, dictionary, pages };
}
