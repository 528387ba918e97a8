// The metrics of `/metrics`: names, meanings, and how they are made of what the shards count.
import { TEMPO_VERSION, VERSION } from "../model/version.ts";
import {
  DEFAULT_TENANT_LIMITS,
  TENANT_LIMIT_FIELDS,
  TENANT_LIMIT_SPECS,
  type TenantLimits,
  type TenantLimitOverrides,
} from "../model/tenant-limits.ts";
import type { ShardCounts } from "../store/rpc.ts";
import { billOf } from "../usage/bill.ts";
import { type CounterName, REQUEST_BUCKETS_MS } from "../usage/counters.ts";
import { Meter } from "../usage/meter.ts";
import { decodeUsage } from "../usage/usage-days.ts";
import { Exposition, type Histogram, type MetricType } from "./exposition.ts";

/** A tenant as all its shards have it. */
export interface TenantCounts {
  readonly tenant: string;
  readonly shards: readonly ShardCounts[];
  /** What is set of its limits. */
  readonly limits?: TenantLimitOverrides | undefined;
}

/** What is told once, whatever tenants there are. */
export interface InstallationCounts {
  /** Tenants that were asked for, those that are left out because there are more than one answer takes, and those of which a shard was out of reach. */
  readonly tenants: number;
  readonly leftOut: number;
  readonly failed: number;
  /** Requests that were refused before a tenant was known, by reason; undefined for those who may not know. */
  readonly refusedRequests?: Readonly<Record<string, number>> | undefined;
}

interface Metric {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
}

interface CounterMetric extends Metric {
  readonly counter: CounterName;
}

const counter = (name: string, of: CounterName, help: string): CounterMetric => ({
  name,
  type: "counter",
  help,
  counter: of,
});

/** Counters without labels: one series a tenant. */
const COUNTERS: readonly CounterMetric[] = [
  counter("tempo_distributor_spans_received_total", "spans", "Spans that were stored."),
  counter("tempo_distributor_bytes_received_total", "spanBytes", "Inflated bytes of spans that were stored."),
  { ...counter("tempo_receiver_accepted_spans", "spans", "Spans that were stored."), type: "untyped" },
  counter("rubato_ingest_body_bytes_total", "bytesIn", "Bytes of the bodies that brought spans, as sent."),
  counter("tempo_query_frontend_bytes_inspected_total", "inspectedBytes", "Bytes that queries looked at."),
  counter("tempo_live_store_blocks_completed_total", "flushedBlocks", "Blocks that were made of live spans."),
  counter(
    "rubato_flush_errors_total",
    "flushErrors",
    "Blocks of live spans that could not be stored; they are tried again.",
  ),
  counter("tempodb_compaction_blocks_total", "mergedBlocks", "Blocks that went into merges."),
  counter("tempodb_compaction_bytes_written_total", "mergedBytes", "Bytes of the blocks that merges wrote."),
  counter(
    "tempodb_compaction_objects_written_total",
    "mergedTraces",
    "Traces of the blocks that merges wrote.",
  ),
  counter("tempodb_compaction_errors_total", "givenUpJobs", "Merges and other jobs that were given up."),
  counter(
    "tempodb_retention_marked_for_deletion_total",
    "expiredBlocks",
    "Blocks that had been kept long enough.",
  ),
  counter(
    "tempodb_retention_deleted_total",
    "deletedObjects",
    "Objects that were deleted, those that merges replaced included.",
  ),
  counter("rubato_worker_requests_total", "workerRequests", "Requests that reached a Worker, as billed."),
  counter(
    "rubato_object_requests_total",
    "objectRequests",
    "Calls and alarms of Durable Objects, as billed.",
  ),
  counter("rubato_rows_written_total", "rowsWritten", "Rows of SQLite written, as billed."),
  counter("rubato_rows_read_total", "rowsRead", "Rows of SQLite read, as billed."),
];

interface GaugeMetric extends Metric {
  readonly of: (shard: ShardCounts) => number;
}

const gauge = (name: string, of: GaugeMetric["of"], help: string): GaugeMetric => ({
  name,
  type: "gauge",
  help,
  of,
});

