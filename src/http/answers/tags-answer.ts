// Answers of the endpoints for names and values of tags.
import { create } from "@bufbuild/protobuf";
import {
  type MetadataMetrics,
  MetadataMetricsSchema,
  type SearchTagsResponse,
  SearchTagsResponseSchema,
  type SearchTagsV2Response,
  SearchTagsV2ResponseSchema,
  type SearchTagValuesResponse,
  SearchTagValuesResponseSchema,
  type SearchTagValuesV2Response,
  SearchTagValuesV2ResponseSchema,
} from "../../otlp/gen/tempopb/search_pb.ts";
import type { ScanReport } from "../../query/query-scan.ts";
import type { TagNamesRun, TagValuesRun } from "../../query/run-tags.ts";
import type { TagValue } from "../../query/tags/tag.ts";
import type { NamesScope } from "../params/tag-params.ts";

/** Tempo's list, by which Grafana tells an intrinsic from an attribute: what is not here it asks for as `.x`. */
export const INTRINSIC_TAGS = [
  "duration",
  "event:name",
  "event:timeSinceStart",
  "instrumentation:name",
  "instrumentation:version",
  "kind",
  "link:spanID",
  "link:traceID",
  "name",
  "rootName",
  "rootServiceName",
  "span:duration",
  "span:id",
  "span:kind",
  "span:name",
  "span:parentID",
  "span:status",
  "span:statusMessage",
  "status",
  "statusMessage",
  "trace:duration",
  "trace:id",
  "trace:rootName",
  "trace:rootService",
  "traceDuration",
] as const;

/** What was read for an answer that needed no spans. */
export const NOTHING_READ: ScanReport = {
  inspectedBytes: 0,
  totalBlocks: 0,
  totalBlockBytes: 0,
  totalJobs: 0,
  completedJobs: 0,
  failures: [],
};

function metrics(report: ScanReport): MetadataMetrics {
  return create(MetadataMetricsSchema, {
    inspectedBytes: BigInt(report.inspectedBytes),
    totalJobs: report.totalJobs,
    completedJobs: report.completedJobs,
    totalBlocks: report.totalBlocks,
    totalBlockBytes: BigInt(report.totalBlockBytes),
  });
}

/** Version 1: the names of all scopes together; intrinsics only for those who ask for them. */
export function tagNames(run: TagNamesRun, scope: NamesScope): SearchTagsResponse {
  const found = run.scopes.flatMap(({ tags }) => tags);
  return create(SearchTagsResponseSchema, {
    tagNames: scope === "intrinsic" ? [...INTRINSIC_TAGS] : [...new Set(found)].sort(),
    metrics: metrics(run),
  });
}

/** Version 2: the names of each scope; intrinsics are a scope of their own. */
export function tagScopes(run: TagNamesRun, scope: NamesScope): SearchTagsV2Response {
  const intrinsics = scope === "all" || scope === "intrinsic";
  return create(SearchTagsV2ResponseSchema, {
    scopes: [
      ...run.scopes.map(({ name, tags }) => ({ name, tags: [...tags] })),
      ...(intrinsics ? [{ name: "intrinsic", tags: [...INTRINSIC_TAGS] }] : []),
    ],
    metrics: metrics(run),
  });
}

/** Version 1: texts without their types. */
export function tagValuesV1(values: readonly string[], report: ScanReport): SearchTagValuesResponse {
  return create(SearchTagValuesResponseSchema, {
    tagValues: [...new Set(values)],
    metrics: metrics(report),
  });
}

/** Version 2: values with their types. */
export function tagValuesV2(run: TagValuesRun): SearchTagValuesV2Response {
  return create(SearchTagValuesV2ResponseSchema, {
    tagValues: run.values.map(({ type, value }) => ({ type, value })),
    metrics: metrics(run),
  });
}

/** For language models: values by type. */
export function llmTagValues(values: readonly TagValue[]): { tagValues: Record<string, string[]> } {
  const byType = Map.groupBy(values, ({ type }) => type);
  return {
    tagValues: Object.fromEntries(Array.from(byType, ([type, own]) => [type, own.map(({ value }) => value)])),
  };
}
