// The Worker and its object in real workerd: alarms, evictions, faults of storage and R2.
import { create, toBinary } from "@bufbuild/protobuf";
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { SpanSchema, TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { toHex } from "../../src/util/hex.ts";
import { AppError } from "../../src/util/errors.ts";
import { makeGenerator } from "../support/generator.ts";
import { spanBag } from "../support/span-bag.ts";
import { faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, BLOCKS } = env as unknown as TestEnv;
const worker = (exports as unknown as { default: Fetcher }).default;

const object = () => TRACE_SHARD.getByName("single-tenant/0");
const shard = () => object() as unknown as TraceShardRpc;

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function send(batch: Uint8Array): Promise<Response> {
  return worker.fetch("http://rubato/v1/traces", {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
    body: await gzip(batch),
  });
}

// The API makes an absent Status present: `7a 00` at the end of a span. Both sides are compared without it.
const withoutStatus = (bag: string[]) => bag.map((span) => span.replace(/7a00$/, "")).sort();

async function read(traceId: string): Promise<{ sources: string; bag: string[] }> {
  const response = await worker.fetch(`http://rubato/api/traces/${traceId}`, {
    headers: { accept: "application/protobuf" },
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect({ status: response.status, text: response.ok ? "" : new TextDecoder().decode(bytes) }).toEqual({
    status: 200,
    text: "",
  });
  return { sources: response.headers.get("rubato-sources") ?? "", bag: withoutStatus(spanBag([bytes])) };
}

async function expectTraces(
  batches: Uint8Array[],
  traceIds: readonly string[],
  sources = /^live=\d+, blocks=\d+$/,
): Promise<void> {
  for (const traceId of traceIds) {
    const found = await read(traceId);
    expect(found.bag).toEqual(withoutStatus(spanBag(batches, traceId)));
    expect(found.sources).toMatch(sources);
  }
}

async function sendAll(seed: number, batchCount: number, spanCount = 100) {
  const generator = makeGenerator({ seed });
  const batches = Array.from({ length: batchCount }, () => generator.batch(spanCount));
  for (const batch of batches) expect((await send(batch)).status).toBe(200);
  return { batches, traceIds: generator.traceIds().slice(0, 10) };
}

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

describe("trace shard in workerd", () => {
  test("a 200 means readable; an eviction loses nothing", async () => {
    const { batches, traceIds } = await sendAll(1, 3);
    await expectTraces(batches, traceIds, /^live=[1-9]\d*, blocks=0$/);
    await evictDurableObject(object());
    await expectTraces(batches, traceIds, /^live=[1-9]\d*, blocks=0$/);
    expect(await shard().stats()).toMatchObject({ liveSpans: 300, epochs: 1 });
  });

  test("the alarm writes the block, drops the buffer, and is not needed again for an hour", async () => {
    const { batches, traceIds } = await sendAll(2, 3);
    faults.clockOffsetMs = DEFAULT_LIMITS.flushAgeMs;
    // The object's alarm reads the system clock, which the test does not move: tick is the alarm's body.
    const report = await shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
    expect(report).toEqual({ flushedBlocks: 1, flushedSpans: 300 });
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
    const { objects } = await BLOCKS.list();
    expect(objects.map(({ key }) => key)).toEqual([
      expect.stringMatching(/^tenant=single-tenant\/date=\d{4}-\d\d-\d\d\/shard=00\/\d{16}\.parquet$/),
    ]);
    await runInDurableObject(object(), async (_, state) => {
      const tables = state.storage.sql
        .exec("SELECT name FROM sqlite_master WHERE name GLOB 'seg_*'")
        .toArray();
      expect(tables).toEqual([]);
    });
    await runDurableObjectAlarm(object());
    await runInDurableObject(object(), async (_, state) => {
      expect(await state.storage.getAlarm()).toBeGreaterThan(
        Date.now() + DEFAULT_LIMITS.idleAlarmMs - 60_000,
      );
    });
    await evictDurableObject(object());
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
  });

  test("rows written: one an append, none for dropping the epoch, at most 5 more an epoch", async () => {
    await sendAll(3, 20, 20);
    const before = await shard().stats();
    expect(before.appends).toBe(20);
    // CREATE TABLE counts 2, the alarm 1.
    expect(before.rowsWritten).toBeLessThanOrEqual(20 + 3);
    await shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
    // The block, the alarm, the day's usage.
    expect((await shard().stats()).rowsWritten - before.rowsWritten).toBeLessThanOrEqual(3);
  });

  test("rows: no row is larger than 1.9 MB, whatever the batch; the batch comes back whole", async () => {
    const generator = makeGenerator({ seed: 4 });
    const batch = generator.batch(12_000);
    const response = await worker.fetch("http://rubato/v1/traces", {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: batch,
    });
    expect(response.status).toBe(200);
    await runInDurableObject(object(), async (_, state) => {
      const [table] = state.storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'seg_*'")
        .toArray();
      const sizes = state.storage.sql
        .exec<{ size: number }>(`SELECT length(head) + length(body) AS size FROM ${table?.name}`)
        .toArray()
        .map(({ size }) => size);
      expect(sizes.length).toBeGreaterThan(2);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(DEFAULT_LIMITS.maxRowBytes);
    });
    await evictDurableObject(object());
    await expectTraces([batch], generator.traceIds().slice(0, 5));
  });

  test("many clients at once: every batch is durable, far fewer rows than batches", async () => {
    const generator = makeGenerator({ seed: 5 });
    const batches = Array.from({ length: 64 }, () => generator.batch(20));
    const statuses = await Promise.all(batches.map(async (batch) => (await send(batch)).status));
    expect(new Set(statuses)).toEqual(new Set([200]));
    const { rowsWritten } = await shard().stats();
    expect(rowsWritten).toBeLessThanOrEqual(0.5 * 64);
    await evictDurableObject(object());
    await expectTraces(batches, generator.traceIds().slice(0, 10));
  });

  test("R2 put fails: the buffer keeps the spans, the alarm is set again, then the block is written", async () => {
    const { batches, traceIds } = await sendAll(6, 2);
    faults.beforePut = () => Promise.reject(new AppError("unavailable", "R2 is down"));
    const due = Date.now() + DEFAULT_LIMITS.flushAgeMs;
    expect(await shard().tick(due)).toMatchObject({ flushedBlocks: 0, error: "R2 is down" });
    await expectTraces(batches, traceIds, /^live=[1-9]\d*, blocks=0$/);
    await runInDurableObject(object(), async (_, state) => {
      expect(await state.storage.getAlarm()).toBeLessThan(Date.now() + 5_000);
    });
    delete faults.beforePut;
    expect(await shard().tick(due)).toMatchObject({ flushedBlocks: 1 });
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
  });

  test("R2 put stores and then fails: the repeat overwrites, nothing is there twice", async () => {
    const { batches, traceIds } = await sendAll(7, 2);
    faults.afterPut = () => Promise.reject(new AppError("unavailable", "connection lost"));
    const due = Date.now() + DEFAULT_LIMITS.flushAgeMs;
    expect(await shard().tick(due)).toMatchObject({ error: "connection lost" });
    delete faults.afterPut;
    await evictDurableObject(object());
    expect(await shard().tick(due)).toMatchObject({ flushedBlocks: 1 });
    expect((await BLOCKS.list()).objects).toHaveLength(1);
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
  });

  test("crash between put and commit: nothing twice, nothing lost", async () => {
    const { batches, traceIds } = await sendAll(8, 2);
    faults.beforeCommit = () => {
      throw new Error("crash");
    };
    const due = Date.now() + DEFAULT_LIMITS.flushAgeMs;
    expect(await shard().tick(due)).toMatchObject({ error: "crash" });
    expect((await BLOCKS.list()).objects).toHaveLength(1);
    await evictDurableObject(object());
    await expectTraces(batches, traceIds, /^live=[1-9]\d*, blocks=0$/);
    delete faults.beforeCommit;
    expect(await shard().tick(due)).toMatchObject({ flushedBlocks: 1 });
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
  });

  test("R2 put is slow: ingest and lookups go on", async () => {
    const { batches, traceIds } = await sendAll(9, 2);
    // A promise that one context resolves and another awaits crashes the runtime: the test looks at a flag.
    const puts: string[] = [];
    faults.beforePut = async (key) => {
      puts.push(key);
      await scheduler.wait(500);
    };
    const ticking = shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
    while (puts.length === 0) await scheduler.wait(5);
    const late = await sendAll(10, 2);
    await expectTraces(batches, traceIds);
    expect(await ticking).toMatchObject({ flushedBlocks: 1, flushedSpans: 200 });
    await expectTraces(batches, traceIds, /^live=0, blocks=1$/);
    await expectTraces(late.batches, late.traceIds, /^live=[1-9]\d*, blocks=0$/);
  });

  test("storage refuses a write: 503 with Retry-After, the client's retry is stored once", async () => {
    const generator = makeGenerator({ seed: 11 });
    const batch = generator.batch(20);
    faults.beforeAppend = () => {
      throw new Error("SQLITE_FULL");
    };
    const refused = await send(batch);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    delete faults.beforeAppend;
    expect((await send(batch)).status).toBe(200);
    await expectTraces([batch], generator.traceIds());
  });

  test("a batch delivered twice is read once, live and from the block", async () => {
    const generator = makeGenerator({ seed: 12 });
    const batch = generator.batch(100);
    for (let i = 0; i < 2; i++) expect((await send(batch)).status).toBe(200);
    await expectTraces([batch], generator.traceIds().slice(0, 5));
    await shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
    await expectTraces([batch], generator.traceIds().slice(0, 5), /^live=0, blocks=1$/);
    // Delivered once more after the flush: live and block hold the same spans.
    expect((await send(batch)).status).toBe(200);
    await expectTraces([batch], generator.traceIds().slice(0, 5), /^live=[1-9]\d*, blocks=1$/);
  });
});

describe("unusual sizes", () => {
  const traceId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const spanId = Uint8Array.from({ length: 8 }, (_, i) => i + 1);

  /** A span whose message has exactly `bytes` bytes, nearly all of them incompressible attributes of 60,000. */
  function spanOfBytes(bytes: number) {
    const blob = (length: number) => ({
      key: "blob",
      value: {
        value: { case: "bytesValue" as const, value: crypto.getRandomValues(new Uint8Array(length)) },
      },
    });
    const blobs = Array.from({ length: Math.floor((bytes - 1000) / 60_100) }, () => blob(60_000));
    const make = (rest: number) =>
      create(SpanSchema, { traceId, spanId, name: "big", attributes: [...blobs, blob(rest)] });
    // A rest of this size takes lengths of three bytes, as the one that is left does.
    const overhead = toBinary(SpanSchema, make(20_000)).length - 20_000;
    const span = make(bytes - overhead);
    expect(toBinary(SpanSchema, span)).toHaveLength(bytes);
    return span;
  }

  const batchOf = (spans: ReturnType<typeof spanOfBytes>[]) =>
    toBinary(TracesDataSchema, create(TracesDataSchema, { resourceSpans: [{ scopeSpans: [{ spans }] }] }));

  async function sendRaw(batch: Uint8Array): Promise<Response> {
    return worker.fetch("http://rubato/v1/traces", {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: batch,
    });
  }

  test("a span of 16 MiB is stored, read live, flushed and read from the block; one byte more is refused", async () => {
    const batch = batchOf([spanOfBytes(DEFAULT_LIMITS.maxSpanBytes)]);
    expect((await sendRaw(batch)).status).toBe(200);
    await expectTraces([batch], [toHex(traceId)], /^live=1, blocks=0$/);
    expect(await shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs)).toMatchObject({ flushedBlocks: 1 });
    await expectTraces([batch], [toHex(traceId)], /^live=0, blocks=1$/);
    expect((await sendRaw(batchOf([spanOfBytes(DEFAULT_LIMITS.maxSpanBytes + 1)]))).status).toBe(400);
  });

  test("as many traces as a batch may have: each is found, live, after an eviction and from the block; one more is refused", async () => {
    const { maxSpansPerRequest: count } = DEFAULT_LIMITS.tenant;
    const batchOfTraces = (length: number) => {
      const spans = Array.from({ length }, (_, i) => {
        const id = new Uint8Array(16);
        new DataView(id.buffer).setUint32(12, i + 1);
        return create(SpanSchema, { traceId: id, spanId, name: "s" });
      });
      return batchOf(spans);
    };
    const batch = batchOfTraces(count);
    expect((await sendRaw(batchOfTraces(count + 1))).status).toBe(413);
    expect((await sendRaw(batch)).status).toBe(200);
    const idOf = (i: number) => (i + 1).toString(16).padStart(32, "0");
    const some = [0, 1, count >> 1, count - 1].map(idOf);
    await expectTraces([batch], some, /^live=1, blocks=0$/);
    await evictDurableObject(object());
    await expectTraces([batch], some, /^live=1, blocks=0$/);
    expect(await shard().tick(Date.now() + DEFAULT_LIMITS.flushAgeMs)).toMatchObject({
      flushedSpans: count,
    });
    await expectTraces([batch], some, /^live=0, blocks=1$/);
    await evictDurableObject(object());
    await expectTraces([batch], some, /^live=0, blocks=1$/);
    const absent = await worker.fetch(`http://rubato/api/traces/${idOf(count)}`);
    expect(absent.status).toBe(404);
  });
});
