// The running Worker: CPU of an accepted batch, rows written, how soon spans are visible, and what it costs.
//   node test/bench/server.bench.ts
// CPU is that of the whole workerd process, all threads. Loopback, one shard, 512 spans a batch, gzip.
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import type { ShardStats, TickReport } from "../../src/store/rpc.ts";
import { makeGenerator } from "../support/generator.ts";
import { cpuNs } from "../support/process-stats.ts";
import { type TestServer, testServers } from "../support/server.ts";
import { findSpans } from "../support/span-ids.ts";

const BATCH_SPANS = 512;
/** What an SDK with few spans sends: a rate that one shard sustains. */
const SMALL_BATCH_SPANS = 64;
/** Below the 32 MiB at which the buffer is flushed, so that no flush falls into what is measured. */
const ROUND_BATCHES = 120;
const ROUNDS = 7;
const CPU_CLIENTS = 8;
const PACED_PER_SECOND = 200;
/** All of it stays below the 256 MiB that may wait for the flush, which a shard cannot sustain at this rate. */
const PACED_SECONDS = 4;
const LOOKUP_EVERY = 2;
const TARGET_RATIO = 0.4;

interface Batch {
  readonly raw: Uint8Array;
  readonly gzip: Uint8Array;
  readonly traceId: string;
}

const generator = makeGenerator({ seed: 512 });

function makeBatch(spans: number): Batch {
  const raw = generator.batch(spans);
  return { raw, gzip: gzipSync(raw), traceId: findSpans(raw)[0]?.traceId ?? "" };
}

