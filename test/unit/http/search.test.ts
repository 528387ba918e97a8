// Search over HTTP: parameters, JSON and protobuf, headers, pages.
import { gunzipSync } from "node:zlib";
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { readSearchParams, type SearchParams } from "../../../src/http/params/search-params.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { SearchResponseSchema } from "../../../src/otlp/gen/tempopb/search_pb.ts";
import { printQuery } from "../../../src/traceql/print.ts";
import {
  CHECKOUT,
  ORPHAN,
  pathOf,
  queryApp,
  REFUND,
  SHOP,
  spansData,
  START,
} from "../../support/query-app.ts";
import { START_MS } from "../../support/shard-world.ts";

const NOW_MS = START_MS + 250;
const NS = 1_000_000_000n;

function read(query: string, limits: Limits = DEFAULT_LIMITS): SearchParams {
  return readSearchParams(new URLSearchParams(query), NOW_MS, limits);
}

function queryOf(query: string): string {
  return printQuery(read(query).query);
}

describe("search: parameters", () => {
  test.each([
    ["q={}&tags=a=b", "invalid request: can't specify tags and q in the same query"],
    ["tags=a=b a=c", "invalid tags: tag a has been set twice"],
    ["tags=a=b=c", "invalid tags: unexpected '=' at pos 4"],
    ['tags=a="b', "invalid tags: unterminated quoted value at pos 3"],
    ["tags==b", "invalid tags: unexpected '=' at pos 1"],
    ["minDuration=1", 'invalid minDuration: "1" is no duration'],
    ["minDuration=-1s", 'invalid minDuration: "-1s" is no duration'],
    ["maxDuration=1x", 'invalid maxDuration: "1x" is no duration'],
    ["minDuration=2s&maxDuration=1s", "invalid maxDuration: must be greater than minDuration"],
    ["limit=0", "invalid limit: must be a positive number"],
    ["limit=-1", "invalid limit: must be a positive number"],
    ["limit=many", "invalid limit: must be a positive number"],
    ["limit=4294967296", "invalid limit: must be a positive number"],
    ["limit=262145", "limit 262145 exceeds max limit 262144"],
    ["spss=101", "spans per span set exceeds 100. received 101"],
    ["spss=-1", "invalid spss: must be a non-negative number"],
    ["start=5", "error parsing date range: only one of start and end provided: must provide both or neither"],
    ["end=5", "error parsing date range: only one of start and end provided: must provide both or neither"],
    ["start=5&end=5", "http parameter start must be before end. received start=5 end=5"],
    ["start=6&end=5", "http parameter start must be before end. received start=6 end=5"],
    ["start=a&end=5", 'invalid start: "a" is no time in Unix seconds'],
    ["start=1&end=4294967296", 'invalid end: "4294967296" is no time in Unix seconds'],
    ["since=soon", 'invalid since: "soon" is no duration like 15m or 2d'],
    ["since=0", 'invalid since: "0" is no duration like 15m or 2d'],
    ["cursor=x", "invalid cursor: it must be the Rubato-Next-Cursor of an earlier answer"],
    ["q={", "invalid TraceQL query: parse error at line 1, col 2: syntax error: unexpected end of the query"],
    ["q={} | rate()", "invalid TraceQL query: it is a metrics query, which /api/metrics/query_range answers"],
  ])("%s: 400", (query, message) => {
    expect(() => read(query)).toThrow(expect.objectContaining({ kind: "invalid_argument", message }));
  });

  test("a range longer than allowed is refused with the text that Grafana looks for", () => {
    const limits = { ...DEFAULT_LIMITS, scan: { ...DEFAULT_LIMITS.scan, maxRangeMs: 168 * 3_600_000 } };
    expect(() => read("start=1000&end=605801", limits)).toThrow(
      "range specified by start and end exceeds 168h0m0s. received start=1000 end=605801",
    );
    expect(read("start=1000&end=605800", limits).window.startNs).toBe(1000n * NS);
    expect(() => read("since=8d", limits)).toThrow("range specified by start and end exceeds 168h0m0s.");
  });

  test.each([
    ["", { limit: 20, spansPerSpanset: 3, hasSpansets: false, cursor: undefined }],
    ["q={}", { hasSpansets: true }],
    ["limit=7&spss=100", { limit: 7, spansPerSpanset: 100 }],
    ["spss=0", { spansPerSpanset: 1500 }],
    ["spss=0&limit=262144", { spansPerSpanset: 3, limit: 10_000 }],
    ["spss=100&limit=300", { spansPerSpanset: 100, limit: 300 }],
    ["spss=100&limit=1500", { spansPerSpanset: 20, limit: 1500 }],
    ["limit=&spss=&q=&tags=&start=&end=&since=&cursor=", { limit: 20, hasSpansets: false }],
    [`cursor=17-${CHECKOUT}`, { cursor: { startNs: 17n, traceId: CHECKOUT } }],
    ["start=10&end=20", { window: { startNs: 10n * NS, endNs: 21n * NS - 1n } }],
    // In the future, as the consistency checker sends it.
    [
      "start=4294960000&end=4294967295",
      { window: { startNs: 4_294_960_000n * NS, endNs: 4_294_967_296n * NS - 1n } },
    ],
    ["minDuration=1s&maxDuration=1s", { hasSpansets: false }],
    ["start=0&end=0", { window: { startNs: 1_795_391_100_250_000_000n, endNs: 1_795_392_000_999_999_999n } }],
  ])("%s", (query, expected) => {
    expect(read(query)).toMatchObject(expected);
  });

  test("without a range: the last 15 minutes, up to this very second", () => {
    const endNs = BigInt(START) * NS + NS - 1n;
    expect(read("").window).toEqual({ startNs: BigInt(NOW_MS - 900_000) * 1_000_000n, endNs });
    expect(read("since=1h&start=1&end=2").window).toEqual({
      startNs: BigInt(NOW_MS - 3_600_000) * 1_000_000n,
      endNs,
    });
  });
});

