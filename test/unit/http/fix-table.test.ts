// Every row of the doctor's fix table, by a request that is refused for it.
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { diagnose, FIXES } from "../../../src/insight/diagnose.ts";
import { formatToken } from "../../../src/model/token.ts";
import type { AppendResult } from "../../../src/store/rpc.ts";
import { ADMIN_TOKEN } from "../../support/access-world.ts";
import { oneShard } from "../../support/fake-shard.ts";
import { InsightWorld } from "../../support/insight-world.ts";
import { batchOf, spanWith } from "../../support/otlp.ts";

const PROTOBUF = "application/x-protobuf";
const BATCH = batchOf(spanWith());
const JSON_BATCH = JSON.stringify({
  resourceSpans: [
    { scopeSpans: [{ spans: [{ traceId: "ab".repeat(16), spanId: "cd".repeat(8), name: "x" }] }] },
  ],
});
const GRPC = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

let tokens: Readonly<Record<"ingest" | "read" | "browser" | "expired", string>>;
const world = new InsightWorld();

interface Sent {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Default the ingest token's. */
  readonly authorization?: string | undefined;
  readonly url?: string;
  readonly shard?: AppendResult;
}

beforeAll(async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
  const text = async (...args: Parameters<InsightWorld["token"]>): Promise<string> =>
    (await world.token(...args)).text;
  tokens = {
    ingest: await text("acme"),
    read: await text("acme", { scopes: ["read"] }),
    browser: await text("acme", { origins: ["https://shop.example"] }),
    expired: await text("acme", { expiresMs: world.nowMs - 1 }),
  };
  await text("gone");
  world.tenant("gone").startDeletion({ actor: "operator" });
  await text("big", { tenants: ["acme"] });
});

/** The one line that the doctor has of it. */
async function lineOf({
  path = "/v1/traces",
  method = "POST",
  headers = {},
  body = BATCH,
  shard,
  ...sent
}: Sent) {
  const app = world.app();
  world.append = async () => shard ?? { ok: true };
  world.notes.length = 0;
  const authorization = "authorization" in sent ? sent.authorization : `Bearer ${tokens.ingest}`;
  const request: RequestInit = {
    method,
    headers: {
      "content-type": PROTOBUF,
      ...headers,
      ...(authorization === undefined ? {} : { authorization }),
    },
    ...(method === "GET" ? {} : { body: typeof body === "string" ? body : new Uint8Array(body) }),
  };
  const response = await app.request(`${sent.url ?? "https://rubato.example"}${path}`, request);
  const lines = world.notes.flatMap(({ target, note }) => note.refused.map((line) => ({ ...line, target })));
  expect(lines).toHaveLength(1);
  const [line] = lines;
  return { line, response };
}

const bearer = (text: string): string => `Bearer ${text}`;
const unknown = formatToken("acme", new Uint8Array(20).fill(7));

