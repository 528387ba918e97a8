// What a Scanner is asked about its blocks, and what it says. Plain values. The Worker asks itself the same about live spans.
import type { Field, FieldExpression, MetricsQuery, SearchQuery } from "../../traceql/ast.ts";
import type { ChosenSpans, MetricsPart } from "../../traceql/engine/metrics.ts";
import type { Intervals } from "../../traceql/engine/metrics/intervals.ts";
import type { FoundTrace, FoundTraces, Window } from "../../traceql/engine/search/find-traces.ts";
import type { CutTraces } from "../../traceql/engine/tables/cut-traces.ts";
import type { WantedPart } from "../../traceql/engine/tables/split-cache.ts";
import type { SpanTable } from "../../traceql/engine/tables/span-table.ts";
import type { Exemplar, TraceResult } from "../../traceql/results.ts";
import type { ColumnName, SourceBounds } from "../../traceql/storage.ts";
import type { ErrorKind } from "../../util/errors.ts";
import type { BlockJob } from "../plan.ts";
import type { SourceFailure } from "../sources.ts";
import type { DistinctLimits } from "../tags/distinct.ts";
import type { NamesPart, ValuesPart } from "../tags/tag-parts.ts";
import type { TagScope } from "../tags/tag.ts";
import type { TraceDigest } from "./trace-digest.ts";

/** What is looked for. */
export type PooledQuery =
  | { readonly kind: "search"; readonly query: SearchQuery; readonly window: Window }
  | {
      readonly kind: "metrics";
      readonly query: MetricsQuery;
      readonly intervals: Intervals;
      readonly exemplars: number;
    }
  | {
      readonly kind: "tag-names";
      readonly scopes: readonly TagScope[];
      readonly filter: FieldExpression | undefined;
      readonly limits: DistinctLimits;
    }
  | {
      readonly kind: "tag-values";
      readonly field: Field;
      readonly filter: FieldExpression | undefined;
      readonly limits: DistinctLimits;
    };

/** One that was made by other code is refused: during a deploy the versions of Worker and object differ for minutes. */
export const QUESTIONS_VERSION = 2;

export interface ScanRequest {
  readonly version: number;
  /** What will be asked for first: what it needs is read together. */
  readonly query: PooledQuery;
  readonly jobs: readonly BlockJob[];
}

export interface SummarizedSource {
  /** Name of the job, the key of its block; empty: it is no job's. */
  readonly job: string;
  readonly bounds: SourceBounds;
  readonly rowCount: number;
  /** What it takes of traces that other sources have parts of too. */
  readonly split: SplitColumns;
}

/** Columns that the query needs of a source, beside those by which traces are put together. */
export interface SplitColumns {
  /** For what is found or measured, */
  readonly first: readonly ColumnName[];
  /** and for what is shown. */
  readonly second: readonly ColumnName[];
}

/** A source is a row group of a block or a group of live spans; it is named by its place in the list. */
export interface SourceSummary {
  readonly sources: readonly SummarizedSource[];
  /** By test of `prospects.ts`: whether some source passes it. */
  readonly passed: readonly boolean[];
}

/** Some traces of a source. */
export interface TraceList {
  /** Ascending, 16 bytes each. */
  readonly ids: Uint8Array;
  /** Their numbers in the source. */
  readonly traces: Uint32Array;
  /** Rows of each. */
  readonly rows: Uint32Array;
}

/** By source: numbers of its traces that others have parts of too. Sources that are missing at the end have none. */
export type LeftOut = readonly Uint32Array[];

export interface Questions {
  /** Begins an evaluation, of the query that the session was begun for or of another one. */
  summary: { readonly input: PooledQuery; readonly answer: SourceSummary };
  /** Of these sources the traces of which something may be elsewhere. */
  cut: { readonly input: CutInput; readonly answer: readonly CutTraces[] };
  /** Which traces there are, in short. */
  digest: { readonly input: undefined; readonly answer: TraceDigest };
  /** The traces with these hashes, by source. */
  traces: { readonly input: Uint32Array; readonly answer: readonly TraceList[] };
  /** The search's first pass, without traces that several sources have. */
  find: { readonly input: LeftOut; readonly answer: FoundTraces };
  /** Its second pass, of traces that one source has. */
  show: { readonly input: readonly FoundTrace[]; readonly answer: readonly TraceResult[] };
  /** The state of a metrics query, without traces that several sources have. */
  measure: { readonly input: LeftOut; readonly answer: MetricsPart };
  exemplars: { readonly input: readonly ChosenSpans[]; readonly answer: readonly (readonly Exemplar[])[] };
  /** Parts of traces, in the order in which they are asked for. */
  gather: { readonly input: readonly WantedPart[]; readonly answer: readonly SpanTable[] };
  tagNames: { readonly input: undefined; readonly answer: NamesPart };
  tagValues: { readonly input: undefined; readonly answer: ValuesPart };
}

export interface CutInput {
  readonly sources: readonly number[];
  /** Traces that last longer may go on elsewhere. */
  readonly longNs: bigint;
  /** Of so many of each source, the newest, the ids are wanted. */
  readonly limit: number;
}

export type QuestionName = keyof Questions;

export interface Question<K extends QuestionName = QuestionName> {
  readonly name: K;
  readonly input: Questions[K]["input"];
}

/** A job that could not be done, by its name. */
export interface FailedJob {
  readonly job: string;
  readonly failure: SourceFailure;
}

/**
 * `failed`: these jobs are left out from now on, whole; what was answered before no longer counts. `refused`: the query cannot
 * be answered, whoever is asked.
 */
export type Answer<T> = {
  /** Bytes that the query looked at so far. */
  readonly inspectedBytes: number;
} & (
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "failed"; readonly jobs: readonly FailedJob[] }
  | { readonly kind: "refused"; readonly error: { readonly kind: ErrorKind; readonly message: string } }
);
