// Compaction by the real objects in workerd: whatever dies, fails or comes twice, each span is read once all along.
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Block, bytesSource, openBlock } from "../../src/block/reader.ts";
import { tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { runMerge } from "../../src/compaction/merge-job.ts";
import { PLAN_LIMITS } from "../../src/compaction/plan.ts";
import { SINGLE_TENANT } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { readSpanIds, visitSpans } from "../../src/otlp/spans.ts";
import type { CompactorRpc } from "../../src/store/compactor-rpc.ts";
import { blockKey, shardName } from "../../src/store/keys.ts";
import { R2Store } from "../../src/store/r2-store.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { assert, must } from "../../src/util/assert.ts";
import { AppError } from "../../src/util/errors.ts";
import { toHex } from "../../src/util/hex.ts";
import { frameOf } from "../support/frames.ts";
import { type Generator, makeGenerator } from "../support/generator.ts";
import { batchOf, spanWith } from "../support/otlp.ts";
import { makeRandom } from "../support/random.ts";
import { spanBag } from "../support/span-bag.ts";
import goldenV1 from "../golden/blocks/v1/small.parquet?url&inline";
import { type CompactorCall, faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly COMPACTOR: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, COMPACTOR, BLOCKS } = env as unknown as TestEnv;
const worker = (exports as unknown as { default: Fetcher }).default;

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const NAME = shardName(SINGLE_TENANT, 0);
const shardObject = () => TRACE_SHARD.getByName(NAME);
const shard = () => shardObject() as unknown as TraceShardRpc;
const compactorObject = () => COMPACTOR.getByName(NAME);
const compactor = () => compactorObject() as unknown as CompactorRpc;

/**
 * The objects' clock: ahead of the runtime's by a day or more, so that no alarm comes by itself, and tests run them. It
 * begins at noon, far from the end of a date.
 */
const now = () => Date.now() + (faults.clockOffsetMs ?? 0);

function advance(ms: number): void {
  faults.clockOffsetMs = (faults.clockOffsetMs ?? 0) + ms;
}

beforeEach(() => {
  const noon = (Math.floor(Date.now() / DAY_MS) + 1.5) * DAY_MS;
  faults.clockOffsetMs = noon - Date.now();
});

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

/** All spans that were sent. A span that was sent again is there twice. */
class Sent {
  readonly batches: Uint8Array[] = [];
  readonly generator: Generator;

  constructor(seed: number) {
    this.generator = makeGenerator({ seed, spansPerTrace: 6 });
  }

  async append(batch: Uint8Array): Promise<void> {
    const { ok } = await shard().append(frameOf(batch));
    assert(ok, "a batch is taken");
    this.batches.push(batch);
  }

  /** Makes a block of the batch, ten minutes after the last one. @returns its key */
  async flush(batch: Uint8Array = this.generator.batch(40)): Promise<string> {
    const before = new Set(await keys());
    await this.append(batch);
    advance(DEFAULT_LIMITS.flushAgeMs);
    await tick();
    const key = (await keys()).find((one) => !before.has(one));
    return must(key, "a flush writes an object");
  }

  async flushes(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.flush();
  }
}

/** Every trace is there with each of its spans once. @returns blocks that were read, by trace */
async function expectAll(batches: readonly Uint8Array[]): Promise<Map<string, number>> {
  const blocks = new Map<string, number>();
  for (const traceId of new Set(batches.flatMap(traceIdsOf))) {
    const found = await read(traceId);
    expect(found.bag).toEqual(withoutStatus([...new Set(spanBag(batches, traceId))]));
    blocks.set(traceId, found.blocks);
  }
  return blocks;
}

function traceIdsOf(batch: Uint8Array): string[] {
  const ids = new Set<string>();
  visitSpans(batch, {
    span(start, end) {
      const { traceIdAt } = readSpanIds(batch, start, end);
      ids.add(toHex(batch.subarray(traceIdAt, traceIdAt + 16)));
    },
  });
  return [...ids];
}

// The API makes an absent Status present: `7a 00` at the end of a span. Both sides are compared without it.
const withoutStatus = (bag: readonly string[]) => bag.map((span) => span.replace(/7a00$/, "")).toSorted();

async function read(traceId: string): Promise<{ bag: string[]; blocks: number }> {
  const response = await worker.fetch(`http://rubato/api/traces/${traceId}`, {
    headers: { accept: "application/protobuf" },
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const bag = response.status === 404 ? [] : withoutStatus(spanBag([bytes]));
  return { bag, blocks: Number(/blocks=(\d+)/.exec(response.headers.get("rubato-sources") ?? "")?.[1] ?? 0) };
}

async function tick(): Promise<void> {
  const { error } = await shard().tick(now());
  if (error !== undefined) throw new Error(error);
}

async function keys(): Promise<string[]> {
  return (await BLOCKS.list()).objects.map(({ key }) => key);
}

/** Ticks the shard, and runs the compactor's alarms, each at its time, until none is set. @returns their number */
async function compact(alarmsMax = 60): Promise<number> {
  await tick();
  let alarms = 0;
  for (; await runAlarm(); alarms++) if (alarms >= alarmsMax) throw new Error("it does not come to rest");
  return alarms;
}

/** Moves the clock to the compactor's alarm and runs it; false when none is set. */
async function runAlarm(): Promise<boolean> {
  const at = await runInDurableObject(compactorObject(), (_, { storage }) => storage.getAlarm());
  if (at === null) return false;
  advance(Math.max(0, at - now()));
  return runDurableObjectAlarm(compactorObject());
}

/** To an hour after the end of the clock's date: what is left of it is merged. */
function endDate(): void {
  advance(DAY_MS - (now() % DAY_MS) + PLAN_LIMITS.dayMarginMs + MINUTE_MS);
}

async function open(key: string): Promise<{ block: Block; bytes: Uint8Array }> {
  const object = must((await BLOCKS.get(key)) ?? undefined, key);
  const bytes = new Uint8Array(await object.arrayBuffer());
  return { block: await openBlock(bytesSource(bytes)), bytes };
}

/** All spans of a block, by its own index. */
async function spansIn(bytes: Uint8Array): Promise<Uint8Array[]> {
  const block = await openBlock(bytesSource(bytes));
  const { traceIndex, resources } = await block.written();
  const ids = await block.traceIds();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < ids.length; at += 16) {
    const traceId = ids.subarray(at, at + 16);
    const { offset, length } = must(tracePages(traceIndex, traceId), "a trace of the block");
    const pages = new Blob([bytes.slice(offset, offset + length)]).stream();
    for await (const part of readTracePages(pages, resources, traceId)) parts.push(part);
  }
  return parts;
}

/** After the grace time nothing is in the bucket but the blocks of the catalogue. */
async function expectTidyBucket(): Promise<void> {
  advance(DEFAULT_LIMITS.objectGraceMs + MINUTE_MS);
  await tick();
  const known = await shard().blocksBetween({});
  expect(await keys()).toEqual(known.map(({ key }) => key).toSorted());
}

/** Stops the compactor before and after these calls, and looks while it stands there. @returns how often */
async function lookAt(
  calls: readonly CompactorCall[],
  look: () => Promise<unknown>,
  run: () => Promise<unknown>,
): Promise<number> {
  let stops = 0;
  let looks = 0;
  faults.aroundCompactor = async (call) => {
    if (!calls.includes(call)) return;
    const stop = ++stops;
    const wasSeen = (): boolean => looks >= stop;
    // It waits in its own context: a promise of the test's is another object's.
    while (!wasSeen()) await scheduler.wait(2);
  };
  const done = run().then(() => true);
  while (!(await Promise.race([done, scheduler.wait(2).then(() => false)]))) {
    if (looks === stops) continue;
    await look();
    looks++;
  }
  delete faults.aroundCompactor;
  return looks;
}

const dateOf = (key: string) => /date=([\d-]+)/.exec(key)?.[1];
const dateAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);

describe("compaction", () => {
  test("flushes of two days become a block a day; each span is read once, before, while and after", async () => {
    const sent = new Sent(1);
    const firstDate = dateAt(now());
    await sent.flushes(10);
    endDate();
    const secondDate = dateAt(now());
    await sent.flushes(3);
    expect((await shard().stats()).blocks).toBe(13);
    await expectAll(sent.batches);
    const looks = await lookAt(["put", "commitMerge"], () => expectAll(sent.batches), compact);
    expect(looks).toBeGreaterThanOrEqual(4);
    endDate();
    await compact();
    const blocks = await expectAll(sent.batches);
    // A trace of the first date's last flush goes on in the second date's first.
    expect(Math.max(...blocks.values())).toBeLessThanOrEqual(2);
    await expectTidyBucket();
    expect((await keys()).map(dateOf)).toEqual([firstDate, secondDate]);
    await evictDurableObject(shardObject());
    await evictDurableObject(compactorObject());
    await expectAll(sent.batches);
  });

  test("spans of one trace come together, whatever their flush; those that a client sent again vanish", async () => {
    const sent = new Sent(2);
    const trace = sent.generator.trace(60, 10);
    for (const batch of trace.batches) await sent.flush(batch);
    for (const batch of trace.batches.slice(0, 3)) await sent.flush(batch);
    expect(await expectAll(sent.batches)).toEqual(new Map([[toHex(trace.traceId), 9]]));
    endDate();
    await compact();
    expect(await expectAll(sent.batches)).toEqual(new Map([[toHex(trace.traceId), 1]]));
    await expectTidyBucket();
    const [key = ""] = await keys();
    const { block } = await open(key);
    const spanCount = new Set(spanBag(trace.batches)).size;
    expect(block.meta).toMatchObject({ version: 2, traceCount: 1, spanCount });
  });

  test("late spans go to the date of their flush, and are read with the trace that is merged long since", async () => {
    const sent = new Sent(3);
    const trace = sent.generator.trace(40, 20);
    const [early, late] = trace.batches;
    await sent.flush(early);
    await sent.flush();
    endDate();
    await compact();
    const [old = ""] = await keys().then((all) => all.slice(-1));
    advance(3 * DAY_MS);
    const key = await sent.flush(late);
    await sent.flush();
    expect(dateOf(key)).toBe(dateAt(now()));
    expect((await expectAll(sent.batches)).get(toHex(trace.traceId))).toBe(2);
    endDate();
    await compact();
    expect((await expectAll(sent.batches)).get(toHex(trace.traceId))).toBe(2);
    await expectTidyBucket();
    expect(await keys()).toHaveLength(2);
    // Its own date's block was not written again.
    expect(await keys()).toContain(old);
  });
});

describe("faults", () => {
  const calls: CompactorCall[] = ["nextJob", "getRange", "put", "commitMerge"];
  const points = calls.flatMap((call) => (["before", "after"] as const).map((when) => ({ call, when })));

  test.each(points)("dying $when $call: inputs stay valid, the next life ends the job", async (point) => {
    const sent = new Sent(4);
    await sent.flushes(3);
    endDate();
    let deaths = 0;
    faults.aroundCompactor = (call, when, abort) => {
      if (call !== point.call || when !== point.when || deaths++ > 0) return;
      abort();
      return new Promise(() => undefined);
    };
    await compact().catch(() => undefined);
    expect(deaths).toBe(1);
    await expectAll(sent.batches);
    // The runtime repeats an alarm that died; if it should not, the shard's next tick wakes the compactor.
    await compact();
    expect(await shard().stats()).toMatchObject({ blocks: 1 });
    await expectAll(sent.batches);
    await expectTidyBucket();
  });

  test("a store that fails: nothing changes until it works again, the job waits and is not given up", async () => {
    const sent = new Sent(5);
    await sent.flushes(3);
    endDate();
    for (const broken of ["getRange", "put"] as const) {
      faults.aroundCompactor = (call, when) => {
        if (call === broken && when === "before") throw new AppError("unavailable", "simulated");
      };
      const waits: number[] = [];
      await tick();
      for (let i = 0; i < 6; i++) {
        const before = now();
        expect(await runAlarm()).toBe(true);
        waits.push(now() - before);
      }
      expect(waits.at(-1)).toBeGreaterThan(30_000);
      expect(await shard().stats()).toMatchObject({ blocks: 3 });
      await expectAll(sent.batches);
    }
    delete faults.aroundCompactor;
    await compact();
    expect(await shard().stats()).toMatchObject({ blocks: 1 });
    await expectAll(sent.batches);
    await expectTidyBucket();
  });

  test("a job that is done twice at once, and once more much later, is done once", async () => {
    const sent = new Sent(6);
    await sent.flushes(4);
    endDate();
    const job = must(await shard().nextJob(now()), "a job");
    if (job.kind !== "merge") throw new Error(`a merge was expected, not ${job.kind}`);
    const again = async () =>
      runMerge(
        {
          objects: new R2Store(BLOCKS),
          shard: shard(),
          pause: () => scheduler.wait(0),
          sleep: (ms) => scheduler.wait(ms),
        },
        job,
      );
    expect(await Promise.all([again(), again(), compact()])).toMatchObject([{ ok: true }, { ok: true }, {}]);
    expect((await shard().blocksBetween({})).map(({ key }) => key)).toEqual([job.key]);
    await expectAll(sent.batches);
    // A third life that stood still for a while, when the inputs are in their grace time still.
    advance(DEFAULT_LIMITS.objectGraceMs - MINUTE_MS);
    expect(await again()).toEqual({ ok: true });
    await expectAll(sent.batches);
    await expectTidyBucket();
    // And one whose inputs are gone.
    expect(await again()).toMatchObject({ message: expect.stringContaining("no object") });
    await expectAll(sent.batches);
    expect(await keys()).toEqual([job.key]);
  });

  test("a large block goes up in parts; a failed upload is made again", async () => {
    const sent = new Sent(7);
    const random = makeRandom(7);
    for (let i = 0; i < 3; i++) {
      const bytesValue = random.bytes(3_000_000);
      const attributes = [
        { key: "blob", value: { value: { case: "bytesValue" as const, value: bytesValue } } },
      ];
      await sent.flush(batchOf(spanWith({ spanId: random.bytes(8), traceId: random.bytes(16), attributes })));
    }
    endDate();
    let uploads = 0;
    faults.aroundCompactor = (call, when) => {
      if (call === "complete" && when === "before" && uploads++ === 0)
        throw new AppError("unavailable", "simulated");
    };
    await compact();
    expect(uploads).toBe(2);
    const [block] = await shard().blocksBetween({});
    expect(block?.etag).toMatch(/-[23]$/);
    await expectAll(sent.batches);
    await expectTidyBucket();
  });
});

describe("the bucket alone", () => {
  test("a shard that lost every row: after a rebuild each span is read once, also of inputs not deleted yet", async () => {
    const sent = new Sent(8);
    await sent.flushes(4);
    endDate();
    await compact();
    await sent.flush();
    const before = await shard().blocksBetween({});
    expect(before).toHaveLength(2);
    expect(await keys()).toHaveLength(6);
    await loseRows();
    expect(await shard().blocksBetween({})).toEqual([]);
    // Spans that come meanwhile are buffered and stay.
    await sent.append(sent.generator.batch(20));
    let adoptions = 0;
    faults.aroundCompactor = (call, when, abort) => {
      if (call !== "adopt" || when !== "after" || ++adoptions !== 2) return;
      abort();
      return new Promise(() => undefined);
    };
    await compactor().rebuild();
    await compact().catch(() => undefined);
    expect(await compactor().rebuildProgress()).toMatchObject({ done: false });
    // As the runtime does for an alarm that died.
    await runInDurableObject(compactorObject(), (_, { storage }) => storage.setAlarm(now()));
    await compact();
    expect(await compactor().rebuildProgress()).toMatchObject({ damaged: 0, done: true });
    expect(await shard().blocksBetween({})).toEqual(before);
    await expectAll(sent.batches);
    await sent.flush();
    endDate();
    await compact();
    await expectAll(sent.batches);
    expect((await shard().blocksBetween({})).map(({ key }) => dateOf(key))).toHaveLength(2);
  });

  test("a block of format version 1 is adopted, read, and rewritten in the newest", async () => {
    const bytes = Uint8Array.from(atob(must(goldenV1.split(",")[1], "base64")), (char) => char.charCodeAt(0));
    const id = now() - 2 * DAY_MS;
    await BLOCKS.put(blockKey(SINGLE_TENANT, 0, id), bytes);
    const batches = await spansIn(bytes);
    expect(spanBag(batches)).toHaveLength(26);
    await compactor().rebuild();
    const versions: number[][] = [];
    while (await runAlarm()) {
      const blocks = await shard().blocksBetween({});
      versions.push(blocks.map(({ version }) => version));
      if (blocks.length > 0) await expectAll(batches);
    }
    // Dates found, adopted; 15 minutes later once more: dates, blocks, end. Then the rewriting, and no more jobs.
    expect(versions).toEqual([[], [1], [1], [1], [1], [2], [2]]);
    await expectAll(batches);
    await expectTidyBucket();
    const [key = ""] = await keys();
    expect(dateOf(key)).toBe(dateAt(id));
    const { block, bytes: rewritten } = await open(key);
    expect(block.meta).toMatchObject({ version: 2, spanCount: 26, traceCount: 10, arrivedMs: id });
    expect(block.meta.replaces).toEqual([id]);
    expect(spanBag(await spansIn(rewritten))).toEqual(spanBag(batches));
  });
});

/** As if the shard's database were new: every row goes, the object starts anew. */
async function loseRows(): Promise<void> {
  await runInDurableObject(shardObject(), async (_, { storage }) => {
    await storage.deleteAlarm();
    await storage.deleteAll();
  });
  await evictDurableObject(shardObject());
}
