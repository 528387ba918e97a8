// Retention, deletion of objects, the end of a shard, and the alarms that drive them.
import { describe, expect, test, vi } from "vitest";
import { parseTraceId } from "../../../src/model/ids.ts";
import { AppError } from "../../../src/util/errors.ts";
import { frameOf } from "../../support/frames.ts";
import { makeGenerator } from "../../support/generator.ts";
import { DAY_MS, HOUR_MS, ShardWorld, START_MS } from "../../support/shard-world.ts";

describe("retention", () => {
  test("whole blocks go when all their spans have been kept long enough; their objects after the grace", async () => {
    const world = new ShardWorld(1, { blockRetentionMs: 2 * DAY_MS });
    await world.flush(3);
    const blocks = world.storage.youngBlocks();
    const last = Math.max(
      ...blocks.map(({ arrivedMs, maxEndSeconds }) => Math.max(arrivedMs, maxEndSeconds * 1000)),
    );
    world.clock.ms = last + 2 * DAY_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(1);
    expect(await world.keys()).toHaveLength(3);
    expect((await world.wrongTraces()).length).toBeGreaterThan(0);
    world.clock.ms += 1;
    world.restart();
    await world.tick();
    expect(world.shard.stats().blocks).toBe(0);
    world.clock.ms += world.limits.objectGraceMs;
    await world.tick();
    expect(await world.keys()).toEqual([]);
    await world.runAlarm();
    expect(world.alarm).toBeNull();
  });

  test("late spans are kept their full time, spans of the future no longer than a day more", async () => {
    const world = new ShardWorld(2, { blockRetentionMs: 5 * DAY_MS });
    const send = async (startNs: bigint) => {
      await world.shard.append(frameOf(makeGenerator({ seed: 3, startNs }).batch(20)));
      world.clock.ms += world.limits.flushAgeMs;
      await world.tick();
    };
    await send(BigInt(START_MS - 300 * DAY_MS) * 1_000_000n);
    await send(BigInt(START_MS + 300 * DAY_MS) * 1_000_000n);
    world.clock.ms = START_MS + 5 * DAY_MS - HOUR_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(2);
    world.clock.ms = START_MS + 5 * DAY_MS + HOUR_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(1);
    world.clock.ms += DAY_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(0);
  });

  test("the tenant's own setting replaces the default, survives a restart, and can be taken back", async () => {
    const world = new ShardWorld(3);
    await world.flush(1);
    await world.shard.configure({ retentionMs: 10 * DAY_MS });
    world.clock.ms += 9 * DAY_MS;
    world.restart();
    await world.tick();
    expect(world.shard.stats().blocks).toBe(1);
    await world.shard.configure({});
    world.clock.ms = START_MS + 12 * DAY_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(1);
    const rows = world.storage.rowsWritten();
    await world.shard.configure({});
    expect(world.storage.rowsWritten()).toBe(rows);
    await world.shard.configure({ retentionMs: HOUR_MS });
    // It is done soon, whenever the alarm was to be.
    expect(world.alarm).toBeLessThanOrEqual(world.clock.ms + world.limits.idleAlarmMs);
    await world.runAlarm();
    expect(world.shard.stats().blocks).toBe(0);
  });

  test("a crash after a block left the catalogue: its object is deleted all the same", async () => {
    const world = new ShardWorld(4, { blockRetentionMs: DAY_MS });
    await world.flush(1);
    world.clock.ms += 3 * DAY_MS;
    await world.tick();
    world.restart();
    const remove = world.objects.delete.bind(world.objects);
    let calls = 0;
    world.objects.delete = async (keys) => {
      await remove(keys);
      if (++calls === 1) throw new AppError("unavailable", "connection lost");
    };
    world.clock.ms += HOUR_MS;
    expect(await world.shard.tick(world.clock.ms)).toMatchObject({ error: "connection lost" });
    expect(world.alarm).toBe(world.clock.ms + world.limits.idleAlarmMs);
    await world.runAlarm();
    expect(calls).toBe(2);
    expect(await world.keys()).toEqual([]);
    expect(world.alarm).toBeNull();
  });

  test("a rebuild does not bring back what has been kept long enough; its object is deleted", async () => {
    const world = new ShardWorld(6, { blockRetentionMs: DAY_MS });
    await world.flush(1);
    const [block] = world.storage.youngBlocks();
    const tail = { filter: world.storage.filter(START_MS), ...world.storage.lookupTail(START_MS) };
    world.clock.ms += 3 * DAY_MS;
    await world.storage.deleteAll();
    world.restart();
    for (let i = 0; i < 2; i++) expect(await world.shard.adopt(block!, tail)).toBe(false);
    expect(world.shard.stats().blocks).toBe(0);
    world.clock.ms += HOUR_MS;
    await world.runAlarm();
    expect(await world.keys()).toEqual([]);
  });

  test("more blocks and objects than one batch", async () => {
    const world = new ShardWorld(5, { blockRetentionMs: DAY_MS });
    await world.flush(1);
    const [block] = world.storage.youngBlocks();
    const tail = { filter: world.storage.filter(START_MS), ...world.storage.lookupTail(START_MS) };
    for (let i = 1; i <= 1100; i++) {
      const id = START_MS + i;
      const key = (block?.key ?? "").replace(String(START_MS), String(id));
      const { etag } = await world.objects.put(key, new Uint8Array(1));
      await world.shard.adopt({ ...block!, id, key, etag }, tail);
    }
    expect(await world.keys()).toHaveLength(1101);
    world.clock.ms += 3 * DAY_MS;
    await world.tick();
    expect(world.shard.stats().blocks).toBe(0);
    world.clock.ms += HOUR_MS;
    await world.tick();
    expect(await world.keys()).toEqual([]);
  });
});

