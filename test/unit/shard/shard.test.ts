import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readTracePages } from "../../../src/block/read-trace.ts";
import { parseTraceId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { Limits } from "../../../src/model/limits.ts";
import { MemoryShardStorage } from "../../../src/shard/memory-storage.ts";
import type { ShardPorts } from "../../../src/shard/shard.ts";
import { Shard } from "../../../src/shard/shard.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { ShardLoad } from "../../../src/store/tenant-rpc.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { AppError } from "../../../src/util/errors.ts";
import { frameOf } from "../../support/frames.ts";
import { makeGenerator } from "../../support/generator.ts";
import { spanBag } from "../../support/span-bag.ts";

const START = Date.UTC(2026, 10, 23);

/** A shard over memory whose clock and faults the test holds; `restart` is an eviction. */
function makeBench(overrides: Partial<Limits> = {}, storage = new MemoryShardStorage()) {
  const limits = { ...DEFAULT_LIMITS, ...overrides };
  const objects = new MemoryStore();
  const clock = { ms: START, now: () => clock.ms };
  const growth: ShardLoad[] = [];
  const ports: ShardPorts = {
    storage,
    objects,
    clock,
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    sleep: async () => void (clock.ms += 250),
    wakeCompactor: async () => undefined,
    requestGrowth: async (load) => void growth.push(load),
    reportSpend: async () => undefined,
  };
  const make = async () =>
    new Shard({ tenant: "single-tenant", shard: 0 }, limits, ports, await storage.getAlarm());
  return { storage, objects, clock, growth, ports, make };
}

type Bench = ReturnType<typeof makeBench>;

async function partsOf(bench: Bench, shard: Shard, traceId: string): Promise<Uint8Array[]> {
  const id = parseTraceId(traceId);
  const { live, blocks } = shard.findTrace(id);
  const parts: Uint8Array[] = [];
  if (live instanceof Uint8Array) parts.push(live);
  else for await (const chunk of live) parts.push(chunk);
  for (const { key, range, etag, resources } of blocks) {
    const pages = await bench.objects.getRange(key, range, etag);
    for await (const part of readTracePages(pages, resources, id)) parts.push(part);
  }
  return parts;
}

async function expectAll(bench: Bench, shard: Shard, batches: Uint8Array[], traceIds: readonly string[]) {
  for (const traceId of traceIds) {
    const bag = spanBag(await partsOf(bench, shard, traceId));
    expect(bag).toEqual(spanBag(batches, traceId));
    expect(bag.length).toBeGreaterThan(0);
  }
}

describe("shard", () => {
  test("append: spans are readable when it resolves, and after an eviction", async () => {
    const bench = makeBench();
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 1 });
    const batches = Array.from({ length: 5 }, () => generator.batch(100));
    for (const batch of batches)
      expect(await shard.append(frameOf(gzipSync(batch), "gzip"))).toEqual({ ok: true });
    const ids = generator.traceIds().slice(0, 20);
    await expectAll(bench, shard, batches, ids);
    const restarted = await bench.make();
    expect(restarted.stats()).toMatchObject({ liveSpans: 500, epochs: 1 });
    await expectAll(bench, restarted, batches, ids);
  });

  test("append: one row each when alone, far fewer when many wait, none for the drop of the epoch", async () => {
    const bench = makeBench();
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 2 });
    const alone = 20;
    for (let i = 0; i < alone; i++) await shard.append(frameOf(generator.batch(64)));
    // CREATE TABLE and the alarm come once an epoch.
    expect(bench.storage.rowsWritten()).toBe(alone + 3);
    const before = bench.storage.rowsWritten();
    await Promise.all(Array.from({ length: 64 }, () => shard.append(frameOf(generator.batch(16)))));
    expect(bench.storage.rowsWritten() - before).toBeLessThanOrEqual(0.2 * 64);
    const beforeFlush = bench.storage.rowsWritten();
    bench.clock.ms += DEFAULT_LIMITS.flushAgeMs;
    expect(await shard.tick(bench.clock.ms)).toMatchObject({ flushedBlocks: 1 });
    // The block, the day's usage, and an alarm for what comes later: merging, retention.
    expect(bench.storage.rowsWritten() - beforeFlush).toBe(3);
  });

  test("tick: flushes what is due, nothing before, and the block answers as the buffer did", async () => {
    const bench = makeBench({ flushAgeMs: 60_000 });
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 3 });
    const batches = Array.from({ length: 4 }, () => generator.batch(200));
    for (const batch of batches) await shard.append(frameOf(batch));
    expect(await bench.storage.getAlarm()).toBe(START + 60_000);
    expect(await shard.tick(START + 59_999)).toEqual({ flushedBlocks: 0, flushedSpans: 0 });
    expect(await shard.tick(START + 60_000)).toEqual({ flushedBlocks: 1, flushedSpans: 800 });
    expect(shard.stats()).toMatchObject({ liveSpans: 0, liveBytes: 0, epochs: 0, blocks: 1 });
    await expectAll(bench, shard, batches, generator.traceIds());
    const [block] = bench.storage.youngBlocks();
    expect(block).toMatchObject({
      key: "tenant=single-tenant/date=2026-11-23/shard=00/0001795392000000.parquet",
      spanCount: 800,
    });
    await expectAll(bench, await bench.make(), batches, generator.traceIds());
  });

  test("cut: a full epoch is flushed at once, appends go on into the next", async () => {
    const bench = makeBench({ flushBytes: 125_000 });
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 4 });
    const batches = Array.from({ length: 10 }, () => generator.batch(100));
    for (const batch of batches) await shard.append(frameOf(batch));
    expect(shard.stats().epochs).toBe(5);
    expect(await bench.storage.getAlarm()).toBe(START);
    expect(await shard.tick(START)).toMatchObject({ flushedBlocks: 4, flushedSpans: 800 });
    expect(shard.stats()).toMatchObject({ epochs: 1, liveSpans: 200 });
    // Epochs are opened in the same millisecond, their ids differ all the same, and so do the blocks' keys.
    expect(new Set(bench.storage.youngBlocks().map((block) => block.key)).size).toBe(4);
    await expectAll(bench, shard, batches, generator.traceIds().slice(0, 50));
  });

  test("clock: going back does not repeat an epoch", async () => {
    const bench = makeBench({ flushAgeMs: 1000 });
    let shard = await bench.make();
    const generator = makeGenerator({ seed: 5 });
    const first = generator.batch(50);
    await shard.append(frameOf(first));
    await shard.tick(START + 1000);
    bench.clock.ms = START - 3_600_000;
    shard = await bench.make();
    const second = generator.batch(50);
    await shard.append(frameOf(second));
    const later = START + 10_000;
    expect(await shard.tick(later)).toMatchObject({ flushedBlocks: 1 });
    expect(bench.storage.youngBlocks()).toHaveLength(2);
    await expectAll(bench, shard, [first, second], generator.traceIds().slice(0, 5));
  });

  test("clock: going back does not keep spans from being flushed, nor their alarm away", async () => {
    const bench = makeBench({ flushAgeMs: 1000 });
    let shard = await bench.make();
    const generator = makeGenerator({ seed: 30 });
    await shard.append(frameOf(generator.batch(20)));
    expect(await bench.storage.getAlarm()).toBe(START + 1000);
    bench.clock.ms = START - 86_400_000;
    await shard.append(frameOf(generator.batch(20)));
    expect(await bench.storage.getAlarm()).toBe(bench.clock.ms + 1000);
    shard = await bench.make();
    bench.clock.ms += 1000;
    expect(await shard.tick(bench.clock.ms)).toMatchObject({ flushedBlocks: 1, flushedSpans: 40 });
  });

  test("alarm: one that does not come is set again, by an append or by one that is refused", async () => {
    const generator = makeGenerator({ seed: 31 });
    const frame = frameOf(generator.batch(20));
    const bench = makeBench({ flushAgeMs: 1000, maxUnflushedBytes: 2 * frame.body.length });
    const shard = await bench.make();
    await shard.append(frame);
    for (const ok of [true, false]) {
      bench.storage.setAlarm(null);
      bench.clock.ms += 62_000;
      expect(await shard.append(frame)).toMatchObject({ ok });
      expect(await bench.storage.getAlarm()).toBe(bench.clock.ms);
    }
  });

  test("limits: queue and buffer refuse one byte past them and say when to retry", async () => {
    const frame = frameOf(makeGenerator({ seed: 6 }).batch(20));
    const size = frame.head.length + frame.body.length;
    const atQueue = await makeBench({ maxQueuedBytes: size }).make();
    const [first, second] = await Promise.all([atQueue.append(frame), atQueue.append(frame)]);
    expect(first).toEqual({ ok: true });
    expect(second).toMatchObject({ ok: false, kind: "unavailable", retryAfterMs: 1000 });
    expect(await (await makeBench({ maxQueuedBytes: size - 1 }).make()).append(frame)).toMatchObject({
      ok: false,
    });

    const raw = frame.body.length;
    const atBuffer = await makeBench({ maxUnflushedBytes: 2 * raw }).make();
    expect(await atBuffer.append(frame)).toEqual({ ok: true });
    expect(await atBuffer.append(frame)).toEqual({ ok: true });
    expect(await atBuffer.append(frame)).toMatchObject({
      ok: false,
      kind: "rate_limited",
      retryAfterMs: 5000,
    });
  });

  test("storage fault: the batch is refused as unavailable, a retry is stored once", async () => {
    const bench = makeBench();
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 7 });
    const batch = generator.batch(30);
    const append = bench.storage.appendRows.bind(bench.storage);
    bench.storage.appendRows = () => {
      throw new Error("SQLITE_FULL");
    };
    expect(await shard.append(frameOf(batch))).toMatchObject({ ok: false, kind: "unavailable" });
    expect(shard.stats().liveSpans).toBe(0);
    bench.storage.appendRows = append;
    expect(await shard.append(frameOf(batch))).toEqual({ ok: true });
    await expectAll(bench, shard, [batch], generator.traceIds());
  });

  test("long payload: is spread over rows and comes back whole, beside short ones", async () => {
    const bench = makeBench({ maxRowBytes: 50_000 });
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 8 });
    const batches = [generator.batch(20), generator.batch(500), generator.batch(20)];
    await Promise.all(batches.map((batch) => shard.append(frameOf(batch))));
    await expectAll(bench, await bench.make(), batches, generator.traceIds().slice(0, 30));
    bench.clock.ms += DEFAULT_LIMITS.flushAgeMs;
    expect(await shard.tick(bench.clock.ms)).toMatchObject({ flushedBlocks: 1, flushedSpans: 540 });
    await expectAll(bench, shard, batches, generator.traceIds().slice(0, 30));
  });

  test("lookup: touches only the frames that can hold the trace", async () => {
    const bench = makeBench();
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 9 });
    const wanted = generator.trace(30);
    await shard.append(frameOf(wanted.batches[0]!));
    for (let i = 0; i < 50; i++) await shard.append(frameOf(generator.batch(20)));
    let reads = 0;
    const bodies = bench.storage.bodies.bind(bench.storage);
    bench.storage.bodies = (...args) => {
      reads++;
      return bodies(...args);
    };
    shard.findTrace(wanted.traceId);
    expect(reads).toBe(1);
  });

  test("large live trace: a reader with its own buffer comes to the end too", async () => {
    const bench = makeBench({ maxLiveReplyBytes: 1000 });
    const shard = await bench.make();
    const trace = makeGenerator({ seed: 11 }).trace(200, 50);
    for (const batch of trace.batches) await shard.append(frameOf(batch));
    const { live } = shard.findTrace(trace.traceId);
    if (live instanceof Uint8Array) throw new Error("expected a stream");
    const reader = live.getReader({ mode: "byob" });
    const parts: Uint8Array[] = [];
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(4096));
      if (done) break;
      parts.push(value);
    }
    expect(spanBag([concatBytes(parts)])).toEqual(spanBag(trace.batches));
  });

  test("large live trace: is streamed, and its epoch waits for the reader before it is dropped", async () => {
    const bench = makeBench();
    const shard = await bench.make();
    const trace = makeGenerator({ seed: 10 }).trace(24_000);
    for (const batch of trace.batches) await shard.append(frameOf(batch));
    const { live } = shard.findTrace(trace.traceId);
    if (live instanceof Uint8Array) throw new Error("expected a stream");
    const reader = live.getReader();
    const parts: Uint8Array[] = [(await reader.read()).value!];
    bench.clock.ms += DEFAULT_LIMITS.flushAgeMs;
    let flushed = false;
    const tick = shard.tick(bench.clock.ms).then(() => (flushed = true));
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      expect(bench.storage.epochs()).toHaveLength(1);
    }
    await tick;
    expect(flushed).toBe(true);
    expect(bench.storage.epochs()).toHaveLength(0);
    expect(spanBag(parts)).toEqual(spanBag(trace.batches));
  });
});

