// The HTTP surface as curl sees it: statuses, texts and bounds of the running server.
import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeJson, encodeProtobuf } from "../support/otlp-writer.ts";
import { makeGenerator } from "../support/generator.ts";
import { askTrace } from "../support/query-client.ts";
import { type TestServers, testServers } from "../support/server.ts";

let servers: TestServers;
let url: string;

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start());
});
afterAll(() => servers.end());

function post(body: Uint8Array | string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${url}/v1/traces`, { method: "POST", body: body as BodyInit, headers });
}

const PROTOBUF = { "content-type": "application/x-protobuf" };
const JSON_TYPE = { "content-type": "application/json" };

/** A request of one span with its trace id. */
function oneSpan(): { traceId: string; protobuf: Uint8Array; json: string } {
  const traceId = randomBytes(16);
  const now = BigInt(Date.now()) * 1_000_000n;
  const groups = [
    {
      attributes: [{ key: "service.name", type: "string" as const, value: "curl" }],
      scopes: [
        {
          name: "e2e",
          version: "1",
          spans: [
            {
              traceId,
              spanId: randomBytes(8),
              parentSpanId: undefined,
              traceState: "",
              flags: 0x101,
              name: "one",
              kind: 2,
              startNs: now,
              endNs: now + 1n,
              attributes: [],
              events: [],
              links: [],
              statusCode: 0,
              statusMessage: "",
            },
          ],
        },
      ],
    },
  ];
  return { traceId: traceId.toString("hex"), protobuf: encodeProtobuf(groups), json: encodeJson(groups) };
}

describe("POST /v1/traces", () => {
  test("protobuf: 200, empty body of the same type, and the span is readable", async () => {
    const { traceId, protobuf } = oneSpan();
    const response = await post(protobuf, PROTOBUF);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/x-protobuf");
    expect((await response.arrayBuffer()).byteLength).toBe(0);
    expect((await askTrace(url, traceId, "v1 JSON")).spans).toHaveLength(1);
  });

  test("JSON with a charset: 200 and a JSON body", async () => {
    const { traceId, json } = oneSpan();
    const response = await post(json, { "content-type": "application/json; charset=utf-8" });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await response.json()).toEqual({ partialSuccess: {} });
    expect((await askTrace(url, traceId, "v2 JSON")).spans).toHaveLength(1);
  });

  test("gzip and zstd bodies are taken", async () => {
    for (const [encoding, compress] of [
      ["gzip", gzipSync],
      ["zstd", zstdCompressSync],
    ] as const) {
      const { traceId, protobuf } = oneSpan();
      const response = await post(compress(protobuf), { ...PROTOBUF, "content-encoding": encoding });
      expect([encoding, response.status]).toEqual([encoding, 200]);
      expect((await askTrace(url, traceId, "v1 protobuf")).spans).toHaveLength(1);
    }
  });

  test("an empty request is fine", async () => {
    expect((await post(new Uint8Array(), PROTOBUF)).status).toBe(200);
    expect((await post("{}", JSON_TYPE)).status).toBe(200);
  });

  test("another content type: 415 that names the supported ones", async () => {
    for (const type of ["text/html", "application/octet-stream", "application/jsonx"]) {
      const response = await post("{}", { "content-type": type });
      expect([type, response.status]).toEqual([type, 415]);
      expect(await response.text()).toBe(
        "415 unsupported media type, supported: [application/json, application/x-protobuf]\n",
      );
    }
  });

  test("another method: 405 that names POST", async () => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const response = await fetch(`${url}/v1/traces`, { method });
      expect([method, response.status]).toEqual([method, 405]);
      expect(await response.text()).toContain("405 method not allowed, supported: [POST]");
    }
  });

  test("malformed bodies: 400 with a reason in the request's encoding", async () => {
    const { protobuf } = oneSpan();
    const cut = await post(protobuf.subarray(0, protobuf.length - 3), PROTOBUF);
    expect(cut.status).toBe(400);
    expect(cut.headers.get("content-type")).toBe("application/x-protobuf");
    expect((await cut.arrayBuffer()).byteLength).toBeGreaterThan(0);

    const json = await post('{"resourceSpans":[', JSON_TYPE);
    expect(json.status).toBe(400);
    const body = await json.json<{ code: number; message: string }>();
    expect(body.code).toBe(3);
    expect(body.message).not.toBe("");

    const gzip = await post(protobuf, { ...PROTOBUF, "content-encoding": "gzip" });
    expect(gzip.status).toBe(400);
    const cutGzip = await post(gzipSync(protobuf).subarray(0, 30), {
      ...PROTOBUF,
      "content-encoding": "gzip",
    });
    expect(cutGzip.status).toBe(400);
  });

  test("gzip and zstd bombs: 413 within a second, and the server goes on", async () => {
    // Eight times the limit; small as sent.
    const zeros = new Uint8Array(256 * 1024 * 1024);
    for (const [encoding, bomb] of [
      ["gzip", gzipSync(zeros, { level: 1 })],
      ["zstd", zstdCompressSync(zeros)],
    ] as const) {
      const start = performance.now();
      const response = await post(bomb, { ...PROTOBUF, "content-encoding": encoding });
      const elapsed = performance.now() - start;
      expect([encoding, response.status]).toEqual([encoding, 413]);
      expect(elapsed).toBeLessThan(1_000);
    }
    const { protobuf } = oneSpan();
    expect((await post(protobuf, PROTOBUF)).status).toBe(200);
  });

  test("a body larger than the limit as sent: 413", async () => {
    const response = await post(randomBytes(21 * 1024 * 1024), PROTOBUF);
    expect(response.status).toBe(413);
  });

  test("one bad span does not sink its batch: partial success counts it", async () => {
    const good = oneSpan();
    const parsed = JSON.parse(good.json) as {
      resourceSpans: { scopeSpans: { spans: { traceId: string }[] }[] }[];
    };
    const spans = parsed.resourceSpans[0]!.scopeSpans[0]!.spans;
    spans.push({ ...spans[0]!, traceId: "00000000000000000000000000000000" });
    const response = await post(JSON.stringify(parsed), JSON_TYPE);
    expect(response.status).toBe(200);
    const body = await response.json<{ partialSuccess: { rejectedSpans: string; errorMessage: string } }>();
    expect(Number(body.partialSuccess.rejectedSpans)).toBe(1);
    expect(body.partialSuccess.errorMessage).not.toBe("");
    expect((await askTrace(url, good.traceId, "v1 JSON")).spans).toHaveLength(1);
  });
});

describe("query routes", () => {
  test("a batch of the generator: the same trace in upper case, and by every form", async () => {
    const generator = makeGenerator({ seed: 11 });
    expect((await post(generator.batch(500), PROTOBUF)).status).toBe(200);
    const [traceId = ""] = generator.traceIds();
    const lower = await askTrace(url, traceId, "v1 protobuf");
    const upper = await askTrace(url, traceId.toUpperCase(), "v2 JSON");
    expect(upper.spans).toEqual(lower.spans);
    expect(lower.spans.length).toBeGreaterThan(0);
  });

  test("an unknown trace: 404 of v1 with an empty body, 200 of v2 with an empty trace", async () => {
    const unknown = randomBytes(16).toString("hex");
    const v1 = await fetch(`${url}/api/traces/${unknown}`);
    expect(v1.status).toBe(404);
    expect(await v1.text()).toBe("");
    const v2 = await fetch(`${url}/api/v2/traces/${unknown}`);
    expect(v2.status).toBe(200);
    expect(await v2.json()).toMatchObject({ trace: {} });
  });

  test("what is no trace id: 400 with Tempo's text", async () => {
    const response = await fetch(`${url}/api/traces/12xz`);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("trace IDs can only contain hex characters");
    expect((await fetch(`${url}/api/traces/${"a".repeat(33)}`)).status).toBe(400);
  });

  test("/api/echo and /ready answer, what is unknown is 404", async () => {
    const echo = await fetch(`${url}/api/echo`);
    expect([echo.status, await echo.text()]).toEqual([200, "echo\n"]);
    const ready = await fetch(`${url}/ready`);
    expect(ready.status).toBe(200);
    expect(await ready.text()).toContain("ready");
    expect((await fetch(`${url}/nothing/here`)).status).toBe(404);
    expect((await fetch(`${url}/`)).status).toBe(404);
  });
});
