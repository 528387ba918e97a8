// See block-fuzz.ts; `npm run fuzz` goes on with other seeds.
import { expect, test } from "vitest";
import { BlockFuzz } from "./block-fuzz.ts";

const MUTATIONS = 20_000;

test("blocks that lie are refused, or read as what they say", async () => {
  const fuzz = await BlockFuzz.make(1, 60);
  for (let seed = 0; seed < MUTATIONS; seed++) await fuzz.run(seed);
  const { counts } = fuzz;
  // Otherwise the mutations are too wild to reach the decoders, or too tame.
  for (const target of ["page", "resources", "trace index", "footer", "column"]) {
    expect(counts.get(`${target}: corrupt`)).toBeGreaterThan(100);
    expect(counts.get(`${target}: consistent`)).toBeGreaterThan(10);
  }
});
