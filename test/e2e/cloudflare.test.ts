// Spans of Workers: what Cloudflare itself exports, and what otel-cf-workers exports from a Worker in Miniflare.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { Miniflare, NoOpLog } from "miniflare";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../support/child.ts";
import {
  attributes,
  expectSpans,
  KIND,
  LATE_FLUSH,
  restartToFlush,
  STATUS,
} from "../support/expect-trace.ts";
import { type NormalSpan, normalizeOtlpJson } from "../support/normal-span.ts";
import { askTrace, untilFlushed } from "../support/query-client.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";

const FLUSH_TIMEOUT_MS = 30_000;
const EXPORT_TIMEOUT_MS = 10_000;
/** Modelled on Cloudflare's documentation of spans and attributes: no export of a real account was at hand. */
const SAMPLE = readFileSync(join(ROOT, "test/support/workers-observability.json"), "utf8");

let servers: TestServers;
let server: TestServer;
const sent: NormalSpan[][] = [];

/** As a destination gets it: OTLP JSON, perhaps with headers of its user. */
function deliver(body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
}

beforeAll(async () => {
  servers = await testServers();
  server = await servers.start(LATE_FLUSH);
});
afterAll(() => servers.end());

describe("Workers Observability", () => {
  test("a destination that is being set up: requests without spans and one with a lone span get 200", async () => {
    const lone = { traceId: "5b8efff798038103d269b633813fc60c", spanId: "eee19b7ec3c1b174", name: "test" };
    for (const body of [
      "{}",
      '{"resourceSpans":[]}',
      '{"resourceSpans":[{"resource":{},"scopeSpans":[]}]}',
      JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [lone] }] }] }),
    ]) {
      const response = await deliver(body, { authorization: "Bearer of-the-user" });
      expect({ body, status: response.status }).toEqual({ body, status: 200 });
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(await response.json()).toEqual({ partialSuccess: {} });
    }
  });

  test("a sample in the documented form reads back as it was sent", async () => {
    const spans = normalizeOtlpJson(SAMPLE);
    expect(spans).toHaveLength(5);
    expect((await deliver(SAMPLE)).status).toBe(200);
    await expectSpans(server.url, spans, "live");
    // Delivered again, as after an answer that was lost: nothing doubles.
    expect((await deliver(SAMPLE)).status).toBe(200);
    const again = await fetch(`${server.url}/api/v2/traces/${spans[0]?.traceId}`);
    expect(JSON.stringify(await again.json()).match(/"spanId"/g)).toHaveLength(5);
    sent.push(spans);
  });
});

function withoutFlags(span: NormalSpan): NormalSpan {
  return { ...span, flags: 0, links: span.links.map((link) => ({ ...link, flags: 0 })) };
}

/** Starts a Worker of test/support/clients, which exports to `rubato`. */
async function startWorker(script: string, rubato: string): Promise<Miniflare> {
  const { outputFiles } = await build({
    entryPoints: [`test/support/clients/${script}`],
    absWorkingDir: ROOT,
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    // The release at hand wants an API before 1.10.
    alias: { "@opentelemetry/api": "@opentelemetry/api-1.9" },
    write: false,
    logLevel: "silent",
  });
  const contents = outputFiles[0]?.text ?? "";
  const isCounting = script === "cf-worker.js";
  return new Miniflare({
    cf: false,
    log: new NoOpLog(),
    workers: [
      {
        config: {
          name: "shop",
          compatibilityDate: "2026-11-01",
          compatibilityFlags: ["nodejs_compat"],
          manifest: {
            mainModule: "worker.js",
            modulesRoot: ROOT,
            modules: { "worker.js": { type: "esm", contents } },
          },
          env: {
            RUBATO: { type: "text", value: rubato },
            CARTS: { type: "kv", id: "carts" },
            ...(isCounting
              ? { COUNTER: { type: "durable-object", worker: "shop", exportName: "Counter" } }
              : {}),
          },
          exports: isCounting ? { Counter: { type: "durable-object", storage: "sqlite" } } : {},
        },
      },
    ],
  });
}

