import { describe, expect, test } from "vitest";
import { buildFilterRows } from "../../../src/block/filter-rows.ts";
import { datesOf, type RebuildState, stepRebuild } from "../../../src/compaction/rebuild.ts";
import { parseTraceId } from "../../../src/model/ids.ts";
import { NO_CHANGE } from "../../../src/shard/storage.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../../../src/store/catalogue.ts";
import { blockKey } from "../../../src/store/keys.ts";
import type { MergeJob, ShardJob } from "../../../src/store/rpc.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { makeRandom } from "../../support/random.ts";
import { DAY_MS, HOUR_MS, ShardWorld, START_MS } from "../../support/shard-world.ts";

async function mergeJob(world: ShardWorld): Promise<MergeJob> {
  const job = await world.nextJob();
  if (job?.kind !== "merge") throw new Error(`a merge was expected, not ${job?.kind}`);
  return job;
}

/** Runs a job up to its commit, which the test gets instead. */
async function uncommitted(world: ShardWorld, job: MergeJob) {
  const { shard } = world;
  let commit: { output: CatalogueBlock; tail: BlockTail } | undefined;
  const original = shard.commitMerge.bind(shard);
  shard.commitMerge = async (_, output, tail) => {
    commit = { output, tail };
    return { ok: true };
  };
  await world.run(job);
  shard.commitMerge = original;
  if (commit === undefined) throw new Error("no commit");
  return commit;
}

/** Looks at all dates of the bucket, as a rebuild does. */
async function lookOver(world: ShardWorld): Promise<void> {
  const { objects, rpc: shard } = world;
  const ports = { objects, shard, pause: async () => undefined, sleep: async () => undefined };
  const target = { tenant: "t", shard: 0 };
  const begun = { dateMs: 0, adopted: 0, damaged: 0, done: false, againAtMs: undefined, isOver: false };
  let state: RebuildState = { ...begun, dates: await datesOf(ports, target) };
  while (state.dates.length > 0) state = await stepRebuild(ports, target, state);
}

