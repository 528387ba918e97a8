import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Exposition } from "../../../src/insight/exposition.ts";
import { metricsText, routeName } from "../../../src/insight/metrics.ts";
import type { ShardCounts } from "../../../src/store/rpc.ts";
import type { CounterName } from "../../../src/usage/counters.ts";
import { Meter } from "../../../src/usage/meter.ts";
import { encodeUsage, UsageDays } from "../../../src/usage/usage-days.ts";
import { checkMetrics, findPrometheus, type Prometheus } from "../../support/prometheus.ts";
import { parseExposition } from "../../support/exposition.ts";

const INSTALLATION = { tenants: 2, leftOut: 0, failed: 0, refusedRequests: { token_missing: 3 } };

type Counted = readonly [CounterName, number, ...string[]];

function shard(counted: readonly Counted[], liveSpans = 0): ShardCounts {
  const days = new UsageDays();
  for (const [name, value, ...labels] of counted) days.on(20_000).add(name, value, ...labels);
  return {
    stats: {
      liveSpans,
      liveBytes: 10,
      epochs: 1,
      blocks: 2,
      rowsWritten: 0,
      rowsRead: 0,
      appends: 0,
      failedReads: 0,
    },
    liveTraces: 3,
    youngBlocks: 1,
    blockBytes: 1_000,
    sqliteBytes: 4_096,
    usage: encodeUsage(days),
  };
}

const BUSY: readonly Counted[] = [
  ["spans", 1_000],
  ["spanBytes", 250_000],
  ["bytesIn", 50_000],
  ["refusedSpans", 3, "traceId"],
  ["refusedSpans", 4, 'a "reason"\nin two\\lines'],
  ["routeRequests", 3, "/v1/traces", "200"],
  ["routeMs", 1_234, "/v1/traces", "200"],
  ["routeBucket", 1, "/v1/traces", "200", "10"],
  ["routeBucket", 1, "/v1/traces", "200", "1000"],
  ["routeBucket", 1, "/v1/traces", "200", "inf"],
  ["routeRequests", 2, "/api/v2/traces/:id", "404"],
  ["routeBucket", 2, "/api/v2/traces/:id", "404", "25"],
  ["routeRequests", 5, "/api/search", "200"],
  ["routeRequests", 1, "/api/search", "400"],
  ["routeRequests", 1, "*", "404"],
  ["routeRequests", 2, "/*", "404"],
  ["routeBucket", 1, "*", "404", "10"],
  ["routeBucket", 2, "/*", "404", "10"],
  ["r2ClassA", 7],
  ["r2ClassB", 8],
];

let prometheus: Prometheus;
beforeAll(async () => {
  prometheus = await findPrometheus();
}, 300_000);