/** Sums over a tenant's shards. */
const GAUGES: readonly GaugeMetric[] = [
  gauge(
    "tempo_live_store_live_traces",
    ({ liveTraces }) => liveTraces,
    "Traces with spans that are in no block yet.",
  ),
  gauge("rubato_live_spans", ({ stats }) => stats.liveSpans, "Spans that are in no block yet."),
  gauge(
    "rubato_live_bytes",
    ({ stats }) => stats.liveBytes,
    "Inflated bytes of spans that are in no block yet.",
  ),
  gauge("tempodb_blocklist_length", ({ stats }) => stats.blocks, "Blocks of the catalogue."),
  gauge(
    "tempodb_compaction_outstanding_blocks",
    ({ youngBlocks }) => youngBlocks,
    "Blocks that wait to be merged or indexed.",
  ),
  gauge("rubato_block_bytes", ({ blockBytes }) => blockBytes, "Bytes of the catalogue's blocks."),
  gauge("rubato_sqlite_bytes", ({ sqliteBytes }) => sqliteBytes, "Bytes of the shards' databases."),
  gauge("rubato_shards", () => 1, "Shards that may hold spans."),
];

const DURATION = "tempo_request_duration_seconds";
const QUERIES = "tempo_query_frontend_queries_total";
const DISCARDED = "tempo_discarded_spans_total";
const REFUSED = "tempo_receiver_refused_spans";
const BACKEND = "rubato_backend_requests_total";
const COST = "rubato_month_cost_usd";
const LIMIT_DEFAULTS = "tempo_limits_defaults";
const LIMIT_OVERRIDES = "tempo_limits_overrides";

/** The rest of those that a tenant has. */
const LABELLED: readonly Metric[] = [
  {
    name: DURATION,
    type: "histogram",
    help: "Requests by route and status, and how long they took until the answer began.",
  },
  { name: QUERIES, type: "counter", help: "Queries by kind and how they ended." },
  { name: DISCARDED, type: "counter", help: "Spans that were not stored, by reason." },
  { name: REFUSED, type: "untyped", help: "Spans that were not stored." },
  {
    name: BACKEND,
    type: "counter",
    help: "Operations of the object store, by the class that they are billed as.",
  },
  {
    name: LIMIT_OVERRIDES,
    type: "gauge",
    help: "Limits that are set for a tenant; durations in ms.",
  },
  { name: COST, type: "gauge", help: "USD from the first of the month (UTC), as /api/usage has it." },
];

const INSTALLATION: readonly Metric[] = [
  { name: "tempo_build_info", type: "gauge", help: "The Tempo whose API this is." },
  {
    name: LIMIT_DEFAULTS,
    type: "gauge",
    help: "Limits of tenants for which nothing else is set; durations in ms.",
  },
  { name: "rubato_build_info", type: "gauge", help: "The version that runs." },
  { name: "rubato_tenants", type: "gauge", help: "Tenants that this answer is about." },
  {
    name: "rubato_metrics_left_out_tenants",
    type: "gauge",
    help: "Tenants that are not in this answer because it would be too long: scrape them as pages.",
  },
  {
    name: "rubato_metrics_failed_tenants",
    type: "gauge",
    help: "Tenants that are not in this answer because a shard was out of reach.",
  },
  {
    name: "rubato_refused_requests_total",
    type: "counter",
    help: "Requests that were refused before a tenant was known, by reason: see /api/doctor.",
  },
];

/** Paths where there is nothing, and what is counted together because there is too much. */
const OTHER_ROUTE = "other";

/** Where spans come in. */
const INGEST_ROUTES: ReadonlySet<string> = new Set([
  "v1_traces",
  "api_traces",
  "api_v1_spans",
  "api_v2_spans",
  "opentelemetry_proto_collector_trace_v1_traceservice_export",
]);

/** Kinds of queries by the names of their routes. */
const OPERATIONS: ReadonlyMap<string, string> = new Map([
  ["api_traces_id", "traces"],
  ["api_v2_traces_id", "traces"],
  ["api_v2_traces_diff", "traces"],
  ["api_search", "search"],
  ["api_search_tags", "metadata"],
  ["api_v2_search_tags", "metadata"],
  ["api_search_tag", "metadata"],
  ["api_v2_search_tag", "metadata"],
  ["api_metrics_query", "metrics"],
  ["api_metrics_query_range", "metrics"],
]);

/** The whole text. */
export function metricsText(installation: InstallationCounts, tenants: readonly TenantCounts[]): string {
  const text = new Exposition();
  for (const { name, type, help } of [...INSTALLATION, ...COUNTERS, ...GAUGES, ...LABELLED]) {
    text.describe(name, type, help);
  }
  text.add("tempo_build_info", 1, { version: TEMPO_VERSION, edition: "rubato" });
  text.add("rubato_build_info", 1, { version: VERSION });
  text.add("rubato_tenants", installation.tenants);
  text.add("rubato_metrics_left_out_tenants", installation.leftOut);
  text.add("rubato_metrics_failed_tenants", installation.failed);
  for (const [code, count] of Object.entries(installation.refusedRequests ?? {})) {
    text.add("rubato_refused_requests_total", count, { reason: code });
  }
  for (const field of TENANT_LIMIT_FIELDS) {
    text.add(LIMIT_DEFAULTS, DEFAULT_TENANT_LIMITS[field], { limit_name: limitName(field) });
  }
  for (const counts of tenants) addTenant(text, counts);
  return text.text();
}