/** Code, what is sent, the answer's status, and what the fix says. */
const ROWS: readonly (readonly [string, Sent | (() => Sent), number, RegExp])[] = [
  [
    "grpc",
    { path: GRPC, headers: { "content-type": "application/grpc" } },
    415,
    /OTEL_EXPORTER_OTLP_PROTOCOL=http\/protobuf.*collector/,
  ],
  ["grpc", { headers: { "content-type": "application/grpc+proto" } }, 415, /collector/],
  ["logs", { path: "/v1/logs" }, 403, /OTEL_LOGS_EXPORTER=none/],
  ["logs", { path: "/loki/api/v1/push" }, 403, /OTEL_LOGS_EXPORTER=none/],
  ["metrics", { path: "/v1/metrics" }, 403, /OTEL_METRICS_EXPORTER=none/],
  ["metrics", { path: "/api/v1/write" }, 403, /OTEL_METRICS_EXPORTER=none/],
  ["profiles", { path: "/v1development/profiles" }, 403, /profiles/],
  ["path_doubled", { path: "/v1/traces/v1/traces" }, 403, /leave it out of OTEL_EXPORTER_OTLP_ENDPOINT/],
  ["path_doubled", { path: "/v1/v1/traces" }, 403, /leave it out/],
  ["path_slash", { path: "/v1/traces/" }, 403, /the path is \/v1\/traces, without a slash/],
  [
    "path_port",
    { path: "/collect", url: "https://rubato.example:4318", headers: { "content-type": "" } },
    403,
    /4317 and 4318 are a collector's/,
  ],
  ["path_zipkin", { path: "/api/v2/span" }, 403, /\/api\/v2\/spans/],
  ["path_zipkin", { path: "/zipkin" }, 403, /\/api\/v2\/spans/],
  ["path_jaeger", { path: "/api/trace" }, 403, /\/api\/traces/],
  ["path_traces", { path: "/" }, 403, /the path is \/v1\/traces/],
  ["path_traces", { path: "/v1/trace" }, 403, /the path is \/v1\/traces/],
  ["path_traces", { path: "/otlp/v1/traces" }, 403, /the path is \/v1\/traces/],
  ["path_traces", { path: "/v1/trace", authorization: undefined }, 401, /OTEL_EXPORTER_OTLP_TRACES_ENDPOINT/],
  ["path_traces", { path: "/collect" }, 403, /the path is \/v1\/traces/],
  [
    "path_tempo",
    () => ({ path: "/tempo/api/search", method: "GET", authorization: bearer(tokens.read) }),
    404,
    /without \/tempo/,
  ],
  ["method", { method: "GET" }, 405, /POST/],
  ["no_tenant", { authorization: bearer(ADMIN_TOKEN) }, 401, /X-Scope-OrgID/],
  ["token_escaped", { authorization: "Bearer%20rbt_x" }, 401, /authorization=Bearer <token>/],
  [
    "token_missing",
    { authorization: undefined },
    401,
    /OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>/,
  ],
  [
    "token_form",
    { authorization: unknown },
    401,
    /OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>/,
  ],
  ["token_two", () => ({ headers: { "x-api-key": unknown } }), 401, /one header/],
  ["token_expired", () => ({ authorization: bearer(tokens.expired) }), 401, /make a new token/],
  ["token_foreign", { authorization: bearer("glc_eyJvIjoi") }, 401, /begins with rbt_.*Bearer%20<token>/],
  ["token_unknown", { authorization: bearer(unknown) }, 401, /mistyped, revoked/],
  ["scope", () => ({ authorization: bearer(tokens.read) }), 403, /ingest sends spans/],
  ["origin", () => ({ authorization: bearer(tokens.browser) }), 403, /this page's origin/],
  ["tenant_forbidden", { headers: { "x-scope-orgid": "big" } }, 403, /leave X-Scope-OrgID out/],
  [
    "tenant_unknown",
    { authorization: bearer(ADMIN_TOKEN), headers: { "x-scope-orgid": "nobody" } },
    404,
    /make the tenant first/,
  ],
  [
    "tenant_several",
    { authorization: bearer(ADMIN_TOKEN), headers: { "x-scope-orgid": "acme|big" } },
    400,
    /one id/,
  ],
  ["tenant_id", { headers: { "x-scope-orgid": "a/b" } }, 400, /1 to 150/],
  ["encoding", { headers: { "content-encoding": "br" } }, 415, /gzip or zstd/],
  ["content_type", { headers: { "content-type": "application/xml" } }, 415, /application\/x-protobuf/],
  ["gzip_unnamed", { body: gzipSync(BATCH) }, 400, /Content-Encoding: gzip/],
  ["json_as_protobuf", { body: JSON_BATCH }, 400, /Content-Type: application\/json/],
  [
    "protobuf_as_json",
    { headers: { "content-type": "application/json" } },
    400,
    /Content-Type: application\/x-protobuf/,
  ],
  ["not_compressed", { headers: { "content-encoding": "gzip" } }, 400, /leave that header out/],
  ["span_ids", { body: batchOf(spanWith({ traceId: new Uint8Array(3) })) }, 400, /16 bytes/],
  ["malformed", { body: Uint8Array.of(0xff, 0xff) }, 400, /http\/protobuf/],
  [
    "query",
    () => ({ path: "/api/search?q={", method: "GET", authorization: bearer(tokens.read) }),
    400,
    /TraceQL/,
  ],
  ["too_large", { body: new Uint8Array(21 * 1024 * 1024) }, 413, /OTEL_BSP_MAX_EXPORT_BATCH_SIZE/],
  [
    "spend_cap",
    {
      shard: {
        ok: false,
        kind: "rate_limited",
        message: "the spend cap of USD 5 a day is reached",
        retryAfterMs: 1,
      },
    },
    429,
    /spend cap/,
  ],
  [
    "over_limit",
    { shard: { ok: false, kind: "rate_limited", message: "more than 10 spans a second", retryAfterMs: 1 } },
    429,
    /raise the limit/,
  ],
  [
    "not_now",
    { shard: { ok: false, kind: "unavailable", message: "overloaded", retryAfterMs: 1 } },
    503,
    /send again by themselves/,
  ],
  [
    "tenant_deleting",
    { shard: { ok: false, kind: "not_found", message: 'tenant "gone" is being deleted' } },
    404,
    /stop the sender/,
  ],
  [
    "no_path",
    {
      path: "/x",
      method: "PUT",
      authorization: bearer(ADMIN_TOKEN),
      headers: { "content-type": "text/css" },
    },
    404,
    /README/,
  ],
  [
    "partial",
    { body: batchOf(spanWith(), spanWith({ spanId: new Uint8Array(8) })) },
    200,
    /the rest was stored/,
  ],
];

describe("fix table", () => {
  test.each(ROWS)("%s (%#)", async (code, sent, status, fix) => {
    const { line, response } = await lineOf(typeof sent === "function" ? sent() : sent);
    expect(line?.code).toBe(code);
    expect(response.status).toBe(status);
    expect(line).toMatchObject({ status, count: 1 });
    expect(line?.fix).toMatch(fix);
    // One sentence, and a reason that says more than the status.
    expect(line?.reason).toMatch(/[a-z]{2}/);
    expect(line?.fix).not.toMatch(/\.$|\n/);
  });

  test("gRPC-Web: the status is in the trailers, the doctor hears of it all the same", async () => {
    const type = { "content-type": "application/grpc-web+proto" };
    const { line, response } = await lineOf({ path: GRPC, headers: type, authorization: undefined });
    expect(response.status).toBe(200);
    expect(line).toMatchObject({ code: "token_missing", status: 401 });
    const broken = await lineOf({ path: GRPC, headers: type, body: new Uint8Array(3) });
    expect(broken.line).toMatchObject({ code: "malformed", status: 400 });
  });

  test("a closed installation says how to open it", async () => {
    world.notes.length = 0;
    await world.app({ adminToken: undefined }).request("/v1/traces", { method: "POST" });
    expect(world.notes[0]?.note.refused[0]).toMatchObject({ code: "closed", status: 503 });
    expect(world.notes[0]?.target).toBeUndefined();
  });

  test("what nobody but the operator may", () => {
    const refused = {
      method: "GET",
      path: "/api/admin/tenants/acme",
      port: "",
      status: 403,
      kind: "forbidden",
      message: "this is the operator's to do: it needs the admin secret",
      mediaType: "",
      contentEncoding: "",
      credentials: "token",
    } as const;
    expect(diagnose(refused)).toMatchObject({
      code: "forbidden",
      fix: expect.stringContaining("admin secret"),
    });
  });

  test("a fault of ours", async () => {
    const shards = {
      ...oneShard({}),
      forWriting: () => Promise.reject(new TypeError("no")),
      forReading: async () => [],
      forScanning: async () => [],
    };
    world.notes.length = 0;
    const app = world.app({}, { shards });
    await app.request("/v1/traces", {
      method: "POST",
      headers: { "content-type": PROTOBUF, authorization: bearer(tokens.ingest) },
      body: new Uint8Array(BATCH),
    });
    expect(world.notes[0]?.note.refused[0]).toMatchObject({ code: "fault", status: 500 });
  });

  test("every row of the table is in this test", () => {
    const tested = new Set([...ROWS.map(([code]) => code), "closed", "forbidden", "fault"]);
    expect(FIXES.map(({ code }) => code).filter((code) => !tested.has(code))).toEqual([]);
  });

  test("a token that is known says whose it is, also where it may not", async () => {
    expect((await lineOf({ path: "/v1/trace" })).line).toMatchObject({
      target: "acme",
      token: expect.stringMatching(/^[0-9a-f]{12}$/),
    });
    expect((await lineOf({ authorization: bearer(tokens.expired) })).line).toMatchObject({ target: "acme" });
    expect((await lineOf({ authorization: bearer(unknown) })).line).toMatchObject({
      target: undefined,
      token: undefined,
    });
  });

  test("a trace that is not there is an answer", async () => {
    world.notes.length = 0;
    const response = await world.app().request(`/api/traces/${"ab".repeat(16)}`, {
      headers: { authorization: bearer(tokens.read) },
    });
    expect(response.status).toBe(404);
    expect(world.notes).toEqual([]);
  });
});