test("large live trace: a reader that vanished delays the flush of all it read by a minute, once", async () => {
  const bench = makeBench();
  let waits = 0;
  const shard = new Shard(
    { tenant: "single-tenant", shard: 0 },
    { ...DEFAULT_LIMITS, flushBytes: 20_000, flushAgeMs: 1000, maxLiveReplyBytes: 1 },
    { ...bench.ports, sleep: async () => void waits++ },
    null,
  );
  const trace = makeGenerator({ seed: 32 }).trace(200, 40);
  for (const batch of trace.batches) await shard.append(frameOf(batch));
  expect(shard.stats().epochs).toBeGreaterThan(2);
  const { live } = shard.findTrace(trace.traceId);
  expect(live).toBeInstanceOf(ReadableStream);
  const epochs = shard.stats().epochs;
  expect(await shard.tick(START + 1000)).toMatchObject({ flushedBlocks: epochs });
  expect(waits).toBe(60_000 / 250);
});

describe("shard: object storage faults", () => {
  async function withOneEpoch(seed: number) {
    const bench = makeBench({ flushAgeMs: 1000 });
    const shard = await bench.make();
    const generator = makeGenerator({ seed });
    const batches = [generator.batch(100), generator.batch(100)];
    for (const batch of batches) await shard.append(frameOf(batch));
    bench.clock.ms += 1000;
    return { bench, shard, batches, traceIds: generator.traceIds().slice(0, 10) };
  }

  test("put fails: data stays, the alarm comes back with growing delay, then the block is written once", async () => {
    const { bench, shard, batches, traceIds } = await withOneEpoch(20);
    const put = bench.objects.put.bind(bench.objects);
    bench.objects.put = () => Promise.reject(new AppError("unavailable", "R2 is down"));
    const delays: number[] = [];
    for (let i = 0; i < 8; i++) {
      expect(await shard.tick(bench.clock.ms)).toEqual({
        flushedBlocks: 0,
        flushedSpans: 0,
        error: "R2 is down",
      });
      const alarm = (await bench.storage.getAlarm()) ?? 0;
      delays.push(alarm - bench.clock.ms);
      bench.clock.ms = alarm;
      await expectAll(bench, shard, batches, traceIds);
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    bench.objects.put = put;
    expect(await shard.tick(bench.clock.ms)).toEqual({ flushedBlocks: 1, flushedSpans: 200 });
    await expectAll(bench, shard, batches, traceIds);
  });

  test("put fails after it stored: the repeat writes the same key, spans are there once", async () => {
    const { bench, shard, batches, traceIds } = await withOneEpoch(21);
    const put = bench.objects.put.bind(bench.objects);
    const keys: string[] = [];
    bench.objects.put = async (key, bytes) => {
      keys.push(key);
      const stored = await put(key, bytes);
      if (keys.length === 1) throw new AppError("unavailable", "connection lost");
      return stored;
    };
    expect(await shard.tick(bench.clock.ms)).toMatchObject({ error: "connection lost" });
    await expectAll(bench, shard, batches, traceIds);
    expect(await shard.tick(bench.clock.ms + 60_000)).toMatchObject({ flushedBlocks: 1 });
    expect(new Set(keys).size).toBe(1);
    await expectAll(bench, shard, batches, traceIds);
  });

  test("crash between put and commit: after the restart the flush repeats, nothing twice, nothing lost", async () => {
    const { bench, shard, batches, traceIds } = await withOneEpoch(22);
    const commit = bench.storage.commitBlock.bind(bench.storage);
    bench.storage.commitBlock = () => {
      throw new Error("crash");
    };
    await shard.tick(bench.clock.ms);
    bench.storage.commitBlock = commit;
    const restarted = await bench.make();
    await expectAll(bench, restarted, batches, traceIds);
    // The epoch takes no appends any more: its flush had begun, and its repeat writes the same object.
    const late = makeGenerator({ seed: 23 });
    const batch = late.batch(50);
    await restarted.append(frameOf(batch));
    await restarted.tick(bench.clock.ms + 60_000);
    expect(bench.storage.epochs()).toEqual([]);
    expect(bench.storage.youngBlocks()).toHaveLength(2);
    await expectAll(bench, restarted, batches, traceIds);
    await expectAll(bench, restarted, [batch], late.traceIds().slice(0, 5));
  });

  test("put arrives after a crash and the repeated flush: it is the same object", async () => {
    const { bench, shard, batches, traceIds } = await withOneEpoch(27);
    const put = bench.objects.put.bind(bench.objects);
    const { promise: sent, resolve: send } = Promise.withResolvers<() => Promise<unknown>>();
    bench.objects.put = (key, bytes) => {
      send(() => put(key, bytes.slice()));
      return new Promise(() => undefined);
    };
    void shard.tick(bench.clock.ms);
    const arrive = await sent;
    bench.objects.put = put;
    const restarted = await bench.make();
    const late = makeGenerator({ seed: 28 });
    const batch = late.batch(50);
    await restarted.append(frameOf(batch));
    expect(await restarted.tick(bench.clock.ms + 60_000)).toMatchObject({ flushedBlocks: 2 });
    await arrive();
    await expectAll(bench, restarted, batches, traceIds);
    await expectAll(bench, restarted, [batch], late.traceIds().slice(0, 5));
  });

  test("put is slow: appends and lookups go on meanwhile", async () => {
    const { bench, shard, batches, traceIds } = await withOneEpoch(24);
    const put = bench.objects.put.bind(bench.objects);
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    bench.objects.put = async (key, bytes) => {
      reach();
      await gate;
      return put(key, bytes);
    };
    const tick = shard.tick(bench.clock.ms);
    await reached;
    const late = makeGenerator({ seed: 25 });
    const batch = late.batch(50);
    expect(await shard.append(frameOf(batch))).toEqual({ ok: true });
    await expectAll(bench, shard, batches, traceIds);
    await expectAll(bench, shard, [batch], late.traceIds().slice(0, 5));
    open();
    expect(await tick).toMatchObject({ flushedBlocks: 1, flushedSpans: 200 });
    await expectAll(bench, shard, batches, traceIds);
    await expectAll(bench, shard, [batch], late.traceIds().slice(0, 5));
  });

  test("one epoch's corrupt row does not keep the others from being flushed", async () => {
    const bench = makeBench({ flushBytes: 30_000, flushAgeMs: 1000 });
    const shard = await bench.make();
    const generator = makeGenerator({ seed: 26 });
    for (let i = 0; i < 3; i++) await shard.append(frameOf(generator.batch(50)));
    const [first] = bench.storage.epochs();
    const bodies = bench.storage.bodies.bind(bench.storage);
    bench.storage.bodies = function* (epoch, row) {
      for (const body of bodies(epoch, row)) yield epoch === first ? body.map((byte) => byte ^ 1) : body;
    };
    bench.clock.ms += 2000;
    expect(await shard.tick(bench.clock.ms)).toMatchObject({
      flushedBlocks: 2,
      error: expect.stringContaining("checksum"),
    });
    expect(shard.stats().epochs).toBe(1);
  });
});

describe("growth", () => {
  /** `minutes` of `perSecond` appends, a tick at the end of each. The clock stands at the end of the last. */
  async function load(bench: Bench, shard: Shard, perSecond: number, minutes: number): Promise<void> {
    const frame = frameOf(makeGenerator({ seed: 1 }).batch(1));
    for (let minute = 0; minute < minutes; minute++) {
      for (let i = 0; i < perSecond * 60; i += 100) {
        await Promise.all(
          Array.from({ length: Math.min(100, perSecond * 60 - i) }, () => shard.append(frame)),
        );
      }
      bench.clock.ms += 60_000;
      await shard.tick(bench.clock.ms);
    }
  }

  const limits = {
    flushAgeMs: 86_400_000,
    growth: { ...DEFAULT_LIMITS.growth, appendsPerSecond: 2, rawBytesPerSecond: 1e9, sustainedMs: 120_000 },
  };

  test("a shard that is too busy for as long as it takes asks for more, then waits as long again", async () => {
    const bench = makeBench(limits);
    const shard = await bench.make();
    await load(bench, shard, 3, 1);
    expect(bench.growth).toEqual([]);
    await load(bench, shard, 3, 1);
    expect(bench.growth).toEqual([{ appendsPerSecond: 3, rawBytesPerSecond: expect.any(Number) }]);
    await load(bench, shard, 3, 1);
    expect(bench.growth).toHaveLength(1);
    await load(bench, shard, 3, 1);
    expect(bench.growth).toHaveLength(2);
  });

  test("at the limit it asks for nothing", async () => {
    const bench = makeBench(limits);
    await load(bench, await bench.make(), 2, 5);
    expect(bench.growth).toEqual([]);
  });

  test("a tenant that cannot be reached is asked again by the next tick, and the flush goes on", async () => {
    const bench = makeBench({ ...limits, flushAgeMs: 1_000 });
    let calls = 0;
    const requestGrowth = async (): Promise<void> => {
      if (++calls === 1) throw new Error("out of reach");
    };
    const shard = new Shard(
      { tenant: "single-tenant", shard: 0 },
      { ...DEFAULT_LIMITS, ...limits, flushAgeMs: 1_000 },
      { ...bench.ports, requestGrowth },
      null,
    );
    await load(bench, shard, 3, 2);
    expect([calls, shard.stats().epochs]).toEqual([1, 0]);
    await shard.tick(bench.clock.ms);
    await shard.tick(bench.clock.ms);
    expect(calls).toBe(2);
  });
});