describe("metrics", () => {
  const text = metricsText(INSTALLATION, [
    { tenant: "acme", shards: [shard(BUSY, 5), shard([["spans", 11]], 6)] },
    { tenant: "it's (idle)!", shards: [shard([])], limits: { maxLiveTraces: 7 } },
  ]);
  const samples = parseExposition(text);
  const value = (name: string, labels: Record<string, string> = {}): number | undefined =>
    samples.find(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, of]) => sample.labels[key] === of),
    )?.value;

  test("promtool finds nothing wrong", async () => {
    expect(await checkMetrics(prometheus, text)).toBe("");
  });

  test("promtool would find something wrong", async () => {
    expect(await checkMetrics(prometheus, "# TYPE rubato_x counter\nrubato_x 1\n")).toMatch(/_total/);
    expect(await checkMetrics(prometheus, 'rubato_x{a="b} 1\n')).toMatch(/exit code/);
  });

  test("a tenant's shards are summed", () => {
    expect(value("tempo_distributor_spans_received_total", { tenant: "acme" })).toBe(1_011);
    expect(value("rubato_live_spans", { tenant: "acme" })).toBe(11);
    expect(value("rubato_shards", { tenant: "acme" })).toBe(2);
    expect(value("tempodb_blocklist_length", { tenant: "acme" })).toBe(4);
    expect(value("tempo_distributor_spans_received_total", { tenant: "it's (idle)!" })).toBe(0);
  });

  test("limits: the defaults, and what is set for a tenant", () => {
    expect(value("tempo_limits_defaults", { limit_name: "ingestion_rate_limit_bytes" })).toBe(30_000_000);
    const overrides = samples.filter(({ name }) => name === "tempo_limits_overrides");
    expect(overrides).toEqual([
      {
        name: "tempo_limits_overrides",
        labels: { limit_name: "ingestion_max_traces_per_user", user: "it's (idle)!" },
        value: 7,
      },
    ]);
    expect(value("tempo_live_store_live_traces", { tenant: "acme" })).toBe(6);
  });

  test("durations are a histogram as Tempo's dashboards ask for it", () => {
    const labels = { route: "v1_traces", method: "POST", status_code: "200", tenant: "acme" };
    const bucket = (le: string) => value("tempo_request_duration_seconds_bucket", { ...labels, le });
    expect([bucket("0.01"), bucket("0.5"), bucket("1"), bucket("30"), bucket("+Inf")]).toEqual([
      1, 1, 2, 2, 3,
    ]);
    expect(value("tempo_request_duration_seconds_sum", labels)).toBe(1.234);
    expect(value("tempo_request_duration_seconds_count", labels)).toBe(3);
    expect(value("tempo_request_duration_seconds_count", { route: "api_v2_traces_id" })).toBe(2);
  });

  test("paths where there is nothing are one route, whatever they are called", () => {
    const labels = { route: "other", status_code: "404" };
    const name = "tempo_request_duration_seconds";
    expect(
      samples.filter((sample) => sample.name === `${name}_count` && sample.labels["route"] === "other"),
    ).toHaveLength(1);
    expect(value(`${name}_count`, labels)).toBe(3);
    expect(value(`${name}_bucket`, { ...labels, le: "0.01" })).toBe(3);
  });

  test("queries by kind and result; spans that were not stored by reason", () => {
    const queries = (op: string, result: string) =>
      value("tempo_query_frontend_queries_total", { op, result, tenant: "acme" });
    expect([
      queries("traces", "completed"),
      queries("search", "completed"),
      queries("search", "failed"),
    ]).toEqual([2, 5, 1]);
    expect(value("tempo_discarded_spans_total", { reason: 'a "reason"\nin two\\lines' })).toBe(4);
    expect(value("tempo_receiver_refused_spans", { tenant: "acme" })).toBe(7);
  });

  test("what is refused before a tenant is known is there for those who may know", () => {
    expect(value("rubato_refused_requests_total", { reason: "token_missing" })).toBe(3);
    const own = metricsText({ ...INSTALLATION, refusedRequests: undefined }, []);
    expect(own).not.toContain("rubato_refused_requests_total");
  });

  test("routes' names", () => {
    expect(routeName("/api/search/tag/*")).toBe("api_search_tag");
    expect(routeName("*")).toBe("other");
  });

  test("a day's meter of a tenant that misbehaves is bounded, so is its text", () => {
    const meter = new Meter();
    for (let i = 0; i < 10_000; i++) {
      meter.add("routeRequests", 1, `/x${i}`, "200");
      meter.add("refusedSpans", 1, `reason ${i}`);
    }
    expect(meter.series("routeRequests").length).toBeLessThanOrEqual(100);
    expect(meter.series("refusedSpans").length).toBeLessThanOrEqual(32);
  });
});

describe("exposition", () => {
  test("whatever the labels and values, what is read is what was written", () => {
    const arbSample = fc.tuple(
      fc.dictionary(fc.stringMatching(/^[a-z][a-z_]{0,9}$/), fc.string({ unit: "binary", maxLength: 20 }), {
        maxKeys: 4,
      }),
      fc.oneof(fc.integer(), fc.double({ noNaN: true })),
    );
    fc.assert(
      fc.property(fc.array(arbSample, { maxLength: 10 }), (samples) => {
        const exposition = new Exposition();
        exposition.describe("rubato_test", "gauge", 'help with \\ and \n and "');
        for (const [labels, number] of samples) exposition.add("rubato_test", number, labels);
        const parsed = parseExposition(exposition.text());
        expect(parsed).toEqual(
          samples.map(([labels, number]) => ({
            name: "rubato_test",
            labels: { ...labels },
            value: number === 0 ? 0 : number,
          })),
        );
      }),
    );
  });

  test("a metric without samples is left out", () => {
    const exposition = new Exposition();
    exposition.describe("rubato_test", "gauge", "help");
    expect(exposition.text()).toBe("");
  });
});
