// The parameters of a search, with Tempo's rules and texts.
import type { Limits } from "../../model/limits.ts";
import type { ScanWindow } from "../../query/query-scan.ts";
import type { SearchQuery } from "../../traceql/ast.ts";
import { parseQuery } from "../../traceql/parse.ts";
import type { SearchCursor } from "../../traceql/results.ts";
import { parseGoDuration, parsePrometheusDuration } from "./durations.ts";
import { parseLogfmt } from "./logfmt.ts";
import {
  badRequest,
  formatMs,
  nsOfMs,
  parseUint32,
  secondsParam,
  secondsWindow,
  textParam,
} from "./query-params.ts";
import { tagSearchQuery } from "./tag-search.ts";

export interface SearchParams {
  readonly query: SearchQuery;
  /** A search by tags says which traces match, not which spans. */
  readonly hasSpansets: boolean;
  readonly window: ScanWindow;
  readonly limit: number;
  readonly spansPerSpanset: number;
  readonly cursor: SearchCursor | undefined;
}

const DEFAULT_LIMIT = 20;
const DEFAULT_SPANS = 3;
const DEFAULT_RANGE_MS = 15 * 60_000;
/** Tempo's `max_result_limit`, and its `max_spans_per_span_set`. */
const LIMIT_MAX = 262_144;
const SPANS_MAX = 100;

/** What is no tag when tags are parameters of their own. */
const KNOWN = new Set([
  "q",
  "tags",
  "minDuration",
  "maxDuration",
  "limit",
  "spss",
  "start",
  "end",
  "since",
  "cursor",
  "mode",
  "skip_ast_transformations",
]);

/**
 * Reads and checks the parameters.
 * @throws AppError `invalid_argument`
 */
export function readSearchParams(params: URLSearchParams, nowMs: number, limits: Limits): SearchParams {
  const q = textParam(params, "q");
  const tagText = textParam(params, "tags");
  if (q !== undefined && tagText !== undefined) {
    throw badRequest("invalid request: can't specify tags and q in the same query");
  }
  const minDurationNs = durationParam(params, "minDuration");
  const maxDurationNs = durationParam(params, "maxDuration");
  if (minDurationNs !== undefined && maxDurationNs !== undefined && maxDurationNs < minDurationNs) {
    throw badRequest("invalid maxDuration: must be greater than minDuration");
  }
  const limit = limitParam(params);
  const spans = spansParam(params);
  const window = readWindow(params, nowMs, limits);
  const tags = tagText === undefined ? otherParams(params) : parseLogfmt(tagText);
  const { maxAnswerTraces, maxAnswerSpans } = limits.scan;
  const pageLimit = Math.min(limit, maxAnswerTraces);
  return {
    query: q === undefined ? tagSearchQuery({ tags, minDurationNs, maxDurationNs }) : searchQuery(q),
    hasSpansets: q !== undefined,
    window,
    limit: pageLimit,
    spansPerSpanset: Math.min(spans, Math.max(1, Math.floor(maxAnswerSpans / pageLimit))),
    cursor: cursorParam(params),
  };
}

function searchQuery(text: string): SearchQuery {
  const query = parseQuery(text);
  if (query.kind === "search") return query;
  throw badRequest("invalid TraceQL query: it is a metrics query, which /api/metrics/query_range answers");
}

/** Of several values the first counts; an empty one is none. */
function otherParams(params: URLSearchParams): ReadonlyMap<string, string> {
  const isPlain =
    textParam(params, "q") === undefined &&
    ["start", "end"].every((name) => secondsParam(params, name) === undefined);
  const tags = new Map<string, string>();
  for (const name of isPlain ? params.keys() : []) {
    const value = textParam(params, name);
    if (value !== undefined && !KNOWN.has(name)) tags.set(name, value);
  }
  return tags;
}

