// A catalogue from the bucket alone, whatever lies there and wherever it stops.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { CatalogueBlock } from "../../../src/store/catalogue.ts";
import { blockKey } from "../../../src/store/keys.ts";
import { must } from "../../../src/util/assert.ts";
import { AppError } from "../../../src/util/errors.ts";
import { CompactorWorld } from "../../support/compactor-world.ts";
import { makeGenerator } from "../../support/generator.ts";
import { GRACE_MS, JobsShard, TARGET } from "../../support/jobs-shard.ts";
import { spanBag } from "../../support/span-bag.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;
const START = Date.UTC(2026, 10, 23);

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Blocks of three days, those of the first one merged, with their inputs still there. */
async function threeDays() {
  const world = new CompactorWorld(START + DAY + 2 * HOUR);
  const generator = makeGenerator({ seed: 3 });
  const batches: Uint8Array[] = [];
  const flush = async (epoch: number): Promise<CatalogueBlock> => {
    const batch = generator.batch(20);
    batches.push(batch);
    return world.shard.flush(epoch, [batch]);
  };
  for (let i = 0; i < 4; i++) await flush(START + i * MINUTE);
  await world.run();
  const [merged] = world.shard.entries.keys();
  await flush(START + DAY + 3 * HOUR);
  await flush(START + DAY + 4 * HOUR);
  await flush(START + 2 * DAY + HOUR);
  world.nowMs = START + 2 * DAY + 2 * HOUR;
  const blocks = [...world.shard.entries.keys()].toSorted((a, b) => a - b);
  const expectAll = async (): Promise<void> => {
    for (const traceId of generator.traceIds())
      expect(await world.shard.read(traceId)).toEqual(spanBag(batches, traceId));
  };
  return { world, flush, expectAll, blocks, merged: must(merged, "a merged block") };
}

/** The shard loses every row. */
function forget({ shard }: CompactorWorld): void {
  shard.entries.clear();
  shard.retired.clear();
  shard.job = undefined;
}

/** Runs to its end, without the jobs that follow. */
async function rebuild(world: CompactorWorld): Promise<void> {
  const compactor = world.start();
  await compactor.rebuild();
  while (world.progress === "begin" || world.progress?.isOver !== true) {
    world.nowMs = Math.max(world.nowMs, must(world.alarmMs ?? undefined, "an alarm is set"));
    world.alarmMs = null;
    await compactor.alarm();
  }
}

/** After the call of this number, nothing more runs, or it fails. Resolves then. */
function stoppedAt(world: CompactorWorld, point: number, kind: "death" | "failure"): Promise<"stopped"> {
  return new Promise((resolve) => {
    let left = point;
    world.hook = async (_, when) => {
      if (when !== "after" || left-- > 0) return;
      world.hook = async () => undefined;
      resolve("stopped");
      if (kind === "failure") throw new AppError("unavailable", "simulated");
      await new Promise(() => undefined);
    };
  });
}

const ids = (world: CompactorWorld): number[] => [...world.shard.entries.keys()].toSorted((a, b) => a - b);

