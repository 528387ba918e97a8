// A tenant in a simulated world, against the naive model: see README.md.
import { describe, expect, test } from "vitest";
import { REGRESSIONS } from "./regressions.ts";
import { STEP_NAMES } from "./faults.ts";
import { report, shrink } from "./shrink.ts";
import { type Outcome, type Plan, planOf, simulate } from "./simulation.ts";

/** 33 has a shard die during a delete, and the store refuse one: no event of EVENTS may be left to chance. */
const SEEDS = [...Array.from({ length: 20 }, (_, i) => i + 1), 33];
const STEPS = 2000;

/** What must have happened somewhere, or the seeds prove nothing. */
const EVENTS = [
  ...STEP_NAMES.map((name) => `step: ${name}`),
  "append: rate_limited",
  "append: to 1 shards",
  "append: to 2 shards",
  "append: to 4 shards",
  "append: unavailable",
  "block of version 1",
  "call: answer lost",
  "call: doubled",
  "call: lost",
  "check: stale map",
  "clock: back",
  "clock: forward",
  "commit of index: done",
  "commit of merge: done",
  "commit of merge: refused",
  "commit of sweep: done",
  "compactor: alarm again",
  "compactor: alarm doubled",
  "compactor: alarm lost",
  "compactor: crash during get",
  "compactor: crash during nextJob answer",
  "compactor: crash during nextJob call",
  "compactor: crash during part",
  "compactor: crash during pause",
  "compactor: crash during put",
  "compactor: crash during sync",
  "compactor: crash that loses writes",
  "compactor: evict",
  "compactor: its time is up",
  "compactor: two at once",
  "delete: deleted",
  "delete: deleted, answer lost",
  "delete: refused",
  "delete: some deleted",
  "fault: append",
  "fault: commit",
  "fault: read",
  "fault: sync",
  "get: broken",
  "get: refused",
  "growth: done",
  "job: given up",
  "job: index16",
  "job: index32",
  "job: index of several blocks",
  "job: merge",
  "job: sweep",
  "list: refused",
  "lookup: client goes",
  "lookup: failed",
  "lookup: in 1 shards",
  "lookup: in 2 shards",
  "lookup: no map",
  "lookup: partial",
  "lookup: streamed",
  "lookup: vanishes",
  "lookup: whole",
  "put: refused",
  "put: stored late",
  "put: stored, answer lost",
  "rebuild: block adopted",
  "rebuild: whole",
  "redelivery",
  "retention: block removed",
  "set shards: done",
  "settled",
  "shard: alarm again",
  "shard: alarm doubled",
  "shard: alarm early",
  "shard: alarm lost",
  "shard: crash during delete",
  "shard: crash during pause",
  "shard: crash during put",
  "shard: crash during put answer",
  "shard: crash during sleep",
  "shard: crash during sync",
  "shard: crash that loses writes",
  "shard: evict",
  "shard: rows lost",
  "shard: slot of a group taken again",
  "shard: tick failed",
  "shard: tick flushed blocks",
  "tenant: alarm again",
  "tenant: crash during sync",
  "tenant: deleted",
  "tenant: evict",
  "upload: refused",
  "upload: taken",
];

const counts = new Map<string, number>();

/** Shrinks a failure before it is told. */
async function run(plan: Plan): Promise<Outcome> {
  const outcome = await simulate(plan);
  if (outcome.failure !== undefined) throw new Error(report(await shrink(plan, outcome)));
  return outcome;
}

describe("simulation", () => {
  test.for(SEEDS)("seed %i", async (seed) => {
    const outcome = await run(planOf(seed, STEPS));
    expect(outcome.log.length).toBe(STEPS + 1);
    for (const [what, count] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + count);
  });

  test("the seeds come to all kinds of trouble", () => {
    expect(EVENTS.filter((event) => !counts.has(event))).toEqual([]);
  });

  test("the same plan runs the same way", async () => {
    const [first, second] = [await simulate(planOf(7, 300)), await simulate(planOf(7, 300))];
    expect(second).toEqual(first);
  });

  test.for([...REGRESSIONS])("regression: $found", async (plan) => {
    expect((await run(plan)).failure).toBeUndefined();
  });
});
