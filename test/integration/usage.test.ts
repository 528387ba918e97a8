// What is counted, against the operations themselves, counted where they are made: at the bindings, in real workerd.
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Compactor, Tenant, TraceShard } from "../../durable-objects/index.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { CompactorRpc } from "../../src/store/compactor-rpc.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { billOf } from "../../src/usage/bill.ts";
import { Meter } from "../../src/usage/meter.ts";
import { dayOf, decodeUsage } from "../../src/usage/usage-days.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";
import { faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly COMPACTOR: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, COMPACTOR, BLOCKS } = env as unknown as TestEnv;
const worker = (exports as unknown as { default: Fetcher }).default;
const object = () => TRACE_SHARD.getByName("single-tenant/0");
const shard = () => object() as unknown as TraceShardRpc;
const compactor = () => COMPACTOR.getByName("single-tenant/0");

/** Counted by the wrappers below, of all objects and Workers together. */
const seen = { rowsRead: 0, rowsWritten: 0, r2ClassA: 0, r2ClassB: 0, calls: 0 };
type Cursor = { readonly rowsRead: number; readonly rowsWritten: number };
let cursors: Cursor[] = [];

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Calls `note` with the result of each call of a method, whoever makes it. */
function watch(prototype: object, name: string, note: (result: unknown) => void): void {
  const real = Reflect.get(prototype, name) as Method;
  Object.defineProperty(prototype, name, {
    configurable: true,
    writable: true,
    value(this: unknown, ...args: unknown[]): unknown {
      const result = real.apply(this, args);
      note(result);
      return result;
    },
  });
}

/** When the shard's calls began and ended, as whoever makes them sees it. */
let spells: { readonly from: number; to: number }[] = [];

function noteCall(isShard: boolean, result: unknown): void {
  seen.calls++;
  if (!isShard) return;
  const spell = { from: Date.now(), to: Number.POSITIVE_INFINITY };
  spells.push(spell);
  const end = (): void => {
    spell.to = Date.now();
  };
  void Promise.resolve(result).then(end, end);
}

/** Milliseconds in which one of the spells lasted, at least. */
function unionMs(): number {
  let total = 0;
  let until = 0;
  for (const { from, to } of spells.toSorted((a, b) => a.from - b.from)) {
    total += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return total;
}

const isWatched = { storage: false };

async function watchBindings(): Promise<void> {
  if (isWatched.storage) return;
  isWatched.storage = true;
  await runInDurableObject(TRACE_SHARD.getByName("watched/0"), async (_, state) => {
    watch(Object.getPrototypeOf(state.storage.sql), "exec", (cursor) => void cursors.push(cursor as Cursor));
    watch(Object.getPrototypeOf(state.storage), "setAlarm", () => void seen.rowsWritten++);
    // A value is a row. Kept apart from SQL by the platform, but billed alike.
    watch(Object.getPrototypeOf(state.storage.kv), "get", () => void seen.rowsRead++);
    watch(Object.getPrototypeOf(state.storage.kv), "put", () => void seen.rowsWritten++);
    watch(Object.getPrototypeOf(state.storage.kv), "delete", () => void seen.rowsWritten++);
  });
  const bucket: object = Object.getPrototypeOf(BLOCKS);
  for (const name of ["put", "list", "createMultipartUpload"])
    watch(bucket, name, () => void seen.r2ClassA++);
  watch(bucket, "get", () => void seen.r2ClassB++);
  const upload: object = Object.getPrototypeOf(BLOCKS.resumeMultipartUpload("none", "none"));
  for (const name of ["uploadPart", "complete"]) watch(upload, name, () => void seen.r2ClassA++);
  for (const { prototype } of [TraceShard, Compactor, Tenant]) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      // A tenant's alarm is its tick.
      const isInner =
        name === "constructor" || name === "ports" || (prototype === Tenant.prototype && name === "alarm");
      if (!isInner) watch(prototype, name, (result) => noteCall(prototype === TraceShard.prototype, result));
    }
  }
}

function counted() {
  for (const { rowsRead, rowsWritten } of cursors) {
    seen.rowsRead += rowsRead;
    seen.rowsWritten += rowsWritten;
  }
  cursors = [];
  return { ...seen };
}

