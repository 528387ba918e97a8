// A compactor at work: what becomes of the spans, whatever fails.
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openBlock, bytesSource } from "../../../src/block/reader.ts";
import { filterBucket, filterRowHolds } from "../../../src/block/filter-rows.ts";
import { parseTraceId } from "../../../src/model/ids.ts";
import { datePrefix } from "../../../src/store/keys.ts";
import type { StoredObject } from "../../../src/store/object-store.ts";
import { must } from "../../../src/util/assert.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { AppError } from "../../../src/util/errors.ts";
import { CompactorWorld } from "../../support/compactor-world.ts";
import { makeGenerator } from "../../support/generator.ts";
import { TARGET } from "../../support/jobs-shard.ts";
import { batchOf, spanWith } from "../../support/otlp.ts";
import { spanBag } from "../../support/span-bag.ts";

const DAY = 86_400_000;
const START = Date.UTC(2026, 10, 23);
const MINUTE = 60_000;

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface Sent {
  readonly batches: Uint8Array[];
  readonly traceIds: readonly string[];
}

/** Flushes of a day, ten minutes apart: traces go on from one to the next. */
async function flushAll(world: CompactorWorld, count: number, spans = 60): Promise<Sent> {
  const generator = makeGenerator({ seed: count });
  const batches: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const batch = generator.batch(spans);
    batches.push(batch);
    await world.shard.flush(START + i * 10 * MINUTE, [batch]);
  }
  return { batches, traceIds: [...new Set(generator.traceIds())] };
}

async function expectAll(world: CompactorWorld, { batches, traceIds }: Sent): Promise<void> {
  for (const traceId of traceIds) expect(await world.shard.read(traceId)).toEqual(spanBag(batches, traceId));
}

/** The call of this number never comes back, nor does anything after it run. Resolves when it is called. */
function dyingAt(world: CompactorWorld, point: number, when: "before" | "after"): Promise<"died"> {
  return new Promise((resolve) => {
    let left = point;
    world.hook = async (_, now) => {
      if (now !== when || left-- > 0) return;
      resolve("died");
      await new Promise(() => undefined);
    };
  });
}

async function listed(world: CompactorWorld): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const object of world.objects.list("")) objects.push(object);
  return objects;
}

