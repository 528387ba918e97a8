// Makes a failing plan short: leaves steps out, in ever smaller groups, as long as it goes on to fail in the same way.
import { type Outcome, type Plan, simulate } from "./simulation.ts";

export interface Shrunk {
  readonly plan: Plan;
  readonly outcome: Outcome;
}

/** The failure without what differs from plan to plan: ids, counts, details. */
function kindOf({ failure }: Outcome): string | undefined {
  return failure?.split(":")[0]?.replaceAll(/[0-9a-f]*[0-9]+[0-9a-f]*/g, "#");
}

/** @param runsMax simulations to spend on it at most */
export async function shrink(plan: Plan, outcome: Outcome, runsMax = 300): Promise<Shrunk> {
  // What comes behind the failure has no part in it.
  let best: Shrunk = { plan: { ...plan, steps: plan.steps.slice(0, outcome.log.length) }, outcome };
  let runs = 0;
  for (let size = Math.ceil(best.plan.steps.length / 2); size >= 1 && runs < runsMax;) {
    let isShorter = false;
    for (let at = 0; at < best.plan.steps.length && runs < runsMax;) {
      const steps = best.plan.steps.toSpliced(at, size);
      const candidate = { seed: plan.seed, steps };
      runs++;
      const tried = await simulate(candidate);
      if (kindOf(tried) !== kindOf(outcome)) {
        at += size;
        continue;
      }
      best = { plan: { ...candidate, steps: steps.slice(0, tried.log.length) }, outcome: tried };
      isShorter = true;
    }
    if (!isShorter || size > best.plan.steps.length) size = size === 1 ? 0 : Math.ceil(size / 2);
  }
  return best;
}

/** A failure for people: how to repeat it, and what happened. */
export function report({ plan, outcome }: Shrunk): string {
  return [
    `seed ${plan.seed}: ${outcome.failure ?? "no failure"}`,
    `for regressions.ts: { seed: ${plan.seed}, steps: ${JSON.stringify(plan.steps)} }`,
    ...outcome.log,
  ].join("\n");
}
