// Tenant objects and growing tenants in real workerd: every Worker has its own, possibly old, idea of the shards.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TenantSql } from "../../durable-objects/tenant-sql.ts";
import { createApp } from "../../src/http/app.ts";
import { SINGLE_TENANT } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { readSpanIds, visitSpans } from "../../src/otlp/spans.ts";
import { shardName } from "../../src/store/keys.ts";
import type { ShardPorts } from "../../src/shard/shard.ts";
import { R2Store } from "../../src/store/r2-store.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import type { TenantRpc } from "../../src/store/tenant-rpc.ts";
import { ShardMapCache } from "../../src/tenant/shard-map-cache.ts";
import { TenantShards } from "../../src/tenant/tenant-shards.ts";
import { toHex } from "../../src/util/hex.ts";
import { runTenantStorageContract } from "../contract/tenant-storage.ts";
import { makeGenerator } from "../support/generator.ts";
import { makeRandom } from "../support/random.ts";
import { spanBag } from "../support/span-bag.ts";
import { faults } from "./worker.ts";

/** What an object keeps to itself. */
interface Inside {
  ports(state: DurableObjectState, bindings: unknown): ShardPorts;
}

interface TestEnv {
  readonly TENANT: DurableObjectNamespace;
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TENANT, TRACE_SHARD, BLOCKS } = env as unknown as TestEnv;

const tenantObject = (name = SINGLE_TENANT) => TENANT.getByName(name);
const tenant = (name = SINGLE_TENANT) => tenantObject(name) as unknown as TenantRpc;
const shardObject = (index: number, name = SINGLE_TENANT) => TRACE_SHARD.getByName(shardName(name, index));
const shard = (index: number, name = SINGLE_TENANT) => shardObject(index, name) as unknown as TraceShardRpc;
const now = () => Date.now() + (faults.clockOffsetMs ?? 0);

function tablesOf({ sql }: DurableObjectStorage): string[] {
  return sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name NOT GLOB '_cf_*'")
    .toArray()
    .map(({ name }) => name);
}

let stores = 0;
runTenantStorageContract("TenantSql", (body) =>
  runInDurableObject(tenantObject(`contract-${++stores}`), async (_, { storage }) =>
    body({
      storage: new TenantSql(storage),
      reopen: () => new TenantSql(storage),
      alarm: () => storage.getAlarm(),
      tables: () => tablesOf(storage),
    }),
  ),
);

/** A Worker isolate: an app with a cache of its own. */
class Isolate {
  /** Maps that it asked for. */
  maps = 0;
  isReachable = true;
  readonly #app = this.#makeApp();

  #makeApp(): ReturnType<typeof createApp> {
    const clock = { now };
    const maps = new ShardMapCache(DEFAULT_LIMITS, {
      fetch: (name) => {
        this.maps++;
        return this.isReachable ? tenant(name).view() : Promise.reject(new Error("no route"));
      },
      clock,
      keepAlive: () => undefined,
    });
    const shards = new TenantShards(DEFAULT_LIMITS, {
      maps,
      clock,
      shardOf: (name, index) => shard(index, name),
    });
    return createApp({ limits: DEFAULT_LIMITS, clock, objects: new R2Store(BLOCKS), shards });
  }

  async send(batch: Uint8Array): Promise<number> {
    const headers = { "content-type": "application/x-protobuf" };
    const response = await this.#app.request("/v1/traces", { method: "POST", headers, body: batch });
    await response.arrayBuffer();
    return response.status;
  }

  async find(traceId: string): Promise<{ status: number; bag: string[] }> {
    const response = await this.#app.request(`/api/traces/${traceId}`, {
      headers: { accept: "application/protobuf" },
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, bag: response.ok ? comparable(spanBag([bytes])) : [] };
  }
}

// The API makes an absent Status present: `7a 00` at the end of a span. Both sides are compared without it.
const comparable = (bag: string[]) => bag.map((span) => span.replace(/7a00$/, "")).sort();

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

beforeEach(() => {
  vi.spyOn(console, "warn").mockReturnValue();
  vi.spyOn(console, "log").mockReturnValue();
});
afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

