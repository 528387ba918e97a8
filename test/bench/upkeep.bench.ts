// What a billion spans cost after their flush: merges, the catalogue, deletion. Counted, not timed: the real shard and the
// real jobs run through a day of small blocks whose limits are as much smaller, over memory that counts rows as SQLite does.
// What depends on bytes (reads, parts) is worked out for blocks of the real size.
//   node test/bench/upkeep.bench.ts
import { PLAN_LIMITS } from "../../src/compaction/plan.ts";
import type { MergeJob, ShardJob } from "../../src/store/rpc.ts";
import { DAY_MS, HOUR_MS, ShardWorld } from "../support/shard-world.ts";

const SPANS = 100;
const TRACES = 20;
/** Real blocks: a flush is 32 MiB of spans of 470 bytes, 10 spans a trace. */
const REAL_SPANS = 71_000;
const SCALE = REAL_SPANS / SPANS;
/** As `npm run bench -- compaction` has them. */
const BLOCK_BYTES_PER_SPAN = 112;
const MERGE_US_PER_SPAN = 12.5;
const READ_BYTES = 2 * 1024 * 1024;
const PART_BYTES = 16 * 1024 * 1024;
/** Footer, the three parts of the tail, and the first page, which is read alone. */
const READS_PER_INPUT = 6;

// Prices in USD of Workers Paid beyond what is included, November 2026.
const PRICE = {
  rowWritten: 1e-6,
  objectRequest: 0.15e-6,
  objectGbSecond: 12.5e-6,
  r2ClassA: 4.5e-6,
  r2ClassB: 0.36e-6,
};
const OBJECT_GB = 0.128;

/** Flushes of the day: one every ten minutes, which is the least, so that no merge is saved by a busy day's size. */
const FLUSHES = 144;

const world = new ShardWorld(5, {
  plan: {
    ...PLAN_LIMITS,
    rowGroupWeight: PLAN_LIMITS.rowGroupWeight / SCALE,
    blockWeight: PLAN_LIMITS.blockWeight / SCALE,
    groupTraces: (PLAN_LIMITS.groupTraces * TRACES * 10) / REAL_SPANS,
  },
});
const jobs: ShardJob[] = [];
let batchRows = 0;
for (let flush = 0; flush < FLUSHES; flush++) {
  const before = world.storage.rowsWritten();
  await world.append(SPANS);
  // The row of the batch and what opens the epoch are counted where batches are.
  batchRows += world.storage.rowsWritten() - before;
  world.clock.ms += world.limits.flushAgeMs;
  await world.tick();
  jobs.push(...(await world.runJobs()));
}
world.clock.ms += DAY_MS + 2 * HOUR_MS;
await world.tick();
jobs.push(...(await world.runJobs()));
// What was merged is deleted after its grace, and what was indexed at the end of its retention.
world.clock.ms += HOUR_MS;
await world.tick();
world.clock.ms += 30 * DAY_MS;
await world.tick();
world.clock.ms += HOUR_MS;
await world.tick();

const isMerge = (job: ShardJob): job is MergeJob => job.kind === "merge";
const merges = jobs.filter(isMerge);
const indexes = jobs.filter(({ kind }) => kind === "index").length;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const spansOf = (job: MergeJob): number => sum(job.inputs.map(({ spanCount }) => spanCount)) * SCALE;
const rewritten = sum(merges.map(spansOf));
const inputs = sum(merges.map((job) => job.inputs.length));
const reads =
  sum(merges.map((job) => Math.ceil((spansOf(job) * BLOCK_BYTES_PER_SPAN) / READ_BYTES))) +
  inputs * READS_PER_INPUT;
const parts = sum(
  merges.map((job) => {
    const count = Math.ceil((spansOf(job) * BLOCK_BYTES_PER_SPAN) / PART_BYTES);
    return count === 1 ? 1 : count + 2;
  }),
);
const rows = world.storage.rowsWritten() - batchRows;
const total = FLUSHES * SPANS * SCALE;
const times = 1e9 / total;
const calls = 3 * jobs.length + FLUSHES;
const items: Record<string, number> = {
  "rows of blocks, jobs, filters, deletions": rows * PRICE.rowWritten,
  "object requests": calls * PRICE.objectRequest,
  "object duration": rewritten * MERGE_US_PER_SPAN * 1e-6 * OBJECT_GB * PRICE.objectGbSecond,
  "R2 puts and parts": parts * PRICE.r2ClassA,
  "R2 reads": reads * PRICE.r2ClassB,
};
console.log(
  `${FLUSHES} flushes of ${REAL_SPANS} spans: ${merges.length} merges of ${inputs} blocks, ${indexes} index jobs; ` +
    `each span rewritten ${(rewritten / total).toFixed(2)} times`,
);
console.log(`rows written per 10^9 spans beside those of batches: ${Math.round(rows * times)}`);
const list = Object.entries(items).map(([name, usd]) => `${name} ${(usd * times).toFixed(3)}`);
console.log(
  `USD per 10^9 spans after the flush: ${(sum(Object.values(items)) * times).toFixed(2)} = ${list.join(", ")}`,
);
