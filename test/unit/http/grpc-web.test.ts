import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeBase64Pieces, percentEncoded } from "../../../src/http/grpc-web.ts";
import { RetryInfoSchema } from "../../../src/otlp/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { makeServer } from "../../support/fake-shard.ts";
import { makeGenerator } from "../../support/generator.ts";

const PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const BATCH = makeGenerator({ seed: 9 }).batch(40);
const utf8 = new TextEncoder();

function frame(flags: number, body: Uint8Array, length = body.length): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return concatBytes([head, body]);
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** What a client makes of an answer: messages and trailers. */
async function read(response: Response) {
  const type = response.headers.get("content-type") ?? "";
  const sent = Buffer.from(await response.arrayBuffer());
  let body = type.includes("-text") ? Buffer.from(sent.toString("latin1"), "base64") : sent;
  const messages: Uint8Array[] = [];
  const trailers: Record<string, string> = {};
  while (body.length > 0) {
    const length = body.readUInt32BE(1);
    const content = body.subarray(5, 5 + length);
    expect(content).toHaveLength(length);
    if (body[0] === 0x80) {
      for (const line of content.toString("latin1").split("\r\n").filter(Boolean)) {
        const colon = line.indexOf(":");
        trailers[line.slice(0, colon)] = line.slice(colon + 1);
      }
    } else messages.push(new Uint8Array(content));
    body = body.subarray(5 + length);
  }
  return { http: response.status, type, status: Number(trailers["grpc-status"]), messages, trailers };
}

async function call(body: Uint8Array | string, headers: Record<string, string> = {}, server = makeServer()) {
  const response = await server.post(PATH, body as BodyInit, {
    "content-type": "application/grpc-web+proto",
    ...headers,
  });
  return { ...(await read(response)), server, headers: response.headers };
}

describe("gRPC-Web: accepted", () => {
  test.each([
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web+proto; charset=utf-8",
  ])("%s", async (type) => {
    const answer = await call(frame(0, BATCH), { "content-type": type });
    expect(answer).toMatchObject({ http: 200, status: 0, type: "application/grpc-web+proto" });
    expect(answer.messages).toEqual([new Uint8Array()]);
    expect(answer.server.spans()).toHaveLength(40);
    expect(answer.headers.get("content-length")).toBeNull();
  });

  test.each(["application/grpc-web-text", "application/grpc-web-text+proto"])("%s", async (type) => {
    const answer = await call(base64(frame(0, BATCH)), { "content-type": type });
    expect(answer).toMatchObject({ http: 200, status: 0, type: "application/grpc-web-text+proto" });
    expect(answer.server.spans()).toHaveLength(40);
  });

  test.each([1, 2, 3, 5, 100])("-text in pieces of %i bytes, each padded", async (size) => {
    const bytes = frame(0, BATCH);
    let text = "";
    for (let i = 0; i < bytes.length; i += size) text += base64(bytes.subarray(i, i + size));
    const answer = await call(text, { "content-type": "application/grpc-web-text" });
    expect([answer.status, answer.server.spans().length]).toEqual([0, 40]);
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["zstd", zstdCompressSync],
  ])("message compressed with %s", async (encoding, compress) => {
    const answer = await call(frame(1, compress(BATCH)), { "grpc-encoding": encoding });
    expect([answer.status, answer.server.spans().length]).toEqual([0, 40]);
  });

  test("an encoding that this message does not use, identity, and trailers behind it", async () => {
    const trailers = frame(0x80, utf8.encode("a:b\r\n"));
    expect((await call(frame(0, BATCH), { "grpc-encoding": "gzip" })).status).toBe(0);
    expect((await call(frame(0, BATCH), { "grpc-encoding": "identity" })).status).toBe(0);
    expect((await call(concatBytes([frame(0, BATCH), trailers]))).status).toBe(0);
  });

  test("an empty message: accepted, nothing stored", async () => {
    const answer = await call(frame(0, new Uint8Array()));
    expect([answer.status, answer.server.batches.length]).toEqual([0, 0]);
  });

  test("what is stored is not copied out of the request, and does not drag more along than the head", async () => {
    const { server } = await call(frame(0, BATCH));
    expect(server.batches[0]?.body).toEqual(BATCH);
    expect(server.batches[0]?.body.buffer.byteLength).toBe(5 + BATCH.length);
  });

  test("what is stored owns its buffer when there is much around it", async () => {
    const trailers = utf8.encode(`x:${"y".repeat(1000)}\r\n`);
    const { server } = await call(concatBytes([frame(0, BATCH), frame(0x80, trailers)]));
    expect(server.batches[0]?.body).toEqual(BATCH);
    expect(server.batches[0]?.body.buffer.byteLength).toBe(BATCH.length);
  });

  test("some spans bad: partial success", async () => {
    // A span without ids: ResourceSpans { ScopeSpans { Span {} } }.
    const answer = await call(frame(0, concatBytes([BATCH, Uint8Array.of(0x0a, 4, 0x12, 2, 0x12, 0)])));
    expect(answer.status).toBe(0);
    const { partialSuccess } = fromBinary(ExportTraceServiceResponseSchema, answer.messages[0]!);
    expect([partialSuccess?.rejectedSpans, partialSuccess?.errorMessage.length]).toEqual([
      1n,
      expect.any(Number),
    ]);
    expect(answer.server.spans()).toHaveLength(40);
  });
});

