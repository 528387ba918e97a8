// Goes on with new seeds for as long as asked: npm run fuzz -- [--seconds N] [--seed S] [--steps N]
// Simulations and mutations of blocks take turns. Ends with 1 at the first failure, which it shrinks and prints.
import { parseArgs } from "node:util";
import { BlockFuzz } from "../fuzz/block-fuzz.ts";
import { report, shrink } from "./shrink.ts";
import { planOf, simulate } from "./simulation.ts";

const MUTATIONS_A_TURN = 2000;
/** Blocks for the mutations: a new one now and then, of some size. */
const TURNS_A_BLOCK = 10;
const BLOCK_SPANS = [1, 7, 60, 300];

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1e9) },
    steps: { type: "string", default: "2000" },
  },
});

async function simulateSeed(seed: number): Promise<boolean> {
  const plan = planOf(seed, Number(values.steps));
  const outcome = await simulate(plan);
  if (outcome.failure === undefined) return true;
  console.log(`seed ${seed} fails after ${outcome.log.length} steps: ${outcome.failure}; making it shorter`);
  console.log(report(await shrink(plan, outcome)));
  return false;
}

async function mutateBlocks(fuzz: BlockFuzz, firstSeed: number): Promise<boolean> {
  try {
    for (let seed = firstSeed; seed < firstSeed + MUTATIONS_A_TURN; seed++) await fuzz.run(seed);
    return true;
  } catch (error) {
    console.log(error);
    return false;
  }
}

const firstSeed = Number(values.seed);
const endMs = performance.now() + 1000 * Number(values.seconds);
let turn = 0;
let isSound = true;
let fuzz = await BlockFuzz.make(firstSeed, 60);
console.log(`from seed ${firstSeed} on`);
// At least one turn, so that --seed alone repeats a failure.
do {
  const seed = firstSeed + turn;
  const spanCount = BLOCK_SPANS[Math.floor(turn / TURNS_A_BLOCK) % BLOCK_SPANS.length] ?? 60;
  if (turn % TURNS_A_BLOCK === 0) {
    fuzz = await BlockFuzz.make(seed, spanCount);
    console.log(`seed ${seed}: blocks of ${spanCount} spans`);
  }
  isSound = await simulateSeed(seed);
  if (isSound) isSound = await mutateBlocks(fuzz, seed * MUTATIONS_A_TURN);
  turn++;
} while (isSound && performance.now() < endMs);
console.log(`${turn} simulations of ${values.steps} steps, ${turn * MUTATIONS_A_TURN} mutations`);
process.exitCode = isSound ? 0 : 1;
