// What a query gives. Plain values: they survive a structured clone.
import type { Kind, Status } from "./ast.ts";

export type ResultValue =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "int"; readonly value: bigint }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  /** Nanoseconds. */
  | { readonly type: "duration"; readonly value: bigint }
  | { readonly type: "status"; readonly value: Status }
  | { readonly type: "kind"; readonly value: Kind }
  | { readonly type: "nil" }
  | { readonly type: "array"; readonly values: readonly ResultValue[] };

/** An attribute of a span or spanset, or a label of a series. */
export interface ResultAttribute {
  /** On spans without scope, as Tempo has it: `service.name`. Of spansets and series the printed field or function. */
  readonly name: string;
  readonly value: ResultValue;
}

export interface ResultSpan {
  /** 16 hex digits. */
  readonly spanId: string;
  /** Undefined when the query does not mention `name`. */
  readonly name: string | undefined;
  readonly startNs: bigint;
  readonly durationNs: bigint;
  /** What conditions and `select` name, in the query's order. A field of several events has one entry for each. */
  readonly attributes: readonly ResultAttribute[];
}

export interface ResultSpanset {
  /** The first ones in the order of rows. */
  readonly spans: readonly ResultSpan[];
  /** Matching spans before `spans` was cut. */
  readonly matched: number;
  readonly attributes: readonly ResultAttribute[];
}

export interface ServiceStats {
  readonly service: string;
  readonly spanCount: number;
  /** Spans with status error. */
  readonly errorCount: number;
}

export interface TraceResult {
  /** 32 hex digits. */
  readonly traceId: string;
  /** First start and last end over all spans of the trace. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** The first span that names no parent; undefined when there is none. `service` is empty when it has none. */
  readonly root: { readonly service: string; readonly name: string } | undefined;
  /** By service, in the order of the names; spans without one count under the empty name. */
  readonly serviceStats: readonly ServiceStats[];
  readonly spansets: readonly ResultSpanset[];
}

/** A place in the order of results: after the trace with this start and id. */
export interface SearchCursor {
  readonly startNs: bigint;
  /** 32 hex digits. */
  readonly traceId: string;
}

export interface SearchResult {
  /** By start descending, then id ascending. */
  readonly traces: readonly TraceResult[];
  /** Matching traces of the whole window, whatever limit and cursor. */
  readonly total: number;
  /** Where the next page begins; undefined when this is the last one. */
  readonly cursor: SearchCursor | undefined;
  readonly inspectedTraces: number;
  readonly inspectedSpans: number;
}

export interface Sample {
  /** Right edge of the interval. */
  readonly timestampMs: number;
  readonly value: number;
}

export interface Exemplar {
  /** `trace:id` and the fields that the query mentions. */
  readonly labels: readonly ResultAttribute[];
  readonly timestampMs: number;
  /** In the unit of the samples; undefined when the function has no value for one span (`rate`). */
  readonly value: number | undefined;
}

export interface Series {
  readonly labels: readonly ResultAttribute[];
  /** By time. */
  readonly samples: readonly Sample[];
  readonly exemplars: readonly Exemplar[];
}

export interface MetricsResult {
  /** By number of labels, then their names, then their values. */
  readonly series: readonly Series[];
  /** Whether series were left out because of a bound. */
  readonly isTruncated: boolean;
  readonly inspectedSpans: number;
}