describe("rebuild of the catalogue", () => {
  test("every block is found again, of merged ones the output and not the inputs", async () => {
    const { world, blocks, expectAll } = await threeDays();
    forget(world);
    await rebuild(world);
    expect(ids(world)).toEqual(blocks);
    expect(world.progress).toMatchObject({ adopted: blocks.length, damaged: 0, done: true });
    await expectAll();
    await rebuild(world);
    expect(ids(world)).toEqual(blocks);
    expect(world.progress).toMatchObject({ adopted: 0, damaged: 0, done: true });
  });

  test("an entry is what it was: facts, filter, page index", async () => {
    const { world } = await threeDays();
    const before = new Map(world.shard.entries);
    forget(world);
    await rebuild(world);
    expect(world.shard.entries).toEqual(before);
  });

  test("blocks that the catalogue knows stay, only those that it lacks are added", async () => {
    const { world, blocks, expectAll } = await threeDays();
    world.shard.entries.delete(must(blocks[1], "a block"));
    await rebuild(world);
    expect(world.progress).toMatchObject({ adopted: 1 });
    await expectAll();
  });

  test("the output of a merge that was not committed does not come beside its inputs", async () => {
    const { world, blocks, merged, expectAll } = await threeDays();
    const inputs = [...world.shard.retired.keys()];
    const lost = must(blocks.at(-1), "a block");
    const output = must(world.shard.entries.get(merged), "the output");
    // The state before the commit, and a block that is missing besides.
    forget(world);
    await rebuild(world);
    world.shard.entries.delete(lost);
    world.shard.entries.delete(merged);
    for (const id of inputs) {
      const key = blockKey(TARGET.tenant, TARGET.shard, id);
      const stored = must(await storedOf(world, key), "an input");
      world.shard.add({ ...output.block, id, key, etag: stored.etag }, output.tail);
    }
    await rebuild(world);
    expect(ids(world)).toEqual(
      [...inputs, ...blocks.filter((id) => id !== merged)].toSorted((a, b) => a - b),
    );
    expect(world.shard.retired.has(merged)).toBe(true);
    for (const id of inputs) world.shard.entries.delete(id);
    world.shard.retired.clear();
    await rebuild(world);
    await expectAll();
  });

  test("a damaged output: its inputs are taken instead", async () => {
    const { world, merged, expectAll } = await threeDays();
    const { block } = must(world.shard.entries.get(merged), "the output");
    await damage(world, block, (bytes) => bytes.fill(0, bytes.length - 300, bytes.length - 8));
    forget(world);
    await rebuild(world);
    expect(world.shard.entries.has(merged)).toBe(false);
    expect(world.progress).toMatchObject({ adopted: 7, damaged: 1 });
    await expectAll();
  });

  test("a damaged block is left out and counted, the others are added", async () => {
    const { world, blocks } = await threeDays();
    const victim = must(blocks.at(-1), "a block");
    const { block } = must(world.shard.entries.get(victim), "its entry");
    await damage(world, block, (bytes) => bytes.fill(0));
    await world.objects.put(`${block.key}.note`, new Uint8Array(10));
    forget(world);
    await rebuild(world);
    expect(ids(world)).toEqual(blocks.slice(0, -1));
    expect(world.progress).toMatchObject({ adopted: blocks.length - 1, damaged: 1 });
  });

  test("stopped at any call by death or a failing store, it goes on and ends the same", async () => {
    for (const kind of ["death", "failure"] as const) {
      for (let point = 0; ; point++) {
        const { world, blocks, expectAll } = await threeDays();
        forget(world);
        const stopped = stoppedAt(world, point, kind);
        const ended = rebuild(world).then(() => "ended");
        // Only the first two calls, which are still the asker's, fail in his face.
        ended.catch(() => undefined);
        const first = await Promise.race([stopped, ended]);
        if (first === "ended") break;
        if (kind === "death" || point <= 1) await rebuild(world);
        else await ended;
        expect(ids(world)).toEqual(blocks);
        await expectAll();
      }
    }
  });

  test("hundreds of blocks take several alarms, and jobs wait until the last", async () => {
    const world = new CompactorWorld(START + 5 * DAY);
    const generator = makeGenerator({ seed: 9 });
    for (let i = 0; i < 520; i++) await world.shard.flush(START + i * MINUTE, [generator.batch(1)]);
    forget(world);
    const compactor = world.start();
    await compactor.rebuild();
    const adopted: number[] = [];
    while (compactor.rebuildProgress()?.done !== true) {
      world.alarmMs = null;
      await compactor.alarm();
      adopted.push(compactor.rebuildProgress()?.adopted ?? 0);
      expect(world.calls.get("nextJob")).toBeUndefined();
    }
    expect(adopted).toEqual([0, 500, 520]);
    const doneMs = world.nowMs;
    await world.run(compactor);
    expect(world.nowMs).toBe(doneMs + GRACE_MS);
    expect(compactor.rebuildProgress()).toMatchObject({ adopted: 520, damaged: 0, done: true });
    expect(world.shard.isRebuilding).toBe(false);
    expect(world.calls.get("nextJob")).toBeGreaterThan(0);
  });

  test("inputs that were to be deleted are: a second loss does not bring them back beside what they were merged into", async () => {
    const { world, flush, merged, expectAll } = await threeDays();
    const inputs = [...world.shard.retired.keys()];
    expect(inputs).toHaveLength(4);
    forget(world);
    await rebuild(world);
    expect([...world.shard.retired.keys()].toSorted((a, b) => a - b)).toEqual(inputs);
    // The shard deletes them. Another merge takes the output away.
    await world.objects.delete([...world.shard.retired.values()]);
    await flush(START + 5 * HOUR);
    await world.run();
    expect(world.shard.entries.has(merged)).toBe(false);
    forget(world);
    await rebuild(world);
    await expectAll();
  });

  test("an output that appears after the first look is deleted by the second, its inputs stay", async () => {
    const { world, merged, expectAll } = await threeDays();
    const output = must(world.shard.entries.get(merged), "the output").block;
    const bytes = await bytesOf(world, output);
    await world.objects.delete([output.key]);
    forget(world);
    const compactor = world.start();
    await compactor.rebuild();
    while (compactor.rebuildProgress()?.done !== true) await compactor.alarm();
    const before = ids(world);
    expect(before).not.toContain(merged);
    await world.objects.put(output.key, bytes);
    await rebuild(world);
    expect(ids(world)).toEqual(before);
    expect([...world.shard.retired.values()]).toEqual([output.key]);
    await expectAll();
  });

  test("blocks of dates ahead of the clock are found, however far", async () => {
    const { world, flush, expectAll } = await threeDays();
    await flush(START + 4000 * DAY);
    await flush(START + 9 * DAY);
    const before = ids(world);
    forget(world);
    await rebuild(world);
    expect(ids(world)).toEqual(before);
    await expectAll();
  });

  test("a rebuild whose alarm is lost goes on when the shard wakes the compactor, also while it waits", async () => {
    const { world, blocks, expectAll } = await threeDays();
    forget(world);
    await world.start().rebuild();
    expect(world.shard.isRebuilding).toBe(true);
    for (let alarms = 0; world.progress === "begin" || world.progress?.isOver !== true; alarms++) {
      expect(alarms).toBeLessThan(20);
      world.alarmMs = null;
      const compactor = world.start();
      await compactor.wake();
      expect(world.alarmMs).toBe(world.nowMs);
      await compactor.alarm();
      world.nowMs += 10 * MINUTE;
    }
    expect(ids(world)).toEqual(blocks);
    expect(world.shard.isRebuilding).toBe(false);
    await expectAll();
  });

  test("an empty bucket, and another shard's blocks", async () => {
    const world = new CompactorWorld(START + DAY);
    await rebuild(world);
    expect(world.progress).toMatchObject({ adopted: 0, done: true });
    const other = new JobsShard(world.objects);
    const { key, etag, byteLength } = await other.flush(START, [makeGenerator({ seed: 1 }).batch(5)]);
    const bytes = await bytesOf(world, { key, etag, byteLength });
    await world.objects.delete([key]);
    await world.objects.put(blockKey(TARGET.tenant, TARGET.shard + 1, START), bytes);
    await world.objects.put(blockKey(`${TARGET.tenant}2`, TARGET.shard, START), bytes);
    await rebuild(world);
    expect(world.progress).toMatchObject({ adopted: 0, damaged: 0, done: true });
  });
});

