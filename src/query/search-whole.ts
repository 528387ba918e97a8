// A search whose results are whole traces, those too that go on where the query does not look.
import type { FieldExpression, SearchQuery } from "../traceql/ast.ts";
import { search, type SearchOptions } from "../traceql/engine/search.ts";
import type { SearchCursor, SearchResult, TraceResult } from "../traceql/results.ts";
import type { Candidates } from "./candidates.ts";
import type { BeyondWindow } from "./whole-traces.ts";

/** In the order of results. */
function compareKeys(a: SearchCursor, b: SearchCursor): number {
  if (a.startNs !== b.startNs) return a.startNs > b.startNs ? -1 : 1;
  if (a.traceId === b.traceId) return 0;
  return a.traceId < b.traceId ? -1 : 1;
}

interface Entry {
  /** The trace's place as the window alone shows it: pages follow each other by that, whatever is found out later. */
  readonly key: SearchCursor;
  readonly result: TraceResult;
}

interface Found {
  /** What the window alone shows. */
  readonly page: SearchResult;
  /** Traces that are not on the page and match when they are whole, as the window shows them. */
  readonly candidates: readonly TraceResult[];
  /** Ids of the traces that were read whole. */
  readonly whole: ReadonlySet<string>;
  /** Those of them that match. */
  readonly matching: readonly TraceResult[];
}

/** The page with whole traces in the place of their parts, without those that then do not match, and with those that do. */
function combined({ page, candidates, whole, matching }: Found, limit: number): SearchResult {
  const results = new Map(matching.map((result) => [result.traceId, result]));
  const shown = new Set(page.traces.map(({ traceId }) => traceId));
  const entries = page.traces.flatMap((part): Entry[] => {
    const result = whole.has(part.traceId) ? results.get(part.traceId) : part;
    return result === undefined ? [] : [{ key: part, result }];
  });
  const dropped = page.traces.length - entries.length;
  for (const part of candidates) {
    const result = results.get(part.traceId);
    const isOfPage = page.cursor === undefined || compareKeys(part, page.cursor) < 0;
    if (result !== undefined && isOfPage && !shown.has(part.traceId)) entries.push({ key: part, result });
  }
  const added = entries.length - (page.traces.length - dropped);
  const kept = entries.toSorted((a, b) => compareKeys(a.key, b.key)).slice(0, limit);
  const last = kept.at(-1)?.key;
  const cut = last && { startNs: last.startNs, traceId: last.traceId };
  return {
    ...page,
    traces: kept.map(({ result }) => result).toSorted(compareKeys),
    total: page.total - dropped + added,
    cursor: kept.length < entries.length ? cut : page.cursor,
  };
}

// No part of such a query comes from a text that a position could point into.
const at = 0;

/** A search for these traces. */
function byIds(ids: readonly string[]): SearchQuery {
  const operands = ids.map((value): FieldExpression => ({
    kind: "comparison",
    op: "=",
    left: { kind: "intrinsic", name: "trace:id", parent: false, at },
    right: { kind: "literal", type: "string", value, at },
    at,
  }));
  const [first] = operands;
  const condition: FieldExpression =
    operands.length === 1 && first !== undefined ? first : { kind: "logical", op: "||", operands, at };
  return {
    kind: "search",
    pipeline: { kind: "pipeline", stages: [{ kind: "filter", condition, at }], at },
    hints: [],
    at,
  };
}

/** Searches the window. */
export type SearchIn = (query: SearchQuery, options: SearchOptions) => Promise<SearchResult>;

/**
 * As `search`, but results that have spans beyond the window are evaluated with all of them, and so are candidates: they
 * may match then.
 * @throws as `search` does
 */
export async function searchWhole(
  searchIn: SearchIn,
  { query, candidates }: { readonly query: SearchQuery; readonly candidates: Candidates },
  options: SearchOptions,
  beyond: BeyondWindow,
): Promise<SearchResult> {
  const page = await searchIn(query, options);
  const shown = new Set(page.traces.map(({ traceId }) => traceId));
  const whole = await beyond.find([...new Set([...shown, ...candidates.ids])], candidates);
  if (whole.ids.size === 0) return page;
  const { cursor: _, ...ofAll } = options;
  const { traces: matching } = await search(whole.sources, query, { ...ofAll, limit: whole.ids.size });
  const turnedUp = matching.flatMap(({ traceId }) => (shown.has(traceId) ? [] : [traceId]));
  const few = { ...options, limit: turnedUp.length, spansPerSpanset: 1 };
  const parts = turnedUp.length === 0 ? [] : (await searchIn(byIds(turnedUp), few)).traces;
  return combined({ page, candidates: parts, whole: whole.ids, matching }, options.limit);
}