/** As Tempo has it: `ingestion.rate_limit_bytes` is `ingestion_rate_limit_bytes`, `global` is left out. */
function limitName(field: keyof TenantLimits): string {
  return TENANT_LIMIT_SPECS[field].override.replace(/^global\./, "").replaceAll(".", "_");
}

function addTenant(text: Exposition, { tenant, shards, limits = {} }: TenantCounts): void {
  const usage = new Meter();
  for (const shard of shards) {
    const days = decodeUsage(shard.usage);
    for (const day of days.days) usage.merge(days.on(day));
  }
  const labels = { tenant };
  for (const { name, counter: of } of COUNTERS) text.add(name, usage.get(of), labels);
  for (const { name, of } of GAUGES) text.add(name, sum(shards.map(of)), labels);
  const refused = usage.series("refusedSpans");
  for (const {
    labels: [reason = ""],
    value,
  } of refused)
    text.add(DISCARDED, value, { reason, ...labels });
  text.add(REFUSED, sum(refused.map(({ value }) => value)), labels);
  text.add(BACKEND, usage.get("r2ClassA"), { class: "a", ...labels });
  text.add(BACKEND, usage.get("r2ClassB"), { class: "b", ...labels });
  for (const field of TENANT_LIMIT_FIELDS) {
    const value = limits[field];
    // Tempo calls its tenants users here.
    if (value !== undefined) text.add(LIMIT_OVERRIDES, value, { limit_name: limitName(field), user: tenant });
  }
  text.add(COST, billOf(usage).usd, labels);
  addRequests(text, tenant, usage);
}

/** Requests of one route and status; several patterns may have the same name. */
interface Requests {
  count: number;
  ms: number;
  /** By the bound in ms. */
  readonly buckets: Map<string, number>;
}

function addRequests(text: Exposition, tenant: string, usage: Meter): void {
  const requests = requestsOf(usage);
  const queries = new Map<string, number>();
  for (const [key, { count, ms, buckets }] of requests) {
    const [route = "", status = ""] = key.split(" ");
    text.addHistogram(
      DURATION,
      { buckets: cumulated(buckets), count, sum: ms / 1000 },
      { method: methodOf(route), route, status_code: status, tenant },
    );
    const op = OPERATIONS.get(route);
    if (op === undefined) continue;
    // A trace that is not there is an answer.
    const result = Number(status) < 400 || status === "404" ? "completed" : "failed";
    queries.set(`${op} ${result}`, (queries.get(`${op} ${result}`) ?? 0) + count);
  }
  for (const [key, value] of queries) {
    const [op = "", result = ""] = key.split(" ");
    text.add(QUERIES, value, { op, result, tenant });
  }
}

function requestsOf(usage: Meter): ReadonlyMap<string, Requests> {
  const requests = new Map<string, Requests>();
  const of = ([pattern = "", status = ""]: readonly string[]): Requests => {
    const key = `${routeName(pattern)} ${status}`;
    const known = requests.get(key) ?? { count: 0, ms: 0, buckets: new Map<string, number>() };
    requests.set(key, known);
    return known;
  };
  for (const { labels, value } of usage.series("routeRequests")) of(labels).count += value;
  for (const { labels, value } of usage.series("routeMs")) of(labels).ms += value;
  for (const { labels, value } of usage.series("routeBucket")) {
    const { buckets } = of(labels);
    const bound = labels[2] ?? "";
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return requests;
}

/** Each request was counted in one bucket; Prometheus wants it in all above, too. */
function cumulated(buckets: ReadonlyMap<string, number>): Histogram["buckets"] {
  let count = 0;
  return REQUEST_BUCKETS_MS.map((ms) => {
    count += buckets.get(String(ms)) ?? 0;
    return { le: ms / 1000, count };
  });
}

/** What is counted does not have it; of each route that is known there is one. */
function methodOf(route: string): string {
  if (INGEST_ROUTES.has(route)) return "POST";
  return route === OTHER_ROUTE ? "ANY" : "GET";
}

/** Of a path's pattern the name that Tempo's dashboards filter by: `/api/v2/traces/:id` is `api_v2_traces_id`. */
export function routeName(pattern: string): string {
  const name = pattern
    .replaceAll(/[^a-zA-Z0-9]+/g, "_")
    .replaceAll(/^_|_$/g, "")
    .toLowerCase();
  return name === "" ? OTHER_ROUTE : name;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