describe("growth under load", () => {
  test("1, 2, 4 shards while spans come without a pause: each trace is found at once, by every Worker", async () => {
    const generator = makeGenerator({ seed: 4, spansPerTrace: 4, tracesPerSecond: 20_000 });
    const random = makeRandom(4);
    const isolates = [new Isolate(), new Isolate(), new Isolate()];
    const acked = new Map<string, Uint8Array[]>();
    const counts = new Set<number>();
    const missing: string[] = [];
    let refusedReads = 0;
    faults.clockOffsetMs = 0;

    const check = async (isolate: Isolate, traceId: string): Promise<void> => {
      const { status, bag } = await isolate.find(traceId);
      // Without the tenant a reader with an old map says so; it never says that there is no trace.
      if (status === 503 && !isolate.isReachable) refusedReads++;
      else if (comparable(spanBag(acked.get(traceId) ?? [], traceId)).join() !== bag.join())
        missing.push(`${traceId} ${status} ${(faults.clockOffsetMs ?? 0) / 1000} s`);
    };
    const writeAndRead = async (): Promise<void> => {
      const batch = generator.batch(24);
      expect(await random.pick(isolates).send(batch)).toBe(200);
      for (const traceId of traceIdsOf(batch)) acked.set(traceId, [...(acked.get(traceId) ?? []), batch]);
    };
    // Each asks for its map at times of its own.
    for (const [i, isolate] of isolates.entries()) {
      faults.clockOffsetMs = 10_000 * i;
      await isolate.find("1");
    }
    for (let step = 0; step < 110; step++) {
      if (step === 5) await tenant().setShardCount(2);
      if (step === 55) await tenant().setShardCount(4);
      // Now and then a Worker loses the tenant, for up to two minutes.
      for (const isolate of isolates.slice(1))
        if (random.chance(0.05)) isolate.isReachable = !isolate.isReachable;
      if (step % 35 === 30)
        for (let i = 0; i < 4; i++) await shard(i).tick(now() + DEFAULT_LIMITS.flushAgeMs);
      await Promise.all([writeAndRead(), writeAndRead()]);
      const recent = [...acked.keys()].slice(-6);
      const traceIds = [...recent, random.pick([...acked.keys()])];
      await Promise.all(isolates.flatMap((isolate) => traceIds.map((traceId) => check(isolate, traceId))));
      const { versions } = await tenant().view();
      counts.add(versions.findLast(({ fromMs }) => fromMs <= now())?.count ?? 0);
      faults.clockOffsetMs += 2_000;
    }
    expect(missing).toEqual([]);
    expect([...counts]).toEqual([1, 2, 4]);
    expect(refusedReads).toBeGreaterThan(0);
    // A call a TTL, not one a request.
    expect(isolates[0]!.maps).toBeLessThanOrEqual(9);
    for (let i = 0; i < 4; i++) expect((await shard(i).stats()).liveSpans).toBeGreaterThan(0);

    // A Worker that starts now, after all objects were evicted, finds everything.
    for (let i = 0; i < 4; i++) await evictDurableObject(shardObject(i));
    await evictDurableObject(tenantObject());
    const fresh = new Isolate();
    for (const traceId of acked.keys()) await check(fresh, traceId);
    expect(missing).toEqual([]);
    expect(acked.size).toBeGreaterThan(300);
  });

  test("a shard that is too busy reaches the tenant of its name, which doubles the shards once", async () => {
    for (let i = 0; i < 2; i++) {
      await runInDurableObject(shardObject(0, "acme"), async (instance, state) => {
        const { requestGrowth } = (instance as unknown as Inside).ports(state, env);
        await requestGrowth({ appendsPerSecond: 300, rawBytesPerSecond: 1e6 });
      });
    }
    expect((await tenant("acme").view()).versions.map(({ count }) => count)).toEqual([1, 2]);
    expect((await tenant().view()).shardCount).toBe(1);
  });
});

describe("a tenant's object", () => {
  test("one that was only asked leaves nothing behind", async () => {
    expect(await tenant("nobody").view()).toMatchObject({ state: "active", shardCount: 1 });
    await runInDurableObject(tenantObject("nobody"), async (_, { storage }) => {
      expect(tablesOf(storage)).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    });
  });

  test("a retention reaches the shards by the alarm", async () => {
    expect(await tenant().setRetention(7_200_000)).toMatchObject({ ok: true });
    // Nobody calls it: the alarm is the runtime's.
    await vi.waitFor(async () => {
      const record = await runInDurableObject(tenantObject(), (_, { storage }) =>
        new TenantSql(storage).load(),
      );
      expect(record).toMatchObject({ retentionMs: 7_200_000, isRetentionUnsent: false });
    }, 5_000);
    await evictDurableObject(tenantObject());
    expect(await tenant().view()).toMatchObject({ retentionMs: 7_200_000 });
  });
});

describe("deletion", () => {
  test("every object and row goes, live spans and blocks, of all shards; another tenant keeps its own", async () => {
    const generator = makeGenerator({ seed: 5 });
    const isolate = new Isolate();
    faults.clockOffsetMs = 0;
    await tenant().setShardCount(2);
    faults.clockOffsetMs += 90_000;
    const batches = [generator.batch(200), generator.batch(200)];
    expect(await isolate.send(batches[0]!)).toBe(200);
    for (const index of [0, 1]) await shard(index).tick(now() + DEFAULT_LIMITS.flushAgeMs);
    expect(await isolate.send(batches[1]!)).toBe(200);
    await BLOCKS.put("tenant=single-tenant-2/date=2026-11-23/shard=00/x.parquet", "other");
    await BLOCKS.put("tenant=single-tenant/date=2026-11-23/shard=00/orphan.parquet", "orphan");
    expect((await BLOCKS.list()).objects).toHaveLength(4);

    expect(await tenant().startDeletion()).toMatchObject({ ok: true, view: { state: "deleting" } });
    const [traceId = ""] = traceIdsOf(batches[1]!);
    await tenant().tick(now());
    // A Worker that has not heard of it yet stores spans for a minute at most; the last round removes them.
    expect(await isolate.send(batches[1]!)).toBe(200);
    faults.clockOffsetMs += 61_000;
    expect(await isolate.send(batches[1]!)).toBe(404);
    expect((await isolate.find(traceId)).status).toBe(404);
    for (let i = 0; i < 20 && (await tenant().view()).state === "deleting"; i++) {
      await evictDurableObject(tenantObject());
      faults.clockOffsetMs += 120_000;
      await tenant().tick(now());
    }
    expect(await tenant().view()).toMatchObject({ state: "active", shardCount: 1 });
    expect((await BLOCKS.list()).objects.map(({ key }) => key)).toEqual([
      "tenant=single-tenant-2/date=2026-11-23/shard=00/x.parquet",
    ]);
    await runInDurableObject(tenantObject(), async (_, { storage }) => {
      expect(tablesOf(storage)).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    });
    // The name is free again.
    faults.clockOffsetMs += 61_000;
    const again = new Isolate();
    expect((await again.find(traceId)).status).toBe(404);
    expect(await again.send(batches[0]!)).toBe(200);
    expect((await again.find(traceIdsOf(batches[0]!)[0] ?? "")).status).toBe(200);
  });
});
