// The answer of a search.
import { create, toJson } from "@bufbuild/protobuf";
import {
  type SearchMetrics,
  SearchMetricsSchema,
  type SearchResponse,
  SearchResponseSchema,
  type SpanSet,
  SpanSetSchema,
  type TraceSearchMetadata,
  TraceSearchMetadataSchema,
} from "../../otlp/gen/tempopb/search_pb.ts";
import type { SearchRun } from "../../query/run-search.ts";
import type { ResultSpanset, TraceResult } from "../../traceql/results.ts";
import { formatCursor } from "../params/search-params.ts";
import { keyValues } from "./values.ts";

/** Tempo's text for a trace of which there are only spans with parents. */
const NO_ROOT = "<root span not yet received>";

const UINT32_MAX = 0xffff_ffff;

function spanSet({ spans, matched, attributes }: ResultSpanset): SpanSet {
  return create(SpanSetSchema, {
    spans: spans.map((span) => ({
      spanID: span.spanId,
      name: span.name ?? "",
      startTimeUnixNano: span.startNs,
      durationNanos: span.durationNs,
      attributes: keyValues(span.attributes),
    })),
    matched,
    attributes: keyValues(attributes),
  });
}

function traceMetadata(trace: TraceResult, hasSpansets: boolean): TraceSearchMetadata {
  const { root, startNs, endNs } = trace;
  const spanSets = hasSpansets ? trace.spansets.map((spanset) => spanSet(spanset)) : [];
  const [first] = spanSets;
  return create(TraceSearchMetadataSchema, {
    traceID: trace.traceId,
    rootServiceName: root?.service ?? NO_ROOT,
    rootTraceName: root?.name ?? "",
    startTimeUnixNano: startNs,
    durationMs: Math.min(UINT32_MAX, Number((endNs - startNs) / 1_000_000n)),
    spanSets,
    ...(first && { spanSet: first }),
    serviceStats: Object.fromEntries(
      trace.serviceStats.map(({ service, spanCount, errorCount }) => [
        service,
        { $typeName: "tempopb.ServiceStats" as const, spanCount, errorCount },
      ]),
    ),
  });
}

function metricsOf(run: SearchRun): SearchMetrics {
  return create(SearchMetricsSchema, {
    inspectedTraces: run.inspectedTraces,
    inspectedBytes: BigInt(run.inspectedBytes),
    totalBlocks: run.totalBlocks,
    completedJobs: run.completedJobs,
    totalJobs: run.totalJobs,
    totalBlockBytes: BigInt(run.totalBlockBytes),
    inspectedSpans: BigInt(run.inspectedSpans),
  });
}

/**
 * What Grafana's decoder knows, and no more: whether the answer is complete shows in the numbers of jobs.
 * @param hasSpansets false for a search by tags
 */
export function searchMessage(run: SearchRun, hasSpansets: boolean): SearchResponse {
  return create(SearchResponseSchema, {
    traces: run.traces.map((trace) => traceMetadata(trace, hasSpansets)),
    metrics: metricsOf(run),
  });
}

/** The same message as JSON, trace by trace. */
export function* searchJson(run: SearchRun, hasSpansets: boolean): Generator<string> {
  yield '{"traces":[';
  for (const [index, trace] of run.traces.entries()) {
    const json = toJson(TraceSearchMetadataSchema, traceMetadata(trace, hasSpansets));
    yield (index === 0 ? "" : ",") + JSON.stringify(json);
  }
  yield `],"metrics":${JSON.stringify(toJson(SearchMetricsSchema, metricsOf(run)))}}`;
}

/**
 * `Rubato-Total`: how many traces match, `>= n` when not everything was read. `Rubato-Next-Cursor`: where the next page
 * begins; absent on the last one.
 */
export function searchHeaders({
  total,
  cursor,
  completedJobs,
  totalJobs,
}: SearchRun): Record<string, string> {
  return {
    "rubato-total": completedJobs < totalJobs ? `>= ${total}` : String(total),
    ...(cursor && { "rubato-next-cursor": formatCursor(cursor) }),
  };
}
