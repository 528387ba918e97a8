// Which calls and reads a lookup makes, and what it makes of failures. What the merged trace looks like is tested in
// trace-merge.test.ts.
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { findTrace, type FoundTrace, type TraceQuery } from "../../../src/query/find-trace.ts";
import { failureText, partialMessage } from "../../../src/query/trace-body.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import {
  batch,
  FakeShard,
  FakeStore,
  fakeReadPages,
  liveStream,
  span,
  TRACE_ID,
} from "../../support/query-fakes.ts";
import { makeRandom } from "../../support/random.ts";

interface Setup {
  readonly shard: FakeShard;
  readonly store: FakeStore;
  find(query?: Partial<TraceQuery>, limits?: Partial<Limits>, signal?: AbortSignal): Promise<FoundTrace>;
}

function setUp(): Setup {
  const shard = new FakeShard();
  const store = new FakeStore();
  return {
    shard,
    store,
    find: (query, limits, signal) =>
      findTrace(
        {
          limits: { ...DEFAULT_LIMITS, ...limits },
          objects: store,
          shards: [{ name: "t/0", shard }],
          readPages: fakeReadPages,
        },
        { traceId: TRACE_ID, mode: "all", startSeconds: 0, endSeconds: 0, ...query },
        signal,
      ),
  };
}

/** `count` blocks of one span each, with ids from 1. */
async function addBlocks({ shard, store }: Setup, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) await shard.addBlock(store, `block-${i}`, [batch("a", [span(i)])]);
}

function names(trace: FoundTrace): string[] {
  const found: string[] = [];
  for (const layout of trace.trace.records(true)) {
    const text = new TextDecoder("latin1").decode(
      layout.bytes.subarray(layout.record.body, layout.record.end),
    );
    found.push(...(text.match(/s\d+(?=0)/g) ?? []));
  }
  return found;
}

describe("findTrace: calls", () => {
  test("one call to the shard and one range per block, whatever the number of blocks", async () => {
    const setup = setUp();
    await addBlocks(setup, 40);
    const found = await setup.find();
    expect(setup.shard.calls).toEqual([TRACE_ID]);
    expect(setup.store.gets).toEqual(Array.from({ length: 40 }, (_, i) => `block-${i + 1}`));
    expect(found.trace.spanCount).toBe(40);
    expect(found.blocks).toBe(40);
    expect(found.failures).toEqual([]);
  });

  test("at most 6 bodies are open at a time, and 6 are", async () => {
    const setup = setUp();
    await addBlocks(setup, 40);
    await setup.find();
    expect(setup.store.maxOpen).toBe(6);
    expect(setup.store.open).toBe(0);
  });

  test("a live stream counts as one of the 6 while it is read", async () => {
    const setup = setUp();
    await addBlocks(setup, 10);
    let openDuringLive = 0;
    const bytes = batch("live", [span(99)]);
    let at = 0;
    setup.shard.live = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          openDuringLive = Math.max(openDuringLive, setup.store.open);
          if (at < bytes.length) controller.enqueue(bytes.slice(at, (at += 20)));
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const found = await setup.find();
    expect(openDuringLive).toBe(5);
    expect(setup.store.maxOpen).toBe(6);
    expect(found.trace.spanCount).toBe(11);
    expect(found.liveSpans).toBe(1);
  });

  test("live spans come first, then the blocks in the shard's order", async () => {
    const setup = setUp();
    await addBlocks(setup, 9);
    setup.shard.live = batch("live", [span(50), span(51)]);
    const found = await setup.find();
    expect(found.trace.spanCount).toBe(11);
    expect(found.liveSpans).toBe(2);
    expect(names(found)).toEqual(["s50", "s51", ...Array.from({ length: 9 }, (_, i) => `s${i + 1}`)]);
  });

  test("the bytes read are counted", async () => {
    const setup = setUp();
    await addBlocks(setup, 2);
    setup.shard.live = batch("live", [span(50)]);
    const found = await setup.find();
    const ranges = setup.shard.blocks.reduce((sum, { range }) => sum + range.length, 0);
    expect(found.inspectedBytes).toBe(setup.shard.live.length + ranges);
  });

  test("nothing found is an empty trace", async () => {
    const setup = setUp();
    const found = await setup.find();
    expect(found.trace.spanCount).toBe(0);
    expect(found.inspectedBytes).toBe(0);
    expect(setup.store.gets).toEqual([]);
  });
});

