// Runs a plan: a seed and the numbers of the steps to do. Each step has random numbers of its own, from the seed and its
// number, so that leaving others out changes it as little as possible: that is what makes shrinking work.
import { messageOf } from "../../src/util/errors.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { Faults, mixtureOf } from "./faults.ts";
import { World } from "./world.ts";

export interface Plan {
  readonly seed: number;
  readonly steps: readonly number[];
}

export interface Outcome {
  /** Undefined when all that must hold held. */
  readonly failure: string | undefined;
  /** What each step did. */
  readonly log: readonly string[];
  /** How often what happened. */
  readonly counts: ReadonlyMap<string, number>;
}

const HOUR_MS = 3_600_000;

/** All steps of a seed. */
export function planOf(seed: number, stepCount: number): Plan {
  return { seed, steps: Array.from({ length: stepCount }, (_, i) => i) };
}

function randomOf(seed: number, step: number): Random {
  return makeRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b));
}

function pickWeighted(weights: ReadonlyMap<string, number>, random: Random): string {
  const total = weights.values().reduce((sum, weight) => sum + weight, 0);
  let at = random.unit() * total;
  for (const [name, weight] of weights) {
    at -= weight;
    if (at < 0) return name;
  }
  return "resume";
}

/** Clocks are off by moments mostly, by hours sometimes. */
function jumpMs(random: Random): number {
  return random.pick([1, 20, 1000, 30_000, 90_000, HOUR_MS, 26 * HOUR_MS]) + random.below(10);
}

type Step = (world: World, faults: Faults, random: Random) => string | Promise<string>;

// Steps of what comes later (compaction, retention, growth) belong here, each with a weight in faults.ts.
const STEPS: Readonly<Record<string, Step>> = {
  resume: (world, _, random) => {
    const ended: string[] = [];
    for (let left = 1 + random.below(8); left > 0; left--) ended.push(world.scheduler.resume(random) ?? "-");
    return ended.join(", ");
  },
  append: (world, _, random) => world.append(random),
  burst: (world, _, random) => world.burst(random),
  redeliver: (world, _, random) => world.redeliver(random),
  lookup: (world, _, random) => world.lookup(random),
  abort: (world, _, random) => world.abort(random),
  pass: (world, _, random) => world.pass(random.pick([0, 1, 250, 1000, 5000, 20_000, 60_000])),
  alarm: (world) => world.alarm(),
  "alarm early": (world) => world.alarm("early"),
  "alarm doubled": (world) => world.alarm("doubled"),
  "alarm lost": (world) => world.loseAlarm(),
  "jump forward": (world, _, random) => world.jump(jumpMs(random)),
  "jump to epoch": (world, _, random) => world.jumpToEpoch(random),
  "jump back": (world, _, random) => world.jump(-jumpMs(random)),
  crash: (world, _, random) => world.crash(random),
  "crash at put": (world, _, random) => world.crashAtPut(random),
  evict: (world) => world.evict(),
  outage: (_, faults) => {
    faults.isOutage = !faults.isOutage;
    return faults.isOutage ? "begins" : "ends";
  },
  rest: async (world, _, random) => {
    if (random.chance(0.3)) world.jump(-jumpMs(random));
    await world.drain(random, random.chance(0.5));
    return "";
  },
};

/** Does the steps, then lets the world come to rest. Stops where something does not hold. */
export async function simulate({ seed, steps }: Plan): Promise<Outcome> {
  const mixture = mixtureOf(seed);
  const faults = new Faults(mixture);
  const world = new World(faults);
  const log: string[] = [];
  let failure: string | undefined;
  try {
    for (const step of steps) {
      const random = randomOf(seed, step);
      faults.random = random;
      const name = pickWeighted(mixture.steps, random);
      log.push(`${step} ${name}`);
      const told = (await STEPS[name]?.(world, faults, random)) ?? "";
      log[log.length - 1] += `: ${told} [${world.scheduler.wallMs % 1e9}]`;
      await world.scheduler.settle();
      await world.check(random);
    }
    log.push("end");
    const random = randomOf(seed, -1);
    await world.drain(random, false);
    await world.checkAll();
    await world.checkAccepts(random);
  } catch (error) {
    failure = messageOf(error);
    if (process.env["SIMULATION_TRACE"] !== undefined) console.error(error);
  }
  return { failure, log, counts: world.counts };
}
