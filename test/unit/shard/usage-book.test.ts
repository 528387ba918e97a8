// What a shard counts is written along with rows that are written anyway: whatever dies, nothing that was acknowledged is
// lost, and nothing is counted twice.
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { AppendBatch, UsageDelta } from "../../../src/store/rpc.ts";
import type { ServiceShare } from "../../../src/otlp/services.ts";
import { USAGE_DAYS_KEPT } from "../../../src/shard/storage.ts";
import { Activity } from "../../../src/usage/activity.ts";
import { Meter } from "../../../src/usage/meter.ts";
import { dayOf, decodeUsage, encodeUsage, UsageDays } from "../../../src/usage/usage-days.ts";
import { frameOf } from "../../support/frames.ts";
import { makeGenerator } from "../../support/generator.ts";
import { makeRandom } from "../../support/random.ts";
import { DAY_MS, HOUR_MS, ShardWorld, START_MS } from "../../support/shard-world.ts";

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
});

function delta(id: string, requests: number, atMs = START_MS): UsageDelta {
  const usage = new UsageDays();
  usage.on(dayOf(atMs)).add("workerRequests", requests);
  return { id, usage: encodeUsage(usage) };
}

function servicesDelta(id: string, services: readonly ServiceShare[]): UsageDelta {
  const usage = new UsageDays();
  for (const { name, spans, bytes } of services) {
    usage.on(dayOf(START_MS)).add("serviceSpans", spans, name);
    usage.on(dayOf(START_MS)).add("serviceBytes", bytes, name);
  }
  return { id, usage: encodeUsage(usage) };
}

function sum(world: ShardWorld, from = 0, to = 1e6): Meter {
  const usage = decodeUsage(world.shard.usage(from, to));
  const all = new Meter();
  for (const day of usage.days) all.merge(usage.on(day));
  return all;
}

const append = (world: ShardWorld, batch: AppendBatch) => world.shard.run((shard) => shard.append(batch));
const tick = (world: ShardWorld) => world.shard.run((shard) => shard.tick(world.clock.ms));

describe("any order of batches, flushes, failures, repeats and deaths", () => {
  test.for(Array.from({ length: 25 }, (_, i) => i + 1))("seed %i", async (seed) => {
    const random = makeRandom(seed);
    const world = new ShardWorld(seed);
    const generator = makeGenerator({ seed });
    const appendRows = world.storage.appendRows.bind(world.storage);
    const commitBlock = world.storage.commitBlock.bind(world.storage);
    let fault: "append" | "commit" | undefined;
    world.storage.appendRows = (...args) => {
      if (fault === "append") throw new Error("simulated");
      appendRows(...args);
    };
    world.storage.commitBlock = (...args) => {
      if (fault === "commit") throw new Error("simulated");
      commitBlock(...args);
    };
    let spans = 0;
    let requests = 0;
    let unsure: UsageDelta[] = [];
    for (let step = 0; step < 60; step++) {
      world.clock.ms += random.below(20) * 60_000;
      fault = random.pick([undefined, undefined, undefined, "append", "commit"] as const);
      const what = random.below(10);
      if (what < 6) {
        const count = 1 + random.below(30);
        const fresh = delta(`isolate-${step}`, 1 + random.below(5), world.clock.ms);
        requests += sumOf(fresh);
        // What was sent before and may not have arrived goes again.
        const usage = random.chance(0.3) ? [...unsure, fresh, fresh] : [...unsure, fresh];
        const result = await append(world, { ...frameOf(generator.batch(count)), usage });
        if (result.ok) spans += count;
        unsure = result.ok && random.chance(0.7) ? [] : usage.slice(-8);
      } else if (what < 8) await tick(world);
      else if (what < 9) world.shard.findTrace(new Uint8Array(16));
      // Deltas that came with a failed batch are in memory only: their sender repeats them.
      if (random.chance(0.3)) world.restart();
      expect(sum(world).get("spans")).toBe(spans);
    }
    fault = undefined;
    expect((await append(world, { ...frameOf(generator.batch(1)), usage: unsure })).ok).toBe(true);
    world.restart();
    const meter = sum(world);
    expect(meter.get("spans")).toBe(spans + 1);
    expect(meter.get("workerRequests")).toBe(requests);
  });
});

function sumOf({ usage }: UsageDelta): number {
  const days = decodeUsage(usage);
  return days.days.reduce((total, day) => total + days.on(day).get("workerRequests"), 0);
}