/** Lets time go by until `endMs`; the compactor runs when it is called. The times at which the alarm ran. */
async function live(world: ShardWorld, endMs: number, evicted: boolean): Promise<number[]> {
  const alarms: number[] = [];
  let { wakes } = world;
  while (world.alarm !== null && world.alarm <= endMs) {
    await world.runAlarm(evicted);
    alarms.push(world.clock.ms);
    if (world.wakes > wakes) await world.runJobs();
    ({ wakes } = world);
    if (alarms.length > 10_000) throw new Error("a storm of alarms");
  }
  world.clock.ms = endMs;
  return alarms;
}

/** The most alarms of any hour. */
function busiestHour(alarms: readonly number[]): number {
  return Math.max(
    0,
    ...alarms.map((from) => alarms.filter((at) => at >= from && at < from + HOUR_MS).length),
  );
}

describe("alarms", () => {
  test.each([false, true])(
    "idle, evicted: %s: at most one an hour, few a day, none when nothing is left",
    async (evicted) => {
      const world = new ShardWorld(10);
      for (let i = 0; i < 9; i++) {
        await world.append();
        await world.runAlarm();
      }
      const lastFlush = world.clock.ms;
      const day = await live(world, START_MS + 2 * DAY_MS, evicted);
      expect(busiestHour(day.filter((at) => at > lastFlush))).toBeLessThanOrEqual(1);
      // What is left of the date is merged, indexed, and the inputs are deleted.
      expect(day.length).toBeGreaterThan(0);
      expect(day.length).toBeLessThanOrEqual(10);
      expect(await world.keys()).toEqual(world.blockKeys());
      expect(await world.nextJob()).toBeUndefined();
      expect(await world.wrongTraces()).toEqual([]);
      // Nothing from then on until the first block has been kept long enough.
      expect(await live(world, START_MS + 13 * DAY_MS, evicted)).toEqual([]);
      const last = await live(world, START_MS + 40 * DAY_MS, evicted);
      expect(busiestHour(last)).toBeLessThanOrEqual(1);
      expect(last.length).toBeLessThanOrEqual(20);
      expect(await world.keys()).toEqual([]);
      expect(world.alarm).toBeNull();
    },
  );

  test("idle with a compactor that never comes: at most one an hour", async () => {
    const world = new ShardWorld(11);
    await world.flush(4);
    const from = world.clock.ms;
    const alarms: number[] = [];
    while ((world.alarm ?? Infinity) < from + DAY_MS) {
      await world.runAlarm();
      alarms.push(world.clock.ms);
    }
    expect(alarms.length).toBeLessThanOrEqual(24);
    expect(busiestHour(alarms)).toBe(1);
    expect(world.wakes).toBeGreaterThanOrEqual(alarms.length);
  });

  test("an alarm that got lost is set again when the object is called; of an empty one none", async () => {
    const world = new ShardWorld(12);
    expect(world.shard.stats().blocks).toBe(0);
    expect(world.alarm).toBeNull();
    await world.flush(2);
    expect(world.alarm).not.toBeNull();
    world.storage.setAlarm(null);
    world.restart();
    expect(world.shard.stats().blocks).toBe(2);
    world.shard.findTrace(new Uint8Array(16));
    expect(world.alarm).toBe(world.clock.ms + world.limits.idleAlarmMs);
  });

  test("a busy shard: deletions and jobs ride along with the flushes, one alarm each", async () => {
    const world = new ShardWorld(13);
    const before = world.storage.rowsWritten();
    let alarms = 0;
    for (let i = 0; i < 12; i++) {
      await world.append();
      await world.runAlarm();
      alarms++;
    }
    expect(alarms).toBe(12);
    expect(world.shard.stats().blocks).toBe(12);
    // Of each flush: 1 row appended, 2 for the table, 1 block, 1 of usage, 2 alarms.
    expect(world.storage.rowsWritten() - before).toBeLessThanOrEqual(12 * (7 + 1));
  });
});