describe("findTrace: where to look", () => {
  test("start and end leave out the blocks that lie outside, edges included", async () => {
    const setup = setUp();
    const { shard, store } = setup;
    await shard.addBlock(store, "early", [batch("a", [span(1)])], [100, 200]);
    await shard.addBlock(store, "middle", [batch("a", [span(2)])], [150, 300]);
    await shard.addBlock(store, "late", [batch("a", [span(3)])], [250, 400]);
    const read = async (startSeconds: number, endSeconds: number): Promise<string[]> => {
      store.gets.length = 0;
      await setup.find({ startSeconds, endSeconds });
      return [...store.gets];
    };
    expect(await read(0, 0)).toEqual(["early", "middle", "late"]);
    expect(await read(200, 0)).toEqual(["early", "middle", "late"]);
    expect(await read(201, 0)).toEqual(["middle", "late"]);
    expect(await read(0, 250)).toEqual(["early", "middle", "late"]);
    expect(await read(0, 249)).toEqual(["early", "middle"]);
    expect(await read(201, 249)).toEqual(["middle"]);
    expect(await read(401, 500)).toEqual([]);
  });

  test("mode ingesters reads no block, mode blocks no live spans, mode external nothing at all", async () => {
    const setup = setUp();
    await addBlocks(setup, 1);
    setup.shard.live = batch("live", [span(50)]);
    expect(names(await setup.find({ mode: "ingesters" }))).toEqual(["s50"]);
    expect(setup.store.gets).toEqual([]);
    expect(names(await setup.find({ mode: "blocks" }))).toEqual(["s1"]);
    expect(setup.shard.calls.length).toBe(2);
    expect(names(await setup.find({ mode: "external" }))).toEqual([]);
    expect(setup.shard.calls.length).toBe(2);
  });

  test("mode blocks cancels the live stream that it does not want", async () => {
    const setup = setUp();
    const state = { cancelled: false, pulled: 0 };
    setup.shard.live = liveStream(batch("live", [span(50)]), 10, state);
    await setup.find({ mode: "blocks" });
    expect(state).toEqual({ cancelled: true, pulled: 0 });
  });
});

