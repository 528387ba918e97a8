// The shard has the last word on its tenant's limits: at each limit and one past it.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { DEFAULT_TENANT_LIMITS, type TenantLimits } from "../../../src/model/tenant-limits.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { decodeHead } from "../../../src/segment/frame.ts";
import { MemoryShardStorage } from "../../../src/shard/memory-storage.ts";
import { Shard } from "../../../src/shard/shard.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { AppendBatch } from "../../../src/store/rpc.ts";
import { frameOf } from "../../support/frames.ts";
import { batchOf, SPAN_ID } from "../../support/otlp.ts";

const START = Date.UTC(2026, 10, 23);

beforeEach(() => void vi.spyOn(console, "log").mockReturnValue());

/** A shard over memory; `open` is an eviction. */
function setUp(tenant: Partial<TenantLimits> = {}, installation: Partial<Limits> = {}) {
  const limits = { ...DEFAULT_LIMITS, ...installation, tenant: { ...DEFAULT_TENANT_LIMITS, ...tenant } };
  const storage = new MemoryShardStorage();
  const clock = { ms: START, now: () => clock.ms };
  const growth: unknown[] = [];
  const open = async () =>
    new Shard(
      { tenant: "acme", shard: 0 },
      limits,
      {
        storage,
        objects: new MemoryStore(),
        clock,
        pause: () => new Promise((resolve) => setImmediate(resolve)),
        sleep: async () => undefined,
        wakeCompactor: async () => undefined,
        requestGrowth: async (load) => void growth.push(load),
        reportSpend: async () => undefined,
      },
      await storage.getAlarm(),
    );
  return { clock, growth, open, storage };
}

function idOf(trace: number): Uint8Array {
  const id = new Uint8Array(16).fill(7);
  new DataView(id.buffer).setUint32(0, trace);
  return id;
}

/** A batch of one span for each of the traces, each of the same size. */
function spansOf(traces: readonly number[], more: Partial<AppendBatch> = {}): AppendBatch {
  const raw = batchOf(...traces.map((trace) => ({ traceId: idOf(trace), spanId: SPAN_ID, name: "span" })));
  return { ...frameOf(raw), traceSizes: walkBatch(raw, DEFAULT_LIMITS).traceSizes, ...more };
}

/** Bytes of one span of `spansOf`: ids of 16 and 8 bytes, a name of 4, with tag and length each. */
const SPAN_BYTES = 18 + 10 + 6;
const rawLength = ({ head }: AppendBatch) => decodeHead(head).rawLength;
const many = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

describe("requests", () => {
  test("as many spans as one request may have, and one more: 413", async () => {
    const shard = await setUp({ maxSpansPerRequest: 10 }).open();
    expect(await shard.append(spansOf(many(10)))).toEqual({ ok: true });
    expect(await shard.append(spansOf(many(11)))).toEqual({
      ok: false,
      kind: "too_large",
      message: "the batch has 11 spans, more than the 10 of one request: send fewer spans at a time",
    });
  });

  test("as many bytes, and one more", async () => {
    const batch = spansOf(many(10));
    const bytes = rawLength(batch);
    expect(await (await setUp({ maxBytesPerRequest: bytes }).open()).append(batch)).toEqual({ ok: true });
    expect(await (await setUp({ maxBytesPerRequest: bytes - 1 }).open()).append(batch)).toMatchObject({
      kind: "too_large",
      message: expect.stringContaining(`${bytes} bytes, more than the ${bytes - 1}`),
    });
  });
});

