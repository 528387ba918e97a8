import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { makeServer } from "../../support/fake-shard.ts";
import { makeGenerator } from "../../support/generator.ts";
import type { Value } from "../../support/thrift.ts";
import { encodeThrift, i64, jaegerBatch, jaegerSpan, text } from "../../support/thrift.ts";
import { encodeZipkinJson, encodeZipkinProtobuf, zipkinSpans } from "../../support/zipkin.ts";

const spans = zipkinSpans(makeGenerator({ seed: 3 }).batch(60), "plain");
const JSON_BODY = encodeZipkinJson(spans);
const V1_SPAN: Value = {
  struct: [
    [1, i64(1)],
    [3, text("n")],
    [4, i64(2)],
    [10, i64(1_700_000_000_000_000)],
  ],
};
const V1_THRIFT = encodeThrift({ struct: [[1, { list: [V1_SPAN] }]] }, "binary").slice(3, -1);
const V1_JSON = JSON.stringify([{ traceId: "1", id: "2", name: "n", timestamp: 1_700_000_000_000_000 }]);
const JAEGER = encodeThrift(jaegerBatch([jaegerSpan({ traceIdLow: 1n, spanId: 2n })]), "binary");
const JAEGER_COMPACT = encodeThrift(jaegerBatch([jaegerSpan({ traceIdLow: 1n, spanId: 2n })]), "compact");

const ROUTES: [name: string, path: string, type: string, body: Uint8Array | string, count: number][] = [
  ["v2 json", "/api/v2/spans", "application/json", JSON_BODY, 60],
  ["v2 json, charset", "/api/v2/spans", "application/json; charset=utf-8", JSON_BODY, 60],
  ["v2 json, a beacon's text", "/api/v2/spans", "text/plain;charset=UTF-8", JSON_BODY, 60],
  ["v2 protobuf", "/api/v2/spans", "application/x-protobuf", encodeZipkinProtobuf(spans), 60],
  ["v1 json", "/api/v1/spans", "application/json", V1_JSON, 1],
  ["v1 thrift", "/api/v1/spans", "application/x-thrift", V1_THRIFT, 1],
  ["jaeger", "/api/traces", "application/x-thrift", JAEGER, 1],
  ["jaeger, binary", "/api/traces", "application/vnd.apache.thrift.binary", JAEGER, 1],
  ["jaeger, compact", "/api/traces", "application/vnd.apache.thrift.compact", JAEGER_COMPACT, 1],
  ["jaeger, compact told by its bytes", "/api/traces", "application/x-thrift", JAEGER_COMPACT, 1],
];

const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
afterEach(() => warn.mockClear());

describe.each(ROUTES)("%s", (_name, path, type, body, count) => {
  test.each([
    ["identity", (bytes: Uint8Array | string) => bytes],
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["zstd", zstdCompressSync],
  ])("%s: 202, empty, stored", async (encoding, compress) => {
    const server = makeServer();
    const response = await server.post(path, compress(body) as BodyInit, {
      "content-type": type,
      "content-encoding": encoding,
    });
    expect([response.status, await response.text()]).toEqual([202, ""]);
    expect(server.spans()).toHaveLength(count);
    expect(warn).not.toHaveBeenCalled();
  });

  test.each([
    [429, { ok: false, kind: "rate_limited", message: "buffer is full", retryAfterMs: 4100 }, "5"],
    [503, { ok: false, kind: "unavailable", message: "queue is full", retryAfterMs: 900 }, "1"],
    [503, new Error("restarted"), "1"],
  ] as const)("%s with Retry-After", async (status, result, retryAfter) => {
    const response = await makeServer(result).post(path, body as BodyInit, { "content-type": type });
    expect([response.status, response.headers.get("retry-after")]).toEqual([status, retryAfter]);
  });

  test("413: too large, as sent and inflated", async () => {
    const small = makeServer({ ok: true }, { maxCompressedBodyBytes: 10 });
    expect((await small.post(path, body as BodyInit, { "content-type": type })).status).toBe(413);
    const inflated = makeServer({ ok: true }, { maxBodyBytes: 10 });
    const headers = { "content-type": type, "content-encoding": "gzip" };
    expect((await inflated.post(path, gzipSync(body), headers)).status).toBe(413);
  });

  test("415: unknown encoding", async () => {
    const headers = { "content-type": type, "content-encoding": "br" };
    expect((await makeServer().post(path, body as BodyInit, headers)).status).toBe(415);
  });

  test("400: cut short", async () => {
    const bytes = Buffer.from(body);
    const response = await makeServer().post(path, bytes.subarray(0, -1), { "content-type": type });
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(/^malformed .* byte \d+\n$/);
  });
});

describe("Zipkin and Jaeger routes", () => {
  test.each(["/api/v2/spans", "/api/v1/spans"])("%s: other methods are 405 with Allow", async (path) => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const response = await makeServer().app.request(path, { method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
    }
  });

  test("/api/traces: writing by another method is 405, reading stays the query API's", async () => {
    const { app } = makeServer();
    expect((await app.request("/api/traces", { method: "PUT" })).headers.get("allow")).toBe("POST");
    expect((await app.request("/api/traces")).status).toBe(404);
  });

  test.each([
    ["/api/v2/spans", "application/x-thrift"],
    ["/api/v1/spans", "application/x-protobuf"],
    ["/api/traces", "application/json"],
    ["/api/traces", ""],
  ])("%s with %j: 415 that says what is supported", async (path, type) => {
    const response = await makeServer().post(path, new Uint8Array(3), { "content-type": type });
    expect(response.status).toBe(415);
    expect(await response.text()).toMatch(/^415 unsupported media type, supported: \[application\//);
  });

  test("no content type is JSON", async () => {
    const server = makeServer();
    const response = await server.app.request("/api/v2/spans", { method: "POST", body: JSON_BODY });
    expect([response.status, server.spans().length]).toEqual([202, 60]);
  });

  test("bad spans are refused one by one: 202, empty; counted and logged without their contents", async () => {
    const server = makeServer();
    const body = JSON.stringify([spans[0], { ...spans[1], id: "secret" }, spans[2], {}]);
    const response = await server.post("/api/v2/spans", body);
    expect([response.status, await response.text()]).toEqual([202, ""]);
    expect(server.spans()).toHaveLength(2);
    expect(warn.mock.calls).toHaveLength(1);
    expect(JSON.parse(String(warn.mock.calls[0]?.[0]))).toEqual({
      level: "warning",
      message: "spans refused",
      format: "zipkin v2 json",
      refusedSpans: 2,
      acceptedSpans: 2,
      reason: "[1].id: expected 16 hex digits",
    });
  });

  test("no good span at all: 400 that names span and field", async () => {
    const server = makeServer();
    const response = await server.post("/api/v2/spans", JSON.stringify([{ ...spans[0], traceId: 5 }]));
    expect([response.status, await response.text()]).toEqual([
      400,
      "[0].traceId: expected a string, got a number\n",
    ]);
    expect(server.batches).toHaveLength(0);
  });

  test("no spans: 202, nothing stored", async () => {
    const server = makeServer();
    expect((await server.post("/api/v2/spans", "[]")).status).toBe(202);
    expect(server.batches).toHaveLength(0);
  });
});