describe("findTrace: failures", () => {
  test.each([
    ["not_found", 1],
    ["corrupt", 1],
    ["unavailable", 2],
  ] as const)("a block that is %s hides no other block; it is read %i time(s)", async (fault, times) => {
    const setup = setUp();
    await addBlocks(setup, 8);
    setup.store.fail("block-3", fault, fault);
    setup.shard.live = batch("live", [span(50)]);
    const found = await setup.find();
    expect(found.failures).toEqual([{ source: "block-3", kind: fault, message: "fake: block-3" }]);
    expect(names(found)).toEqual(["s50", "s1", "s2", "s4", "s5", "s6", "s7", "s8"]);
    expect(found.blocks).toBe(7);
    expect(setup.store.gets.filter((key) => key === "block-3").length).toBe(times);
    expect(setup.store.open).toBe(0);
    expect(partialMessage(found)).toBe(`Trace may be incomplete, could not read block-3 (${fault})`);
  });

  test("a block that is unavailable once is read at the second attempt", async () => {
    const setup = setUp();
    await addBlocks(setup, 3);
    setup.store.fail("block-2", "unavailable");
    const found = await setup.find();
    expect(found.failures).toEqual([]);
    expect(found.trace.spanCount).toBe(3);
    expect(partialMessage(found)).toBe("");
  });

  test("a body that breaks halfway is read again, and nothing is there twice", async () => {
    const setup = setUp();
    setup.store.chunkBytes = 50;
    const pieces = Array.from({ length: 10 }, (_, i) => batch("a", [span(i + 1)]));
    await setup.shard.addBlock(setup.store, "block", pieces);
    setup.store.fail("block", { breakAfter: 300 });
    const found = await setup.find();
    expect(setup.store.gets).toEqual(["block", "block"]);
    expect(found.failures).toEqual([]);
    expect(names(found)).toEqual(Array.from({ length: 10 }, (_, i) => `s${i + 1}`));
  });

  test("a body that breaks twice is a failure, and what had come is kept", async () => {
    const setup = setUp();
    setup.store.chunkBytes = 50;
    const pieces = Array.from({ length: 10 }, (_, i) => batch("a", [span(i + 1)]));
    await setup.shard.addBlock(setup.store, "block", pieces);
    setup.store.fail("block", { breakAfter: 300 }, { breakAfter: 500 });
    const found = await setup.find();
    expect(found.failures.map(({ kind }) => kind)).toEqual(["unavailable"]);
    expect(found.trace.spanCount).toBeGreaterThan(2);
    expect(found.trace.spanCount).toBeLessThan(10);
    expect(setup.store.open).toBe(0);
  });

  test("a malformed piece is a corrupt block; its body is cancelled", async () => {
    const setup = setUp();
    setup.store.chunkBytes = 20;
    const bad = Uint8Array.of(0x0a, 100, 1, 2);
    await setup.shard.addBlock(setup.store, "bad", [bad, new Uint8Array(200)]);
    await addBlocks(setup, 2);
    const found = await setup.find();
    expect(found.failures).toEqual([
      expect.objectContaining({
        source: "bad",
        kind: "corrupt",
        message: expect.stringMatching(/malformed/),
      }),
    ]);
    expect(names(found)).toEqual(["s1", "s2"]);
    expect(setup.store.cancelled).toBe(1);
    expect(setup.store.open).toBe(0);
  });

  test("many failures are counted, not all named", async () => {
    const setup = setUp();
    await addBlocks(setup, 9);
    for (const { key } of setup.shard.blocks) setup.store.fail(key, "corrupt");
    expect(failureText(await setup.find())).toBe(
      "Trace may be incomplete, could not read block-1 (corrupt), block-2 (corrupt), block-3 (corrupt) and 6 more",
    );
  });

  test("live spans that end halfway are a failure that hides no block", async () => {
    const setup = setUp();
    await addBlocks(setup, 1);
    const live = concatBytes([batch("live", [span(50)]), batch("live", [span(51)])]);
    for (const cut of [live.subarray(0, -1), liveStream(live.subarray(0, -1), 10)]) {
      setup.shard.live = cut;
      const found = await setup.find();
      expect(found.failures).toEqual([
        { source: "live spans", kind: "corrupt", message: "live spans end in the middle of a record" },
      ]);
      expect(names(found)).toEqual(["s50", "s1"]);
    }
  });

  test("a live stream that breaks is a failure that hides no block", async () => {
    const setup = setUp();
    await addBlocks(setup, 1);
    setup.shard.live = new ReadableStream<Uint8Array>({
      pull() {
        throw new Error("network connection lost");
      },
    });
    const found = await setup.find();
    expect(found.failures).toEqual([
      { source: "live spans", kind: "internal", message: "network connection lost" },
    ]);
    expect(names(found)).toEqual(["s1"]);
  });

  test("a live record that claims to be longer than any batch is refused before it has come", async () => {
    const setup = setUp();
    const state = { cancelled: false, pulled: 0 };
    setup.shard.live = liveStream(
      Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0x7f, ...new Uint8Array(50)),
      10,
      state,
    );
    const found = await setup.find();
    expect(found.failures.map(({ message }) => message)).toEqual([
      "live spans claim a record of 268435460 bytes",
    ]);
    expect(state).toEqual({ cancelled: true, pulled: 1 });
  });

  test("a shard that fails fails the lookup", async () => {
    const setup = setUp();
    setup.shard.findTrace = async () => Promise.reject(new Error("shard is gone"));
    await expect(setup.find()).rejects.toMatchObject({ kind: "unavailable", retryAfterMs: 1000 });
  });
});

/** Ten spans in two records of live data and one block, with the bytes of the whole. */
async function tenSpans(setup: Setup): Promise<number> {
  const first = batch("a", [span(1), span(2), span(3)]);
  const second = batch("b", [span(4), span(5)]);
  const third = batch("c", [span(6), span(7), span(8), span(9), span(10)]);
  setup.shard.live = concatBytes([first, second]);
  await setup.shard.addBlock(setup.store, "block", [third]);
  return first.length + second.length + third.length;
}