describe("jobs", () => {
  test("a day's blocks end up in few, in groups; each span is found once all along; inputs vanish after the grace", async () => {
    const world = new ShardWorld(1);
    const kinds = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await world.flush();
      for (const job of await world.runJobs()) kinds.add(job.kind);
      expect(await world.wrongTraces(10)).toEqual([]);
    }
    world.clock.ms = START_MS + DAY_MS + 2 * HOUR_MS;
    await world.tick();
    for (const job of await world.runJobs()) kinds.add(job.kind);
    expect(kinds).toEqual(new Set(["merge", "index"]));
    expect(world.shard.stats().blocks).toBeLessThanOrEqual(6);
    expect(world.storage.filterGroups().length).toBeGreaterThan(0);
    world.clock.ms += world.limits.objectGraceMs;
    await world.tick();
    expect(await world.keys()).toEqual(world.blockKeys());
    expect(await world.wrongTraces()).toEqual([]);
    world.restart();
    expect(await world.wrongTraces()).toEqual([]);
    expect(world.shard.findTrace(parseTraceId("ffffffffffffffffffffffffffffffff")).blocks).toEqual([]);
  });

  test("inputs stay readable for the grace time, for lookups that know of them", async () => {
    const world = new ShardWorld(2);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.run(job);
    const inputs = job.inputs.map(({ key }) => key);
    world.clock.ms += world.limits.objectGraceMs - 1;
    await world.tick();
    expect(await world.keys()).toEqual(expect.arrayContaining(inputs));
    world.clock.ms += 1;
    await world.tick();
    expect(await world.keys()).toEqual([job.key]);
  });

  test("crash at each point of a merge: the repeat is the same job, nothing is lost or there twice", async () => {
    const world = new ShardWorld(3);
    await world.flush(2);
    const given = await mergeJob(world);
    world.restart();
    expect(await world.nextJob()).toEqual(given);
    const { output } = await uncommitted(world, given);
    expect(await world.keys()).toContain(output.key);
    world.restart();
    expect(await world.wrongTraces()).toEqual([]);
    expect(await world.nextJob()).toEqual(given);
    await world.run(given);
    world.restart();
    expect(world.blockKeys()).toEqual([given.key]);
    expect(await world.wrongTraces()).toEqual([]);
    expect((await world.nextJob())?.id).not.toBe(given.id);
  });

  test("a doubled commit is fine, and changes nothing", async () => {
    const world = new ShardWorld(4);
    await world.flush(2);
    const job = await mergeJob(world);
    const { output, tail } = await uncommitted(world, job);
    const replies = await Promise.all([1, 2].map(() => world.shard.commitMerge(job.id, output, tail)));
    expect(replies).toEqual([{ ok: true }, { ok: true }]);
    world.restart();
    expect(await world.shard.commitMerge(job.id, output, tail)).toEqual({ ok: true });
    world.clock.ms += HOUR_MS;
    await world.tick();
    expect(await world.keys()).toEqual([job.key]);
    expect(await world.wrongTraces()).toEqual([]);
  });

  test("void: an input expired meanwhile; the output never enters the catalogue and is deleted", async () => {
    const world = new ShardWorld(5, { blockRetentionMs: 2 * DAY_MS });
    await world.flush(1);
    world.clock.ms += 2 * HOUR_MS;
    await world.flush(1);
    const job = await mergeJob(world);
    const { output, tail } = await uncommitted(world, job);
    const [first, second] = world.storage.youngBlocks();
    world.clock.ms = (first?.arrivedMs ?? 0) + 2 * DAY_MS + 2 * HOUR_MS;
    await world.tick();
    expect(world.blockKeys()).toEqual([second?.key]);
    const refused = { ok: false, message: expect.stringContaining("have gone") };
    expect(await world.shard.commitMerge(job.id, output, tail)).toEqual(refused);
    // A runner that comes once more.
    expect(await world.shard.commitMerge(job.id, output, tail)).toMatchObject({ ok: false });
    expect(world.blockKeys()).toEqual([second?.key]);
    world.clock.ms += world.limits.objectGraceMs;
    await world.tick();
    expect(await world.keys()).toEqual([second?.key]);
  });

  test("void: found out when the job is asked for again", async () => {
    const world = new ShardWorld(6, { blockRetentionMs: 2 * DAY_MS });
    await world.flush(2);
    const job = await mergeJob(world);
    world.clock.ms += 4 * DAY_MS;
    await world.tick();
    expect(await world.nextJob()).toBeUndefined();
    expect(world.storage.isRetired(job.id)).toBe(true);
  });

  test("a commit that comes after its output was merged on is refused and does no harm", async () => {
    const world = new ShardWorld(7);
    await world.flush(2);
    const first = await mergeJob(world);
    const { output, tail } = await uncommitted(world, first);
    await world.shard.commitMerge(first.id, output, tail);
    await world.flush(2);
    await world.runJobs();
    expect(world.blockKeys()).not.toContain(first.key);
    expect(await world.shard.commitMerge(first.id, output, tail)).toMatchObject({ ok: false });
    world.clock.ms += 2 * DAY_MS;
    await world.tick();
    await world.runJobs();
    world.clock.ms += HOUR_MS;
    await world.tick();
    // Long after everybody has forgotten of it.
    expect(await world.shard.commitMerge(first.id, output, tail)).toMatchObject({ ok: false });
    world.clock.ms += HOUR_MS;
    await world.tick();
    expect(await world.keys()).toEqual(world.blockKeys());
    expect(await world.wrongTraces()).toEqual([]);
  });

  test("a retired key that is in use again, whatever led to it, is not deleted", async () => {
    const world = new ShardWorld(8);
    await world.flush(1);
    const [block] = world.storage.youngBlocks();
    const { id = 0, key = "" } = block ?? {};
    world.storage.change({ ...NO_CHANGE, retire: [{ id, key, deleteAtMs: world.clock.ms }] });
    await world.tick();
    expect(await world.keys()).toEqual([key]);
    expect(world.storage.firstRetired()).toBeUndefined();
    expect(await world.wrongTraces()).toEqual([]);
  });

  test("ids never repeat: not with a clock that stands or goes back, not after removals and restarts", async () => {
    const world = new ShardWorld(9, { flushAgeMs: 1000, blockRetentionMs: 5 * DAY_MS });
    const random = makeRandom(9);
    const used = new Map<number, string>();
    const use = (id: number, what: string) => {
      expect(used.get(id) ?? what).toBe(what);
      used.set(id, what);
    };
    for (let step = 0; step < 150; step++) {
      const job = await world.nextJob();
      if (job !== undefined) use(job.id, `job ${JSON.stringify(job)}`);
      if (job !== undefined && random.chance(0.7)) await world.run(job);
      await world.append(2);
      for (const epoch of world.storage.epochs()) use(epoch, `epoch ${world.batches.length}`);
      await world.shard.tick(world.clock.ms + 1000);
      world.clock.ms += random.pick([0, 0, 1000, HOUR_MS, 7 * DAY_MS, -DAY_MS]);
      if (random.chance(0.3)) world.restart();
    }
    expect(used.size).toBeGreaterThan(160);
  });
});

