// Which spans of a trace are wanted: the parameters of version 2.
import type { TraceFilter } from "../../query/filter-trace.ts";
import type { IntrinsicName, SpansetFilter } from "../../traceql/ast.ts";
import { compileCondition, conditionFields } from "../../traceql/engine/conditions/condition.ts";
import { parseQuery } from "../../traceql/parse.ts";
import { badRequest, textParam } from "./query-params.ts";

/** They are the same for all spans of a trace, so that they choose none. */
const TRACE_INTRINSICS: ReadonlySet<IntrinsicName> = new Set([
  "traceDuration",
  "rootName",
  "rootServiceName",
  "trace:id",
]);

function readFilter(text: string): SpansetFilter {
  const query = parseQuery(text);
  const [filter, ...rest] = query.kind === "search" ? query.pipeline.stages : [];
  if (filter?.kind !== "filter" || rest.length > 0) {
    throw badRequest(
      "invalid q: one spanset filter { … } is expected, without operators, pipeline or metrics",
    );
  }
  for (const field of conditionFields(compileCondition(filter.condition))) {
    if (field.kind === "intrinsic" && TRACE_INTRINSICS.has(field.name)) {
      throw badRequest(`invalid q: ${field.name} is that of the whole trace and chooses no spans`);
    }
  }
  return filter;
}

/** What Go's strconv.ParseBool takes. */
function boolParam(params: URLSearchParams, name: string): boolean {
  const text = textParam(params, name) ?? "false";
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw badRequest(`invalid ${name}: "${text}" is neither true nor false`);
}

/** Infinity for -1. */
function depthParam(params: URLSearchParams, name: string, fallback: number): number {
  const text = textParam(params, name) ?? String(fallback);
  const depth = /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(depth >= -1)) throw badRequest(`invalid ${name}: must be a number of levels, or -1 for all`);
  return depth === -1 ? Infinity : depth;
}

/**
 * Reads `q`, `keep_hierarchy`, `match_depth` and `ancestor_depth`.
 * @returns undefined when there is no filter
 * @throws AppError `invalid_argument`
 */
export function readTraceFilter(params: URLSearchParams): TraceFilter | undefined {
  const keepsHierarchy = boolParam(params, "keep_hierarchy");
  const descendants = depthParam(params, "match_depth", 0);
  const ancestors = depthParam(params, "ancestor_depth", -1);
  const text = textParam(params, "q");
  if (text === undefined) return undefined;
  return { filter: readFilter(text), descendants, ancestors: keepsHierarchy ? ancestors : 0 };
}