describe("findTrace: limits", () => {
  test("a trace of exactly maxTraceBytes is whole; one byte less is not", async () => {
    const setup = setUp();
    const bytes = await tenSpans(setup);
    const whole = await setup.find({}, { maxTraceBytes: bytes });
    expect(whole.trace.exceededBytes).toBe(undefined);
    expect(whole.trace.byteLength).toBe(bytes);
    expect(whole.trace.spanCount).toBe(10);
    const cut = await setup.find({}, { maxTraceBytes: bytes - 1 });
    expect(cut.trace.exceededBytes).toBe(bytes - 1);
    expect(cut.trace.spanCount).toBe(9);
    expect(names(cut)).toHaveLength(10); // the record is kept whole in the spool, its last span dropped
    expect(partialMessage(cut)).toBe(
      `Trace exceeds maximum size of ${bytes - 1} bytes, a partial trace is returned`,
    );
  });

  test("the cut falls on a span, and the bytes kept never exceed the limit", async () => {
    const setup = setUp();
    const bytes = await tenSpans(setup);
    let last = 0;
    for (let max = 1; max <= bytes; max++) {
      const { trace } = await setup.find({}, { maxTraceBytes: max });
      expect(trace.byteLength).toBeLessThanOrEqual(max);
      expect(trace.spanCount).toBeGreaterThanOrEqual(last);
      expect(trace.exceededBytes).toBe(max === bytes ? undefined : max);
      last = trace.spanCount;
    }
    expect(last).toBe(10);
  });

  test("duplicates do not count", async () => {
    const setup = setUp();
    const bytes = await tenSpans(setup);
    await setup.shard.addBlock(setup.store, "again", [batch("c", [span(6), span(1), span(10)])]);
    const found = await setup.find({}, { maxTraceBytes: bytes });
    expect(found.trace.exceededBytes).toBe(undefined);
    expect(found.trace.byteLength).toBe(bytes);
  });

  test("past the limit nothing more is read, and what is open is cancelled", async () => {
    const setup = setUp();
    setup.store.chunkBytes = 10;
    await addBlocks(setup, 20);
    const found = await setup.find({}, { maxTraceBytes: 100 });
    expect(found.trace.exceededBytes).toBe(100);
    expect(setup.store.gets.length).toBeLessThan(10);
    expect(setup.store.open).toBe(0);
    expect(setup.store.cancelled).toBeGreaterThan(0);
  });

  test("past the limit in live spans the stream is cancelled and no block is read further", async () => {
    const setup = setUp();
    await addBlocks(setup, 20);
    const state = { cancelled: false, pulled: 0 };
    const live = concatBytes(Array.from({ length: 100 }, (_, i) => batch("live", [span(1000 + i)])));
    setup.shard.live = liveStream(live, 100, state);
    const found = await setup.find({}, { maxTraceBytes: 500 });
    expect(found.trace.exceededBytes).toBe(500);
    expect(state.cancelled).toBe(true);
    expect(state.pulled).toBeLessThan(12);
    expect(setup.store.open).toBe(0);
    expect(found.blocks).toBe(0);
  });

  test("the spool has its own limit, with its own number", async () => {
    const setup = setUp();
    // 8 blocks of 103 KB that do not compress: two to a part of at most 256 KiB.
    const random = makeRandom(1);
    const spans = Array.from({ length: 800 }, (_, i) =>
      span(i + 1, {
        attributes: [{ key: "k", value: { value: { case: "bytesValue", value: random.bytes(1000) } } }],
      }),
    );
    for (let i = 0; i < 8; i++) {
      await setup.shard.addBlock(setup.store, `b${i}`, [batch("a", spans.slice(100 * i, 100 * i + 100))]);
    }
    const whole = await setup.find({}, { maxTraceSpoolBytes: 1_000_000 });
    expect(whole.trace.exceededBytes).toBe(undefined);
    expect(whole.trace.spanCount).toBe(800);
    const cut = await setup.find({}, { maxTraceSpoolBytes: 300_000 });
    expect(cut.trace.exceededBytes).toBe(300_000);
    expect(cut.trace.spanCount).toBe(200);
    let records = 0;
    for (const layout of cut.trace.records(true)) records += layout.spanCount;
    expect(records).toBe(200);
    expect(setup.store.open).toBe(0);
  });
});

test("findTrace: when the client goes away, reading stops and everything is cancelled", async () => {
  const setup = setUp();
  setup.store.chunkBytes = 10;
  await addBlocks(setup, 20);
  const abort = new AbortController();
  setup.shard.live = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(batch("live", [span(50)]));
      if (setup.store.gets.length > 0) abort.abort();
    },
  });
  const promise = setup.find({}, {}, abort.signal);
  await expect(promise).rejects.toMatchObject({ kind: "unavailable", message: "context canceled" });
  expect(setup.store.gets.length).toBe(5);
  expect(setup.store.open).toBe(0);
});