describe("any order of events", () => {
  test.each([1, 2])(
    "seed %i: each span is found once, and in the end the bucket holds the blocks",
    async (seed) => {
      const random = makeRandom(seed);
      const world = new ShardWorld(50 + seed);
      const past: { id: number; output: CatalogueBlock; tail: BlockTail }[] = [];
      const steps: Record<string, () => Promise<unknown>> = {
        flush: () => world.flush(),
        append: () => world.append(10),
        run: async () => {
          const job = await world.nextJob();
          if (job?.kind === "merge") past.push({ id: job.id, ...(await uncommitted(world, job)) });
          if (job !== undefined && random.chance(0.7)) await world.run(job);
        },
        // A commit that was on its way, again or at last.
        commit: async () => {
          if (past.length === 0) return;
          const { id, output, tail } = random.pick(past);
          await Promise.all([1, 2].map(() => world.shard.commitMerge(id, output, tail)));
        },
        giveUp: async () => {
          const job = await world.nextJob();
          if (job !== undefined)
            await world.shard.giveUp(job.id, "for no reason", job.kind === "sweep" ? [] : undefined);
        },
        restart: async () => world.restart(),
        tick: () => world.tick(),
        pass: async () => {
          world.clock.ms += random.pick([0, 1000, 15 * 60_000, HOUR_MS, 5 * HOUR_MS, -HOUR_MS]);
        },
      };
      const names = [
        "flush",
        "flush",
        "run",
        "run",
        "run",
        "append",
        "commit",
        "giveUp",
        "restart",
        "tick",
        "pass",
      ];
      for (let step = 0; step < 100; step++) {
        await steps[random.pick(names)]?.();
        expect(await world.wrongTraces(2)).toEqual([]);
      }
      for (let day = 0; day < 3; day++) {
        world.clock.ms += DAY_MS;
        await world.tick();
        await world.runJobs();
      }
      world.clock.ms += HOUR_MS;
      await world.tick();
      expect(await world.keys()).toEqual(world.blockKeys());
      expect(await world.wrongTraces()).toEqual([]);
      expect(await world.nextJob()).toBeUndefined();
    },
  );
});

