// A trace of 200,000 spans (about 95 MB) is answered whole, by streaming: the process hardly grows.
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeGenerator } from "../support/generator.ts";
import { peakBytes, resetPeak, residentBytes } from "../support/process-stats.ts";
import { untilFlushed } from "../support/query-client.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";
import { findSpans } from "../support/span-ids.ts";

const SPANS = 200_000;
const BATCH_SPANS = 2_000;
const MIB = 1024 * 1024;
const GROWTH_MAX = 64 * MIB;
const compress = promisify(gzip);

let servers: TestServers;
let server: TestServer;
let traceId: string;
let rawBytes = 0;

beforeAll(async () => {
  servers = await testServers();
  // Nothing is flushed before it has been read from the buffer.
  server = await servers.start({ FLUSH_AGE_SECONDS: "3600", FLUSH_BYTES: String(32 * MIB) });
});
afterAll(() => servers.end());

async function pid(): Promise<number> {
  const found = await server.server.runtimePid();
  if (found === undefined) throw new Error("no runtime");
  return found;
}

interface Reading {
  readonly bytes: Buffer;
  /** Bytes that the process held at most, beyond what it held before. */
  readonly growth: number;
}

/** Reads the whole answer, however long, and watches the server's process meanwhile. */
async function read(accept: string): Promise<Reading> {
  const runtime = await pid();
  // What earlier work left behind is collected in idle time.
  await sleep(3_000);
  resetPeak(runtime);
  const idle = residentBytes(runtime);
  const response = await fetch(`${server.url}/api/traces/${traceId}`, { headers: { accept } });
  expect(response.status).toBe(200);
  const bytes = Buffer.from(await response.arrayBuffer());
  const growth = peakBytes(runtime) - idle;
  console.log(
    `${accept}: ${(bytes.length / MIB).toFixed(0)} MiB, idle ${(idle / MIB).toFixed(0)} MiB, growth ${(growth / MIB).toFixed(1)} MiB`,
  );
  return { bytes, growth };
}

function occurrences(bytes: Buffer, text: string): number {
  let count = 0;
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) count++;
  return count;
}

interface Whole {
  spans: number;
  unique: number;
  traces: string[];
  jsonSpans: number;
  jsonEnds: string;
  growthMax: number;
}

async function readBoth(): Promise<Whole> {
  const protobuf = await read("application/protobuf");
  const spans = findSpans(protobuf.bytes);
  const json = await read("application/json");
  return {
    spans: spans.length,
    unique: new Set(spans.map(({ spanId }) => spanId)).size,
    traces: Array.from(new Set(spans.map((span) => span.traceId))),
    // A span has one start time, and nothing else has one.
    jsonSpans: occurrences(json.bytes, '"startTimeUnixNano":'),
    jsonEnds: `${json.bytes.subarray(0, 12).toString()} ${json.bytes.subarray(-2).toString()}`,
    growthMax: Math.max(protobuf.growth, json.growth),
  };
}

function expected(): Omit<Whole, "growthMax"> {
  return { spans: SPANS, unique: SPANS, traces: [traceId], jsonSpans: SPANS, jsonEnds: '{"batches":[ ]}' };
}

describe(`a trace of ${SPANS} spans`, { timeout: 300_000 }, () => {
  beforeAll(async () => {
    const trace = makeGenerator({ seed: 200 }).trace(SPANS, BATCH_SPANS);
    traceId = Buffer.from(trace.traceId).toString("hex");
    for (const batch of trace.batches) {
      rawBytes += batch.length;
      const response = await fetch(`${server.url}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
        body: await compress(batch, { level: 1 }),
      });
      if (!response.ok) throw new Error(`batch answered ${response.status}: ${await response.text()}`);
    }
    console.log(`${(rawBytes / 1e6).toFixed(1)} MB sent in ${trace.batches.length} batches`);
  }, 300_000);

  test("as it was received: whole, within 64 MiB", async () => {
    const { growthMax, ...whole } = await readBoth();
    expect(whole).toEqual(expected());
    expect(growthMax).toBeLessThanOrEqual(GROWTH_MAX);
  });

  test("from blocks alone: whole, within 64 MiB", async () => {
    server = await servers.restart({ FLUSH_AGE_SECONDS: "1" });
    await untilFlushed(server.url, traceId, 120_000);
    const { growthMax, ...whole } = await readBoth();
    expect(whole).toEqual(expected());
    expect(growthMax).toBeLessThanOrEqual(GROWTH_MAX);
  });

  test("by a process that did nothing before: whole, within 64 MiB", async () => {
    // Its idle size holds no garbage of the ingest that could be used again.
    server = await servers.restart();
    const warm = await fetch(`${server.url}/api/traces/1`);
    expect(warm.status).toBe(404);
    const { growthMax, ...whole } = await readBoth();
    expect(whole).toEqual(expected());
    expect(growthMax).toBeLessThanOrEqual(GROWTH_MAX);
  });
});