describe("findTrace: several shards", () => {
  interface Shards {
    readonly store: FakeStore;
    readonly shards: readonly FakeShard[];
    readonly find: (query?: Partial<TraceQuery>, fails?: readonly number[]) => Promise<FoundTrace>;
  }

  function setUpShards(count: number): Shards {
    const store = new FakeStore();
    const shards = Array.from({ length: count }, () => new FakeShard());
    return {
      store,
      shards,
      find: (query, fails = []) =>
        findTrace(
          {
            limits: DEFAULT_LIMITS,
            objects: store,
            readPages: fakeReadPages,
            shards: shards.map((shard, index) => ({
              name: `t/${index}`,
              shard: fails.includes(index)
                ? { findTrace: () => Promise.reject(new Error("lost")), noteFailedReads: async () => {} }
                : shard,
            })),
          },
          { traceId: TRACE_ID, mode: "all", startSeconds: 0, endSeconds: 0, ...query },
        ),
    };
  }

  test("each is asked once, with the times; live spans of all come first, then the blocks, in the order of the shards", async () => {
    const { store, shards, find } = setUpShards(3);
    for (const [i, shard] of shards.entries()) {
      shard.live = batch("a", [span(i + 1)]);
      await shard.addBlock(store, `block-${i}`, [batch("a", [span(i + 4)])]);
    }
    const found = await find({ startSeconds: 7, endSeconds: 9 });
    expect(names(found)).toEqual(["s1", "s2", "s3", "s4", "s5", "s6"]);
    expect([found.liveSpans, found.blocks, found.failures]).toEqual([3, 3, []]);
    for (const shard of shards) expect(shard.asked).toEqual([{ startSeconds: 7, endSeconds: 9 }]);
  });

  test("a span that two shards have is there once: a client sent its batch again after the shards grew", async () => {
    const { shards, find } = setUpShards(2);
    for (const shard of shards) shard.live = batch("a", [span(1), span(2)]);
    expect((await find()).trace.spanCount).toBe(2);
  });

  test("one that cannot be reached is a failure that is named; the others' spans are found", async () => {
    const { store, shards, find } = setUpShards(3);
    shards[2]!.live = batch("a", [span(1)]);
    await shards[0]!.addBlock(store, "block", [batch("a", [span(2)])]);
    const found = await find({}, [1]);
    expect(found.trace.spanCount).toBe(2);
    expect(found.failures).toEqual([
      { source: "shard t/1", kind: "unavailable", message: "shard is not reachable" },
    ]);
    expect(partialMessage(found)).toContain("could not read shard t/1 (unavailable)");
  });

  test("when none can be reached the lookup fails", async () => {
    await expect(setUpShards(2).find({}, [0, 1])).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("streams of live spans are read one after another, and cancelled when no more is wanted", async () => {
    const { shards, find } = setUpShards(3);
    const states = shards.map((shard, i) => {
      const state = { cancelled: false, pulled: 0 };
      shard.live = liveStream(batch("a", [span(2 * i + 1), span(2 * i + 2)]), 10, state);
      return state;
    });
    expect(names(await find())).toEqual(["s1", "s2", "s3", "s4", "s5", "s6"]);
    expect(states.map(({ cancelled }) => cancelled)).toEqual([false, false, false]);
    for (const [i, shard] of shards.entries()) shard.live = liveStream(batch("a", [span(i)]), 10, states[i]);
    await find({ mode: "blocks" });
    expect(states.map(({ cancelled }) => cancelled)).toEqual([true, true, true]);
  });

  test("live spans that break off are named by their shard, the next shard's are read", async () => {
    const { shards, find } = setUpShards(2);
    shards[0]!.live = liveStream(batch("a", [span(1)]).subarray(0, 20), 10);
    shards[1]!.live = batch("a", [span(2)]);
    const found = await find();
    expect(found.failures.map(({ source, kind }) => [source, kind])).toEqual([
      ["live spans of shard t/0", "corrupt"],
    ]);
    expect(names(found)).toEqual(["s2"]);
  });

  test("each shard counts the blocks of its own that could not be read", async () => {
    const { store, shards, find } = setUpShards(3);
    for (const [i, shard] of shards.entries()) {
      for (let n = 0; n <= i; n++) {
        await shard.addBlock(store, `block-${i}-${n}`, [batch("a", [span(10 * i + n)])]);
        if (i > 0) store.fail(`block-${i}-${n}`, "corrupt");
      }
    }
    const found = await find();
    expect(found.failures).toHaveLength(5);
    expect(shards.map(({ failedReads }) => failedReads)).toEqual([0, 2, 3]);
  });
});
