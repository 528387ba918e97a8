// Searching: the newest traces that match, over any number of sources.
import type { SearchQuery } from "../ast.ts";
import type { SearchCursor, SearchResult } from "../results.ts";
import type { SpanSource } from "../storage.ts";

export interface SearchOptions {
  /** Traces returned at most, at least 1. */
  readonly limit: number;
  /** Spans per spanset at most; `Infinity` for all. */
  readonly spansPerSpanset: number;
  /** Window that a trace must overlap, both ends included. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Goes on after this trace. */
  readonly cursor?: SearchCursor;
  readonly signal?: AbortSignal;
}

/**
 * Evaluates `query` over the spans of all sources as if they were one: traces that several sources have parts of are
 * put together, spans that several have are counted once.
 * @throws AppError `invalid_argument` for what the query cannot do (division by zero, a structural operator on groups);
 *   what a source throws
 */
export async function search(
  sources: readonly SpanSource[],
  query: SearchQuery,
  options: SearchOptions,
): Promise<SearchResult> {
  throw new Error(`${sources.length} ${query.kind} ${options.limit}`);
}
