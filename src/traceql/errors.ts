// What is wrong with a query, and where.
import { AppError } from "../util/errors.ts";

/**
 * `parse`: the text is no query; `validation`: it is one, but its types do not fit; `unsupported`: a query that Tempo's
 * grammar has and that is not answered here.
 */
export type Fault = "parse error" | "validation error" | "unsupported";

/** Line and column of an offset, from 1. Columns count code points, as editors do. */
export function placeOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at);
  const lineStart = before.lastIndexOf("\n") + 1;
  let line = 1;
  for (let i = before.indexOf("\n"); i >= 0; i = before.indexOf("\n", i + 1)) line++;
  let column = 1;
  for (const _ of before.slice(lineStart)) column++;
  return { line, column };
}

/** Thrown while a text is read, and turned into an AppError where its whole is known. */
export class QueryFault extends Error {
  override readonly name = "QueryFault";
  readonly fault: Fault;
  readonly at: number;

  constructor(fault: Fault, at: number, message: string) {
    super(message);
    this.fault = fault;
    this.at = at;
  }
}

/**
 * Runs `read` over `text`.
 * @throws AppError `invalid_argument` in place of a QueryFault: `<prefix>: parse error at line 1, col 7: <what>`
 */
export function withPlace<T>(text: string, prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof QueryFault)) throw error;
    const { line, column } = placeOf(text, error.at);
    throw new AppError(
      "invalid_argument",
      `${prefix}: ${error.fault} at line ${line}, col ${column}: ${error.message}`,
    );
  }
}