describe("rates", () => {
  test("the burst passes, one span more is 429 until it flowed off; a refused batch takes nothing", async () => {
    const { clock, open } = setUp({ rateSpans: 10, burstSpans: 20 });
    const shard = await open();
    expect(await shard.append(spansOf(many(20)))).toEqual({ ok: true });
    for (let i = 0; i < 3; i++) {
      expect(await shard.append(spansOf([1]))).toEqual({
        ok: false,
        kind: "rate_limited",
        message:
          "RATE_LIMITED: ingestion rate limit (local: 10 spans, global: 10 spans, burst: 20 spans) " +
          "exceeded while adding 1 spans for user acme",
        retryAfterMs: 100,
      });
    }
    clock.ms += 100;
    expect(await shard.append(spansOf([1]))).toEqual({ ok: true });
    expect(shard.stats().liveSpans).toBe(21);
  });

  test("each of four shards has a quarter, as the sender spreads the spans", async () => {
    const shard = await setUp({ rateSpans: 40, burstSpans: 80 }).open();
    expect(await shard.append(spansOf(many(20), { shardCount: 4 }))).toEqual({ ok: true });
    expect(await shard.append(spansOf([1], { shardCount: 4 }))).toMatchObject({ retryAfterMs: 100 });
    expect(await shard.append(spansOf([1], { shardCount: 2 }))).toEqual({ ok: true });
  });

  test("a token's own", async () => {
    const shard = await setUp().open();
    const caller = { tokenId: "7f3a", limits: { rateSpans: 5, burstSpans: 5 } };
    expect(await shard.append(spansOf(many(5), { caller }))).toEqual({ ok: true });
    expect(await shard.append(spansOf([1], { caller }))).toMatchObject({
      kind: "rate_limited",
      message: expect.stringMatching(/burst: 5 spans\) exceeded .* for token 7f3a of user acme$/),
    });
    expect(await shard.append(spansOf([1], { caller: { ...caller, tokenId: "other" } }))).toEqual({
      ok: true,
    });
  });

  test("what is refused for another reason does not count", async () => {
    const shard = await setUp({ rateSpans: 1, burstSpans: 10, maxSpansPerTrace: 5 }).open();
    expect(await shard.append(spansOf([1, 1, 1, 1, 1, 1]))).toMatchObject({ kind: "trace_too_large" });
    expect(await shard.append(spansOf(many(10)))).toEqual({ ok: true });
  });

  test("too much for the rate is no reason for more shards", async () => {
    const bytes = rawLength(spansOf(many(10)));
    const bench = setUp(
      { rateSpans: 10, burstSpans: 10 },
      { growth: { ...DEFAULT_LIMITS.growth, appendsPerSecond: 2, rawBytesPerSecond: 2 * bytes } },
    );
    const shard = await bench.open();
    const refusals = new Set<boolean>();
    for (let second = 0; second < 600; second++) {
      for (let i = 0; i < 5; i++) refusals.add((await shard.append(spansOf(many(10)))).ok);
      bench.clock.ms += 1_000;
    }
    await shard.tick(bench.clock.ms);
    expect(refusals).toEqual(new Set([true, false]));
    expect(bench.growth).toEqual([]);
  });
});

