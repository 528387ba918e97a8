import { fromBinary } from "@bufbuild/protobuf";
import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createApp } from "../../../src/http/app.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { Limits } from "../../../src/model/limits.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { decodeHead, openBody } from "../../../src/segment/frame.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { AppendBatch, AppendResult, TraceShardRpc } from "../../../src/store/rpc.ts";
import { systemClock } from "../../../src/util/clock.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { oneShard } from "../../support/fake-shard.ts";
import { makeGenerator } from "../../support/generator.ts";

const PROTOBUF = "application/x-protobuf";
const JSON_TYPE = "application/json";

function makeServer(result: AppendResult | Error = { ok: true }, overrides: Partial<Limits> = {}) {
  const batches: AppendBatch[] = [];
  const append: TraceShardRpc["append"] = async (batch) => {
    if (result instanceof Error) throw result;
    batches.push(batch);
    return result;
  };
  const app = createApp({
    limits: { ...DEFAULT_LIMITS, ...overrides },
    clock: systemClock,
    objects: new MemoryStore(),
    shards: oneShard({ append }),
  });
  const post = (body: BodyInit | null, headers: Record<string, string> = { "content-type": PROTOBUF }) =>
    app.request("/v1/traces", { method: "POST", headers, body, duplex: "half" } as RequestInit);
  /** Spans of all stored batches, by the generated decoder. */
  const spans = () =>
    batches.flatMap(({ head, body }) =>
      fromBinary(TracesDataSchema, openBody(decodeHead(head), body)).resourceSpans.flatMap((r) =>
        r.scopeSpans.flatMap((s) => s.spans),
      ),
    );
  return { app, post, batches, spans };
}

const jsonSpan = (overrides: object = {}) => ({
  traceId: "5b8efff798038103d269b633813fc60c",
  spanId: "eee19b7ec3c1b174",
  name: "GET /",
  kind: "SPAN_KIND_SERVER",
  startTimeUnixNano: "1544712660000000001",
  endTimeUnixNano: 1544712661,
  ...overrides,
});
const jsonBody = (...spans: object[]) => JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
const JSON_HEADERS = { "content-type": JSON_TYPE };

async function statusOf(response: Response) {
  if (response.headers.get("content-type") === JSON_TYPE) {
    return response.json<{ code: number; message: string }>();
  }
  const { code, message } = fromBinary(StatusSchema, new Uint8Array(await response.arrayBuffer()));
  return { code, message };
}