describe("giving up", () => {
  test("damaged inputs are left out for a day, the others are merged", async () => {
    const world = new ShardWorld(20);
    await world.flush(4);
    const [bad] = world.storage.youngBlocks();
    await world.objects.put(bad?.key ?? "", new Uint8Array(1000));
    const done = await world.runJobs();
    expect(done.length).toBeGreaterThan(1);
    expect(world.storage.youngBlocks().map(({ id }) => id)).toContain(bad?.id);
    expect(world.shard.stats().blocks).toBeLessThan(4);
    world.restart();
    expect(await world.nextJob()).toBeUndefined();
    world.clock.ms += 2 * DAY_MS;
    const again = await world.runJobs();
    expect(JSON.stringify(again)).toContain(`"id":${bad?.id},`);
  });

  test("of a job that is not open nobody takes notice", async () => {
    const world = new ShardWorld(21);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.shard.giveUp(job.id + 1, "another");
    expect(await world.nextJob()).toEqual(job);
  });
});

describe("filter groups", () => {
  /** A world whose blocks are indexed one job at a time. */
  async function indexed(seed: number, overrides: ConstructorParameters<typeof ShardWorld>[1] = {}) {
    const world = new ShardWorld(seed, overrides);
    const jobs: ShardJob[] = [];
    for (let i = 0; i < 24; i++) {
      await world.flush();
      jobs.push(...(await world.runJobs()));
    }
    return { world, jobs: jobs.filter((job) => job.kind === "index") };
  }

  test("a block that went meanwhile leaves a gap, the others are found", async () => {
    const world = new ShardWorld(30, { blockRetentionMs: 3 * DAY_MS });
    let job = await world.nextJob();
    while (job?.kind !== "index") {
      if (job === undefined) await world.flush();
      else await world.run(job);
      job = await world.nextJob();
    }
    const [first, second] = job.blocks;
    await expect(world.shard.commitIndex(job.id, buildFilterRows([], 16).slice(1))).rejects.toThrow(
      "a row for each",
    );
    expect(second).toBeDefined();
    world.storage.change({ ...NO_CHANGE, remove: [first?.id ?? 0] });
    world.restart();
    await world.run(job);
    expect(world.storage.filterGroups()).toMatchObject([{ slot: 0, members: [0, second?.id] }]);
    const remaining = await world.read(world.traceIds.at(-1) ?? "");
    expect(remaining.length).toBeGreaterThan(0);
    // Its repeat is told that it is done.
    const rows = buildFilterRows([], job.bits);
    expect(await world.shard.commitIndex(job.id, rows)).toEqual({ ok: true });
    expect(await world.shard.commitIndex(job.id + 1, rows)).toMatchObject({ ok: false });
  });

  test("slots of groups whose blocks are gone are taken again", async () => {
    const { world } = await indexed(31, { blockRetentionMs: DAY_MS });
    const before = world.storage.filterGroups().map(({ slot }) => slot);
    expect(before.length).toBeGreaterThan(1);
    world.clock.ms += 3 * DAY_MS;
    await world.tick();
    expect(world.storage.filterGroups()).toEqual([]);
    expect(world.shard.stats().blocks).toBe(0);
    for (let i = 0; i < 24; i++) {
      await world.flush();
      await world.runJobs();
    }
    expect(world.storage.filterGroups()[0]?.slot).toBe(0);
    expect([...world.storage.filterRows(0)].length).toBeLessThanOrEqual(before.length + 1);
  });

  test("filters are wider once 16 bits would let through too many", async () => {
    // Four blocks of 16 bits are all that is allowed for.
    const { jobs, world } = await indexed(32, { maxFalseGets: 4 / 65_536 });
    const bits = jobs.map((job) => job.bits);
    expect(bits[0]).toBe(16);
    expect(bits.at(-1)).toBe(32);
    expect(await world.wrongTraces()).toEqual([]);
  });

  test("time: blocks outside the range are left out, in groups and young", async () => {
    const { world } = await indexed(33);
    const id = parseTraceId(world.traceIds[0] ?? "");
    const [block] = world.shard.findTrace(id).blocks;
    const { minStartSeconds = 0, maxEndSeconds = 0 } = block ?? {};
    const count = (startSeconds?: number, endSeconds?: number) =>
      world.shard.findTrace(id, { startSeconds, endSeconds }).blocks.length;
    expect(count()).toBeGreaterThan(0);
    expect(count(minStartSeconds, maxEndSeconds)).toBeGreaterThan(0);
    expect(count(maxEndSeconds + DAY_MS)).toBe(0);
    expect(count(undefined, minStartSeconds - DAY_MS)).toBe(0);
  });

  test("beyond a range: what it has besides is told of the traces asked for, in groups, young and live", async () => {
    const { world } = await indexed(34);
    const old = [...world.traceIds].slice(0, 3);
    const of = (ids: readonly string[], range: TimeRange): number[] =>
      world.shard.findBeyond(concatBytes(ids.map((each) => parseTraceId(each))), range);
    const beforeAll = { endSeconds: 1 };
    expect(of(["f".repeat(32), ...old, "e".repeat(32)], beforeAll)).toEqual([1, 2, 3]);
    expect(of(old, {})).toEqual([]);
    expect(of([], beforeAll)).toEqual([]);
    await world.append(50);
    const live = world.traceIds.at(-1) ?? "";
    for (let stored = 0; stored < 2; stored++) {
      expect(of([live, old[0] ?? ""], beforeAll)).toEqual([0, 1]);
      expect(of([live], { startSeconds: 1 })).toEqual([]);
      await world.flush();
    }
    world.restart();
    expect(of([live, old[0] ?? ""], beforeAll)).toEqual([0, 1]);
  });
});

