// What Tempo's consistency checker asks of a backend, over and over while blocks are flushed and merged beneath it: each
// trace by its id, found by tag, found by TraceQL, and counted by a metrics query, just written and long ago.
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { type NormalSpan, normalizeTracesData, sortSpans } from "../support/normal-span.ts";
import {
  type Attribute,
  encodeProtobuf,
  type ResourceGroup,
  type SpanRecord,
} from "../support/otlp-writer.ts";
import { pathOf } from "../support/query-app.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { type TestServers, testServers } from "../support/server.ts";

const CYCLES = 200;
const TOKEN = "the-secret-of-consistency";
const HALF_HOUR = 1800;

let servers: TestServers;
let url: string;
let logs: readonly string[];

beforeAll(async () => {
  servers = await testServers();
  ({ url, logs } = await servers.start({ FLUSH_AGE_SECONDS: "0.3", ADMIN_TOKEN: TOKEN }));
});
afterAll(() => servers.end());

/** What was written of a trace so far, and one of its attributes that no other trace has. */
interface Written {
  readonly traceId: string;
  readonly seconds: number;
  readonly key: string;
  readonly value: string;
  readonly batches: Uint8Array[];
}

const KEYS = 5;

function text(random: Random, length: number): string {
  return Buffer.from(random.bytes(length)).toString("base64url");
}

function attributes(random: Random, prefix: string): Attribute[] {
  return Array.from({ length: 1 + random.below(KEYS) }, (_, i) => {
    const key = `${prefix}-${i}`;
    if (random.chance(0.3)) return { key, type: "int", value: random.below(1000) };
    return { key, type: "string", value: text(random, random.chance(0.1) ? 100 : 9) };
  });
}

/** A chain of spans, each the parent of the next, in a resource of its own. */
function batchOf(random: Random, traceId: Uint8Array, own: Attribute): Uint8Array {
  const now = BigInt(Date.now()) * 1_000_000n;
  const spans: SpanRecord[] = [];
  for (let count = 1 + random.below(5); count > 0; count--) {
    spans.push({
      traceId,
      spanId: random.bytes(8),
      parentSpanId: spans.at(-1)?.spanId,
      traceState: "",
      flags: 0,
      name: text(random, 6),
      kind: 0,
      startNs: now + BigInt(random.below(1_000_000)),
      endNs: now + BigInt(1_000_000 + random.below(1e9)),
      attributes: random.chance(0.5) || spans.length === 0 ? [own, ...attributes(random, "key")] : [],
      events: [{ timeNs: now, name: "", attributes: attributes(random, "event") }],
      links: [],
      statusCode: 0,
      statusMessage: "",
    });
  }
  const service: Attribute = { key: "service.name", type: "string", value: "checker" };
  const group: ResourceGroup = {
    attributes: [service, ...attributes(random, "process")],
    scopes: [{ name: "", version: "", spans }],
  };
  return encodeProtobuf([group]);
}

async function write(random: Random, trace: Written): Promise<void> {
  const id = Uint8Array.from(Buffer.from(trace.traceId, "hex"));
  const own: Attribute = { key: trace.key, type: "string", value: trace.value };
  const batch = batchOf(random, id, own);
  const headers = { "content-type": "application/x-protobuf" };
  const response = await fetch(`${url}/v1/traces`, { method: "POST", body: batch as BodyInit, headers });
  expect(response.status).toBe(200);
  trace.batches.push(batch);
}