describe("compactor", () => {
  test("flushes of a day become one block of the day; each span is there once, before, between and after", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const sent = await flushAll(world, 20, 30);
    await expectAll(world, sent);
    const compactor = world.start();
    await compactor.wake();
    while (world.alarmMs !== null) {
      world.alarmMs = null;
      await compactor.alarm();
      await expectAll(world, sent);
    }
    expect(world.shard.entries.size).toBe(1);
    const [entry] = world.shard.entries.values();
    const { block } = must(entry, "one block");
    expect(block.key.startsWith(datePrefix(TARGET.tenant, TARGET.shard, START))).toBe(true);
    expect(block).toMatchObject({ spanCount: 600, version: 2, arrivedMs: START + 190 * MINUTE });
    expect(world.shard.retired.size).toBeGreaterThanOrEqual(20);
    expect(world.attempts).toBeUndefined();
  });

  test("spans of one trace from different flushes come together; those of a client's retries are kept once", async () => {
    const world = new CompactorWorld(START + 2 * DAY);
    const generator = makeGenerator({ seed: 5 });
    const batch = generator.batch(200);
    const other = generator.batch(200);
    const flushes = [batch, other, batch, batch, other];
    for (const [i, one] of flushes.entries()) await world.shard.flush(START + i * MINUTE, [one]);
    await world.run();
    await expectAll(world, { batches: [batch, other], traceIds: [...new Set(generator.traceIds())] });
    expect([...world.shard.entries.values()].map(({ block }) => block.spanCount)).toEqual([400]);
  });

  test("late spans belong to the date of their flush", async () => {
    const world = new CompactorWorld(START + 5 * DAY);
    const generator = makeGenerator({ seed: 6 });
    const batches = [generator.batch(50), generator.batch(50), generator.batch(50)];
    const epochs = [START, START + MINUTE, START + DAY];
    for (const [i, batch] of batches.entries()) await world.shard.flush(must(epochs[i], "an epoch"), [batch]);
    await world.run();
    await expectAll(world, { batches, traceIds: generator.traceIds() });
    const dates = [...world.shard.entries.values()].map(({ block }) => /date=([\d-]+)/.exec(block.key)?.[1]);
    expect(dates.toSorted((a = "", b = "") => a.localeCompare(b))).toEqual(["2026-11-23", "2026-11-24"]);
  });

  test("the rows of the index know every trace in its block", async () => {
    const world = new CompactorWorld(START + 100 * DAY);
    const generator = makeGenerator({ seed: 7 });
    const traces = new Map<number, string[]>();
    for (let i = 0; i < 64; i++) {
      const before = new Set(generator.traceIds());
      const block = await world.shard.flush(START + i * DAY, [generator.batch(30)]);
      traces.set(
        block.id,
        generator.traceIds().filter((id) => !before.has(id)),
      );
    }
    await world.run();
    expect(world.shard.groups).toHaveLength(1);
    expect(world.shard.indexed.size).toBe(64);
    const rows = must(world.shard.groups[0], "a group");
    expect(rows.every((row) => row.byteLength === row.buffer.byteLength)).toBe(true);
    for (const [block, ids] of traces) {
      for (const id of ids.map(parseTraceId)) {
        const row = must(rows[filterBucket(id)], "a row");
        expect(filterRowHolds(row, id, must(world.shard.indexed.get(block), "indexed"))).toBe(true);
      }
    }
  });

  test("dying at any call, before or after it took effect, loses and doubles nothing", async () => {
    let points = 0;
    for (const when of ["before", "after"] as const) {
      for (let point = 0; ; point++) {
        const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
        const sent = await flushAll(world, 3, 12);
        const died = dyingAt(world, point, when);
        const lived = world.run(world.start()).then(() => "lived");
        if ((await Promise.race([died, lived])) === "lived") break;
        points++;
        await expectAll(world, sent);
        world.hook = async () => undefined;
        await world.run();
        await expectAll(world, sent);
        expect(world.shard.entries.size).toBe(1);
        expect(world.shard.givenUp).toEqual([]);
      }
    }
    expect(points).toBeGreaterThan(20);
  });

  test("a call that fails, before or after it took effect, is made up for", async () => {
    for (const call of ["nextJob", "getRange", "put", "commitMerge", "sync", "pause"]) {
      for (const when of ["before", "after"] as const) {
        const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
        const sent = await flushAll(world, 3, 12);
        let failures = 0;
        world.hook = async (name, now) => {
          if (name !== call || now !== when || failures++ >= 2) return;
          throw new AppError("unavailable", "simulated");
        };
        await world.run();
        await expectAll(world, sent);
        expect({ call, when, blocks: world.shard.entries.size }).toEqual({ call, when, blocks: 1 });
      }
    }
  });

  test("a store that is down for long: the job waits with back-off and is not given up", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const sent = await flushAll(world, 3, 20);
    let isDown = true;
    world.hook = async (name) => {
      if (isDown && name === "put") throw new AppError("unavailable", "simulated");
    };
    const compactor = world.start();
    await compactor.wake();
    const delays: number[] = [];
    for (let i = 0; i < 12; i++) {
      world.nowMs = must(world.alarmMs, "an alarm is set");
      world.alarmMs = null;
      await compactor.alarm();
      delays.push((world.alarmMs ?? 0) - world.nowMs);
    }
    expect(delays.slice(0, 4)).toEqual([2000, 4000, 8000, 16_000]);
    expect(Math.max(...delays)).toBe(300_000);
    // Being woken meanwhile does not shorten that.
    const alarm = world.alarmMs;
    await compactor.wake();
    expect(world.alarmMs).toBe(alarm);
    isDown = false;
    await world.run(compactor);
    await expectAll(world, sent);
    expect(world.shard.givenUp).toEqual([]);
  });

  test("a job that ends its object again and again is given up", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const sent = await flushAll(world, 3, 20);
    world.hook = async (name, when) => {
      if (name === "put" && when === "before") await new Promise(() => undefined);
    };
    for (let life = 0; life < 4; life++) {
      void world.start().alarm();
      while (world.calls.get("put") !== life + 1) await nextTurn();
    }
    world.alarmMs = null;
    await world.run();
    expect(world.shard.givenUp).toMatchObject([{ message: "failed 4 times" }]);
    await expectAll(world, sent);
  });

  test("a damaged input is named and left, the others are merged", async () => {
    for (const damage of ["bytes", "missing"] as const) {
      const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
      await flushAll(world, 6, 20);
      const victim = must([...world.shard.entries.values()][2], "the third block").block;
      if (damage === "missing") await world.objects.delete([victim.key]);
      else {
        const whole = await world.objects.getRange(
          victim.key,
          { offset: 0, length: victim.byteLength },
          victim.etag,
        );
        const bytes = new Uint8Array(await new Response(whole).arrayBuffer());
        bytes[100] = must(bytes[100], "a byte") ^ 1;
        const { etag } = await world.objects.put(victim.key, bytes);
        const entry = must(world.shard.entries.get(victim.id), "its entry");
        world.shard.entries.set(victim.id, { ...entry, block: { ...victim, etag } });
      }
      await world.run();
      expect(world.shard.givenUp).toMatchObject([{ culprits: [victim.id] }]);
      expect(world.shard.entries.size).toBe(2);
      expect(world.shard.entries.has(victim.id)).toBe(true);
    }
  });

  test("a trace too large to be put together: its blocks stay apart, at the first attempt", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    for (let i = 0; i < 2; i++)
      await world.shard.flush(START + i * MINUTE, [bigBatch(new Uint8Array(0), 21e6)]);
    await world.run();
    expect(world.shard.givenUp).toMatchObject([
      { message: expect.stringContaining("bytes"), culprits: undefined },
    ]);
    expect(world.calls.get("nextJob")).toBe(2);
    expect(world.shard.entries.size).toBe(2);
  });

  test("two lives carry out the same job: they write the same object, and the second commit changes nothing", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const sent = await flushAll(world, 4, 50);
    const seen: { stored: readonly StoredObject[]; blocks: readonly number[] }[] = [];
    let lives = 1;
    world.hook = async (name, when) => {
      // The first life stands still, is taken for dead, and goes on when the second has done it all.
      if (name === "put" && when === "before" && lives++ === 1) await world.start().alarm();
      if (name !== "commitMerge" || when !== "after") return;
      seen.push({ stored: await listed(world), blocks: [...world.shard.entries.keys()] });
    };
    await world.run();
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]?.blocks).toHaveLength(1);
    expect(world.shard.retired.size).toBe(4);
    await expectAll(world, sent);
  });

  test("the inputs have gone when the job is done: the output is the shard's to delete, no block is touched", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    await flushAll(world, 4, 50);
    const compactor = world.start();
    world.hook = async (name, when) => {
      if (name !== "commitMerge" || when !== "before") return;
      // Retention was faster.
      world.shard.entries.clear();
      world.shard.job = undefined;
    };
    await world.run(compactor);
    expect(world.shard.entries.size).toBe(0);
    const [id] = world.shard.retired.keys();
    expect((await listed(world)).map(({ key }) => key)).toContain(
      world.shard.retired.get(must(id, "retired")),
    );
  });

  test("large outputs go up in equal parts, and a failed upload is aborted", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const generator = makeGenerator({ seed: 11 });
    const batches = Array.from({ length: 3 }, () => bigBatch(generator.batch(10)));
    for (const [i, batch] of batches.entries()) await world.shard.flush(START + i * MINUTE, [batch]);
    let failures = 0;
    world.hook = async (name, when) => {
      if (name === "complete" && when === "before" && failures++ === 0) {
        throw new AppError("unavailable", "simulated");
      }
    };
    await world.run();
    expect(world.calls.get("startUpload")).toBe(2);
    expect(world.calls.get("abort")).toBe(1);
    const [entry] = world.shard.entries.values();
    const { block } = must(entry, "one block");
    const parts = Math.ceil(block.byteLength / (16 * 1024 * 1024));
    expect(parts).toBeGreaterThan(1);
    expect(world.calls.get("addPart")).toBe(2 * parts);
    expect(block.etag.endsWith(`-${parts}`)).toBe(true);
    const whole = await world.objects.getRange(
      block.key,
      { offset: 0, length: block.byteLength },
      block.etag,
    );
    const bytes = new Uint8Array(await new Response(whole).arrayBuffer());
    expect((await openBlock(bytesSource(bytes))).meta.spanCount).toBe(30 + 3);
  });

  test("inputs are read in few requests", async () => {
    const world = new CompactorWorld(START + DAY + 2 * 3_600_000);
    const generator = makeGenerator({ seed: 12 });
    for (let i = 0; i < 2; i++) await world.shard.flush(START + i * MINUTE, [generator.batch(20_000)]);
    await world.run();
    const bytes = [...(await listed(world))].reduce((sum, { byteLength }) => sum + byteLength, 0) / 2;
    // Footer and parts of each, and a megabyte at a time.
    expect(world.calls.get("getRange")).toBeLessThan(2 * 8 + bytes / 500_000);
  });
});

/** The batch and a span, always of the same trace, that does not compress. */
function bigBatch(batch: Uint8Array, bytes = 5_000_000): Uint8Array {
  const bytesValue = new Uint8Array(randomBytes(bytes));
  const attributes = [{ key: "blob", value: { value: { case: "bytesValue" as const, value: bytesValue } } }];
  const big = spanWith({ spanId: new Uint8Array(randomBytes(8)), attributes });
  return concatBytes([batch, batchOf(big)]);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
