// Plans that failed once. They mean what they meant only as long as the simulation draws its random numbers in the same
// way, so what they found is a unit test as well where it can be told in a few lines.
import type { Plan } from "./simulation.ts";

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

export const REGRESSIONS: readonly (Plan & { readonly found: string })[] = [
  {
    found: "an epoch takes spans after a restart, and a put from before it arrives last",
    seed: 5048,
    steps: [
      412,
      414,
      439,
      477,
      478,
      479,
      480,
      482,
      575,
      576,
      577,
      581,
      583,
      584,
      585,
      586,
      587,
      588,
      590,
      591,
      593,
      595,
      ...range(596, 601),
      ...range(603, 606),
      608,
      609,
      ...range(611, 616),
    ],
  },
  { found: "an epoch waits for a clock that went back", seed: 7, steps: [52, 53, 57, 67, 86] },
];