/** Batches, and a pause: making them blocks this process while the server may close idle connections. */
async function makeBatches(count: number, spans = BATCH_SPANS): Promise<readonly Batch[]> {
  const batches = Array.from({ length: count }, () => makeBatch(spans));
  await sleep(100);
  return batches;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function latency(ms: readonly number[]): string {
  return `p50 ${percentile(ms, 0.5).toFixed(1)} ms, p99 ${percentile(ms, 0.99).toFixed(1)} ms`;
}

const servers = await testServers(join(import.meta.dirname, "wrangler.toml"));

async function post(server: TestServer, batch: Batch): Promise<void> {
  const response = await fetch(`${server.url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
    body: batch.gzip as BodyInit,
  });
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`a batch was answered ${response.status}`);
}

/** Sends all, `clients` at a time, each client one after another. */
async function sendAll(server: TestServer, batches: readonly Batch[], clients: number): Promise<void> {
  const queue = [...batches];
  const client = async (): Promise<void> => {
    for (let batch = queue.pop(); batch !== undefined; batch = queue.pop()) await post(server, batch);
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function ask<T>(server: TestServer, path: string, body?: Uint8Array): Promise<T> {
  const init = body === undefined ? {} : { method: "POST", body: body as BodyInit };
  const response = await fetch(`${server.url}/bench/${path}`, init);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json<T>();
}

const stats = (server: TestServer) => ask<ShardStats>(server, "stats");

/** CPU of the runtime while `work` runs, in ms. */
async function cpuOf(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = cpuNs(pid);
  await work();
  return (cpuNs(pid) - before) / 1e6;
}

async function flush(server: TestServer): Promise<TickReport> {
  const report = await ask<TickReport>(server, "flush");
  if (report.error !== undefined) throw new Error(`flush failed: ${report.error}`);
  return report;
}

interface Cpu {
  readonly acceptMs: number;
  readonly flushUsPerSpan: number;
  readonly rowsPerFlush: number;
  readonly rawBytesPerSpan: number;
}

async function measureCpu(server: TestServer, pid: number): Promise<Cpu> {
  const batches = await makeBatches(ROUND_BATCHES);
  const raw = batches.reduce((sum, batch) => sum + batch.raw.length, 0);
  const gzipped = batches.reduce((sum, batch) => sum + batch.gzip.length, 0);
  console.log(
    `batch: ${BATCH_SPANS} spans, ${(raw / ROUND_BATCHES / 1000).toFixed(0)} kB, gzip ${(gzipped / ROUND_BATCHES / 1000).toFixed(0)} kB`,
  );
  const accept: number[] = [];
  const decode: number[] = [];
  const flushUs: number[] = [];
  const flushRows: number[] = [];
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const fresh = await makeBatches(ROUND_BATCHES);
    const acceptMs = (await cpuOf(pid, () => sendAll(server, fresh, CPU_CLIENTS))) / ROUND_BATCHES;
    const decodeMs =
      (await cpuOf(pid, () => ask(server, `decode?times=${ROUND_BATCHES}`, fresh[0]?.raw))) / ROUND_BATCHES;
    const { rowsWritten } = await stats(server);
    const flushMs = await cpuOf(pid, () => flush(server));
    const rows = (await stats(server)).rowsWritten - rowsWritten;
    if (round === 0) continue;
    accept.push(acceptMs);
    decode.push(decodeMs);
    flushUs.push((1000 * flushMs) / (ROUND_BATCHES * BATCH_SPANS));
    flushRows.push(rows);
  }
  const ratios = accept.map((ms, i) => ms / (decode[i] ?? Number.NaN));
  const ratio = median(ratios);
  console.log(
    `CPU of a batch accepted durably, ${CPU_CLIENTS} clients: ${median(accept).toFixed(3)} ms; ` +
      `fromBinary of one: ${median(decode).toFixed(3)} ms; ratio ${ratio.toFixed(3)} ` +
      `(rounds ${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}; target ${TARGET_RATIO}: ` +
      `${ratio <= TARGET_RATIO ? "met" : "MISSED"})`,
  );
  console.log(
    `flush: ${median(flushUs).toFixed(2)} us CPU a span, ${median(flushRows)} rows written a block`,
  );
  return {
    acceptMs: median(accept),
    flushUsPerSpan: median(flushUs),
    rowsPerFlush: median(flushRows),
    rawBytesPerSpan: raw / (ROUND_BATCHES * BATCH_SPANS),
  };
}

/** Rows written per accepted batch when `clients` send at once. */
async function measureRows(server: TestServer, clients: number): Promise<number> {
  const batches = await makeBatches(ROUND_BATCHES);
  const before = await stats(server);
  const start = performance.now();
  await sendAll(server, batches, clients);
  const seconds = (performance.now() - start) / 1000;
  const after = await stats(server);
  const rows = (after.rowsWritten - before.rowsWritten) / (after.appends - before.appends);
  console.log(
    `rows written per batch, ${String(clients).padStart(2)} clients: ${rows.toFixed(3)} (${(ROUND_BATCHES / seconds).toFixed(0)} batches/s)`,
  );
  await flush(server);
  return rows;
}

interface Paced {
  readonly rows: number;
  readonly acceptMs: number[];
  readonly visibleMs: number[];
}

/** At a steady rate: how long a batch takes, and how long after its 200 a lookup answers with its spans. */
async function measureVisible(server: TestServer, spans: number): Promise<Paced> {
  const batches = await makeBatches(PACED_PER_SECOND * PACED_SECONDS, spans);
  const acceptMs: number[] = [];
  const visibleMs: number[] = [];
  const before = await stats(server);
  const start = performance.now();
  const one = async (batch: Batch, index: number): Promise<void> => {
    const sent = performance.now();
    await post(server, batch);
    const accepted = performance.now();
    acceptMs.push(accepted - sent);
    if (index % LOOKUP_EVERY !== 0) return;
    const response = await fetch(`${server.url}/api/traces/${batch.traceId}`, {
      headers: { accept: "application/protobuf" },
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200)
      throw new Error(`a trace was answered ${response.status} after its batch's 200`);
    const wanted = findSpans(batch.raw).filter(({ traceId }) => traceId === batch.traceId);
    const found = new Set(findSpans(bytes).map(({ spanId }) => spanId));
    if (!wanted.every(({ spanId }) => found.has(spanId)))
      throw new Error("a span was not visible after its 200");
    visibleMs.push(performance.now() - accepted);
  };
  const running: Promise<void>[] = [];
  for (const [index, batch] of batches.entries()) {
    await sleep(Math.max(0, start + (1000 * index) / PACED_PER_SECOND - performance.now()));
    running.push(one(batch, index));
  }
  await Promise.all(running);
  const seconds = (performance.now() - start) / 1000;
  const after = await stats(server);
  const rows = (after.rowsWritten - before.rowsWritten) / (after.appends - before.appends);
  console.log(
    `${(batches.length / seconds).toFixed(0)} batches/s of ${spans} spans for ${PACED_SECONDS} s, flushes included: accept ${latency(acceptMs)}; ` +
      `200 to visible ${latency(visibleMs)} (${visibleMs.length} lookups); rows per batch ${rows.toFixed(3)}`,
  );
  return { rows, acceptMs, visibleMs };
}

// Prices in USD of Workers Paid beyond what is included, November 2026.
const PRICE = {
  workerRequest: 0.3e-6,
  workerCpuMs: 0.02e-6,
  objectRequest: 0.15e-6,
  objectGbSecond: 12.5e-6,
  rowWritten: 1e-6,
  r2ClassA: 4.5e-6,
};
const OBJECT_GB = 0.128;
/** A commit in production, with its replication: assumed, it cannot be measured here. */
const COMMIT_SECONDS = 0.01;
const FLUSH_BYTES = 32 * 1024 * 1024;

/** USD per 10^9 spans from what was counted. All CPU of a batch is charged to the Worker, the dearer place. */
function cost(rows: number, cpu: Cpu): Record<string, number> {
  const batches = 1e9 / BATCH_SPANS;
  const blocks = (1e9 * cpu.rawBytesPerSpan) / FLUSH_BYTES;
  return {
    "Worker requests": batches * PRICE.workerRequest,
    "Worker CPU": batches * cpu.acceptMs * PRICE.workerCpuMs,
    "object requests": (batches + blocks) * PRICE.objectRequest,
    "object duration":
      (batches * rows * COMMIT_SECONDS + 1e3 * cpu.flushUsPerSpan) * OBJECT_GB * PRICE.objectGbSecond,
    "rows of batches": batches * rows * PRICE.rowWritten,
    "rows of blocks": blocks * cpu.rowsPerFlush * PRICE.rowWritten,
    "R2 puts": blocks * PRICE.r2ClassA,
  };
}

function printCost(title: string, rows: number, cpu: Cpu): void {
  const parts = Object.entries(cost(rows, cpu));
  const total = parts.reduce((sum, [, usd]) => sum + usd, 0);
  const list = parts.map(([name, usd]) => `${name} ${usd.toFixed(3)}`).join(", ");
  console.log(
    `USD per 10^9 spans, ${title} (${rows.toFixed(3)} rows a batch): ${total.toFixed(2)} = ${list}`,
  );
}

try {
  const server = await servers.start({ FLUSH_AGE_SECONDS: "3600" });
  const pid = await server.server.runtimePid();
  if (pid === undefined) throw new Error("no runtime process");
  const cpu = await measureCpu(server, pid);
  const alone = await measureRows(server, 1);
  await measureRows(server, 16);
  const many = await measureRows(server, 64);
  await measureVisible(server, SMALL_BATCH_SPANS);
  await flush(server);
  const paced = await measureVisible(server, BATCH_SPANS);
  printCost("one client after another", alone, cpu);
  printCost(`${PACED_PER_SECOND} batches/s`, paced.rows, cpu);
  printCost("64 clients at once", many, cpu);
  console.log("Without compaction, storage, lookups and what is included each month.");
} finally {
  await servers.end();
}