describe("destroy", () => {
  test("a shard that starts in the middle of it without an alarm sets one, and goes on alone", async () => {
    const world = new ShardWorld(31);
    await world.flush(2);
    world.objects.delete = async () => {
      throw new AppError("unavailable", "R2 is down");
    };
    await expect(world.shard.destroy(world.clock.ms)).rejects.toThrow("R2 is down");
    world.storage.setAlarm(null);
    world.restart();
    Reflect.deleteProperty(world.objects, "delete");
    expect(world.shard.findTrace(parseTraceId("ffffffffffffffffffffffffffffffff")).blocks).toEqual([]);
    expect(world.alarm).toBe(world.clock.ms);
    while (world.alarm !== null) await world.runAlarm();
    expect(await world.keys()).toEqual([]);
    expect(world.storage.setting("deleting")).toBeUndefined();
  });

  async function filled(seed: number) {
    const world = new ShardWorld(seed);
    await world.flush(5);
    await world.runJobs();
    await world.append();
    // Other shards, other tenants.
    for (const prefix of ["tenant=t/date=2026-11-23/shard=01/", "tenant=t2/date=2026-11-23/shard=00/"]) {
      await world.objects.put(`${prefix}0000000000000001.parquet`, new Uint8Array(1));
    }
    // Nobody knows of it.
    await world.objects.put("tenant=t/date=2025-01-01/shard=00/0000000000000001.parquet", new Uint8Array(1));
    return world;
  }

  const OTHERS = [
    "tenant=t/date=2026-11-23/shard=01/0000000000000001.parquet",
    "tenant=t2/date=2026-11-23/shard=00/0000000000000001.parquet",
  ];

  async function expectGone(world: ShardWorld): Promise<void> {
    expect(await world.keys()).toEqual(OTHERS);
    expect(world.storage.epochs()).toEqual([]);
    expect(world.storage.youngBlocks()).toEqual([]);
    expect(world.storage.setting("deleting")).toBeUndefined();
    expect(world.alarm).toBeNull();
  }

  test("removes every object and row of the shard, and nothing else", async () => {
    const world = await filled(20);
    expect(await world.shard.destroy(world.clock.ms)).toEqual({ done: true });
    await expectGone(world);
    expect(world.shard.isGone).toBe(true);
    expect(await world.shard.destroy(world.clock.ms)).toEqual({ done: true });
    world.restart();
    expect(await world.shard.destroy(world.clock.ms)).toEqual({ done: true });
    await expectGone(world);
  });

  test("from the first call on nothing is taken and nothing found", async () => {
    const world = await filled(21);
    world.objects.delete = () => Promise.reject(new AppError("unavailable", "R2 is down"));
    await expect(world.shard.destroy(world.clock.ms)).rejects.toThrow("R2 is down");
    for (const restarted of [false, true]) {
      if (restarted) world.restart();
      const frame = frameOf(makeGenerator({ seed: 1 }).batch(5));
      expect(await world.shard.append(frame)).toMatchObject({ ok: false, kind: "not_found" });
      for (const traceId of world.traceIds.slice(0, 5)) expect(await world.read(traceId)).toEqual([]);
      expect(world.shard.blocksBetween({})).toEqual([]);
      expect(await world.nextJob()).toBeUndefined();
    }
    expect(world.alarm).toBe(world.clock.ms + 60_000);
  });

  test("interrupted anywhere, it goes on by its alarm", async () => {
    for (const failing of ["list", "delete", "deleteAll"] as const) {
      const world = await filled(22);
      const fail = (): never => {
        throw new AppError("unavailable", "crash");
      };
      if (failing === "deleteAll") vi.spyOn(world.storage, failing).mockImplementationOnce(fail);
      else vi.spyOn(world.objects, failing).mockImplementationOnce(fail);
      await expect(world.shard.destroy(world.clock.ms)).rejects.toThrow("crash");
      world.restart();
      await world.runAlarm();
      await expectGone(world);
    }
  });

  test("waits for a job that is out: what it still writes is deleted too", async () => {
    const world = new ShardWorld(23);
    await world.flush(2);
    const job = await world.nextJob();
    if (job?.kind !== "merge") throw new Error("a merge was expected");
    expect(await world.shard.destroy(world.clock.ms)).toEqual({ done: false });
    await world.objects.put(job.key, new Uint8Array(10));
    expect(await world.shard.commitIndex(job.id, [])).toMatchObject({ ok: false });
    expect(world.alarm).toBe(world.clock.ms + world.limits.objectGraceMs);
    await world.runAlarm();
    expect(await world.keys()).toEqual([]);
    expect(world.shard.isGone).toBe(true);
  });

  test("more objects than one step deletes", async () => {
    const world = new ShardWorld(24);
    for (let i = 1; i <= 10_500; i++) {
      const id = String(i).padStart(16, "0");
      await world.objects.put(`tenant=t/date=2026-11-23/shard=00/${id}.parquet`, new Uint8Array(1));
    }
    expect(await world.shard.destroy(world.clock.ms)).toEqual({ done: false });
    expect(await world.keys()).toHaveLength(500);
    await world.runAlarm();
    expect(await world.keys()).toEqual([]);
  });
});