/** What the meters say: one more call, which is in it. */
async function metered(): Promise<Meter> {
  const all = new Meter();
  const usage = decodeUsage(await shard().usage(0, dayOf(Date.now()) + 2));
  for (const day of usage.days) all.merge(usage.on(day));
  return all;
}

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function send(batch: Uint8Array): Promise<number> {
  const response = await worker.fetch("http://rubato/v1/traces", {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
    body: await gzip(batch),
  });
  await response.arrayBuffer();
  return response.status;
}

async function get(path: string): Promise<number> {
  const response = await worker.fetch(`http://rubato${path}`);
  await response.arrayBuffer();
  return response.status;
}

/** The objects' clock. */
const now = () => Date.now() + (faults.clockOffsetMs ?? 0);
const flush = () => shard().tick(now() + DEFAULT_LIMITS.flushAgeMs);

/** Counts at the bindings, and those of the meters, of the same operations. */
async function expectEqual(): Promise<Meter> {
  // What the Worker has counted, gets of its queries among them, goes along with its next call.
  for (let i = 0; i < 2; i++) {
    await scheduler.wait(1_050);
    expect(await get(`/api/traces/${"0".repeat(31)}${i + 1}`)).toBe(404);
  }
  const meter = await metered();
  const { calls, ...operations } = counted();
  const names = ["rowsRead", "rowsWritten", "r2ClassA", "r2ClassB"] as const;
  expect(Object.fromEntries(names.map((name) => [name, meter.get(name)]))).toEqual(operations);
  expect(meter.get("objectRequests")).toBe(calls);
  return meter;
}

beforeEach(async () => {
  await watchBindings();
  counted();
  spells = [];
  Object.assign(seen, { rowsRead: 0, rowsWritten: 0, r2ClassA: 0, r2ClassB: 0, calls: 0 });
});

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