describe("POST /v1/traces: accepted", () => {
  const batch = makeGenerator({ seed: 1 }).batch(200);

  test.each([
    ["identity", undefined, batch, "raw"],
    ["identity", "identity", batch, "raw"],
    ["gzip", "gzip", gzipSync(batch), "gzip"],
    ["gzip, upper case", "GZIP", gzipSync(batch), "gzip"],
    ["deflate (zlib)", "deflate", deflateSync(batch), "deflate"],
    ["deflate (bare)", "deflate", deflateRawSync(batch), "deflate"],
    ["zstd", "zstd", zstdCompressSync(batch), "zstd"],
  ])("protobuf %s: stored as received", async (_, encoding, body, codec) => {
    const server = makeServer();
    const headers = {
      "content-type": PROTOBUF,
      ...(encoding === undefined ? {} : { "content-encoding": encoding }),
    };
    const response = await server.post(new Uint8Array(body), headers);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(PROTOBUF);
    expect((await response.arrayBuffer()).byteLength).toBe(0);
    const [stored] = server.batches;
    expect(decodeHead(stored!.head)).toMatchObject({ codec, spanCount: 200, rawLength: batch.length });
    expect(Buffer.from(stored!.body).equals(Buffer.from(body))).toBe(true);
    // A view would ship its whole backing buffer in the call to the object.
    expect(stored!.body.byteLength).toBe(stored!.body.buffer.byteLength);
  });

  test.each([JSON_TYPE, "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])(
    "JSON as %s",
    async (contentType) => {
      const server = makeServer();
      const response = await server.post(jsonBody(jsonSpan()), { "content-type": contentType });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(JSON_TYPE);
      expect(await response.json()).toEqual({ partialSuccess: {} });
      expect(server.spans()).toMatchObject([
        { name: "GET /", kind: 2, startTimeUnixNano: 1544712660000000001n, endTimeUnixNano: 1544712661n },
      ]);
    },
  );

  test("JSON gzip", async () => {
    const server = makeServer();
    const body = gzipSync(jsonBody(jsonSpan()));
    const response = await server.post(new Uint8Array(body), { ...JSON_HEADERS, "content-encoding": "gzip" });
    expect(response.status).toBe(200);
    expect(server.spans()).toHaveLength(1);
  });

  test.each([
    ["protobuf", new Uint8Array(), { "content-type": PROTOBUF }],
    ["JSON", "{}", JSON_HEADERS],
  ])("an empty %s request is 200 and costs no object call", async (_, body, headers) => {
    const server = makeServer();
    expect((await server.post(body, headers)).status).toBe(200);
    expect(server.batches).toHaveLength(0);
  });

  test("a stored JSON batch larger than a row is compressed, so that it takes fewer rows", async () => {
    const server = makeServer();
    const json = makeGenerator({ seed: 2 }).batchJson(6000);
    expect((await server.post(json, JSON_HEADERS)).status).toBe(200);
    const head = decodeHead(server.batches[0]!.head);
    expect(head.codec).toBe("zstd");
    expect(head.rawLength).toBeGreaterThan(DEFAULT_LIMITS.maxRowBytes);
    expect(server.spans()).toHaveLength(6000);
  });
});

describe("POST /v1/traces: invalid spans", () => {
  const bad = [
    jsonSpan({ traceId: "00000000000000000000000000000000" }),
    jsonSpan({ traceId: "abcd" }),
    jsonSpan({ spanId: "" }),
  ];

  test("some invalid: the others are stored, partial_success counts the reasons", async () => {
    const server = makeServer();
    const response = await server.post(jsonBody(bad[0]!, jsonSpan(), bad[1]!, bad[2]!), JSON_HEADERS);
    expect(response.status).toBe(200);
    const { partialSuccess } = await response.json<{
      partialSuccess: { rejectedSpans: string; errorMessage: string };
    }>();
    expect(Number(partialSuccess.rejectedSpans)).toBe(3);
    expect(partialSuccess.errorMessage).toMatch(/\b2\b.*trace/);
    expect(partialSuccess.errorMessage).toMatch(/\b1\b.*span/);
    expect(server.spans()).toHaveLength(1);
  });

  test("some invalid in protobuf: the answer is protobuf, valid spans keep their bytes", async () => {
    const json = makeServer();
    await json.post(jsonBody(jsonSpan()), JSON_HEADERS);
    const good = openBody(decodeHead(json.batches[0]!.head), json.batches[0]!.body);
    const server = makeServer();
    // A batch with one good and, joined to it, one ResourceSpans whose span is empty.
    const response = await server.post(concatBytes([good, Uint8Array.of(0x0a, 4, 0x12, 2, 0x12, 0)]));
    expect(response.status).toBe(200);
    const { partialSuccess } = fromBinary(
      ExportTraceServiceResponseSchema,
      new Uint8Array(await response.arrayBuffer()),
    );
    expect(partialSuccess?.rejectedSpans).toBe(1n);
    expect(openBody(decodeHead(server.batches[0]!.head), server.batches[0]!.body)).toEqual(good);
  });

  test("all invalid: 400 with the reasons", async () => {
    const server = makeServer();
    const response = await server.post(jsonBody(...bad), JSON_HEADERS);
    expect(response.status).toBe(400);
    expect(await statusOf(response)).toMatchObject({ code: 3, message: expect.stringMatching(/\b2\b/) });
    expect(server.batches).toHaveLength(0);
  });
});

describe("POST /v1/traces: refused", () => {
  test("malformed protobuf: 400 that names the byte, in protobuf", async () => {
    const response = await makeServer().post(Uint8Array.of(0x0a, 5, 0x12, 200));
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe(PROTOBUF);
    expect(await statusOf(response)).toMatchObject({
      code: 3,
      message: expect.stringMatching(/at byte \d+/),
    });
  });

  test("wrong JSON: 400 that names the path, in JSON", async () => {
    const response = await makeServer().post(
      jsonBody(jsonSpan(), jsonSpan({ startTimeUnixNano: "soon" })),
      JSON_HEADERS,
    );
    expect(response.status).toBe(400);
    expect(await statusOf(response)).toMatchObject({
      code: 3,
      message: expect.stringContaining("resourceSpans[0].scopeSpans[0].spans[1].startTimeUnixNano"),
    });
  });

  test.each(["{", "[1,2", "nonsense", '{"resourceSpans": 5}'])("not OTLP JSON: %s", async (body) => {
    const response = await makeServer().post(body, JSON_HEADERS);
    expect(response.status).toBe(400);
    expect((await statusOf(response)).message).not.toBe("");
  });

  test.each(["text/html", "application/grpc", "", "application/x-protobuffer"])(
    "content type %s: 415",
    async (type) => {
      const response = await makeServer().post(new Uint8Array(), { "content-type": type });
      expect(response.status).toBe(415);
      expect(await response.text()).toBe(
        "415 unsupported media type, supported: [application/json, application/x-protobuf]\n",
      );
    },
  );

  test.each(["br", "snappy", "gzip, gzip", "lz4"])("content encoding %s: 415", async (encoding) => {
    const response = await makeServer().post("{}", { ...JSON_HEADERS, "content-encoding": encoding });
    expect(response.status).toBe(415);
    expect((await statusOf(response)).message).toContain("supported: identity, gzip, deflate, zstd");
  });

  test.each(["GET", "PUT", "DELETE", "HEAD"])("method %s: 405 with Allow", async (method) => {
    const response = await makeServer().app.request("/v1/traces", { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });

  test("body: at the limit accepted, one byte past it 413, declared or chunked", async () => {
    const batch = makeGenerator({ seed: 3 }).batch(50);
    const at = { maxCompressedBodyBytes: batch.length };
    const past = { maxCompressedBodyBytes: batch.length - 1 };
    const declared = { "content-type": PROTOBUF, "content-length": String(batch.length) };
    const chunked = () => new Blob([batch]).stream();
    expect((await makeServer({ ok: true }, at).post(batch, declared)).status).toBe(200);
    expect((await makeServer({ ok: true }, at).post(chunked())).status).toBe(200);
    expect((await makeServer({ ok: true }, past).post(batch, declared)).status).toBe(413);
    expect((await makeServer({ ok: true }, past).post(chunked())).status).toBe(413);
  });

  test("inflated: at the limit accepted, one byte past it 413", async () => {
    const batch = makeGenerator({ seed: 4 }).batch(50);
    const headers = { "content-type": PROTOBUF, "content-encoding": "gzip" };
    const body = new Uint8Array(gzipSync(batch));
    expect((await makeServer({ ok: true }, { maxBodyBytes: batch.length }).post(body, headers)).status).toBe(
      200,
    );
    const refused = await makeServer({ ok: true }, { maxBodyBytes: batch.length - 1 }).post(body, headers);
    expect(refused.status).toBe(413);
    expect((await statusOf(refused)).message).toContain(`more than ${batch.length - 1} bytes`);
  });

  test.each([
    ["rate_limited", 429, 8],
    ["unavailable", 503, 14],
  ] as const)("%s: %d with Retry-After and RetryInfo", async (kind, status, code) => {
    const refusal = { ok: false, kind, message: "too much", retryAfterMs: 4200 } as const;
    const json = await makeServer(refusal).post(jsonBody(jsonSpan()), JSON_HEADERS);
    expect(json.status).toBe(status);
    expect(json.headers.get("retry-after")).toBe("5");
    expect(await json.json()).toEqual({
      code,
      message: "too much",
      details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "4.200s" }],
    });
    const protobuf = await makeServer(refusal).post(makeGenerator({ seed: 5 }).batch(5));
    expect(protobuf.status).toBe(status);
    const decoded = fromBinary(StatusSchema, new Uint8Array(await protobuf.arrayBuffer()));
    expect(decoded.details.map(({ typeUrl }) => typeUrl)).toEqual([
      "type.googleapis.com/google.rpc.RetryInfo",
    ]);
  });

  test("shard out of reach: 503, the client is to retry", async () => {
    const response = await makeServer(new Error("object was reset")).post(jsonBody(jsonSpan()), JSON_HEADERS);
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
  });

  test("unknown route: 404 text", async () => {
    const response = await makeServer().app.request("/v1/metrics", { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe("404 page not found\n");
  });
});
