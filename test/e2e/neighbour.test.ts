// A tenant far over its limit beside a quiet one: whatever it sends, the other is served, and nothing that was acked is lost.
// How fast is a figure (test/bench/neighbour.bench.ts).
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { batchOf, SPAN_ID } from "../support/otlp.ts";
import { pathOf } from "../support/query-app.ts";
import { type TestServers, testServers } from "../support/server.ts";

const SECRET = "an-admin-secret-of-the-test";
const CLIENTS = 64;
const NOISE_MS = 4_000;
const NOISY_SPANS = 40;
const QUIET_SPANS = 5;

let servers: TestServers;
let url: string;
const tokens: Record<string, string> = {};

async function admin(method: string, path: string, body: object): Promise<{ token?: string }> {
  const response = await fetch(`${url}/api/admin/tenants/${path}`, {
    method,
    headers: { authorization: `Bearer ${SECRET}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json<{ token?: string }>();
}

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start({ ACCESS: "tokens", MULTITENANCY: "on", ADMIN_TOKEN: SECRET }));
  for (const tenant of ["noisy", "quiet"]) {
    const made = await admin("POST", `${tenant}/tokens`, { name: "test", scopes: ["ingest", "read"] });
    tokens[tenant] = made.token ?? "";
  }
  // Two and a half batches at once: the bucket is never quite full, so that most refusals are not for that.
  await admin("PATCH", "noisy/limits", {
    "ingestion.rate_limit_spans": NOISY_SPANS,
    "ingestion.burst_size_spans": 2.5 * NOISY_SPANS,
  });
});
afterAll(() => servers.end());

let sent = 0;

/** A trace of `count` spans, each sent once. */
function traceOf(count: number): { readonly id: string; readonly body: Uint8Array } {
  const traceId = new Uint8Array(16).fill(7);
  new DataView(traceId.buffer).setUint32(0, ++sent);
  const startTimeUnixNano = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: count }, (_, i) => {
    const spanId = Uint8Array.from(SPAN_ID);
    new DataView(spanId.buffer).setUint32(0, i + 1);
    return { traceId, spanId, name: "span", startTimeUnixNano, endTimeUnixNano: startTimeUnixNano };
  });
  return { id: Buffer.from(traceId).toString("hex"), body: gzipSync(batchOf(...spans)) };
}

async function post(tenant: string, body: Uint8Array): Promise<Response> {
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${tokens[tenant]}`,
      "content-type": "application/x-protobuf",
      "content-encoding": "gzip",
    },
    body: body as BodyInit,
  });
  await response.arrayBuffer();
  return response;
}

async function get(tenant: string, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(url + path, { headers: { authorization: `Bearer ${tokens[tenant]}` } });
  return { status: response.status, text: await response.text() };
}

async function spansOf(tenant: string): Promise<number> {
  const now = Math.floor(Date.now() / 1000);
  const range = { start: now - 600, end: now + 60 };
  const { text } = await get(tenant, pathOf("/api/metrics/query", { q: "{} | count_over_time()", ...range }));
  const { series = [] } = JSON.parse(text) as { series?: { value?: number }[] };
  return series[0]?.value ?? 0;
}

test("64 clients over their limit: 200, or 429 with Retry-After; the neighbour's batches and lookups are 200; no span is lost", async () => {
  const endMs = Date.now() + NOISE_MS;
  const noise = { 200: 0, 429: 0 };
  const strange: (number | string)[] = [];
  const client = async (): Promise<void> => {
    while (Date.now() < endMs) {
      const { status, headers } = await post("noisy", traceOf(NOISY_SPANS).body);
      const isTimed = Number(headers.get("retry-after")) >= 1;
      if (status === 200) noise[200]++;
      else if (status === 429 && isTimed) noise[429]++;
      else strange.push(isTimed ? status : `${status} without Retry-After`);
    }
  };
  const quiet: number[] = [];
  let acked = 0;
  const neighbour = async (): Promise<void> => {
    while (Date.now() < endMs) {
      const { id, body } = traceOf(QUIET_SPANS);
      const { status } = await post("quiet", body);
      if (status === 200) acked++;
      quiet.push(status, (await get("quiet", `/api/traces/${id}`)).status);
      await sleep(20);
    }
  };
  await Promise.all([neighbour(), ...Array.from({ length: CLIENTS }, client)]);
  expect(strange).toEqual([]);
  expect(noise[200]).toBeGreaterThan(0);
  expect(noise[429]).toBeGreaterThan(CLIENTS);
  expect(new Set(quiet)).toEqual(new Set([200]));
  expect(await spansOf("noisy")).toBe(noise[200] * NOISY_SPANS);
  expect(await spansOf("quiet")).toBe(acked * QUIET_SPANS);
});