describe("rows", () => {
  test("what is counted as written is what was written, restarts or not", async () => {
    const world = new ShardWorld(1);
    for (let i = 0; i < 12; i++) {
      expect((await append(world, frameOf(makeGenerator({ seed: i }).batch(10)))).ok).toBe(true);
      expect(sum(world).get("rowsWritten")).toBe(world.storage.rowsWritten());
      if (i % 2 === 0) world.restart();
      expect(sum(world).get("rowsWritten")).toBe(world.storage.rowsWritten());
      if (i % 4 !== 3) continue;
      world.clock.ms += world.limits.flushAgeMs;
      await tick(world);
      expect(sum(world).get("rowsWritten")).toBe(world.storage.rowsWritten());
      world.restart();
      expect(sum(world).get("rowsWritten")).toBe(world.storage.rowsWritten());
    }
  });

  test("rows hold no more than their limit with what they carry, and a single append stays one row", async () => {
    const world = new ShardWorld(2, { maxRowBytes: 20_000 });
    const appendRows = world.storage.appendRows.bind(world.storage);
    const sizes: number[] = [];
    let carried = 0;
    world.storage.appendRows = (epoch, first, rows, create) => {
      for (const { head, body, usage } of rows) sizes.push(head.length + body.length + (usage?.length ?? 0));
      carried += rows.filter(({ usage }) => usage !== undefined).length;
      appendRows(epoch, first, rows, create);
    };
    const generator = makeGenerator({ seed: 2 });
    for (let spans = 1; spans < 60; spans++) {
      const services = Array.from({ length: spans % 7 }, (_, i) => ({
        name: `service-${i}`,
        spans: 1,
        bytes: 100,
      }));
      const batch = { ...frameOf(generator.batch(spans)), usage: [servicesDelta(`s-${spans}`, services)] };
      const before = sizes.length;
      expect((await append(world, batch)).ok).toBe(true);
      const bytes = batch.head.length + batch.body.length;
      const rows = sizes.length - before;
      // What they carry takes some hundred bytes: it makes two rows of one only when that was full.
      expect(rows).toBeLessThanOrEqual(Math.ceil((bytes + 1_000) / 20_000));
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(20_000);
    expect(carried).toBe(59);
  });

  test("counts too long for a row ride with the flush; until then they are in memory", async () => {
    const world = new ShardWorld(3, { maxRowBytes: 6_000 });
    const services = Array.from({ length: 50 }, (_, i) => ({
      name: `${i}`.padStart(100, "x"),
      spans: 1,
      bytes: 9,
    }));
    const batch = { ...frameOf(makeGenerator({ seed: 3 }).batch(10)), usage: [servicesDelta("s", services)] };
    expect((await append(world, batch)).ok).toBe(true);
    expect(sum(world).get("spans")).toBe(10);
    expect(sum(world).series("serviceSpans")).toHaveLength(50);
    world.clock.ms += world.limits.flushAgeMs;
    await tick(world);
    world.restart();
    expect(sum(world).get("spans")).toBe(10);
    expect(sum(world).series("serviceSpans")).toHaveLength(50);
    expect(sum(world).get("rowsWritten")).toBe(world.storage.rowsWritten());
  });

  test("damaged counts are given up: the shard starts, the spans are there", async () => {
    const world = new ShardWorld(4);
    await world.append(10);
    const heads = world.storage.heads.bind(world.storage);
    const newestUsage = world.storage.newestUsage.bind(world.storage);
    world.storage.heads = function* (epoch) {
      for (const head of heads(epoch)) yield { ...head, usage: Uint8Array.of(1, 200, 3) };
    };
    world.storage.newestUsage = (limit) =>
      newestUsage(limit).map(({ day, savedMs }) => ({ day, savedMs, usage: Uint8Array.of(9) }));
    world.restart();
    expect(world.shard.stats().liveSpans).toBe(10);
    expect(sum(world).get("spans")).toBe(0);
    expect((await append(world, frameOf(makeGenerator({ seed: 4 }).batch(5)))).ok).toBe(true);
    expect(sum(world).get("spans")).toBe(5);
  });
});

describe("days", () => {
  test("each day has its own; a flush after midnight saves both", async () => {
    const world = new ShardWorld(5);
    const midnight = START_MS + DAY_MS;
    world.clock.ms = midnight - 60_000;
    await world.append(10);
    world.clock.ms = midnight + 60_000;
    await world.append(20);
    world.restart();
    world.clock.ms = midnight + HOUR_MS;
    await tick(world);
    world.restart();
    const usage = decodeUsage(world.shard.usage(0, 1e6));
    const today = dayOf(midnight);
    expect(usage.days).toEqual([today - 1, today]);
    expect(usage.days.map((day) => usage.on(day).get("spans"))).toEqual([10, 20]);
    expect(sum(world, today, today).get("spans")).toBe(20);
    expect(sum(world, today + 1, today + 9).get("spans")).toBe(0);
  });

  test("days are kept for 400 days, and one more is not", async () => {
    const world = new ShardWorld(6);
    const first = dayOf(world.clock.ms);
    const days = async () => {
      await world.flush();
      return world.storage.usageRows(0, 1e6).map(({ day }) => day);
    };
    expect(await days()).toEqual([first]);
    world.clock.ms = START_MS + USAGE_DAYS_KEPT * DAY_MS;
    expect(await days()).toContain(first);
    world.clock.ms = START_MS + (USAGE_DAYS_KEPT + 1) * DAY_MS;
    expect(await days()).not.toContain(first);
  });

  test("bytes of blocks times hours, by day, also while the object sleeps", async () => {
    const world = new ShardWorld(7);
    world.clock.ms = START_MS + 12 * HOUR_MS;
    await world.flush();
    const [block] = world.shard.blocksBetween({});
    const bytes = block?.byteLength ?? 0;
    const from = world.clock.ms;
    // What the flush brought is there from now on.
    sum(world);
    world.restart();
    world.clock.ms = from + 36 * HOUR_MS;
    const usage = decodeUsage(world.shard.usage(0, 1e6));
    const day = dayOf(START_MS);
    const expected = usage.days.map((one) => usage.on(one).get("r2ByteHours"));
    const flushHours = world.limits.flushAgeMs / HOUR_MS;
    expect(usage.days).toEqual([day, day + 1, day + 2]);
    // The first day's counts begin when the shard does, the third has the hours after midnight.
    expect(expected[0]).toBeGreaterThan((12 - flushHours) * bytes * 0.98);
    expect(expected[0]).toBeLessThan(12 * bytes * 1.02);
    expect(expected[1]).toBe(24 * bytes);
    expect(expected[2]).toBeGreaterThan(flushHours * bytes * 0.98);
    expect(expected[2]).toBeLessThan(flushHours * bytes * 1.02);
  });

  test("a shard that is deleted keeps nothing, and writes nothing any more", async () => {
    const world = new ShardWorld(8);
    await world.flush();
    await world.shard.run((shard) => shard.destroy(world.clock.ms));
    world.clock.ms += HOUR_MS;
    await world.shard.run((shard) => shard.destroy(world.clock.ms));
    expect(world.storage.usageRows(0, 1e6)).toEqual([]);
  });
});

describe("time", () => {
  test("active is while anything is under way, counted once; what is under way counts", () => {
    const activity = new Activity();
    activity.enter(100);
    activity.enter(150);
    expect(activity.totalMs(170)).toBe(70);
    activity.leave(200);
    activity.leave(300);
    expect(activity.totalMs(900)).toBe(200);
    activity.enter(1000);
    // A clock that goes back takes nothing away.
    activity.leave(990);
    expect(activity.totalMs(2000)).toBe(200);
  });

  test("calls that overlap, and streams that outlive them", async () => {
    const world = new ShardWorld(9, { maxLiveReplyBytes: 1 });
    const generator = makeGenerator({ seed: 9, spansPerTrace: 50 });
    for (let i = 0; i < 3; i++) expect((await append(world, frameOf(generator.batch(20)))).ok).toBe(true);
    const before = sum(world);
    const waits = [400, 1_000].map((ms) =>
      world.shard.run(async () => {
        const from = world.clock.ms;
        await Promise.resolve();
        world.clock.ms = Math.max(world.clock.ms, from + ms);
      }),
    );
    await Promise.all(waits);
    const between = sum(world);
    expect(between.get("objectRequests") - before.get("objectRequests")).toBe(2);
    expect(between.get("objectMs") - before.get("objectMs")).toBe(1_000);
    const reply = await world.shard.run((shard) =>
      shard.readSegments(Number(shard.snapshot({}).epochs[0]?.id), 1),
    );
    if (reply.kind !== "segments") throw new Error("no stream");
    world.clock.ms += 2_000;
    for await (const _ of reply.frames);
    world.clock.ms += 5_000;
    expect(sum(world).get("objectMs") - between.get("objectMs")).toBe(2_000);
  });
});
