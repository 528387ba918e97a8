// Version 2 of trace by id: only the spans that a filter wants, and the form for language models.
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { CHECKOUT, pathOf, type PlainSpan, type QueryApp, queryApp, SHOP } from "../../support/query-app.ts";
import { START_MS } from "../../support/shard-world.ts";

const ID = "000000000000000000000000000000f1";

function span(id: number, parent: number, more: Partial<PlainSpan> = {}): PlainSpan {
  const hex = (value: number): string => value.toString(16).padStart(16, "0");
  return {
    traceId: ID,
    spanId: hex(id),
    ...(parent > 0 && { parentSpanId: hex(parent) }),
    name: `s${id}`,
    ...more,
  };
}

// 1 > 2 > 3 > 4 > 5, and 6 beside 2.
const CHAIN = [
  span(1, 0),
  span(2, 1),
  span(3, 2, { status: { code: 2 } }),
  span(4, 3),
  span(5, 4),
  span(6, 1),
];

interface Body {
  readonly trace: { readonly resourceSpans?: readonly { scopeSpans: { spans: { name: string }[] }[] }[] };
  readonly status?: string;
  readonly message?: string;
}

function namesOf({ trace }: Body): string[] {
  return (trace.resourceSpans ?? []).flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map(({ name }) => name)),
  );
}

async function filtered(app: QueryApp, params: Record<string, string | number>): Promise<Body> {
  const response = await app.get(pathOf(`/api/v2/traces/${ID}`, params));
  expect(response.status).toBe(200);
  return response.json<Body>();
}

const FILTERED = {
  status: "PARTIAL",
  message: "Trace filtered, only a subset of spans matching the filter is returned",
};

describe("trace by id: q", () => {
  const q = "{ status = error }";

  test.each<[Record<string, string | number>, string[]]>([
    [{ q }, ["s3"]],
    [{ q, keep_hierarchy: "true" }, ["s1", "s2", "s3"]],
    [{ q, keep_hierarchy: 1, ancestor_depth: 1 }, ["s2", "s3"]],
    [{ q, keep_hierarchy: "t", ancestor_depth: 0 }, ["s3"]],
    // Ancestors are kept only on demand.
    [{ q, ancestor_depth: 1 }, ["s3"]],
    [{ q, match_depth: 1 }, ["s3", "s4"]],
    [{ q, match_depth: -1 }, ["s3", "s4", "s5"]],
    [{ q, match_depth: -1, keep_hierarchy: "true" }, ["s1", "s2", "s3", "s4", "s5"]],
    [{ q: '{ name = "s2" || name = "s6" }', match_depth: 1 }, ["s2", "s3", "s6"]],
    [{ q: "{ span:childCount = 2 }" }, ["s1"]],
    [{ q: '{ name = "none" }', keep_hierarchy: "true" }, []],
  ])("%o", async (params, expected) => {
    for (const data of [{ live: CHAIN }, { live: CHAIN.slice(3), blocks: [CHAIN.slice(0, 3)] }]) {
      const body = await filtered(await queryApp(data), params);
      expect(namesOf(body).sort()).toEqual(expected);
      expect(body).toMatchObject(FILTERED);
    }
  });

  test("a filter that wants all spans leaves the trace as it is", async () => {
    const app = await queryApp({ live: CHAIN });
    expect(await filtered(app, { q: "{}" })).toEqual(await filtered(app, {}));
  });

  test("protobuf, and a trace that is not there", async () => {
    const app = await queryApp({ live: CHAIN });
    const response = await app.get(pathOf(`/api/v2/traces/${ID}`, { q }), { accept: "application/protobuf" });
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(bytes[0]).toBe(0x0a);
    const trace = fromBinary(TracesDataSchema, bytes.subarray(2, 2 + (bytes[1] ?? 0)));
    expect(
      trace.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    ).toMatchObject([{ name: "s3", status: { code: 2 } }]);
    const missing = await app.get(pathOf("/api/v2/traces/abcdef", { q }));
    expect(await missing.json()).toEqual({ trace: {}, metrics: {} });
  });

  test("a CLIENT and a SERVER span that share an id are told apart, ids in circles end", async () => {
    const app = await queryApp({
      live: [
        span(1, 0, { kind: 3 }),
        span(1, 0, { kind: 2, name: "server" }),
        span(2, 1),
        span(8, 9),
        span(9, 8),
      ],
    });
    expect(namesOf(await filtered(app, { q: "{ kind = server }" }))).toEqual(["server"]);
    // What the server called is below the server, and so is below the client.
    const below = await filtered(app, { q: "{ kind = client }", match_depth: -1 });
    expect(namesOf(below).sort()).toEqual(["s1", "s2", "server"]);
    expect(
      namesOf(await filtered(app, { q: '{ name = "s8" }', match_depth: -1, keep_hierarchy: "true" })),
    ).toEqual(["s8", "s9"]);
  });

  test.each([
    ["q={ traceDuration > 1s }", "traceDuration is that of the whole trace"],
    ['q={ .a = 1 || rootName = "x" }', "rootName is that of the whole trace"],
    ['q={ trace:rootService = "x" }', "rootServiceName is that of the whole trace"],
    ['q={ trace:id = "1" }', "trace:id is that of the whole trace"],
    ["q={} >> {}", "one spanset filter"],
    ["q={} | count() > 1", "one spanset filter"],
    ["q={} | rate()", "one spanset filter"],
    ["q={", "invalid TraceQL query"],
    ["q={}&match_depth=-2", "invalid match_depth"],
    ["q={}&ancestor_depth=x", "invalid ancestor_depth"],
    ["q={}&keep_hierarchy=yes", 'invalid keep_hierarchy: "yes" is neither true nor false'],
  ])("%s: 400", async (query, message) => {
    const app = await queryApp({ live: CHAIN });
    const path = `/api/v2/traces/${ID}?${new URLSearchParams(query).toString()}`;
    const response = await app.get(path);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(message);
    // Version 1 does not know these parameters.
    expect((await app.get(path.replace("/v2", ""))).status).toBe(200);
  });
});

