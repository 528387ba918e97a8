// A column chunk, from bytes to codes and values, all pages at once.
import { AppError } from "../util/errors.ts";
import { ColumnChunk, type ColumnPage } from "./column-chunk.ts";
import type { Values } from "./column-values.ts";
import type { ColumnSchema } from "./parquet-schema.ts";

export interface ColumnData {
  readonly schema: ColumnSchema;
  /** Distinct values by code; undefined when no page has codes. */
  readonly dictionary: Values | undefined;
  readonly pages: readonly ColumnPage[];
}

/**
 * Decodes the chunk `bytes`, checking every page.
 * @param rowCount rows of the row group, which the pages must add up to
 * @throws AppError `corrupt`
 */
export function decodeColumn(schema: ColumnSchema, bytes: Uint8Array, rowCount: number): ColumnData {
  const chunk = new ColumnChunk(schema, bytes);
  if (chunk.rowCount !== rowCount) {
    throw new AppError("corrupt", `column: ${chunk.rowCount} rows instead of ${rowCount}`);
  }
  const pages = Array.from({ length: chunk.pageCount }, (_, index) => chunk.page(index));
  return { schema, dictionary: chunk.dictionary, pages };
}
