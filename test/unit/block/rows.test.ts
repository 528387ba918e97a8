// Every column of every row against the spans as they were sent. The reader is hyparquet, the expectation comes from
// the generated protobuf code and a naive ordering: neither knows src/block.
import { describe, expect, test } from "vitest";
import { compareRows } from "../../support/block-model.ts";
import { makeGenerator } from "../../support/generator.ts";

describe("block rows", () => {
  test("realistic traffic reads back equal, column by column", async () => {
    const generator = makeGenerator({ seed: 11 });
    const { actual, expected } = await compareRows([
      generator.batch(700),
      generator.batch(1),
      generator.batch(800),
    ]);
    expect(expected.length).toBe(1501);
    expect(actual).toEqual(expected);
  });

  test("a single span", async () => {
    const { actual, expected } = await compareRows([makeGenerator({ seed: 3 }).batch(1)]);
    expect(actual).toEqual(expected);
  });

  test("duplicates are removed, whole batches sent again included", async () => {
    const generator = makeGenerator({ seed: 5 });
    const batch = generator.batch(200);
    const { actual, expected } = await compareRows([batch, generator.batch(50), batch]);
    expect(actual.length).toBe(250);
    expect(actual).toEqual(expected);
  });
});
