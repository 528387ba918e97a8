// A search over everything that a tenant has in a window.
import type { SearchQuery } from "../traceql/ast.ts";
import { compileSearch, search } from "../traceql/engine/search.ts";
import type { SearchCursor, SearchResult } from "../traceql/results.ts";
import { candidateTraces, needsWholeTraces, NO_CANDIDATES } from "./candidates.ts";
import { expectedInSearch } from "./expected-columns.ts";
import { pooledCandidates } from "./pool/pooled-candidates.ts";
import { pooledSearch, searchedIn } from "./pool/pooled-search.ts";
import { runScan } from "./run-scan.ts";
import { type SearchIn, searchWhole } from "./search-whole.ts";
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
  const { query, window, signal, cursor } = input;
  const options = {
    limit: input.limit,
    spansPerSpanset: input.spansPerSpanset,
    ...window,
    ...(cursor && { cursor }),
    ...(signal && { signal }),
    splits: deps.cache.splits,
  };
  const pooledQuery = searchedIn(query, options);
  const { scan: limits } = deps.limits;
  const isOfTraces = needsWholeTraces({ source: query.pipeline });
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: expectedInSearch(compileSearch(query), pooledQuery.window),
    evaluate: async (sources, beyond) => {
      const mayTurnUp = isOfTraces && !beyond.isEmpty;
      const candidates = mayTurnUp ? await candidateTraces(sources, window, limits) : NO_CANDIDATES;
      const searchIn: SearchIn = (wanted, of) => search(sources, wanted, of);
      return searchWhole(searchIn, { query, candidates }, options, beyond);
    },
    query: pooledQuery,
    evaluatePooled: async (scan) => {
      const mayTurnUp = isOfTraces && !scan.beyond.isEmpty;
      const candidates = mayTurnUp
        ? await pooledCandidates(scan, pooledQuery, window, limits)
        : NO_CANDIDATES;
      const searchIn: SearchIn = (wanted, of) => pooledSearch(scan, wanted, of);
      return searchWhole(searchIn, { query, candidates }, options, scan.beyond);
    },
  });
  return { ...result, ...report };
}
