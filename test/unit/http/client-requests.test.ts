// Every request of the clients is answered, in a form that they can read.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import {
  type TracesData,
  TracesDataSchema,
} from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { type ClientRequest, clientRequests, lookupRequests } from "../../support/client-requests.ts";
import { CHECKOUT, pathOf, type PlainSpan, queryApp, SHOP, START } from "../../support/query-app.ts";
import { DRILLDOWN_FAULTY } from "../../support/traceql-queries.ts";

// What a decoder of May 2025 knows of messages that Grafana decodes strictly: one more field, and the query fails.
const SEARCH_METRICS = [
  "inspectedTraces",
  "inspectedBytes",
  "totalBlocks",
  "completedJobs",
  "totalJobs",
  "totalBlockBytes",
  "inspectedSpans",
];
const TRACE = [
  "traceID",
  "rootServiceName",
  "rootTraceName",
  "startTimeUnixNano",
  "durationMs",
  "spanSet",
  "spanSets",
  "serviceStats",
];
const SPANSET = ["spans", "matched", "attributes"];
const SPAN = ["spanID", "name", "startTimeUnixNano", "durationNanos", "attributes"];

type Json = Readonly<Record<string, unknown>>;

function list(value: unknown): Json[] {
  return (value ?? []) as Json[];
}

/** The keys of `messages` that are not among `known`. */
function unknown(messages: readonly Json[], known: readonly string[]): string[] {
  return messages.flatMap((message) => Object.keys(message).filter((key) => !known.includes(key)));
}

function unknownInSearch(body: Json): string[] {
  const traces = list(body["traces"]);
  const spansets = traces.flatMap((trace) => [...list(trace["spanSets"]), ...list([trace["spanSet"] ?? {}])]);
  return [
    ...unknown([body], ["traces", "metrics"]),
    ...unknown(list([body["metrics"]]), SEARCH_METRICS),
    ...unknown(traces, TRACE),
    ...unknown(spansets, SPANSET),
    ...unknown(
      spansets.flatMap((spanset) => list(spanset["spans"])),
      SPAN,
    ),
    ...traces.flatMap((trace) =>
      unknown(Object.values((trace["serviceStats"] ?? {}) as Json) as Json[], ["spanCount", "errorCount"]),
    ),
  ];
}

function unknownInInstant(body: Json): string[] {
  return [
    ...unknown([body], ["series", "metrics", "status", "message"]),
    ...unknown(list([body["metrics"]]), SEARCH_METRICS),
    ...unknown(list(body["series"]), ["labels", "value"]),
  ];
}

/** Only these two are decoded strictly. */
function unknownKeys(path: string, body: Json): string[] {
  if (path === "/api/search") return unknownInSearch(body);
  return path === "/api/metrics/query" ? unknownInInstant(body) : [];
}

/** A shop whose errors and exceptions every one of Drilldown's places has something to show of. */
const SPANS: readonly PlainSpan[] = [
  ...SHOP,
  {
    traceId: "77",
    spanId: "0000000000000071",
    name: "GET /slow",
    kind: 2,
    durationMs: 1700,
    status: { code: 2 },
    resource: { "service.name": "shop" },
    attributes: {
      "http.status_code": 500n,
      "http.route": "/slow",
      "db.system.name": "pg",
      "vulture-0": "value",
    },
  },
  {
    traceId: "77",
    spanId: "0000000000000072",
    parentSpanId: "0000000000000071",
    name: "GET /inner",
    kind: 3,
    durationMs: 1600,
    status: { code: 2 },
    resource: { "service.name": "shop" },
  },
];

const REQUESTS = clientRequests(START - 60, START + 60);

async function ask({ path, params, accept, headers }: ClientRequest): Promise<Response> {
  const app = await queryApp({ live: SPANS });
  return app.get(pathOf(path, params), { ...headers, ...(accept !== undefined && { accept }) });
}

