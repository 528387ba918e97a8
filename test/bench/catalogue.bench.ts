// What a lookup costs the shard with 10, 1,000 and 10,000 blocks of 50,000 traces.
//
//     node test/bench/catalogue.bench.ts
//
// Real SQLite in workerd, real filters; of 10,000 blocks most groups of 32 bits are copies of others, and the blocks'
// objects do not exist: a GET is a block that the answer names. Clocks stand still in workerd, so time is taken from
// outside, of many lookups in one call, less that of a call without any. Cold: the first lookup of an object that was
// evicted, less a warm call.
import { join } from "node:path";
import type { ShardStats } from "../../src/store/rpc.ts";
import { type TestServer, testServers } from "../support/server.ts";

const GROUP_BLOCKS = 16;
const TRACES = 50_000;
/** Groups with filters of their own: all of 16 bits, so that the false GETs are those of 10,000 different blocks. */
const OWN_SETS = 210;
/** Groups that share each of the others, one after another: making one takes half a second. */
const COPIES = 14;
/** First of the sets for young blocks. */
const YOUNG_SET = 1000;
/** Sets that are in one group only: their traces are looked for. */
const HIT_SETS = 20;
/** A set that is in no group. */
const MISSING_SET = 100_000;
const MAX_FALSE_GETS = 0.05;
const YOUNG_BLOCKS = 20;
const YOUNG_TRACES = 6_000;
const ROUNDS = 7;

const SIZES = [
  { shard: 0, blocks: 10, lookups: 1000, maxMs: 5 },
  { shard: 1, blocks: 1_000, lookups: 1000, maxMs: 10 },
  { shard: 2, blocks: 10_000, lookups: 200, maxMs: 60 },
] as const;

const servers = await testServers(join(import.meta.dirname, "catalogue/wrangler.toml"));
let server: TestServer;

async function ask<T>(path: string, query: Record<string, number>, body?: unknown): Promise<T> {
  const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${server.url}/${path}?${search.toString()}`, init);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json<T>();
}

interface Looked {
  readonly refs: number;
  readonly rowsRead: number;
}

const look = (shard: number, set: number, count: number) =>
  ask<Looked>("look", { shard, set, index: set % 10, count });

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const start = performance.now();
  const result = await work();
  return { ms: performance.now() - start, result };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Groups of 16 blocks as the shard makes them: 16 bits as long as the expected false GETs allow, then 32. */
async function fill(shard: number, blocks: number): Promise<void> {
  const groups = Math.floor(blocks / GROUP_BLOCKS);
  let falseGets = (YOUNG_BLOCKS + GROUP_BLOCKS) * 2 ** -16;
  for (let group = 0; group < groups; group++) {
    const bits = falseGets + GROUP_BLOCKS * 2 ** -16 <= MAX_FALSE_GETS ? 16 : 32;
    falseGets += GROUP_BLOCKS * 2 ** -bits;
    const set = group < OWN_SETS ? group : OWN_SETS + Math.floor((group - OWN_SETS) / COPIES);
    await ask(
      "fill",
      { shard },
      { set, first: group * GROUP_BLOCKS, blocks: GROUP_BLOCKS, bits, traces: TRACES },
    );
  }
  const left = blocks - groups * GROUP_BLOCKS;
  // Of ten blocks all are too few for a group.
  const set = groups === 0 ? 0 : YOUNG_SET;
  if (left > 0) {
    await ask(
      "fill",
      { shard },
      { set, first: groups * GROUP_BLOCKS, blocks: left, bits: 0, traces: TRACES },
    );
  }
  for (let young = 0; young < YOUNG_BLOCKS; young++) {
    const first = blocks + young;
    await ask(
      "fill",
      { shard },
      { set: YOUNG_SET + 1 + young, first, blocks: 1, bits: 0, traces: YOUNG_TRACES },
    );
  }
}

/** Time of one of `lookups` lookups of traces in each of `sets`, and what they gave. */
async function warm(
  shard: number,
  sets: readonly number[],
  lookups: number,
): Promise<{ ms: number; refs: number; rows: number }> {
  const times: number[] = [];
  let refs = 0;
  let rows = 0;
  for (const set of sets) {
    const before = await look(shard, set, 0);
    const empty = await timed(() => look(shard, set, 0));
    const full = await timed(() => look(shard, set, lookups));
    times.push((full.ms - empty.ms) / lookups);
    refs += full.result.refs;
    rows = Math.max(rows, (full.result.rowsRead - before.rowsRead) / lookups);
  }
  return { ms: median(times), refs: refs / (sets.length * lookups), rows };
}

async function cold(shard: number, set: number): Promise<{ ms: number; rows: number }> {
  const times: number[] = [];
  let rows = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await ask("evict", { shard });
    const first = await timed(() => look(shard, set, 1));
    const empty = await timed(() => look(shard, set, 0));
    times.push(first.ms - empty.ms);
    rows = first.result.rowsRead;
  }
  return { ms: median(times), rows };
}

try {
  server = await servers.start();
  const failures: string[] = [];
  for (const { shard, blocks, lookups, maxMs } of SIZES) {
    const filled = await timed(() => fill(shard, blocks));
    await ask("evict", { shard });
    const { blocks: count } = await ask<ShardStats>("stats", { shard });
    const sets = blocks < GROUP_BLOCKS ? [0] : Array.from({ length: HIT_SETS }, (_, i) => i);
    const hit = await warm(shard, sets, lookups);
    const missing = Array.from({ length: ROUNDS }, (_, i) => MISSING_SET + i);
    const miss = await warm(shard, missing, lookups);
    const first = await cold(shard, sets.at(-1) ?? 0);
    console.log(
      `${count} blocks (filled in ${(filled.ms / 1000).toFixed(0)} s): ` +
        `GETs ${hit.refs.toFixed(4)} of a trace in one block, ${miss.refs.toFixed(4)} of one in none; ` +
        `warm ${hit.ms.toFixed(2)} ms (none: ${miss.ms.toFixed(2)}), ${hit.rows.toFixed(0)} rows read; ` +
        `cold ${first.ms.toFixed(1)} ms, ${first.rows} rows read`,
    );
    if (hit.ms > maxMs) failures.push(`${blocks} blocks: ${hit.ms.toFixed(1)} ms > ${maxMs}`);
    if (Math.max(hit.rows, first.rows) > 2500) failures.push(`${blocks} blocks: ${first.rows} rows`);
  }
  console.log(failures.length === 0 ? "all targets met" : `missed: ${failures.join("; ")}`);
} finally {
  await servers.end();
}
