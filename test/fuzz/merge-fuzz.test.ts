// See merge-fuzz.ts.
import { expect, test } from "vitest";
import { MergeFuzz } from "./merge-fuzz.ts";

const MUTATIONS = 400;

test("a merge of blocks that lie says which one, or gives a block that reads back", async () => {
  const fuzz = await MergeFuzz.make(1);
  for (let seed = 0; seed < MUTATIONS; seed++) await fuzz.run(seed);
  expect(fuzz.counts.get("corrupt")).toBeGreaterThan(50);
  expect(fuzz.counts.get("merged")).toBeGreaterThan(50);
});