async function ask(path: string, params: Readonly<Record<string, string | number>>, accept: string) {
  const response = await fetch(url + pathOf(path, params), { headers: { accept } });
  const body = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${Buffer.from(body).toString()}`);
  return body;
}

async function askJson<T>(path: string, params: Readonly<Record<string, string | number>>): Promise<T> {
  const body = await ask(path, params, "application/json");
  return JSON.parse(Buffer.from(body).toString()) as T;
}

function decoded(bytes: Uint8Array): NormalSpan[] {
  return sortSpans(normalizeTracesData(fromBinary(TracesDataSchema, bytes)));
}

async function checkById({ traceId, seconds, batches }: Written): Promise<void> {
  const range = { start: seconds - HALF_HOUR, end: seconds + HALF_HOUR };
  const found = decoded(await ask(`/api/traces/${traceId}`, range, "application/protobuf"));
  expect(found).toEqual(sortSpans(batches.flatMap((batch) => decoded(batch))));
}

interface Found {
  readonly traces: readonly {
    readonly traceID: string;
    readonly spanSets?: readonly { readonly matched: number }[];
  }[];
}

async function checkByTag({ traceId, seconds, key, value }: Written): Promise<void> {
  const range = { start: seconds - HALF_HOUR, end: seconds + HALF_HOUR };
  const { traces } = await askJson<Found>("/api/search", { ...range, tags: `${key}=${value}` });
  expect(traces.map(({ traceID }) => traceID)).toEqual([traceId]);
}

/** @returns spans that matched */
async function checkByQuery({ traceId, seconds, key, value, batches }: Written): Promise<number> {
  const range = { start: seconds - HALF_HOUR, end: seconds + HALF_HOUR };
  const { traces } = await askJson<Found>("/api/search", { ...range, q: `{.${key} = "${value}"}` });
  expect(traces.map(({ traceID }) => traceID)).toEqual([traceId]);
  const matched = traces
    .flatMap(({ spanSets = [] }) => spanSets)
    .reduce((sum, each) => sum + each.matched, 0);
  const expected = batches
    .flatMap((batch) => decoded(batch))
    .filter(({ attributes: own }) => own.some(([name]) => name === key));
  expect(matched).toBe(expected.length);
  return matched;
}

async function checkMetrics({ seconds, key, value }: Written, matched: number): Promise<void> {
  const { series } = await askJson<{ series: { samples: { value?: number }[] }[] }>(
    "/api/metrics/query_range",
    {
      start: seconds - HALF_HOUR,
      end: seconds + HALF_HOUR,
      step: "10s",
      q: `{.${key} = "${value}"} | count_over_time()`,
    },
  );
  expect(series).toHaveLength(1);
  const sum = series
    .flatMap(({ samples }) => samples)
    .reduce((total, sample) => total + (sample.value ?? 0), 0);
  expect(sum).toBe(matched);
}

async function check(trace: Written): Promise<void> {
  const [matched] = await Promise.all([checkByQuery(trace), checkById(trace), checkByTag(trace)]);
  await checkMetrics(trace, matched);
}

async function blockCount(): Promise<number> {
  const response = await fetch(`${url}/api/admin/tenants/single-tenant`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const { stats } = await response.json<{ stats: { blocks: number }[] }>();
  return stats.reduce((sum, { blocks }) => sum + blocks, 0);
}

test("every trace is found whole, right after it was written and later, while blocks come and go", async () => {
  const random = makeRandom(2026);
  const traces: Written[] = [];
  const blocks: number[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const trace: Written = {
      traceId: Buffer.from(random.bytes(16)).toString("hex"),
      seconds: Math.floor(Date.now() / 1000),
      key: `vulture-${random.below(KEYS)}`,
      value: text(random, 12),
      batches: [],
    };
    for (let writes = 1 + random.below(3); writes > 0; writes--) await write(random, trace);
    // Parts that come late, when the ones before them are in a block.
    const late = random.chance(0.3) ? traces.at(-1 - random.below(30)) : undefined;
    if (late !== undefined) await write(random, late);
    traces.push(trace);
    await check(trace);
    await check(late ?? random.pick(traces));
    blocks.push(await blockCount());
  }
  for (const trace of traces) await check(trace);
  const merges = blocks.filter((count, i) => count < (blocks[i - 1] ?? 0)).length;
  expect(Math.max(...blocks)).toBeGreaterThan(3);
  expect(merges).toBeGreaterThan(1);
  expect(logs).toEqual([]);
}, 300_000);