describe("usage, against operations counted at the bindings", () => {
  test("batches, a flush, lookups, searches: rows, operations and calls are equal", async () => {
    const generator = makeGenerator({ seed: 1 });
    for (let i = 0; i < 5; i++) expect(await send(generator.batch(50))).toBe(200);
    await Promise.all(Array.from({ length: 8 }, () => send(generator.batch(20))));
    for (const traceId of generator.traceIds().slice(0, 5))
      expect(await get(`/api/traces/${traceId}`)).toBe(200);
    expect(await flush()).toMatchObject({ flushedBlocks: 1 });
    expect(await send(generator.batch(30))).toBe(200);
    for (const traceId of generator.traceIds().slice(0, 5))
      expect(await get(`/api/traces/${traceId}`)).toBe(200);
    expect(await get("/api/search?q=%7B%7D")).toBe(200);
    const meter = await expectEqual();
    expect(meter.get("spans")).toBe(5 * 50 + 8 * 20 + 30);
    expect(meter.get("workerRequests")).toBe(5 + 8 + 1 + 10 + 1 + 2);
    expect(meter.get("r2ClassA")).toBe(1);
    expect(meter.get("r2ClassB")).toBeGreaterThanOrEqual(5);
  });

  test("an eviction after each batch and each flush: nothing is lost, nothing is doubled", async () => {
    const generator = makeGenerator({ seed: 2 });
    for (let i = 0; i < 6; i++) {
      expect(await send(generator.batch(10))).toBe(200);
      await evictDurableObject(object());
      if (i % 3 !== 2) continue;
      expect(await flush()).toMatchObject({ flushedBlocks: 1 });
      await evictDurableObject(object());
    }
    const meter = await metered();
    const { rowsRead, calls, ...operations } = counted();
    expect(meter.get("spans")).toBe(60);
    expect(meter.get("rowsWritten")).toBe(operations.rowsWritten);
    expect(meter.get("r2ClassA")).toBe(operations.r2ClassA);
    expect(meter.get("objectRequests")).toBe(calls);
    // What a tick reads when all is written, to see what is next, goes with the object: no row is worth it.
    const lost = new Meter();
    lost.add("rowsRead", rowsRead - meter.get("rowsRead"));
    expect(lost.get("rowsRead")).toBeGreaterThanOrEqual(0);
    expect(billOf(lost).usd).toBeLessThan(0.005 * billOf(meter).usd);
  });

  test("compaction: the jobs' operations and the compactor's calls and rows are the tenant's", async () => {
    const generator = makeGenerator({ seed: 3 });
    for (let i = 0; i < 8; i++) {
      expect((await shard().append(frameOf(generator.batch(40)))).ok).toBe(true);
      faults.clockOffsetMs = (faults.clockOffsetMs ?? 0) + DEFAULT_LIMITS.flushAgeMs;
      expect(await shard().tick(now())).toMatchObject({ flushedBlocks: 1 });
    }
    // When its date is over, what is left of it is merged.
    faults.clockOffsetMs = (faults.clockOffsetMs ?? 0) + 1.2 * 86_400_000;
    await shard().tick(now());
    while (await runDurableObjectAlarm(compactor()));
    expect((await shard().stats()).blocks).toBeLessThan(8);
    // What the last question for a job cost goes with the next.
    await (compactor() as unknown as CompactorRpc).wake();
    await runDurableObjectAlarm(compactor());
    const meter = await metered();
    const { calls, ...operations } = counted();
    expect(operations.r2ClassB).toBeGreaterThanOrEqual(8);
    expect(meter.get("r2ClassA")).toBe(operations.r2ClassA);
    expect(meter.get("r2ClassB")).toBe(operations.r2ClassB);
    // Of the last alarm: two looks at what the compactor keeps, and its own call.
    expect(meter.get("rowsWritten")).toBe(operations.rowsWritten);
    expect(operations.rowsRead - meter.get("rowsRead")).toBeLessThanOrEqual(2);
    expect(calls - meter.get("objectRequests")).toBeLessThanOrEqual(1);
  });

  test("object time, calls side by side counted once, is within 2 % of what callers saw", async () => {
    const generator = makeGenerator({ seed: 6 });
    expect(await send(generator.batch(10))).toBe(200);
    faults.beforePut = async () => scheduler.wait(1_000);
    const flushing = flush();
    for (let i = 0; i < 4; i++) {
      await scheduler.wait(100);
      expect(await send(generator.batch(10))).toBe(200);
    }
    expect(await flushing).toMatchObject({ flushedBlocks: 1 });
    await scheduler.wait(500);
    expect(await flush()).toMatchObject({ flushedBlocks: 1 });
    const seenMs = unionMs();
    expect(seenMs).toBeGreaterThan(2_000);
    const meter = await metered();
    expect(Math.abs(meter.get("objectMs") - seenMs) / seenMs).toBeLessThan(0.02);
  });

  test("a write that fails counts no span, and its rows once they are written", async () => {
    const generator = makeGenerator({ seed: 4 });
    expect(await send(generator.batch(10))).toBe(200);
    faults.beforeAppend = () => {
      throw new Error("SQLITE_FULL");
    };
    expect(await send(generator.batch(20))).toBe(503);
    delete faults.beforeAppend;
    expect(await send(generator.batch(30))).toBe(200);
    const meter = await expectEqual();
    expect(meter.get("spans")).toBe(40);
    expect(meter.get("refusedSpans", "unavailable")).toBe(20);
  });

  test("reading alone: a row a minute at most, and an eviction loses no more than a minute", async () => {
    const generator = makeGenerator({ seed: 5 });
    expect(await send(generator.batch(10))).toBe(200);
    expect(await flush()).toMatchObject({ flushedBlocks: 1 });
    const [traceId] = generator.traceIds();
    const before = (await shard().stats()).rowsWritten;
    for (let i = 0; i < 20; i++) expect(await get(`/api/traces/${traceId}`)).toBe(200);
    expect((await shard().stats()).rowsWritten).toBe(before);
    // The next call takes along what the isolate has counted since.
    await scheduler.wait(1_050);
    faults.clockOffsetMs = 61_000;
    for (let i = 0; i < 20; i++) expect(await get(`/api/traces/${traceId}`)).toBe(200);
    expect((await shard().stats()).rowsWritten).toBe(before + 1);
    await evictDurableObject(object());
    const kept = await metered();
    const { r2ClassB } = counted();
    expect(r2ClassB).toBe(40);
    expect(kept.get("r2ClassB")).toBeGreaterThanOrEqual(19);
  });
});
