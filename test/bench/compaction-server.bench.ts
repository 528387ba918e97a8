// What a merge in the background does to the batches that come meanwhile: their latency while compacting and not, in turn.
//   node test/bench/compaction-server.bench.ts
// On one machine the compactor and the shard share one thread, and the clients two cores with it: in production the
// compactor is an object of its own. What stands here is the worst case, and what the merge's pauses are for. The local R2
// is on that thread as well and holds it for 50 ms and more for each part of 16 MiB, which no code of ours can help: so
// the objects are another process's work, and the second figure is the one with the local R2.
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PLAN_LIMITS } from "../../src/compaction/plan.ts";
import type { ShardStats, TickReport } from "../../src/store/rpc.ts";
import { makeGenerator } from "../support/generator.ts";
import { type TestServer, testServers } from "../support/server.ts";

const ROUNDS = 3;
const INPUTS = PLAN_LIMITS.fanIn;
const INPUT_BATCHES = 100;
const INPUT_BATCH_SPANS = 512;
const CLIENTS = 8;
/** Ordinary traffic of one shard. */
const PACED_PER_SECOND = 50;
const PACED_SPANS = 64;
/** Of each window at most. */
const WINDOW_SECONDS = 10;
const POLL_MS = 200;
const TARGET_RATIO = 2;

const generator = makeGenerator({ seed: 40 });

interface Window {
  /** Of each batch, from its sending to its 200. */
  readonly latencyMs: readonly number[];
  readonly seconds: number;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

async function post({ url }: TestServer, body: Uint8Array): Promise<void> {
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
    body: body as BodyInit,
  });
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`a batch was answered ${response.status}`);
}

async function ask<T>({ url }: TestServer, path: string): Promise<T> {
  const response = await fetch(`${url}/bench/${path}`);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json<T>();
}

const blocksOf = async (server: TestServer) => (await ask<ShardStats>(server, "stats")).blocks;

/** The same for each input: making batches takes longer than sending them. */
const inputBatches = Array.from({ length: INPUTS }, () =>
  Array.from({ length: INPUT_BATCHES }, () => gzipSync(generator.batch(INPUT_BATCH_SPANS))),
);

/** Flushes the inputs of one merge. The last flush wakes the compactor. */
async function makeInputs(server: TestServer): Promise<void> {
  for (const batches of inputBatches) {
    const queue = [...batches];
    const client = async (): Promise<void> => {
      for (let body = queue.pop(); body !== undefined; body = queue.pop()) await post(server, body);
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    const report = await ask<TickReport>(server, "flush");
    if (report.flushedBlocks !== 1) throw new Error(`a flush made ${report.flushedBlocks} blocks`);
  }
}

/** Sends at the pace until `isOver`, which is asked now and then. */
async function paced(
  server: TestServer,
  bodies: readonly Uint8Array[],
  isOver: (seconds: number) => Promise<boolean>,
): Promise<Window> {
  const latencyMs: number[] = [];
  const running: Promise<void>[] = [];
  const start = performance.now();
  let over = false;
  const watch = async (): Promise<void> => {
    while (!over) {
      await sleep(POLL_MS);
      over = await isOver((performance.now() - start) / 1000);
    }
  };
  const watching = watch();
  const isEnded = (): boolean => over;
  for (let sent = 0; !isEnded(); sent++) {
    await sleep(Math.max(0, start + (1000 * sent) / PACED_PER_SECOND - performance.now()));
    const before = performance.now();
    const body = bodies[sent % bodies.length] ?? new Uint8Array(0);
    running.push(post(server, body).then(() => void latencyMs.push(performance.now() - before)));
  }
  const seconds = (performance.now() - start) / 1000;
  await Promise.all([...running, watching]);
  return { latencyMs, seconds };
}

function describe(name: string, windows: readonly Window[]): string {
  const all = windows.flatMap(({ latencyMs }) => latencyMs);
  const at = (share: number): string => percentile(all, share).toFixed(1);
  const seconds = windows.map((one) => one.seconds.toFixed(1)).join(", ");
  return `${name.padEnd(10)} p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms (${all.length} batches in windows of ${seconds} s)`;
}

interface Round {
  readonly compacting: Window;
  readonly idle: Window;
}

/** On a server of its own: what a round leaves behind would be merged in the next. */
async function measure(
  bodies: readonly Uint8Array[],
  store: Readonly<Record<string, string>>,
): Promise<Round> {
  const servers = await testServers(join(import.meta.dirname, "wrangler.toml"));
  try {
    const server = await servers.start({ FLUSH_AGE_SECONDS: "3600", ...store });
    await makeInputs(server);
    const isMerged = async (): Promise<boolean> => (await blocksOf(server)) === 1;
    const compacting = await paced(
      server,
      bodies,
      async (seconds) => seconds >= WINDOW_SECONDS || (await isMerged()),
    );
    while (!(await isMerged())) await sleep(POLL_MS);
    await sleep(500);
    const idle = await paced(server, bodies, async (seconds) => {
      // Asked as often as in the other window.
      await isMerged();
      return seconds >= compacting.seconds;
    });
    return { compacting, idle };
  } finally {
    await servers.end();
  }
}

const bodies = Array.from({ length: 400 }, () => gzipSync(generator.batch(PACED_SPANS)));
const p99 = (window: Window): number => percentile(window.latencyMs, 0.99);

async function compare(name: string, store: Readonly<Record<string, string>>): Promise<void> {
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await measure(bodies, store));
  const ratios = rounds.map(({ compacting, idle }) => p99(compacting) / p99(idle));
  const all = (window: (round: Round) => Window): Window[] => rounds.map(window);
  console.log(`${name}:`);
  console.log(
    describe(
      "compacting",
      all(({ compacting }) => compacting),
    ),
  );
  console.log(
    describe(
      "not",
      all(({ idle }) => idle),
    ),
  );
  console.log(
    `p99 while compacting against not: median ${percentile(ratios, 0.5).toFixed(2)} ` +
      `(rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}; target ${TARGET_RATIO})`,
  );
}

const spans = INPUTS * INPUT_BATCHES * INPUT_BATCH_SPANS;
console.log(
  `merges of ${INPUTS} blocks, ${spans} spans; ${PACED_PER_SECOND} batches/s of ${PACED_SPANS} spans meanwhile`,
);
const beside = spawn(process.execPath, [join(import.meta.dirname, "remote-store-server.ts")], {
  stdio: ["ignore", "pipe", "inherit"],
});
const [told] = await once(beside.stdout, "data");
await compare("objects in another process", { BENCH_STORE: `http://127.0.0.1:${Number(told)}` });
beside.kill();
await compare("objects in the local R2, on the same thread", {});
