// A search over everything that a tenant has in a window.
import type { SearchQuery } from "../traceql/ast.ts";
import { TRACES } from "../scan/block-source.ts";
import { compileSearch, isWorthSearching } from "../traceql/engine/search.ts";
import { findColumns } from "../traceql/engine/search/find-traces.ts";
import { showColumns } from "../traceql/engine/search/show-traces.ts";
import { partColumns } from "../traceql/engine/tables/split-traces.ts";
import type { SearchCursor, SearchResult } from "../traceql/results.ts";
import { candidateTraces, needsWholeTraces } from "./candidates.ts";
import { marginNs } from "./plan.ts";
import { runScan } from "./run-scan.ts";
import { searchWhole } from "./search-whole.ts";
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
  const plan = compileSearch(query);
  const margin = marginNs(deps.limits.scan);
  const isOfTraces = needsWholeTraces({ source: query.pipeline });
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: (source) => {
      const found = isWorthSearching(plan, [source], options)
        ? findColumns(plan.pipeline, source, options)
        : [];
      return [[TRACES, ...found], partColumns(source, (part) => showColumns(plan.mentions, part))];
    },
    evaluate: async (sources, beyond) => {
      const mayTurnUp = isOfTraces && !beyond.isEmpty;
      const candidates = mayTurnUp ? await candidateTraces(sources, window, margin) : [];
      return searchWhole(sources, { query, candidates }, options, beyond);
    },
  });
  return { ...result, ...report };
}
