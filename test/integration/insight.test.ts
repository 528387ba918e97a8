// What isolates noted of requests, kept by the objects of real workerd; what a shard tells of itself.
import { evictDurableObject, reset } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { DIRECTORY_NAME, type DirectoryRpc } from "../../src/store/directory-rpc.ts";
import type { InsightNote } from "../../src/store/insight-rpc.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import type { TenantRpc } from "../../src/store/tenant-rpc.ts";
import { Meter } from "../../src/usage/meter.ts";
import { decodeUsage } from "../../src/usage/usage-days.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";

interface TestEnv {
  readonly TENANT: DurableObjectNamespace;
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly DIRECTORY: DurableObjectNamespace;
}
const { TENANT, TRACE_SHARD, DIRECTORY } = env as unknown as TestEnv;
const worker = (exports as unknown as { default: Fetcher }).default;
const tenantObject = () => TENANT.getByName("single-tenant");
const tenant = () => tenantObject() as unknown as TenantRpc;
// Not of the tenant that other tests send to through the Worker.
const shardObject = () => TRACE_SHARD.getByName("acme/0");
const shard = () => shardObject() as unknown as TraceShardRpc;

const NOTE: InsightNote = {
  refused: [
    {
      code: "logs",
      method: "POST",
      path: "/v1/logs",
      status: 404,
      reason: "logs were sent",
      fix: "send none",
      userAgent: undefined,
      count: 2,
      firstMs: 1,
      lastMs: 2,
    },
  ],
  accepted: [{ protocol: "otlp/http json", atMs: 3, spans: 4, bodyBytes: 5 }],
  batches: { requests: 1, spans: 4, bodyBytes: 5, minDelayMs: -6, maxDelayMs: 7 },
};

afterEach(() => reset());

async function totalOf(): Promise<Meter> {
  const total = new Meter();
  const usage = decodeUsage((await shard().counts()).usage);
  for (const day of usage.days) total.merge(usage.on(day));
  return total;
}

describe("notes", () => {
  test("a tenant's object keeps them over an eviction, and adds to them", async () => {
    await tenant().note(NOTE);
    await evictDurableObject(tenantObject());
    await tenant().note(NOTE);
    const { refused, accepted, batches, counts } = await tenant().insight();
    expect(refused).toMatchObject([{ code: "logs", count: 4, firstMs: 1, lastMs: 2 }]);
    expect(accepted).toEqual(NOTE.accepted);
    expect(batches).toMatchObject({ requests: 2, spans: 8, minDelayMs: -6, maxDelayMs: 7 });
    expect(counts).toEqual({ logs: 4 });
  });

  test("the directory keeps those that name no tenant", async () => {
    const object = DIRECTORY.getByName(DIRECTORY_NAME);
    const directory = object as unknown as DirectoryRpc;
    await directory.note(NOTE);
    await evictDurableObject(object);
    expect((await directory.insight()).refused).toHaveLength(1);
    expect(await directory.list()).toEqual([]);
  });

  test("what comes while the tenant is being deleted is forgotten", async () => {
    await tenant().note(NOTE);
    await tenant().startDeletion();
    await tenant().note(NOTE);
    expect((await tenant().insight()).counts).toEqual({ logs: 2 });
  });

  test("a Worker tells of what it refuses and takes", async () => {
    const send = (path: string) =>
      worker.fetch(`http://localhost${path}`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf" },
        body: makeGenerator({ seed: 1, spansPerTrace: 2 }).batch(6),
      });
    expect((await send("/v1/trace")).status).toBe(404);
    await expect
      .poll(async () => (await tenant().insight()).refused.map(({ code }) => code))
      .toEqual(["path_traces"]);
    expect((await send("/v1/traces")).status).toBe(200);
    // Within ten seconds of the first note.
    await expect
      .poll(async () => (await tenant().insight()).accepted.map(({ protocol, spans }) => [protocol, spans]), {
        timeout: 20_000,
      })
      .toEqual([["otlp/http protobuf", 6]]);
  });
});

describe("a shard", () => {
  test("tells what is durable, and never less", async () => {
    const generator = makeGenerator({ seed: 2, spansPerTrace: 5 });
    await shard().append(frameOf(generator.batch(50)));
    expect((await totalOf()).get("spans")).toBe(50);
    // Reads count too, but are not durable yet.
    const before = await totalOf();
    await evictDurableObject(shardObject());
    const after = await totalOf();
    const less = [...before.all()].filter(([name, { labels, value }]) => after.get(name, ...labels) < value);
    expect(less).toEqual([]);
    await shard().append(frameOf(generator.batch(20)));
    await shard().tick(Date.now() + 86_400_000);
    const flushed = await totalOf();
    expect([flushed.get("spans"), flushed.get("flushedBlocks")]).toEqual([70, 1]);
    const { stats, youngBlocks, blockBytes, sqliteBytes } = await shard().counts();
    expect(stats).toMatchObject({ liveSpans: 0, blocks: 1 });
    expect(youngBlocks).toBe(1);
    expect(blockBytes).toBeGreaterThan(1_000);
    expect(sqliteBytes).toBeGreaterThan(4_000);
  });

  test("a probe is written over the one before, outlives the object and is no span", async () => {
    await shard().probe("one");
    await shard().probe("two");
    await evictDurableObject(shardObject());
    expect(await shard().probed()).toBe("two");
    expect((await shard().snapshot({})).epochs).toEqual([]);
    expect((await shard().stats()).liveSpans).toBe(0);
  });
});