describe("search: tags as a query", () => {
  test.each([
    ["", "{ true }"],
    ["tags=a=b", '{ .a = "b" }'],
    ["tags=a=b c=d", '{ .a = "b" } && { .c = "d" }'],
    ['tags=a="b c" d="e\\"\\n"', '{ .a = "b c" } && { .d = "e\\"\\n" }'],
    ["tags=a", '{ .a = "" }'],
    ["tags=a=200", '{ .a = "200" || .a = 200 }'],
    ["tags=a=-0.5", '{ .a = "-0.5" || .a = -0.5 }'],
    ["tags=a=true", '{ .a = "true" || .a = true }'],
    ["tags=service.name=Sh.p", '{ resource.service.name =~ "(?is).*Sh\\\\.p.*" }'],
    ["tags=name=GET", '{ name =~ "(?is).*GET.*" }'],
    ["tags=root.name=GET", '{ rootName =~ "(?is).*GET.*" }'],
    ["tags=root.service.name=shop", '{ rootServiceName =~ "(?is).*shop.*" }'],
    ["tags=http.method=get", '{ span.http.method =~ "(?is).*get.*" }'],
    ["tags=k8s.pod.name=a", '{ resource.k8s.pod.name =~ "(?is).*a.*" }'],
    ["tags=status.code=error", "{ status = error }"],
    ["tags=status.code=2", "{ false }"],
    ["tags=error=true", '{ status = error || .error = "true" || .error = true }'],
    ["minDuration=1s", "{ traceDuration >= 1s }"],
    ["maxDuration=1.5s&tags=a=b", '{ .a = "b" } && { traceDuration <= 1500ms }'],
    // What is no parameter is a tag, as long as nothing says what is searched.
    ["a=b&limit=3&since=1h", '{ .a = "b" }'],
    ["a=b&start=1&end=2", "{ true }"],
    ["a=b&start=0&end=0", '{ .a = "b" }'],
    ["a=b&a=c", '{ .a = "b" }'],
    ["a=&b=c", '{ .b = "c" }'],
    ["a=", "{ true }"],
    ["constructor=x", '{ .constructor = "x" }'],
  ])("%s is %s", (query, expected) => {
    expect(queryOf(query)).toBe(expected);
  });

  test("unknown parameters beside q are ignored", () => {
    expect(queryOf("q={name=`x`}&a=b&skip_ast_transformations=all")).toBe('{ name = "x" }');
  });
});

const Q = '{ resource.service.name = "checkout" && span.http.status_code >= 500 } | select(status, duration)';