describe("sweep and rebuild", () => {
  test("a day after a job came to nothing, what nobody knows is deleted; what is known stays", async () => {
    const world = new ShardWorld(40);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.shard.giveUp(job.id, "it may not be", []);
    await world.runJobs();
    const kept = world.blockKeys();
    // An upload that outlived its runner; and an object from before this catalogue, which may have been lost.
    const orphan = job.key.replace(/\d{16}/, String(job.id + 1000).padStart(16, "0"));
    const older = job.key.replace(/\d{16}/, String(job.id - 10 * DAY_MS).padStart(16, "0"));
    const foreign = job.key.replace("shard=00", "shard=01");
    for (const key of [orphan, older, foreign]) await world.objects.put(key, new Uint8Array(10));
    world.clock.ms += DAY_MS + HOUR_MS;
    await world.tick();
    const sweep = await world.runJobs();
    expect(sweep.map(({ kind }) => kind)).toContain("sweep");
    const keys = await world.keys();
    expect(keys).not.toContain(orphan);
    expect(keys).toEqual(expect.arrayContaining([older, foreign]));
    expect(keys).toEqual(expect.arrayContaining(world.blockKeys()));
    expect(kept.length).toBeGreaterThan(0);
    expect(await world.wrongTraces()).toEqual([]);
    expect(await world.nextJob()).toBeUndefined();
  });

  test("isKnown: blocks, retired objects, the open job and epochs; foreign keys are not judged", async () => {
    const world = new ShardWorld(41);
    await world.flush(2);
    const job = await mergeJob(world);
    const [block] = world.storage.youngBlocks();
    expect(world.shard.isKnown([job.key, block?.key ?? ""])).toEqual([true, true]);
    await world.run(job);
    await world.append();
    const [epoch = 0] = world.storage.epochs();
    const keyOf = (id: number) => job.key.replace(/\d{16}/, String(id).padStart(16, "0"));
    expect(world.shard.isKnown([block?.key ?? "", keyOf(epoch), keyOf(epoch + 1), "readme.txt"])).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(world.shard.isKnown([keyOf(5).replace("tenant=t", "tenant=u")])).toEqual([true]);
  });

  test("adopt: adds what is unknown, once", async () => {
    const lost = new ShardWorld(42);
    await lost.flush(3);
    const blocks = lost.storage.youngBlocks();
    const tails = blocks.map(({ id }) => ({
      filter: lost.storage.filter(id),
      ...lost.storage.lookupTail(id),
    }));
    const [job] = await lost.runJobs();
    expect(job?.kind).toBe("merge");
    // Known as retired: its spans are in the output.
    expect(await lost.shard.adopt(blocks[0]!, tails[0]!)).toBe(false);
    const world = new ShardWorld(42);
    for (const [i, block] of blocks.entries()) {
      expect(await world.shard.adopt(block, tails[i]!)).toBe(true);
      expect(await world.shard.adopt(block, tails[i]!)).toBe(false);
    }
    world.restart();
    expect(world.storage.youngBlocks()).toEqual(blocks);
    await world.append();
    expect(world.storage.epochs()[0]).toBeGreaterThan(blocks.at(-1)?.id ?? Infinity);
    await expect(world.shard.adopt({ ...blocks[0]!, id: 1 }, tails[0]!)).rejects.toThrow("key of this shard");
  });

  test("a merge that ends after all rows were lost does not take its inputs from the rebuild", async () => {
    const world = new ShardWorld(43);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.storage.deleteAll();
    world.restart();
    // The output is stored, and refused.
    await world.run(job);
    await lookOver(world);
    expect(await world.wrongTraces()).toEqual([]);
    world.clock.ms += world.limits.objectGraceMs + HOUR_MS;
    await world.tick();
    expect(await world.wrongTraces()).toEqual([]);
    // The inputs are in the output, which the rebuild took.
    expect(await world.keys()).toEqual([job.key]);
  });

  test("a merge that puts its output after the rebuild: looked over again, it is deleted", async () => {
    const world = new ShardWorld(44);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.storage.deleteAll();
    world.restart();
    await lookOver(world);
    const before = world.blockKeys();
    expect(before).toHaveLength(2);
    await world.run(job);
    expect(await world.keys()).toContain(job.key);
    await lookOver(world);
    expect(world.blockKeys()).toEqual(before);
    world.clock.ms += world.limits.objectGraceMs + HOUR_MS;
    await world.tick();
    expect(await world.keys()).toEqual(before);
    expect(await world.wrongTraces()).toEqual([]);
  });
});