describe("one trace", () => {
  test("as many bytes as it may have, and one span more: the shard names it and stores nothing", async () => {
    const { open } = setUp({ maxBytesPerTrace: 10 * SPAN_BYTES });
    const shard = await open();
    for (let i = 0; i < 9; i++) expect(await shard.append(spansOf([1, 2]))).toEqual({ ok: true });
    const batch = spansOf([3, 1, 1]);
    const refusal = await shard.append(batch);
    expect(refusal).toMatchObject({
      ok: false,
      kind: "trace_too_large",
      message: expect.stringMatching(
        /^TRACE_TOO_LARGE: max size of trace \(340 bytes or 500000 spans .* for tenant acme$/,
      ),
    });
    const [hash] = decodeHead(spansOf([1]).head).traceHashes!;
    expect(refusal).toMatchObject({ traceHashes: Uint32Array.of(hash!) });
    expect(shard.stats().liveSpans).toBe(18);
    expect(await shard.append(spansOf([3, 1]))).toEqual({ ok: true });
    expect(await shard.append(spansOf([1]))).toMatchObject({ kind: "trace_too_large" });
    // The sizes are stored with the spans: an eviction does not make room.
    expect(await (await open()).append(spansOf([1]))).toMatchObject({ kind: "trace_too_large" });
    expect(await shard.append(spansOf([2]))).toEqual({ ok: true });
  });

  test("as many spans, over several epochs; a flush makes room", async () => {
    const { clock, open } = setUp({ maxSpansPerTrace: 6 }, { flushBytes: 200 });
    const shard = await open();
    for (let i = 0; i < 6; i++) expect(await shard.append(spansOf([1]))).toEqual({ ok: true });
    expect(shard.stats().epochs).toBeGreaterThan(1);
    expect(await shard.append(spansOf([1]))).toMatchObject({ kind: "trace_too_large" });
    await shard.tick(clock.ms + DEFAULT_LIMITS.flushAgeMs);
    expect(await shard.append(spansOf([1]))).toEqual({ ok: true });
  });

  test("batches that are committed together count one after another", async () => {
    const shard = await setUp({ maxSpansPerTrace: 6 }).open();
    const results = await Promise.all(many(10).map(() => shard.append(spansOf([1, 1]))));
    expect(results.filter(({ ok }) => ok)).toHaveLength(3);
    expect(shard.stats().liveSpans).toBe(6);
  });

  test("of a batch of more than it may have alone, too; a sender that tells no sizes is not held to it", async () => {
    const shard = await setUp({ maxSpansPerTrace: 2 }).open();
    const batch = spansOf([1, 1, 1]);
    expect(await shard.append(batch)).toMatchObject({ kind: "trace_too_large" });
    const { traceSizes, ...untold } = batch;
    expect(traceSizes).toEqual(Uint32Array.of(3 * SPAN_BYTES, 3));
    expect(await shard.append(untold)).toEqual({ ok: true });
  });
});

describe("live traces", () => {
  test("as many as there may be, and one more: 429, and the buffer is written to a block at once", async () => {
    const { clock, open } = setUp({ maxLiveTraces: 10 });
    const shard = await open();
    expect(await shard.append(spansOf(many(10)))).toEqual({ ok: true });
    // Of the traces that are there spans are taken all the same.
    expect(await shard.append(spansOf(many(10)))).toEqual({ ok: true });
    expect(await shard.append(spansOf([3, 10]))).toEqual({
      ok: false,
      kind: "rate_limited",
      message:
        "LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant acme: per-user traces limit " +
        "(local: 10 global: 10 actual local: 10) exceeded while adding 1 traces",
      retryAfterMs: 5_000,
    });
    expect(await shard.tick(clock.ms)).toEqual({ flushedBlocks: 1, flushedSpans: 20 });
    expect(await shard.append(spansOf([3, 10]))).toEqual({ ok: true });
  });

  test("a batch of more than there may ever be is 413: it would never pass", async () => {
    const shard = await setUp({ maxLiveTraces: 10 }).open();
    expect(await shard.append(spansOf(many(11)))).toEqual({
      ok: false,
      kind: "too_large",
      message: "the batch has 11 traces, more than the 10 of a shard: send fewer at a time",
    });
    expect(await shard.append(spansOf(many(10)))).toEqual({ ok: true });
  });

  test("the shard's share, and its own bound", async () => {
    const shared = await setUp({ maxLiveTraces: 10 }).open();
    expect(await shared.append(spansOf(many(5), { shardCount: 2 }))).toEqual({ ok: true });
    expect(await shared.append(spansOf([5], { shardCount: 2 }))).toMatchObject({ kind: "rate_limited" });
    const bound = await setUp({}, { maxLiveTraces: 5 }).open();
    expect(await bound.append(spansOf(many(5)))).toEqual({ ok: true });
    expect(await bound.append(spansOf([5]))).toMatchObject({
      message: expect.stringContaining("local: 5 global: 2000000 actual local: 5"),
    });
  });

  test("batches that are committed together count one after another", async () => {
    const shard = await setUp({ maxLiveTraces: 10 }).open();
    const results = await Promise.all(many(20).map((trace) => shard.append(spansOf([trace, trace + 100]))));
    expect(results.filter(({ ok }) => ok)).toHaveLength(5);
  });
});

describe("settings", () => {
  test("what is set holds at once and after an eviction; nothing set goes back to the defaults", async () => {
    const { open, storage } = setUp({ maxSpansPerRequest: 10 });
    const shard = await open();
    await shard.configure({ limits: { maxSpansPerRequest: 2 } });
    expect(await shard.append(spansOf(many(3)))).toMatchObject({ kind: "too_large" });
    const restarted = await open();
    expect(await restarted.append(spansOf(many(3)))).toMatchObject({ kind: "too_large" });
    expect(await restarted.append(spansOf(many(2)))).toEqual({ ok: true });
    const rows = storage.rowsWritten();
    await restarted.configure({ limits: { maxSpansPerRequest: 2 } });
    expect(storage.rowsWritten()).toBe(rows);
    await restarted.configure({});
    expect(await restarted.append(spansOf(many(10)))).toEqual({ ok: true });
    expect(await (await open()).append(spansOf(many(11)))).toMatchObject({ kind: "too_large" });
  });
});