describe("requests of clients", () => {
  test.each(
    REQUESTS.map((request) => [request.from, pathOf(request.path, request.params), request] as const),
  )("%s: %s", async (_from, _url, request) => {
    const response = await ask(request);
    expect(response.status).toBe(200);
    if (request.path === "/api/echo") return;
    const body = await response.json<Json>();
    expect(body).toHaveProperty("metrics");
    expect(unknownKeys(request.path, body)).toEqual([]);
  });

  test("the queries find something", async () => {
    const found = await Promise.all(
      REQUESTS.map(async (request) => {
        const body = await (await ask(request)).text();
        return body.includes('"spans":') || body.includes('"series":') || body.includes('"traceID":');
      }),
    );
    // Filters that fit no span of the shop leave some without.
    expect(found.filter(Boolean).length).toBeGreaterThan(100);
  });

  test("Drilldown's structure tab: one spanset a trace, with numbers of the tree, service, status and name", async () => {
    const requests = REQUESTS.filter(({ params }) => String(params["q"]).includes("&>>"));
    let spans = 0;
    for (const request of requests) {
      const { traces } = await (
        await ask(request)
      ).json<{
        traces: { spanSets: { spans: { name: string; attributes: { key: string; value: Json }[] }[] }[] }[];
      }>();
      for (const { spanSets } of traces) {
        expect(spanSets).toHaveLength(1);
        for (const span of spanSets[0]?.spans ?? []) {
          spans++;
          const values = new Map(span.attributes.map(({ key, value }) => [key, value]));
          expect(span.name).not.toBe("");
          expect(values.get("service.name")).toHaveProperty("stringValue");
          expect(values.get("status")).toHaveProperty("stringValue");
          for (const key of ["nestedSetParent", "nestedSetLeft", "nestedSetRight"]) {
            expect(values.get(key)).toEqual({ intValue: expect.stringMatching(/^-?\d+$/) });
          }
        }
      }
    }
    expect(spans).toBeGreaterThan(10);
  });

  test("Drilldown's comparison: __meta_type and one attribute in each series, totals among them", async () => {
    const requests = REQUESTS.filter(({ params }) => String(params["q"]).includes("compare("));
    const types = new Set<unknown>();
    for (const request of requests) {
      const { series = [] } = await (
        await ask(request)
      ).json<{
        series?: { labels: { key: string; value: { stringValue?: string } }[] }[];
      }>();
      for (const { labels } of series) {
        expect(labels.filter(({ key }) => !key.startsWith("__"))).toHaveLength(1);
        const type = labels.find(({ key }) => key === "__meta_type");
        types.add(type?.value.stringValue);
      }
    }
    expect(types).toEqual(new Set(["baseline", "baseline_total", "selection", "selection_total"]));
  });

  test("Drilldown's heat map: __bucket is a number", async () => {
    const q = "{true && true} | histogram_over_time(duration) with(sample=true)";
    const response = await ask({
      from: "",
      path: "/api/metrics/query_range",
      params: { q, start: START - 60, end: START + 60, step: "5s" },
    });
    const { series } = await response.json<{ series: { labels: { key: string; value: Json }[] }[] }>();
    const buckets = series.flatMap(({ labels }) => labels.filter(({ key }) => key === "__bucket"));
    expect(buckets.length).toBe(series.length);
    for (const { value } of buckets) expect(value).toEqual({ doubleValue: expect.any(Number) });
  });

  test("a query that Drilldown sends by mistake is a 400", async () => {
    const path = "/api/metrics/query_range";
    const response = await ask({ from: "", path, params: { q: DRILLDOWN_FAULTY } });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("unknown identifier: undefined");
  });
});

/** The trace as version 1 has it, or in field 1, as version 2 has it. */
function traceIn(path: string, body: Uint8Array): TracesData {
  if (!path.startsWith("/api/v2/")) return fromBinary(TracesDataSchema, body);
  const reader = new BinaryReader(body);
  expect(reader.tag()).toEqual([1, 2]);
  return fromBinary(TracesDataSchema, reader.bytes());
}

describe("lookups of clients", () => {
  test.each(
    lookupRequests(CHECKOUT, START - 60, START + 60).map(
      (request) => [request.from, pathOf(request.path, request.params), request] as const,
    ),
  )("%s: %s has all that is read without asking whether it is there", async (_from, _url, request) => {
    const response = await ask(request);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/protobuf");
    const { resourceSpans } = traceIn(request.path, new Uint8Array(await response.arrayBuffer()));
    expect(resourceSpans).toHaveLength(2);
    for (const { resource, scopeSpans } of resourceSpans) {
      // Without any the data source skips the spans.
      expect(resource?.attributes.length).toBeGreaterThan(0);
      for (const { scope, spans } of scopeSpans) {
        expect(scope).toBeDefined();
        for (const span of spans) expect(span.status).toBeDefined();
      }
    }
  });

  test.each(
    lookupRequests("dead", START - 60, START + 60).map((request) => [request.path, request] as const),
  )("%s of no trace: an empty one that is there, or 404", async (path, request) => {
    const response = await ask(request);
    const body = new Uint8Array(await response.arrayBuffer());
    const expected = path.startsWith("/api/v2/") ? [200, 0x0a, 0] : [404];
    expect([response.status, ...body.subarray(0, 2)]).toEqual(expected);
  });
});