describe("search: answers", () => {
  test("JSON as Tempo's, without a field that Grafana's decoder does not know", async () => {
    const app = await queryApp({ live: SHOP });
    const response = await app.get(pathOf("/api/search", { q: Q }));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("rubato-total")).toBe("1");
    expect(response.headers.get("rubato-next-cursor")).toBe(null);
    const spanSet = {
      spans: [
        {
          spanID: "9269350c17d7bf60",
          startTimeUnixNano: `${START}010000000`,
          durationNanos: "42000000",
          attributes: [
            { key: "service.name", value: { stringValue: "checkout" } },
            { key: "http.status_code", value: { intValue: "500" } },
            { key: "status", value: { stringValue: "error" } },
          ],
        },
      ],
      matched: 1,
    };
    expect(await response.json()).toEqual({
      traces: [
        {
          traceID: CHECKOUT,
          rootServiceName: "frontend",
          rootTraceName: "GET /checkout",
          startTimeUnixNano: `${START}000000000`,
          durationMs: 1042,
          spanSet,
          spanSets: [spanSet],
          serviceStats: { frontend: { spanCount: 1 }, checkout: { spanCount: 1, errorCount: 1 } },
        },
      ],
      metrics: {
        inspectedTraces: expect.any(Number),
        inspectedBytes: expect.stringMatching(/^\d+$/),
        completedJobs: 1,
        totalJobs: 1,
        inspectedSpans: expect.stringMatching(/^\d+$/),
      },
    });
  });

  test("protobuf is the same message", async () => {
    const app = await queryApp({ live: SHOP });
    const path = pathOf("/api/search", { q: Q });
    const json: unknown = await (await app.get(path)).json();
    const response = await app.get(path, { accept: "application/protobuf" });
    expect(response.headers.get("content-type")).toBe("application/protobuf");
    const message = fromBinary(SearchResponseSchema, new Uint8Array(await response.arrayBuffer()));
    expect(toJson(SearchResponseSchema, message)).toEqual(json);
  });

  test.each([["event and nil values", "{ .missing = nil } | select(span.ratio, span.retried)"]])(
    "%s",
    async (_, q) => {
      const app = await queryApp({ live: SHOP });
      const body = await (
        await app.get(pathOf("/api/search", { q, spss: 0 }))
      ).json<{
        traces: { traceID: string; spanSets: { spans: { spanID: string; attributes: unknown }[] }[] }[];
      }>();
      const spans = body.traces.flatMap(({ spanSets }) => spanSets.flatMap(({ spans: own }) => own));
      expect(spans.find(({ spanID }) => spanID === "9269350c17d7bf60")?.attributes).toEqual([
        { key: "missing", value: { stringValue: "nil" } },
        { key: "ratio", value: { doubleValue: 0.5 } },
        { key: "retried", value: { boolValue: true } },
      ]);
    },
  );

  test("groups and aggregates are attributes of spansets, durations in Go's form", async () => {
    const app = await queryApp({ live: SHOP });
    const q =
      '{ trace:id = "2f7e42c49fb7b54526f062afab690d75" } | by(resource.service.name) | max(duration) > 0s';
    const body = await (
      await app.get(pathOf("/api/search", { q }))
    ).json<{
      traces: { spanSets: { attributes: unknown }[] }[];
    }>();
    expect(body.traces[0]?.spanSets.map(({ attributes }) => attributes)).toEqual([
      [
        { key: "by(resource.service.name)", value: { stringValue: "frontend" } },
        { key: "max(duration)", value: { stringValue: "1.0429s" } },
      ],
      [
        { key: "by(resource.service.name)", value: { stringValue: "checkout" } },
        { key: "max(duration)", value: { stringValue: "42ms" } },
      ],
    ]);
  });

  test("a trace without root, and ids with all their digits", async () => {
    const app = await queryApp({ live: SHOP });
    const body = await (await app.get(pathOf("/api/search", { q: "{}" }))).json<{ traces: unknown[] }>();
    expect(body.traces).toMatchObject([
      { traceID: REFUND, rootServiceName: "frontend", rootTraceName: "refund", durationMs: 5 },
      { traceID: ORPHAN, rootServiceName: "<root span not yet received>" },
      { traceID: CHECKOUT, rootServiceName: "frontend" },
    ]);
    expect(body.traces[1]).not.toHaveProperty("rootTraceName");
    // Half a millisecond.
    expect(body.traces[1]).not.toHaveProperty("durationMs");
  });

  test("a search by tags has no spansets", async () => {
    const app = await queryApp({ live: SHOP });
    for (const path of [
      pathOf("/api/search", { tags: "service.name=CHECK http.status_code=500", minDuration: "1s" }),
      pathOf("/api/search", { "http.status_code": 500 }),
    ]) {
      const body = await (await app.get(path)).json<{ traces: object[] }>();
      expect(body.traces).toMatchObject([{ traceID: CHECKOUT, serviceStats: {} }]);
      expect(body.traces[0]).not.toHaveProperty("spanSets");
      expect(body.traces[0]).not.toHaveProperty("spanSet");
    }
    const none = await app.get(pathOf("/api/search", { tags: "service.name=CHECK", maxDuration: "1s" }));
    expect(await none.json()).toMatchObject({ traces: [] });
  });

  test("nothing found: an empty list", async () => {
    const app = await queryApp({});
    const response = await app.get(pathOf("/api/search", { q: "{}" }));
    expect(response.headers.get("rubato-total")).toBe("0");
    expect(await response.json()).toEqual({ traces: [], metrics: {} });
  });

  test("pages by cursor neither repeat nor skip, while spans come in", async () => {
    const app = await queryApp({ live: SHOP });
    const found: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const response = await app.get(pathOf("/api/search", { q: "{}", limit: 1, cursor }));
      expect(response.headers.get("rubato-total")).toBe(String(3 + (found.length > 0 ? 1 : 0)));
      const { traces } = await response.json<{ traces: { traceID: string }[] }>();
      found.push(...traces.map(({ traceID }) => traceID));
      cursor = response.headers.get("rubato-next-cursor");
      if (found.length === 1) {
        await app.world.appendBatch(
          spansData([{ traceId: "aa", spanId: "00000000000000c1", name: "newer", atMs: 3000 }]),
        );
      }
    }
    expect(found).toEqual([REFUND, ORPHAN, CHECKOUT]);
  });

  test("the same query on the same data gives the same bytes, live or in blocks", async () => {
    const path = pathOf("/api/search", { q: "{} | by(resource.service.name)" });
    const app = await queryApp({ live: SHOP });
    const texts = [await (await app.get(path)).text(), await (await app.get(path)).text()];
    expect(texts[0]).toBe(texts[1]);
    const stored = await queryApp({ blocks: [SHOP.slice(0, 1), SHOP.slice(1)] });
    const body = await (await stored.get(path)).json<{ traces: unknown }>();
    expect(body.traces).toEqual((JSON.parse(texts[0] ?? "") as { traces: unknown }).traces);
  });

  test("a large answer is made part by part, and is the same", async () => {
    const spans = Array.from({ length: 1500 }, (_, i) => ({
      traceId: (i + 1).toString(16),
      spanId: (i + 1).toString(16).padStart(16, "0"),
      name: `ä ${"x".repeat(100)} ${i}`,
    }));
    const app = await queryApp({ live: spans });
    const path = pathOf("/api/search", { q: "{} | select(name)", limit: 1500 });
    const { traces } = await (await app.get(path)).json<{ traces: { rootTraceName: string }[] }>();
    const names = traces.map(({ rootTraceName }) => rootTraceName);
    expect(new Set(names)).toEqual(new Set(spans.map(({ name }) => name)));
    const packed = await app.get(path, { "accept-encoding": "gzip" });
    const inflated = gunzipSync(new Uint8Array(await packed.arrayBuffer())).toString();
    expect((JSON.parse(inflated) as { traces: unknown[] }).traces).toEqual(traces);
    const metrics = pathOf("/api/metrics/query_range", {
      q: "{} | rate() by(name)",
      since: "1h",
      step: "1m",
    });
    const { series } = await (await app.get(metrics)).json<{ series: unknown[] }>();
    expect(series).toHaveLength(1500);
  });

  test("what lies beyond a limit makes the total a lower bound", async () => {
    const app = await queryApp({ live: SHOP.slice(1), blocks: [SHOP.slice(0, 1)] }, { maxQueryBytes: 1 });
    const response = await app.get(pathOf("/api/search", { q: "{}" }));
    expect(response.headers.get("rubato-total")).toBe(">= 3");
    expect(await response.json()).toMatchObject({ metrics: { completedJobs: 1, totalJobs: 2 } });
  });

  test.each(["GET", "POST"])("answers %s", async (method) => {
    const app = await queryApp({ live: SHOP });
    expect((await app.get(pathOf("/api/search", { q: "{}" }), {}, method)).status).toBe(200);
  });

  test.each(["({ } | by(name)) > ({ })", "{ } | by(name) | { } ~ { }"])(
    "a structural operator on groups is a 400 that says what to do: %s",
    async (q) => {
      const response = await (await queryApp({ live: SHOP })).get(pathOf("/api/search", { q }));
      expect([response.status, await response.text()]).toEqual([
        400,
        "spanset operators are not supported for multiple spansets per trace. consider using coalesce()\n",
      ]);
    },
  );

  test("errors are texts", async () => {
    const app = await queryApp({});
    const response = await app.get(pathOf("/api/search", { q: "{ status > ok }" }));
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
    expect(await response.text()).toMatch(/^invalid TraceQL query: .* line 1, col \d+: .*\n$/);
  });
});
