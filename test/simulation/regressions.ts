// Plans that failed once. They mean what they meant only as long as the simulation draws its random numbers in the same
// way, so what they found is a unit test as well where it can be told in a few lines.
import type { Plan } from "./simulation.ts";

export const REGRESSIONS: readonly (Plan & { readonly found: string })[] = [
  { found: "readers that ask the newest shards only", seed: 1, steps: [816, 817] },
];
