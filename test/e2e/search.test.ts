// Search, tags and metrics of a running server: spans are found as soon as they were accepted, and the same from blocks.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeGenerator } from "../support/generator.ts";
import { untilFlushed } from "../support/query-client.ts";
import { pathOf, type PlainSpan, spansData } from "../support/query-app.ts";
import { LATE_FLUSH, restartToFlush } from "../support/expect-trace.ts";
import { type TestServers, testServers } from "../support/server.ts";

let servers: TestServers;
let url: string;
const nowMs = Date.now();

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start(LATE_FLUSH));
});
afterAll(() => servers.end());

async function send(batch: Uint8Array): Promise<void> {
  const headers = { "content-type": "application/x-protobuf" };
  const response = await fetch(`${url}/v1/traces`, { method: "POST", body: batch as BodyInit, headers });
  expect(response.status).toBe(200);
}

type Params = Readonly<Record<string, string | number>>;

async function answer(path: string, params: Params): Promise<{ body: unknown; headers: Headers }> {
  const response = await fetch(url + pathOf(path, params));
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
  return { body: JSON.parse(text), headers: response.headers };
}

interface Found {
  readonly traces: readonly {
    readonly traceID: string;
    readonly spanSets?: readonly { matched: number }[];
  }[];
}

const TRACE_ID = "2f7e42c49fb7b54526f062afab690d75";
const ORDER: readonly PlainSpan[] = [
  {
    traceId: TRACE_ID,
    spanId: "00000000000000a1",
    name: "POST /orders",
    kind: 2,
    durationMs: 120,
    resource: { "service.name": "e2e-shop", "deployment.environment": "test" },
    attributes: { "http.status_code": 500n, "order.id": "A 17/b" },
  },
  {
    traceId: TRACE_ID,
    spanId: "00000000000000a2",
    parentSpanId: "00000000000000a1",
    name: "INSERT",
    kind: 3,
    durationMs: 80,
    status: { code: 2 },
    resource: { "service.name": "e2e-db" },
  },
];

/** Everything that the server says of ORDER. */
async function answers(): Promise<unknown> {
  const start = Math.floor(nowMs / 1000) - 60;
  const range = { start, end: start + 120 };
  const paths: [string, Params][] = [
    ["/api/search", { ...range, q: '{ span.order.id = "A 17/b" } >> { status = error } | select(name)' }],
    ["/api/search", { ...range, tags: "service.name=e2e-shop http.status_code=500" }],
    ["/api/v2/search/tags", { ...range, scope: "span", q: '{ resource.service.name = "e2e-shop" }' }],
    ["/api/v2/search/tag/resource.deployment.environment/values", range],
    ["/api/v2/search/tag/span.order.id/values", { ...range, q: "{ status != ok && .x = }" }],
    [
      "/api/metrics/query_range",
      {
        ...range,
        step: "60s",
        q: '{ name = "INSERT" } | max_over_time(duration) by (resource.service.name)',
      },
    ],
    ["/api/metrics/query", { ...range, q: '{ rootServiceName = "e2e-shop" } | count_over_time()' }],
  ];
  const found: unknown[] = [];
  for (const [path, params] of paths) {
    const { body } = await answer(path, params);
    const { metrics: _, ...rest } = body as { metrics: unknown };
    expect([path, Object.keys(rest)]).not.toEqual([path, []]);
    found.push(rest);
  }
  return found;
}

describe("search", () => {
  let live: unknown;

  test("what was accepted is found at once, by all that asks for spans", async () => {
    await send(spansData(ORDER, nowMs));
    live = await answers();
    const [search, tags, names, values, ids, range, instant] = live as [Found, Found, ...unknown[]];
    expect(search.traces).toMatchObject([
      {
        traceID: TRACE_ID,
        rootTraceName: "POST /orders",
        spanSets: [{ matched: 1, spans: [{ name: "INSERT" }] }],
      },
    ]);
    expect(tags.traces.map(({ traceID }) => traceID)).toEqual([TRACE_ID]);
    expect(names).toEqual({ scopes: [{ name: "span", tags: ["http.status_code", "order.id"] }] });
    expect(values).toEqual({ tagValues: [{ type: "string", value: "test" }] });
    expect(ids).toEqual({ tagValues: [{ type: "string", value: "A 17/b" }] });
    expect(range).toMatchObject({
      series: [
        {
          labels: [{ key: "resource.service.name", value: { stringValue: "e2e-db" } }],
          samples: [{ value: 0.08 }],
          exemplars: [
            { value: 0.08, labels: [{ key: "trace:id", value: { stringValue: TRACE_ID } }, {}, {}] },
          ],
        },
      ],
    });
    expect(instant).toMatchObject({ series: [{ value: 2 }] });
  });

  test("thousands of spans: pages without gap, and the count that metrics give", async () => {
    const generator = makeGenerator({ seed: 7, startNs: BigInt(nowMs - 120_000) * 1_000_000n });
    for (let i = 0; i < 10; i++) await send(generator.batch(500));
    const q = "{ kind = server }";
    const found: string[] = [];
    const totals: (string | null)[] = [];
    let matched = 0;
    let cursor: string | null = "";
    while (cursor !== null) {
      const page = await answer("/api/search", { q, limit: 37, spss: 0, cursor });
      const { traces } = page.body as Found;
      found.push(...traces.map(({ traceID }) => traceID));
      for (const { spanSets = [] } of traces) for (const set of spanSets) matched += set.matched;
      cursor = page.headers.get("rubato-next-cursor");
      totals.push(page.headers.get("rubato-total"));
    }
    expect(new Set(totals)).toEqual(new Set([String(found.length)]));
    expect(found.length).toBeGreaterThan(100);
    expect(new Set(found).size).toBe(found.length);
    const counted = await answer("/api/metrics/query", { q: `${q} | count_over_time()`, since: "1h" });
    expect(counted.body).toMatchObject({ series: [{ value: matched }] });
  });

  test("the same from a block", async () => {
    ({ url } = await restartToFlush(servers));
    await untilFlushed(url, TRACE_ID, 30_000);
    expect(await answers()).toEqual(live);
  });

  test("a client that goes away stops nothing but its own query", async () => {
    const controller = new AbortController();
    const gone = fetch(url + pathOf("/api/search", { q: "{}", limit: 1000 }), { signal: controller.signal });
    controller.abort();
    await expect(gone).rejects.toThrow("aborted");
    const { body } = await answer("/api/search", { q: "{}" });
    expect((body as Found).traces).toHaveLength(20);
  });
});