describe("trace by id: for language models", () => {
  const accept = { accept: "application/vnd.grafana.llm" };

  test("hex ids and flat attributes, by service", async () => {
    const app = await queryApp({ live: SHOP });
    const response = await app.get(`/api/v2/traces/${CHECKOUT}`, accept);
    expect(response.headers.get("content-type")).toBe("application/vnd.grafana.llm+json");
    expect(await response.json()).toEqual({
      trace: {
        traceId: CHECKOUT,
        services: [
          {
            serviceName: "frontend",
            resource: {},
            scopes: [
              {
                name: "lib",
                version: "1.2",
                spans: [
                  {
                    spanId: "1e3d034874a36241",
                    name: "GET /checkout",
                    kind: "SPAN_KIND_SERVER",
                    startTimeUnixNano: `${START_MS}000000`,
                    endTimeUnixNano: `${START_MS + 1042}900000`,
                    durationMs: 1042.9,
                    attributes: { "http.url": "/checkout?a=b" },
                    status: { code: "STATUS_CODE_UNSET" },
                  },
                ],
              },
            ],
          },
          {
            serviceName: "checkout",
            resource: {},
            scopes: [
              {
                name: "lib",
                version: "1.2",
                spans: [
                  expect.objectContaining({
                    parentSpanId: "1e3d034874a36241",
                    durationMs: 42,
                    attributes: { "http.status_code": 500, ratio: 0.5, retried: true },
                    status: { code: "STATUS_CODE_ERROR", message: "boom" },
                  }),
                ],
              },
            ],
          },
        ],
      },
      status: "COMPLETE",
    });
  });

  test("a filter, and a trace that is not there", async () => {
    const app = await queryApp({ live: SHOP });
    const some = await app.get(pathOf(`/api/v2/traces/${CHECKOUT}`, { q: "{ status = error }" }), accept);
    expect(await some.json()).toMatchObject({
      trace: { services: [{ serviceName: "checkout" }] },
      ...FILTERED,
    });
    expect(await (await app.get("/api/v2/traces/abcdef", accept)).json()).toEqual({
      trace: {},
      status: "COMPLETE",
    });
  });

  test("version 1 has no such form", async () => {
    const response = await (await queryApp({ live: SHOP })).get(`/api/traces/${CHECKOUT}`, accept);
    expect(response.headers.get("content-type")).toBe("application/json");
  });
});
