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
/** Of so many seeds one begins with a block of an older version. */
const OLD_EVERY = 4;

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

const STEPS: Readonly<Record<string, Step>> = {
  resume: (world, _, random) => {
    const ended: string[] = [];
    for (let left = 1 + random.below(8); left > 0; left--) ended.push(world.scheduler.resume(random) ?? "-");
    return ended.join(", ");
  },
  append: ({ clients }, _, random) => clients.append(random),
  burst: ({ clients }, _, random) => clients.burst(random),
  redeliver: ({ clients }, _, random) => clients.redeliver(random),
  lookup: ({ clients }, _, random) => clients.lookup(random),
  abort: ({ clients }, _, random) => clients.abort(random),
  pass: (world, _, random) => world.pass(random.pick([0, 1, 250, 1000, 5000, 20_000, 60_000])),
  "pass long": (world, _, random) => world.pass(random.pick([5, 20, 90]) * 60_000),
  alarm: (world, _, random) => world.alarm(random),
  "alarm early": (world, _, random) => world.alarm(random, "early"),
  "alarm doubled": (world, _, random) => world.alarm(random, "doubled"),
  "alarm lost": (world, _, random) => world.loseAlarm(random),
  "jump forward": (world, _, random) => world.jump(jumpMs(random)),
  "jump to epoch": (world, _, random) => world.jumpToEpoch(random),
  "jump back": (world, _, random) => world.jump(-jumpMs(random)),
  crash: (world, _, random) => world.crash(random),
  "crash at put": (world, _, random) => world.crashAtPut(random),
  evict: (world, _, random) => world.evict(random),
  compact: (world, _, random) => world.compact(random),
  "compact doubled": (world, _, random) => world.compact(random, "doubled"),
  "compactor crash": (world, _, random) => world.toCompactor(random, (compactor) => compactor.crash(random)),
  "compactor crash at commit": (world, _, random) => world.crashCompactorAtCommit(random),
  "compactor evict": (world, _, random) => world.toCompactor(random, (compactor) => compactor.evict()),
  "compactor alarm lost": (world, _, random) =>
    world.toCompactor(random, (compactor) => compactor.loseAlarm()),
  "compactor forks": (world, _, random) => world.toCompactor(random, (compactor) => compactor.fork()),
  "tenant alarm": (world) => world.tenantAlarm(),
  "tenant crash": (world, _, random) => world.tenant().crash(random),
  "tenant evict": (world) => world.tenant().evict(),
  "tenant deleted": (world) => world.deleteTenant(),
  "worker restarts": ({ clients }, _, random) => {
    clients.restartWorker(random.below(3));
    return "";
  },
  grow: (world) => world.grow(),
  retention: (world, _, random) => world.setRetention(random),
  "rows lost": (world) => world.loseRows(),
  rebuild: (world) => world.rebuild(),
  outage: (_, faults) => {
    faults.isOutage = !faults.isOutage;
    return faults.isOutage ? "begins" : "ends";
  },
  rest: async (world, _, random) => {
    if (random.chance(0.3)) world.jump(-jumpMs(random));
    await world.drain(random, random.chance(0.5));
    return "";
  },
  settle: async (world, _, random) => {
    await world.settle(random);
    return "";
  },
};

/** Does the steps, then lets the world come to rest. Stops where something does not hold. */
export async function simulate({ seed, steps }: Plan): Promise<Outcome> {
  const mixture = mixtureOf(seed);
  const faults = new Faults(mixture);
  const world = new World(seed, faults);
  const giveTimersBack = world.scheduler.takeTimers();
  const { log: tellInfo, warn, error: tellError } = console;
  // What the code under test logs is what it is made to suffer.
  Object.assign(console, { log: () => undefined, warn: () => undefined, error: () => undefined });
  const log: string[] = [];
  let failure: string | undefined;
  try {
    if (seed % OLD_EVERY === 0) await world.addOldBlock();
    for (const step of steps) {
      const random = randomOf(seed, step);
      faults.random = random;
      const name = pickWeighted(mixture.steps, random);
      log.push(`${step} ${name}`);
      world.count(`step: ${name}`);
      const told = (await STEPS[name]?.(world, faults, random)) ?? "";
      log[log.length - 1] += `: ${told} [${world.scheduler.wallMs % 1e9}]`;
      await world.scheduler.settle();
      await world.check(random);
    }
    log.push("end");
    await world.end();
  } catch (error) {
    failure = messageOf(error);
    if (process.env["SIMULATION_TRACE"] !== undefined) tellError(error);
  } finally {
    giveTimersBack();
    Object.assign(console, { log: tellInfo, warn, error: tellError });
  }
  return { failure, log, counts: world.counts };
}
