// One shard in a simulated world, against the naive model: see README.md.
import { describe, expect, test } from "vitest";
import { REGRESSIONS } from "./regressions.ts";
import { report, shrink } from "./shrink.ts";
import { type Outcome, type Plan, planOf, simulate } from "./simulation.ts";

const SEEDS = 20;
const STEPS = 2000;

/** What must have happened somewhere, or the seeds prove nothing. */
const EVENTS = [
  "alarm: again",
  "alarm: doubled",
  "alarm: early",
  "alarm: lost",
  "append: connection lost",
  "append: rate_limited",
  "append: unavailable",
  "clock: back",
  "clock: forward",
  "crash during append answer",
  "crash during live chunk",
  "crash during pause",
  "crash during put",
  "crash during put answer",
  "crash during sleep",
  "crash during sync",
  "crash that loses writes",
  "evict",
  "fault: append",
  "fault: commit",
  "fault: read",
  "fault: sync",
  "get: broken",
  "get: refused",
  "lookup: client goes",
  "lookup: failed",
  "lookup: partial",
  "lookup: streamed",
  "lookup: vanishes",
  "lookup: whole",
  "put: refused",
  "put: stored late",
  "put: stored, answer lost",
  "redelivery",
  "tick: failed",
  "tick: flushed blocks",
];

const counts = new Map<string, number>();

/** Shrinks a failure before it is told. */
async function run(plan: Plan): Promise<Outcome> {
  const outcome = await simulate(plan);
  if (outcome.failure !== undefined) throw new Error(report(await shrink(plan, outcome)));
  return outcome;
}

describe("simulation", () => {
  test.for(Array.from({ length: SEEDS }, (_, i) => i + 1))("seed %i", async (seed) => {
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
