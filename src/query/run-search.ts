// A search over everything that a tenant has in a window.
import type { SearchQuery } from "../traceql/ast.ts";
import type { SearchCursor, SearchResult } from "../traceql/results.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";

export interface SearchInput {
  readonly query: SearchQuery;
  /** Traces that overlap it are found. */
  readonly window: ScanWindow;
  /** Traces returned at most, at least 1. */
  readonly limit: number;
  /** Spans per spanset at most; `Infinity` for all. */
  readonly spansPerSpanset: number;
  /** Goes on after this trace. */
  readonly cursor?: SearchCursor | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SearchRun extends SearchResult, ScanReport {}

/**
 * The newest traces that match. What cannot be read is left out, and reported.
 * @throws AppError `invalid_argument` for what the query cannot do, `unavailable` when no shard answers or the client has
 *   gone
 */
export async function runSearch(deps: ScanDeps, input: SearchInput): Promise<SearchRun> {
  throw new Error(`${deps.tenant} ${input.limit}`);
}