describe("gRPC-Web: refused, HTTP 200, trailers only", () => {
  const one = frame(0, BATCH);
  test.each([
    ["no message", new Uint8Array(), {}, 12],
    ["two messages", concatBytes([one, one]), {}, 12],
    ["something behind the message", concatBytes([one, Uint8Array.of(1)]), {}, 12],
    ["head cut short", Uint8Array.of(0, 0, 0), {}, 13],
    ["length beyond the body", frame(0, BATCH, BATCH.length + 1), {}, 13],
    ["length of 4 GiB", frame(0, BATCH, 0xffffffff), {}, 13],
    ["unknown flags", frame(2, BATCH), {}, 13],
    ["trailers alone", frame(0x80, utf8.encode("a:b\r\n")), {}, 13],
    ["compressed, but no encoding", frame(1, gzipSync(BATCH)), {}, 13],
    ["compressed, but identity", frame(1, gzipSync(BATCH)), { "grpc-encoding": "identity" }, 13],
    ["unknown encoding", frame(1, BATCH), { "grpc-encoding": "br" }, 12],
    ["not gzip", frame(1, BATCH), { "grpc-encoding": "gzip" }, 3],
    ["not OTLP", frame(0, utf8.encode("nonsense")), {}, 3],
    ["no good span", frame(0, Uint8Array.of(0x0a, 4, 0x12, 2, 0x12, 0)), {}, 3],
    ["not base64", "AAA", { "content-type": "application/grpc-web-text" }, 13],
    ["not base64 either", "AA=A", { "content-type": "application/grpc-web-text" }, 13],
  ])("%s", async (_name, body, headers, status) => {
    const answer = await call(body, headers);
    expect(answer).toMatchObject({ http: 200, status, messages: [] });
    expect(answer.trailers["grpc-message"]).toMatch(/^[ -~]+$/);
    expect(answer.headers.get("grpc-accept-encoding")).toBe("identity,gzip,deflate,zstd");
    expect(answer.server.batches).toHaveLength(0);
  });

  test.each([
    ["as sent", { maxCompressedBodyBytes: 100 }, frame(0, BATCH), {}],
    ["inflated", { maxBodyBytes: 100 }, frame(1, gzipSync(BATCH)), { "grpc-encoding": "gzip" }],
  ])(
    "too large %s: RESOURCE_EXHAUSTED without RetryInfo, which is permanent",
    async (_name, limits, body, headers) => {
      const answer = await call(body, headers, makeServer({ ok: true }, limits));
      expect(answer).toMatchObject({ http: 200, status: 8, messages: [] });
      expect(answer.trailers["grpc-status-details-bin"]).toBeUndefined();
    },
  );

  test.each([
    [8, { ok: false, kind: "rate_limited", message: "größer als 100 %", retryAfterMs: 5000 }, 5n],
    [14, { ok: false, kind: "unavailable", message: "queue is full", retryAfterMs: 2000 }, 2n],
    [14, new Error("restarted"), 1n],
  ] as const)("status %i with RetryInfo", async (status, result, seconds) => {
    const answer = await call(frame(0, BATCH), {}, makeServer(result));
    expect(answer).toMatchObject({ http: 200, status, messages: [] });
    const details = answer.trailers["grpc-status-details-bin"]!;
    expect(details).not.toContain("=");
    const decoded = fromBinary(StatusSchema, Buffer.from(details, "base64"));
    expect([decoded.code, decodeURIComponent(answer.trailers["grpc-message"]!)]).toEqual([
      status,
      decoded.message,
    ]);
    expect(anyUnpack(decoded.details[0]!, RetryInfoSchema)?.retryDelay?.seconds).toBe(seconds);
  });

  test("in -text the trailers are base64 too", async () => {
    const answer = await call("!", { "content-type": "application/grpc-web-text" });
    expect(answer).toMatchObject({ http: 200, status: 13, type: "application/grpc-web-text+proto" });
  });
});

describe("gRPC-Web: not a call", () => {
  test.each(["application/grpc", "application/grpc+proto"])("%s: 415 that says what to use", async (type) => {
    const response = await makeServer().post(PATH, frame(0, BATCH), { "content-type": type });
    expect(response.status).toBe(415);
    expect(await response.text()).toMatch(
      /^415 gRPC needs HTTP\/2.*\/v1\/traces.*application\/grpc-web.*collector/,
    );
  });

  test.each(["application/json", ""])("%j: 415", async (type) => {
    expect((await makeServer().post(PATH, frame(0, BATCH), { "content-type": type })).status).toBe(415);
  });

  test("GET: 405 with Allow", async () => {
    const response = await makeServer().app.request(PATH);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

describe("pieces", () => {
  test("grpc-message is percent-encoded UTF-8", () => {
    expect(percentEncoded("a b~%\n€\ud800")).toBe("a b~%25%0A%E2%82%AC%EF%BF%BD");
  });

  test.each(["", "QQ==", "QUI=", "QUJD", "QQ==QUI=QUJD"])("base64 %j", (text) => {
    const expected = text.match(/.{4}/g)?.map((group) => Buffer.from(group, "base64")) ?? [];
    expect(decodeBase64Pieces(utf8.encode(text))).toEqual(new Uint8Array(Buffer.concat(expected)));
  });

  test.each(["Q", "QQ", "QQ=", "Q===", "====", "=QQQ", "QQ=Q", "QQ-_", "QQ\n=", "é==="])(
    "base64 %j is none",
    (text) => {
      expect(decodeBase64Pieces(utf8.encode(text))).toBeUndefined();
    },
  );
});
