// Plans that failed once. They mean what they meant only as long as the simulation draws its random numbers in the same
// way, so each was also made a unit test; they are kept because they lead to odd places.
import type { Plan } from "./simulation.ts";

export const REGRESSIONS: readonly (Plan & { readonly found: string })[] = [];
