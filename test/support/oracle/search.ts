// Search: the traces that a query finds, newest first, with what an answer says of them.
import type { SearchQuery } from "../../../src/traceql/ast.ts";
import type {
  ResultAttribute,
  ResultSpan,
  ResultValue,
  SearchCursor,
  ServiceStats,
  TraceResult,
} from "../../../src/traceql/results.ts";
import { fieldOf, serviceOf } from "./expressions.ts";
import { type Mention, mentionsOf } from "./fields.ts";
import { type Spanset, spansetsOf } from "./spansets.ts";
import { durationOf, type Node, type Trace } from "./trace.ts";
import { compareText, type Value } from "./values.ts";

export interface SearchOptions {
  /** ns: traces that overlap, both ends included. */
  readonly start: bigint;
  readonly end: bigint;
  readonly limit: number;
  readonly spansPerSpanset: number;
  /** Only what comes after. */
  readonly after?: SearchCursor | undefined;
}

export interface SearchAnswer {
  readonly traces: readonly TraceResult[];
  readonly total: number;
  readonly cursor: SearchCursor | undefined;
}

/** Intrinsics of the span itself that an answer has elsewhere, or not at all. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "name",
  "duration",
  "traceDuration",
  "rootName",
  "rootServiceName",
  "trace:id",
  "span:id",
]);

export function resultValue(value: Value): ResultValue {
  if (value.type !== "list") return value;
  return { type: "array", values: value.values };
}

/** Several events with one attribute give as many entries. */
function entriesOf({ field, isNil }: Mention, node: Node): ResultAttribute[] {
  if (field.kind === "intrinsic" && !field.parent && LEFT_OUT.has(field.name)) return [];
  const name = field.parent ? `parent.${field.name}` : field.name;
  const value = fieldOf(node, field);
  if (value === undefined) return isNil ? [{ name, value: { type: "nil" } }] : [];
  const isGathered = field.kind === "intrinsic" || field.scope === "event" || field.scope === "link";
  if (value.type === "list" && isGathered) return value.values.map((element) => ({ name, value: element }));
  return [{ name, value: resultValue(value) }];
}

function resultSpan(node: Node, mentions: readonly Mention[]): ResultSpan {
  const { span } = node;
  const isNamed = mentions.some(
    ({ field }) => field.kind === "intrinsic" && field.name === "name" && !field.parent,
  );
  return {
    spanId: span.spanId,
    name: isNamed ? span.name : undefined,
    startNs: span.start,
    durationNs: durationOf(span),
    attributes: mentions.flatMap((mention) => entriesOf(mention, node)),
  };
}

function serviceStats(trace: Trace): ServiceStats[] {
  return [...Map.groupBy(trace.nodes, serviceOf)]
    .map(([service, nodes]) => ({
      service,
      spanCount: nodes.length,
      errorCount: nodes.filter(({ span }) => span.statusCode === 2).length,
    }))
    .sort((a, b) => compareText(a.service, b.service));
}

function resultTrace(
  trace: Trace,
  sets: readonly Spanset[],
  mentions: readonly Mention[],
  spans: number,
): TraceResult {
  const { root } = trace;
  return {
    traceId: trace.id,
    startNs: trace.start,
    endNs: trace.end,
    root: root && { service: serviceOf(root), name: root.span.name },
    serviceStats: serviceStats(trace),
    spansets: sets.map(({ nodes, attributes }) => ({
      spans: nodes.slice(0, spans).map((node) => resultSpan(node, mentions)),
      matched: nodes.length,
      attributes: attributes.map(({ key, value }) => ({ name: key, value: value ?? { type: "nil" } })),
    })),
  };
}

/** Newest first, then by id. */
function compareCursors(a: SearchCursor, b: SearchCursor): number {
  if (a.startNs !== b.startNs) return a.startNs > b.startNs ? -1 : 1;
  return compareText(a.traceId, b.traceId);
}

export function search(
  query: SearchQuery,
  traces: readonly Trace[],
  { start, end, limit, spansPerSpanset, after }: SearchOptions,
): SearchAnswer {
  const mentions = mentionsOf(query);
  const found = traces
    .filter((trace) => trace.start <= end && trace.end >= start)
    .map((trace) => ({ trace, sets: spansetsOf(query.pipeline.stages, trace) }))
    .filter(({ sets }) => sets.length > 0)
    .map(({ trace, sets }) => resultTrace(trace, sets, mentions, spansPerSpanset))
    .sort(compareCursors);
  const left = found.filter((trace) => after === undefined || compareCursors(trace, after) > 0);
  const page = left.slice(0, limit);
  const last = page.at(-1);
  return {
    traces: page,
    total: found.length,
    cursor: left.length > page.length && last ? { startNs: last.startNs, traceId: last.traceId } : undefined,
  };
}