describe("sweep", () => {
  /** A catalogue of some blocks beside an object that it does not know. */
  async function withOrphan() {
    const { world, blocks, expectAll } = await threeDays();
    await world.objects.delete([...world.shard.retired.values()]);
    world.shard.retired.clear();
    const orphan = blockKey(TARGET.tenant, TARGET.shard, START + 12 * HOUR);
    await world.objects.put(orphan, new Uint8Array(10));
    const prefixes = [orphan.slice(0, orphan.lastIndexOf("/") + 1)];
    return { world, blocks, expectAll, orphan, prefixes };
  }

  test("an object that nobody knows is deleted, everything else stays", async () => {
    const { world, expectAll, orphan, prefixes } = await withOrphan();
    const young = blockKey(TARGET.tenant, TARGET.shard, world.nowMs, START);
    await world.objects.put(young, new Uint8Array(10));
    await world.objects.put(`${prefixes[0]}README`, new Uint8Array(10));
    world.shard.sweep = { prefixes, afterId: START, beforeId: world.nowMs };
    await world.run();
    const left = [...(await keys(world))];
    expect(left).not.toContain(orphan);
    expect(left).toEqual(expect.arrayContaining([young, `${prefixes[0]}README`]));
    expect(world.shard.sweep).toBeUndefined();
    await expectAll();
  });

  test("when much is unknown nothing is deleted: it is the catalogue that is wrong", async () => {
    const { world, prefixes } = await withOrphan();
    for (let i = 0; i < 15; i++)
      await world.objects.put(
        blockKey(TARGET.tenant, TARGET.shard, START + 13 * HOUR + i),
        new Uint8Array(10),
      );
    const before = await keys(world);
    world.shard.sweep = { prefixes, afterId: START, beforeId: world.nowMs };
    await world.start().alarm();
    expect(await keys(world)).toEqual(before);
    expect(world.shard.givenUp).toMatchObject([{ message: expect.stringContaining("to be rebuilt") }]);
  });

  test("failing after the deletion it is repeated, and finds nothing left to delete", async () => {
    const { world, orphan, prefixes } = await withOrphan();
    world.shard.sweep = { prefixes, afterId: START, beforeId: world.nowMs };
    let failures = 0;
    world.hook = async (name, when) => {
      if (name === "delete" && when === "after" && failures++ === 0)
        throw new AppError("unavailable", "simulated");
    };
    await world.run();
    expect(await keys(world)).not.toContain(orphan);
    expect(world.calls.get("delete")).toBe(1);
    expect(world.shard.sweep).toBeUndefined();
  });
});

async function keys(world: CompactorWorld): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of world.objects.list("")) found.push(key);
  return found;
}

async function storedOf(world: CompactorWorld, wanted: string): Promise<{ etag: string } | undefined> {
  for await (const stored of world.objects.list(wanted)) return stored;
  return undefined;
}

async function bytesOf(
  world: CompactorWorld,
  { key, etag, byteLength }: Pick<CatalogueBlock, "key" | "etag" | "byteLength">,
): Promise<Uint8Array> {
  const whole = await world.objects.getRange(key, { offset: 0, length: byteLength }, etag);
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

async function damage(
  world: CompactorWorld,
  block: CatalogueBlock,
  change: (bytes: Uint8Array) => void,
): Promise<void> {
  const bytes = await bytesOf(world, block);
  change(bytes);
  await world.objects.put(block.key, bytes);
}