describe("otel-cf-workers in Miniflare", () => {
  let worker: Miniflare;

  beforeAll(async () => {
    worker = await startWorker("cf-worker.js", server.url);
  });
  afterAll(() => worker.dispose());

  /** The spans that the Worker handed to its exporter, once there are `count` of the trace. */
  async function exported(traceId: string, count: number): Promise<NormalSpan[]> {
    const deadline = Date.now() + EXPORT_TIMEOUT_MS;
    for (;;) {
      const all = (await (await worker.dispatchFetch("http://shop.example/exported")).json()) as NormalSpan[];
      const found = all.filter((span) => span.traceId === traceId);
      // The encoder of OpenTelemetry 0.200 leaves flags out.
      if (found.length >= count) return found.map((span) => withoutFlags(span));
      if (Date.now() > deadline) throw new Error(`only ${found.length} spans were exported`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Waits until as many spans of the trace have come. */
  async function untilComplete(traceId: string, count: number): Promise<void> {
    await expect
      .poll(
        async () => {
          const response = await fetch(`${server.url}/api/v2/traces/${traceId}`);
          return (await response.text()).match(/"spanId"/g)?.length ?? 0;
        },
        { timeout: EXPORT_TIMEOUT_MS },
      )
      .toBe(count);
  }

  test("a trace through Worker, KV, fetch and Durable Object, continued from a caller", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const response = await worker.dispatchFetch("http://shop.example/order", { headers });
    expect({ status: response.status, text: await response.text() }).toEqual({
      status: 200,
      text: "ordered",
    });
    const spans = await exported(traceId, 7);
    expect(spans.map(({ name, kind, status }) => `${kind} ${name} ${status.code}`).sort()).toEqual([
      "2 Durable Object Fetch läden 1",
      "2 fetchHandler GET 0",
      "3 Durable Object COUNTER 0",
      "3 KV CARTS get 0",
      "3 KV CARTS put 0",
      `3 fetch GET ${new URL(server.url).host} 0`,
      "4 größe 🎼 2",
    ]);
    await untilComplete(traceId, spans.length);
    await expectSpans(server.url, spans, "live");
    sent.push(spans);
  });

  test("0.9, which writes times as numbers past what a double holds: read to the millisecond they have", async () => {
    const old = await startWorker("cf-worker-0.9.js", server.url);
    try {
      const fromNs = BigInt(Date.now()) * 1_000_000n - 256n;
      const traceId = await (await old.dispatchFetch("http://shop.example/order")).text();
      const toNs = BigInt(Date.now() + 1) * 1_000_000n;
      await untilComplete(traceId, 3);
      const { spans } = await askTrace(server.url, traceId, "v2 JSON");
      const root = spans.find(({ parentSpanId }) => parentSpanId === "");
      const own = spans.find(({ name }) => name === "größe 🎼");
      expect(root?.kind).toBe(KIND.server);
      expect(own).toMatchObject({
        parentSpanId: root?.spanId,
        status: { code: STATUS.error, message: "gave up ✗" },
        attributes: attributes({ "text.ü": "grüße 🎼" }),
        events: [{ name: "exception" }],
      });
      for (const { startNs, endNs, resource } of spans) {
        expect(resource.attributes).toContainEqual(["service.name", { string: "läden" }]);
        expect(BigInt(startNs) >= fromNs && BigInt(startNs) <= BigInt(endNs) && BigInt(endNs) <= toNs).toBe(
          true,
        );
        // The Worker's clock has whole milliseconds; doubles of this size are 256 apart.
        const beyondMs = Number((BigInt(startNs) + 500_000n) % 1_000_000n) - 500_000;
        expect(Math.abs(beyondMs)).toBeLessThan(256);
      }
      sent.push(spans);
    } finally {
      await old.dispose();
    }
  });
});

test("all of it reads the same from blocks", async () => {
  expect(sent).toHaveLength(3);
  server = await restartToFlush(servers);
  for (const spans of sent) {
    await untilFlushed(server.url, spans[0]?.traceId ?? "", FLUSH_TIMEOUT_MS);
    await expectSpans(server.url, spans, "blocks");
  }
});