function durationParam(params: URLSearchParams, name: string): bigint | undefined {
  const text = textParam(params, name);
  if (text === undefined) return undefined;
  const ns = parseGoDuration(text);
  if (ns === undefined || ns < 0n) throw badRequest(`invalid ${name}: "${text}" is no duration`);
  return ns === 0n ? undefined : ns;
}

function limitParam(params: URLSearchParams): number {
  const text = textParam(params, "limit");
  if (text === undefined) return DEFAULT_LIMIT;
  const limit = parseUint32(text) ?? 0;
  if (limit === 0) throw badRequest("invalid limit: must be a positive number");
  if (limit > LIMIT_MAX) throw badRequest(`limit ${limit} exceeds max limit ${LIMIT_MAX}`);
  return limit;
}

/** Infinity for 0, which passes Tempo's maximum. */
function spansParam(params: URLSearchParams): number {
  const text = textParam(params, "spss");
  if (text === undefined) return DEFAULT_SPANS;
  const spans = parseUint32(text);
  if (spans === undefined) throw badRequest("invalid spss: must be a non-negative number");
  if (spans > SPANS_MAX) throw badRequest(`spans per span set exceeds ${SPANS_MAX}. received ${spans}`);
  return spans === 0 ? Infinity : spans;
}

function readWindow(params: URLSearchParams, nowMs: number, limits: Limits): ScanWindow {
  const since = textParam(params, "since");
  if (since !== undefined) return lastNs(sinceNs(since), nowMs, limits);
  const start = secondsParam(params, "start");
  const end = secondsParam(params, "end");
  if (start === undefined && end === undefined) {
    return lastNs(nsOfMs(Math.min(DEFAULT_RANGE_MS, maxSearchMs(limits))), nowMs, limits);
  }
  if (start === undefined || end === undefined) {
    throw badRequest(
      "error parsing date range: only one of start and end provided: must provide both or neither",
    );
  }
  if (end <= start) {
    throw badRequest(`http parameter start must be before end. received start=${start} end=${end}`);
  }
  if ((end - start) * 1000 > maxSearchMs(limits)) throw tooLong(start, end, limits);
  return secondsWindow(start, end);
}

/** @returns ns, more than 0 */
export function sinceNs(text: string): bigint {
  const ns = parsePrometheusDuration(text);
  if (ns === undefined || ns === 0n)
    throw badRequest(`invalid since: "${text}" is no duration like 15m or 2d`);
  return ns;
}

/** Until the end of this second: what was sent just now is found. */
function lastNs(rangeNs: bigint, nowMs: number, limits: Limits): ScanWindow {
  const end = Math.floor(nowMs / 1000);
  if (rangeNs > nsOfMs(maxSearchMs(limits))) {
    throw tooLong(end - Math.floor(Number(rangeNs / 1_000_000_000n)), end, limits);
  }
  return { startNs: nsOfMs(nowMs) - rangeNs, endNs: secondsWindow(0, end).endNs };
}

/** What a search or a question for tags may span, in ms. */
export function maxSearchMs({ scan, tenant }: Limits): number {
  return Math.min(scan.maxRangeMs, tenant.maxSearchMs);
}

/** The refusal of a longer range, in seconds: Grafana looks for this text and explains it. */
export function tooLong(start: number, end: number, limits: Limits): Error {
  const max = formatMs(maxSearchMs(limits));
  return badRequest(`range specified by start and end exceeds ${max}. received start=${start} end=${end}`);
}

function cursorParam(params: URLSearchParams): SearchCursor | undefined {
  const text = textParam(params, "cursor");
  if (text === undefined) return undefined;
  const [, start = "", traceId = ""] = /^(\d{1,19})-([0-9a-f]{32})$/.exec(text) ?? [];
  if (traceId === "")
    throw badRequest("invalid cursor: it must be the Rubato-Next-Cursor of an earlier answer");
  return { startNs: BigInt(start), traceId };
}

/** The cursor as `cursor` takes it. */
export function formatCursor({ startNs, traceId }: SearchCursor): string {
  return `${startNs}-${traceId}`;
}
