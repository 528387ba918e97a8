// What OpenTelemetry's own clients record is what the API answers: at once, from a block, and after a restart.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordingOf, startNode } from "../support/child.ts";
import { type NormalSpan, sortSpans } from "../support/normal-span.ts";
import { askTrace, FORMS, untilFlushed } from "../support/query-client.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";

// Long enough for a client to end and be checked before its spans are flushed.
const FLUSH_AGE_SECONDS = 4;
const VARS = {
  FLUSH_AGE_SECONDS: String(FLUSH_AGE_SECONDS),
  // One of the client's attributes is longer than the default allows.
  TENANT_LIMITS: JSON.stringify({ "ingestion.max_attribute_bytes": 100_000 }),
};
const FLUSH_TIMEOUT_MS = 30_000;

function byTrace(spans: readonly NormalSpan[]): Map<string, NormalSpan[]> {
  const traces = new Map<string, NormalSpan[]>();
  for (const span of spans) traces.set(span.traceId, [...(traces.get(span.traceId) ?? []), span]);
  for (const trace of traces.values()) sortSpans(trace);
  return traces;
}

function serviceOf(span: NormalSpan): string {
  return JSON.stringify(span.resource.attributes.find(([key]) => key === "service.name"));
}

type Source = "live" | "blocks";

/** Every trace, in every form, field by field. */
async function expectTraces(
  url: string,
  traces: ReadonlyMap<string, NormalSpan[]>,
  source: Source,
): Promise<void> {
  for (const [traceId, spans] of traces) {
    for (const form of FORMS) {
      const answer = await askTrace(url, traceId, form);
      expect({ form, spans: answer.spans }).toEqual({ form, spans });
      expect(answer.contentType).toBe(form.endsWith("JSON") ? "application/json" : "application/protobuf");
      expect(answer.sources).toEqual(
        source === "live" ? { live: spans.length, blocks: 0 } : { live: 0, blocks: 1 },
      );
    }
  }
}

let servers: TestServers;
let server: TestServer;

function sdkEnv(service: string): Record<string, string> {
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: server.url,
    OTEL_SERVICE_NAME: service,
    OTEL_METRICS_EXPORTER: "none",
    OTEL_LOGS_EXPORTER: "none",
  };
}

/** Right after the export, from the block, and after a restart. */
async function expectThroughLife(traces: ReadonlyMap<string, NormalSpan[]>): Promise<void> {
  await expectTraces(server.url, traces, "live");
  for (const traceId of traces.keys()) await untilFlushed(server.url, traceId, FLUSH_TIMEOUT_MS);
  await expectTraces(server.url, traces, "blocks");
  server = await servers.restart(VARS);
  await expectTraces(server.url, traces, "blocks");
}

beforeAll(async () => {
  servers = await testServers();
  server = await servers.start(VARS);
});
afterAll(() => servers.end());

describe("sdk-node", () => {
  const everything: NormalSpan[] = [];

  for (const protocol of ["http/protobuf", "http/json"]) {
    for (const compression of ["none", "gzip"]) {
      test(`${protocol}, compression ${compression}: answers equal what was recorded`, async () => {
        const client = startNode("test/support/otel-client.cjs", {
          ...sdkEnv(`client ${protocol} ${compression}`),
          OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
          OTEL_EXPORTER_OTLP_COMPRESSION: compression,
        });
        const { code, stdout, stderr } = await client.done;
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        const { spans, failures } = recordingOf(stdout);
        expect(failures).toEqual([]);
        everything.push(...spans);
        const traces = byTrace(spans);
        expect(traces.size).toBe(3);
        expect(spans.length).toBe(711);
        await expectThroughLife(traces);
      });
    }
  }

  test("all of them are still there at the end", async () => {
    const traces = byTrace(everything);
    expect(traces.size).toBe(12);
    await expectTraces(server.url, traces, "blocks");
    expect(server.logs).toEqual([]);
  });
});

describe("instrumented services", () => {
  test("express calling http: one trace over both processes, equal to what both recorded", async () => {
    const backend = startNode("test/support/otel-service.cjs", sdkEnv("backend"));
    const shop = startNode("test/support/otel-service.cjs", {
      ...sdkEnv("shop"),
      BACKEND_URL: await backend.line(),
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    });
    const url = await shop.line();
    const answers = await Promise.all([1, 2, 3].map((id) => fetch(`${url}/order/${id}`)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await fetch(`${url}/broken`)).status).toBe(500);

    for (const { process: child } of [shop, backend]) child.kill("SIGTERM");
    const ended = await Promise.all([shop.done, backend.done]);
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      ended.map(() => ({ code: 0, stderr: "" })),
    );
    const recordings = ended.map(({ stdout }) => recordingOf(stdout));
    expect(recordings.flatMap(({ failures }) => failures)).toEqual([]);

    const traces = byTrace(recordings.flatMap(({ spans }) => spans));
    const orders = Array.from(traces.values()).filter((spans) => spans.length > 2);
    expect(traces.size).toBe(4);
    expect(orders).toHaveLength(3);
    for (const spans of orders) {
      // Express' handler and server span, two calls by fetch and http, two server spans of the backend.
      expect(spans).toHaveLength(6);
      expect(new Set(spans.map(serviceOf)).size).toBe(2);
      const ids = new Set(spans.map(({ spanId }) => spanId));
      expect(spans.filter(({ parentSpanId }) => !ids.has(parentSpanId))).toHaveLength(1);
    }
    await expectThroughLife(traces);
  });
});
