// The catalogue in real workerd: blocks that went bad, jobs and their crashes over SQLite, the end of a shard.
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";
import { spanBag } from "../support/span-bag.ts";
import { faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly COMPACTOR: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, COMPACTOR, BLOCKS } = env as unknown as TestEnv;
const worker = (exports as unknown as { default: Fetcher }).default;

const NAME = "single-tenant/0";
const object = () => TRACE_SHARD.getByName(NAME);
const shard = () => object() as unknown as TraceShardRpc;

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

async function flush(batch: Uint8Array): Promise<void> {
  expect(await shard().append(frameOf(batch))).toEqual({ ok: true });
  const now = Date.now() + (faults.clockOffsetMs ?? 0) + DEFAULT_LIMITS.flushAgeMs;
  expect(await shard().tick(now)).toMatchObject({ flushedBlocks: 1 });
}

const withoutStatus = (bag: string[]) => bag.map((span) => span.replace(/7a00$/, "")).sort();

async function get(path: string, accept: string): Promise<Response> {
  return worker.fetch(`http://rubato${path}`, { headers: { accept } });
}

async function keys(): Promise<string[]> {
  return (await BLOCKS.list()).objects.map(({ key }) => key);
}

interface PartialAnswer {
  readonly status: string;
  readonly message: string;
  readonly trace: { readonly resourceSpans: { readonly scopeSpans: { readonly spans: unknown[] }[] }[] };
}

describe("a block that cannot be read", () => {
  /** One trace in two blocks. */
  async function twoBlocks(seed: number) {
    const trace = makeGenerator({ seed }).trace(40, 20);
    const [first, second] = trace.batches;
    if (first === undefined || second === undefined) throw new Error("two batches were expected");
    await flush(first);
    await flush(second);
    const id = [...trace.traceId].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const [bad = "", good = ""] = await keys();
    return { id, second, bad, good };
  }

  const damages: [string, string, (bad: string, good: string) => Promise<void>][] = [
    ["missing", "not_found", (bad) => BLOCKS.delete(bad)],
    [
      "replaced by another object: its etag tells",
      "corrupt",
      async (bad, good) => {
        const other = await BLOCKS.get(good);
        await BLOCKS.put(bad, (await other?.arrayBuffer()) ?? "");
      },
    ],
    [
      "damaged under a true etag: the checksums tell",
      "corrupt",
      async (bad) => {
        const intact = await BLOCKS.get(bad);
        const bytes = new Uint8Array((await intact?.arrayBuffer()) ?? []);
        // Within the pages of otlp_span, which come first.
        for (let at = 100; at < 110; at++) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
        const stored = await BLOCKS.put(bad, bytes);
        await runInDurableObject(object(), async (_, state) => {
          state.storage.sql.exec("UPDATE young_block SET etag = ? WHERE key = ?", stored?.etag ?? "", bad);
        });
        await evictDurableObject(object());
      },
    ],
  ];

  test.each(damages)(
    "%s: the answer says so and has the others' spans; it is counted",
    async (_, kind, damage) => {
      const { id, second, bad, good } = await twoBlocks(1);
      await damage(bad, good);
      const v2 = await get(`/api/v2/traces/${id}`, "application/json");
      expect(v2.status).toBe(200);
      const body: PartialAnswer = await v2.json();
      expect(body.status).toBe("PARTIAL");
      expect(body.message).toContain(kind);
      const scopes = body.trace.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans);
      expect(scopes.flatMap(({ spans }) => spans)).toHaveLength(spanBag([second]).length);
      const v1 = await get(`/api/traces/${id}`, "application/json");
      expect(v1.status).toBe(500);
      expect(await v1.text()).toContain(kind);
      expect(await shard().stats()).toMatchObject({ failedReads: 2 });
    },
  );
});

describe("jobs", () => {
  test("flushed blocks are merged by the compactor; before, meanwhile and after each span is found once", async () => {
    const generator = makeGenerator({ seed: 10 });
    const batches = Array.from({ length: 8 }, () => generator.batch(150));
    for (const batch of batches) await flush(batch);
    const check = async () => {
      for (const traceId of generator.traceIds().slice(0, 12)) {
        const response = await get(`/api/traces/${traceId}`, "application/protobuf");
        const bag = spanBag([new Uint8Array(await response.arrayBuffer())]);
        expect(withoutStatus(bag)).toEqual(withoutStatus(spanBag(batches, traceId)));
      }
    };
    await check();
    for (let i = 0; i < 100 && (await shard().stats()).blocks > 1; i++) {
      await runDurableObjectAlarm(COMPACTOR.getByName(NAME));
      await scheduler.wait(20);
    }
    expect(await shard().stats()).toMatchObject({ blocks: 1 });
    expect(await keys()).toHaveLength(9);
    await check();
    await evictDurableObject(object());
    await check();
    const ticked = await shard().tick(
      Date.now() + DEFAULT_LIMITS.flushAgeMs + 2 * DEFAULT_LIMITS.objectGraceMs,
    );
    expect(ticked.error).toBeUndefined();
    expect(await keys()).toHaveLength(1);
    await check();
  });
});

describe("destroy", () => {
  test("nothing is left in bucket, tables and alarms; the name can be used anew", async () => {
    const generator = makeGenerator({ seed: 20 });
    await flush(generator.batch(50));
    expect(await shard().append(frameOf(generator.batch(50)))).toEqual({ ok: true });
    expect(await shard().destroy(Date.now())).toEqual({ done: true });
    expect(await keys()).toEqual([]);
    const batch = generator.batch(30);
    expect(await shard().append(frameOf(batch))).toEqual({ ok: true });
    expect(await shard().stats()).toMatchObject({ liveSpans: 30, blocks: 0 });
    await evictDurableObject(object());
    expect(await shard().stats()).toMatchObject({ liveSpans: 30 });
  });

  test("begun, interrupted and evicted: it goes on by the alarm", async () => {
    const generator = makeGenerator({ seed: 21 });
    await flush(generator.batch(50));
    await runInDurableObject(object(), async (_, state) => {
      state.storage.sql.exec("INSERT INTO setting VALUES ('deleting', '1')");
    });
    await evictDurableObject(object());
    expect(await shard().append(frameOf(generator.batch(10)))).toMatchObject({
      ok: false,
      kind: "not_found",
    });
    expect(await runDurableObjectAlarm(object())).toBe(true);
    expect(await keys()).toEqual([]);
    await runInDurableObject(object(), async (_, state) => {
      expect(await state.storage.getAlarm()).toBeNull();
    });
  });
});
