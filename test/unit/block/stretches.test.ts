// How often long work lets others in between.
import { describe, expect, test } from "vitest";
import { writeBlock } from "../../../src/block/block-writer.ts";
import { filterSteps } from "../../../src/block/binary-fuse.ts";
import { filterRowSteps } from "../../../src/block/filter-rows.ts";
import { mergeBlocks } from "../../../src/block/merge.ts";
import { bytesSource } from "../../../src/block/reader.ts";
import { COST_US, runSteps, Stretches } from "../../../src/block/stretches.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { makeGenerator } from "../../support/generator.ts";
import { makeRandom } from "../../support/random.ts";

/** Work of a stretch, in us. */
const STRETCH_US = 1000;
const KEYS = 50_000;

function counted(): { stretches: Stretches; pauses: () => number } {
  let count = 0;
  return { stretches: new Stretches(async () => void count++), pauses: () => count };
}

describe("stretches", () => {
  test("end when the next piece would make them too long, and not before", async () => {
    const { stretches, pauses } = counted();
    await stretches.before(STRETCH_US - 1);
    await stretches.before(1);
    expect(pauses()).toBe(0);
    await stretches.before(1);
    expect(pauses()).toBe(1);
    expect(stretches.isFull(STRETCH_US - 1)).toBe(false);
    expect(stretches.isFull(STRETCH_US)).toBe(true);
  });

  test("a piece that is longer than a stretch has one of its own", async () => {
    const { stretches, pauses } = counted();
    await stretches.before(5 * STRETCH_US);
    expect(pauses()).toBe(0);
    await stretches.before(1);
    expect(pauses()).toBe(1);
    await stretches.before(5 * STRETCH_US);
    expect(pauses()).toBe(2);
  });

  test("work that is known afterwards counts as well", async () => {
    const { stretches, pauses } = counted();
    stretches.did(STRETCH_US + 1);
    await stretches.before(0);
    expect(pauses()).toBe(1);
  });

  test("steps give what they give at once", async () => {
    function* steps(): Generator<number, string> {
      yield STRETCH_US;
      yield STRETCH_US;
      return "done";
    }
    const { stretches, pauses } = counted();
    expect(await stretches.run(steps())).toBe("done");
    expect(runSteps(steps())).toBe("done");
    expect(pauses()).toBe(1);
  });
});

describe("long work", () => {
  const costsOf = (steps: Generator<number, unknown>): number[] => [...steps];

  test("filters are built in short steps, which add up", () => {
    const ids = makeRandom(1).bytes(16 * KEYS);
    for (const steps of [
      filterSteps({ ids }, 16),
      filterRowSteps([{ index: 0, traceIds: ids.slice(0, 16 * 2000) }], 16),
    ])
      expect(Math.max(...costsOf(steps))).toBeLessThanOrEqual(STRETCH_US);
    const sum = costsOf(filterSteps({ ids }, 16)).reduce((a, b) => a + b, 0);
    expect(sum).toBeGreaterThanOrEqual(KEYS * COST_US.key);
  });

  test("a flush and a merge pause for every stretch of spans and of bytes that they compress", async () => {
    const generator = makeGenerator({ seed: 8 });
    const blocks: Uint8Array[] = [];
    let pauses = 0;
    const pause = async (): Promise<void> => void pauses++;
    for (let i = 0; i < 2; i++) {
      const chunks: Uint8Array[] = [];
      async function* source(): AsyncGenerator<Uint8Array> {
        for (let batch = 0; batch < 20; batch++) yield generator.batch(500);
      }
      pauses = 0;
      await writeBlock(source(), (bytes) => void chunks.push(bytes), { zstdLevel: 3, arrivedMs: 1, pause });
      // Each span is read twice, and compressed.
      expect(pauses).toBeGreaterThanOrEqual((10_000 * 2 * COST_US.span) / STRETCH_US);
      blocks.push(concatBytes(chunks));
    }
    pauses = 0;
    const { meta } = await mergeBlocks(blocks.map(bytesSource), () => undefined, {
      zstdLevel: 6,
      rowGroupSpans: 15_000,
      arrivedMs: 1,
      replaces: [],
      pause,
    });
    const pages = meta.rawBytes / (768 * 1024);
    expect(pauses).toBeGreaterThan((20_000 * COST_US.span) / STRETCH_US + pages);
  });
});
