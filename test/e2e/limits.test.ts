// A tenant's limits at the running server: what a sender meets, and when it may come back.
import { gzipSync } from "node:zlib";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { batchOf, SPAN_ID } from "../support/otlp.ts";
import { type TestServers, testServers } from "../support/server.ts";

let servers: TestServers;
let url: string;

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start({
    TENANT_LIMITS: JSON.stringify({
      "ingestion.rate_limit_spans": 50,
      "ingestion.burst_size_spans": 100,
      "global.max_spans_per_trace": 60,
    }),
  }));
});
afterAll(() => servers.end());

function send(count: number, trace = 0): Promise<Response> {
  const spans = Array.from({ length: count }, (_, i) => {
    const traceId = new Uint8Array(16).fill(1 + trace);
    const spanId = Uint8Array.from(SPAN_ID);
    new DataView(spanId.buffer).setUint32(0, i + 1);
    return { traceId, spanId, name: "span" };
  });
  return fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
    body: gzipSync(batchOf(...spans)),
  });
}

test("over the rate: 429, and what Retry-After says is enough", async () => {
  expect((await send(60)).status).toBe(200);
  expect((await send(40, 1)).status).toBe(200);
  const refused = await send(60, 2);
  expect(refused.status).toBe(429);
  expect(await refused.text()).toContain("RATE_LIMITED: ingestion rate limit");
  const seconds = Number(refused.headers.get("retry-after"));
  expect(seconds).toBeGreaterThanOrEqual(1);
  await sleep(seconds * 1000);
  expect((await send(40, 3)).status).toBe(200);
  expect((await send(101)).status).toBe(413);
});

test("a trace that is too large: the rest of its batch is stored and found", async () => {
  // Until the rate lets it pass.
  await sleep(2_500);
  const answer = await send(1);
  expect(answer.status).toBe(400);
  expect(await answer.text()).toContain("of traces larger than the limit of 134217728 bytes or 60 spans");
  const trace = await fetch(`${url}/api/v2/traces/${"01".repeat(16)}`, {
    headers: { accept: "application/json" },
  });
  const body = await trace.json<{ trace: { resourceSpans: { scopeSpans: { spans: unknown[] }[] }[] } }>();
  const spans = body.trace.resourceSpans.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap((scope) => scope.spans),
  );
  expect(spans).toHaveLength(60);
});
