// What it costs to spread a tenant over shards: spans accepted a second, CPU and rows of a batch, with 1, 2, 4 and 16.
//   node test/bench/shards.bench.ts
// CPU is that of the whole workerd process, all threads. On one machine all objects share one thread: what several
// shards win in production, a thread each, does not show here, only what they cost.
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import type { ShardStats, TickReport } from "../../src/store/rpc.ts";
import type { TenantReply } from "../../src/store/tenant-rpc.ts";
import { makeGenerator } from "../support/generator.ts";
import { cpuNs } from "../support/process-stats.ts";
import { type TestServer, testServers } from "../support/server.ts";

const COUNTS = [1, 2, 4, 16];
const BATCH_SPANS = 512;
/** Below the 32 MiB at which the buffer of one shard is flushed. */
const ROUND_BATCHES = 100;
const ROUNDS = 7;
const CLIENTS = 16;

interface Sample {
  readonly spansPerSecond: number;
  readonly cpuMsPerBatch: number;
  readonly rowsPerBatch: number;
}

const generator = makeGenerator({ seed: 4 });

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function ask<T>({ url }: TestServer, path: string): Promise<T> {
  const response = await fetch(`${url}/bench/${path}`);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json<T>();
}

async function send({ url }: TestServer, batches: readonly Uint8Array[]): Promise<void> {
  const queue = [...batches];
  const client = async (): Promise<void> => {
    for (let body = queue.pop(); body !== undefined; body = queue.pop()) {
      const response = await fetch(`${url}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
        body: body as BodyInit,
      });
      await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`a batch was answered ${response.status}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

async function rows(server: TestServer, count: number): Promise<number> {
  let sum = 0;
  for (let shard = 0; shard < count; shard++) {
    sum += (await ask<ShardStats>(server, `stats?shard=${shard}`)).rowsWritten;
  }
  return sum;
}

async function round(server: TestServer, count: number, batches: readonly Uint8Array[]): Promise<Sample> {
  const pid = await server.server.runtimePid();
  if (pid === undefined) throw new Error("no runtime process");
  const rowsBefore = await rows(server, count);
  const cpuBefore = cpuNs(pid);
  const start = performance.now();
  await send(server, batches);
  const seconds = (performance.now() - start) / 1000;
  const cpuMs = (cpuNs(pid) - cpuBefore) / 1e6;
  const rowsPerBatch = ((await rows(server, count)) - rowsBefore) / batches.length;
  for (let shard = 0; shard < count; shard++) await ask<TickReport>(server, `flush?shard=${shard}`);
  return {
    spansPerSecond: (batches.length * BATCH_SPANS) / seconds,
    cpuMsPerBatch: cpuMs / batches.length,
    rowsPerBatch,
  };
}

/** All rounds on one server: the pid of the runtime is found by its parent, so that one runs at a time. */
async function measure(count: number): Promise<Sample> {
  const servers = await testServers(join(import.meta.dirname, "wrangler.toml"));
  try {
    const server = await servers.start({ FLUSH_AGE_SECONDS: "3600" });
    const reply = await ask<TenantReply>(server, `shards?count=${count}`);
    if (!reply.ok) throw new Error(reply.message);
    const samples: Sample[] = [];
    for (let i = 0; i <= ROUNDS; i++) {
      const batches = Array.from({ length: ROUND_BATCHES }, () => gzipSync(generator.batch(BATCH_SPANS)));
      await sleep(100);
      const sample = await round(server, count, batches);
      // The first round warms up.
      if (i > 0) samples.push(sample);
    }
    return {
      spansPerSecond: median(samples.map(({ spansPerSecond }) => spansPerSecond)),
      cpuMsPerBatch: median(samples.map(({ cpuMsPerBatch }) => cpuMsPerBatch)),
      rowsPerBatch: median(samples.map(({ rowsPerBatch }) => rowsPerBatch)),
    };
  } finally {
    await servers.end();
  }
}

console.log(`${BATCH_SPANS} spans a batch, gzip, ${CLIENTS} clients, median of ${ROUNDS} rounds`);
let base: Sample | undefined;
for (const count of COUNTS) {
  const sample = await measure(count);
  base ??= sample;
  console.log(
    `${String(count).padStart(2)} shards: ${Math.round(sample.spansPerSecond)} spans/s ` +
      `(${(sample.spansPerSecond / base.spansPerSecond).toFixed(2)} of one shard), ` +
      `CPU of a batch ${sample.cpuMsPerBatch.toFixed(2)} ms (${(sample.cpuMsPerBatch / base.cpuMsPerBatch).toFixed(2)}), ` +
      `rows written a batch ${sample.rowsPerBatch.toFixed(2)}`,
  );
}