describe("discard", () => {
  const orphan = { id: START_MS - 5, key: blockKey("t", 0, START_MS - 5) };

  test("deletes an object only when blocks that are known, one of them in the catalogue, make it needless", async () => {
    const world = new ShardWorld(45);
    await world.flush(2);
    const job = await mergeJob(world);
    await world.run(job);
    const inputs = job.inputs.map(({ id }) => id);
    const [input = 0] = inputs;
    const isRetired = (): boolean => world.storage.isRetired(orphan.id);
    await world.shard.discard(orphan, [START_MS - 6]);
    await world.shard.discard(orphan, [job.id, START_MS - 6]);
    // Both were merged: what they were merged into may be the very object.
    await world.shard.discard(orphan, inputs);
    await world.shard.discard(orphan, []);
    expect(isRetired()).toBe(false);
    await world.shard.discard(orphan, [job.id, input]);
    expect(isRetired()).toBe(true);
  });

  test("never a block of the catalogue", async () => {
    const world = new ShardWorld(46);
    await world.flush(2);
    const [first, second] = world.storage.youngBlocks();
    await world.shard.discard(first!, [second!.id]);
    expect(world.storage.isRetired(first!.id)).toBe(false);
    expect(await world.wrongTraces()).toEqual([]);
  });
});

describe("a rebuild", () => {
  test("the compactor is woken until it has ended, also by a shard that started anew", async () => {
    const world = new ShardWorld(47);
    expect(await world.shard.beginRebuild(world.clock.ms)).toBe(world.clock.ms + world.limits.objectGraceMs);
    for (let hour = 1; hour <= 3; hour++) {
      world.restart();
      await world.runAlarm(true);
      expect(world.wakes).toBe(hour);
    }
    expect(world.clock.ms - START_MS).toBe(3 * world.limits.idleAlarmMs);
    await world.shard.endRebuild();
    await world.runAlarm();
    expect(world.wakes).toBe(3);
    expect(world.alarm).toBeNull();
  });
});
