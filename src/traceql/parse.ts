// Text into checked queries: the only way in for what users send.
import type { Field, FieldExpression, Query } from "./ast.ts";
import { checkFilter, checkQuery } from "./check.ts";
import { withPlace } from "./errors.ts";
import { QueryParser } from "./query-parser.ts";
import { AppError } from "../util/errors.ts";

/** Bytes of a query's text, Tempo's default. */
export const QUERY_BYTES_MAX = 128 * 1024;

function checkSize(text: string): void {
  // A UTF-16 unit takes one to three bytes, so that most texts need no count.
  if (text.length * 3 <= QUERY_BYTES_MAX) return;
  if (text.length > QUERY_BYTES_MAX || new TextEncoder().encode(text).length > QUERY_BYTES_MAX) {
    throw new AppError(
      "invalid_argument",
      `TraceQL expression exceeds the configured maximum size of ${QUERY_BYTES_MAX} bytes`,
    );
  }
}

/**
 * Reads a query and checks its types. Constant numbers are computed, parentheses are gone.
 * @throws AppError `invalid_argument`: `invalid TraceQL query: parse error at line 1, col 7: …`; in place of "parse
 * error" stands "validation error" when types do not fit and "unsupported" for the few things that Tempo's grammar has
 * and this one has not
 */
export function parseQuery(text: string): Query {
  checkSize(text);
  return withPlace(text, "invalid TraceQL query", () => {
    const query = new QueryParser(text).query();
    checkQuery(query);
    return query;
  });
}

/**
 * Reads the name of one field, as `resource.service.name`, `."a b"` or `span:status`.
 * @throws AppError `invalid_argument`: `failed to parse identifier app.user: parse error at line 1, col 1: unknown
 * identifier: app`
 */
export function parseField(text: string): Field {
  checkSize(text);
  return withPlace(text, `failed to parse identifier ${text}`, () => {
    const parser = new QueryParser(text);
    const field = parser.field();
    parser.expectEnd();
    return field;
  });
}

/**
 * Reads what may stand between braces, and checks that it can be true.
 * @throws AppError `invalid_argument`, as parseQuery
 */
export function parseCondition(text: string): FieldExpression {
  checkSize(text);
  return withPlace(text, "invalid TraceQL query", () => {
    const parser = new QueryParser(text);
    const condition = parser.fieldLogical();
    parser.expectEnd();
    checkFilter({ kind: "filter", condition, at: 0 });
    return condition;
  });
}
