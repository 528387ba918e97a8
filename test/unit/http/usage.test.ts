// GET /api/usage and the spend cap, end to end in this process: app, ledger, shards and tenants are the real ones.
import { fromBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../../src/http/app.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { MemoryShardStorage } from "../../../src/shard/memory-storage.ts";
import { Shard } from "../../../src/shard/shard.ts";
import { shardName } from "../../../src/store/keys.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { TraceShardRpc } from "../../../src/store/rpc.ts";
import { MemoryTenantStorage } from "../../../src/tenant/memory-storage.ts";
import { TenantShards } from "../../../src/tenant/tenant-shards.ts";
import { Tenant } from "../../../src/tenant/tenant.ts";
import { countedStore } from "../../../src/usage/counted-store.ts";
import { UsageLedger } from "../../../src/usage/ledger.ts";
import { AccessWorld, ADMIN_TOKEN } from "../../support/access-world.ts";
import { makeGenerator } from "../../support/generator.ts";
import { tenantRpc } from "../../support/tenant-rpc.ts";

beforeEach(() => {
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "warn").mockReturnValue();
});

interface Answer {
  readonly priceTable: { readonly date: string };
  readonly tenants: readonly {
    readonly tenant: string;
    readonly usd: number;
    readonly units: Readonly<Record<string, { readonly units: number; readonly usd: number }>>;
    readonly spans: number;
    readonly spanBytes: number;
    readonly bytesIn: number;
    readonly refusedSpans: Readonly<Record<string, number>>;
    readonly usdPer1e9Spans: number | null;
    readonly monthToDate: { readonly usd: number };
    readonly forecast: { readonly usd: number };
    readonly spendCap: Readonly<Record<string, unknown>> | null;
    readonly topServices: {
      readonly bySpans: readonly { readonly service: string; readonly spans: number }[];
    };
    readonly tokens: readonly {
      readonly id: string;
      readonly name: string;
      readonly requests: number;
      readonly spans: number;
      readonly bytes: number;
      readonly lastUsed: string;
    }[];
    readonly days: readonly { readonly day: string; readonly spans: number }[];
  }[];
}

const AGE_MS = DEFAULT_LIMITS.flushAgeMs;

/** One isolate, the objects behind it. */
function setUp() {
  const world = new AccessWorld();
  world.nowMs = Date.UTC(2026, 10, 29, 12);
  const shards = new Map<string, Shard>();
  const storages = new Map<string, MemoryShardStorage>();
  const objects = new MemoryStore();
  const shardOf = (tenant: string, index: number): Shard => {
    const name = shardName(tenant, index);
    const storage = storages.get(name) ?? new MemoryShardStorage();
    storages.set(name, storage);
    const shard =
      shards.get(name) ??
      new Shard(
        { tenant, shard: index },
        DEFAULT_LIMITS,
        {
          storage,
          objects,
          clock: world.clock,
          pause: () => Promise.resolve(),
          sleep: () => Promise.resolve(),
          wakeCompactor: async () => undefined,
          requestGrowth: async () => undefined,
          reportSpend: async (report) => void world.tenant(tenant).reportSpend(index, report),
        },
        storage.alarm,
      );
    shards.set(name, shard);
    return shard;
  };
  const rpcOf = (tenant: string, index: number): TraceShardRpc =>
    new Proxy({} as TraceShardRpc, {
      get:
        (_, method) =>
        (...args: unknown[]) =>
          shardOf(tenant, index).run((shard) =>
            (Reflect.get(shard, method) as (...all: unknown[]) => unknown).apply(shard, args),
          ),
    });
  for (const name of ["acme", "other"]) {
    world.directory.names.add(name);
    const storage = new MemoryTenantStorage();
    const tenant = new Tenant(name, DEFAULT_LIMITS, {
      storage,
      objects,
      clock: world.clock,
      shardOf: (index) => rpcOf(name, index),
      removeName: async () => {},
      endCompaction: async () => {},
    });
    world.tenants.set(name, tenant);
  }
  const { authenticator, views } = world.isolate();
  const ledger = new UsageLedger(world.clock, "isolate");
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock: world.clock,
    objects: countedStore(objects, () => undefined),
    ledger,
    authenticator,
    shards: new TenantShards(DEFAULT_LIMITS, { maps: views, clock: world.clock, shardOf: rpcOf, ledger }),
    usage: {
      viewOf: (tenant) => views.forReading(tenant),
      shardOf: rpcOf,
      tenantNames: () => world.directory.list(),
    },
    admin: {
      access: { mode: "tokens", isMultitenant: true },
      tenantOf: (tenant) => tenantRpc(world.tenant(tenant)),
      shardOf: rpcOf,
      compactorOf: () => Promise.reject(new Error("unused")) as never,
      directory: () => world.directory,
      forget: (tenant) => views.forget(tenant),
    },
  });
  const send = (token: string, body: Uint8Array) =>
    app.request("/v1/traces", {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/x-protobuf" },
      body: new Uint8Array(body),
    });
  const usage = async (token: string, query = "", headers: Record<string, string> = {}) => {
    const response = await app.request(`/api/usage${query}`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
    return {
      status: response.status,
      body: JSON.parse(await response.text()) as Answer & { error?: { message: string } },
    };
  };
  /** An hour goes by, in which everybody hears of everything. */
  const settle = async () => {
    world.nowMs += 61_000;
    for (const tenant of world.tenants.values()) await tenant.tick(world.nowMs);
  };
  return { world, app, send, usage, settle, shards };
}

type World = ReturnType<typeof setUp>;

async function tokens({ world }: World) {
  const ingest = await world.token("acme", { name: "collector", scopes: ["ingest"] });
  const read = await world.token("acme", { name: "grafana", scopes: ["read"] });
  const other = await world.token("other", { name: "else", scopes: ["read", "ingest"] });
  return { ingest, read, other };
}

describe("what it says", () => {
  test("spans, bytes, requests, tokens, services and money of the tenant's own", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    const generator = makeGenerator({ seed: 1 });
    const batches = [generator.batch(30), generator.batch(40)];
    for (const batch of batches) expect((await bench.send(ingest.text, batch)).status).toBe(200);
    const bytes = batches.reduce((sum, batch) => sum + batch.length, 0);
    const { status, body } = await bench.usage(read.text);
    expect(status).toBe(200);
    const [tenant] = body.tenants;
    expect(body.priceTable.date).toBe("2026-11-01");
    expect(tenant).toMatchObject({
      tenant: "acme",
      spans: 70,
      spanBytes: bytes,
      bytesIn: bytes,
      refusedSpans: {},
      spendCap: null,
      days: [{ day: "2026-11-29", spans: 70 }],
    });
    expect(body.tenants).toHaveLength(1);
    // Two batches and this question; two appends and one call for the usage; table, alarm and two rows.
    expect(tenant?.units["workerRequests"]).toEqual({ units: 3, unit: "request", usd: 0.000001 });
    expect(tenant?.units["objectRequests"]?.units).toBe(3);
    expect(tenant?.units["rowsWritten"]?.units).toBe(5);
    expect(tenant?.usdPer1e9Spans).toBeGreaterThan(10);
    expect(tenant?.monthToDate.usd).toBe(tenant?.usd);
    const services = tenant?.topServices.bySpans ?? [];
    expect(services.reduce((sum, { spans }) => sum + spans, 0)).toBe(70);
    expect(services.map(({ spans }) => spans)).toEqual(
      services.map(({ spans }) => spans).sort((a, b) => b - a),
    );
    expect(tenant?.tokens.find(({ id }) => id === ingest.record.id)).toEqual({
      id: ingest.record.id,
      name: "collector",
      requests: 2,
      spans: 70,
      bytes: expect.any(Number),
      lastUsed: "2026-11-29T12:00:00.000Z",
    });
    expect(tenant?.tokens.find(({ id }) => id === read.record.id)).toMatchObject({ requests: 1, spans: 0 });
  });

  test("a token's last use is in the list of tokens", async () => {
    const bench = setUp();
    const { ingest } = await tokens(bench);
    const list = async () => {
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
      const response = await bench.app.request("/api/admin/tenants/acme/tokens", { headers });
      const { tokens: all } = await response.json<{ tokens: { name: string; lastUsed?: string }[] }>();
      return all.map(({ name, lastUsed }) => [name, lastUsed]);
    };
    expect(await list()).toEqual([
      ["collector", undefined],
      ["grafana", undefined],
    ]);
    const usedMs = bench.world.nowMs;
    expect((await bench.send(ingest.text, makeGenerator({ seed: 9 }).batch(10))).status).toBe(200);
    bench.world.nowMs += 3 * 86_400_000;
    expect(await list()).toEqual([
      ["collector", new Date(usedMs).toISOString()],
      ["grafana", undefined],
    ]);
    bench.world.nowMs = usedMs + 91 * 86_400_000;
    expect(await list()).toEqual([
      ["collector", undefined],
      ["grafana", undefined],
    ]);
  });

  test("the shard is told of each request once, and an eviction loses nothing of what was stored", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    const generator = makeGenerator({ seed: 2 });
    for (let i = 0; i < 5; i++) {
      expect((await bench.send(ingest.text, generator.batch(10))).status).toBe(200);
      bench.shards.clear();
    }
    const { body } = await bench.usage(read.text);
    expect(body.tenants[0]).toMatchObject({ spans: 50 });
    expect(body.tenants[0]?.units["workerRequests"]?.units).toBe(6);
    expect(body.tenants[0]?.tokens.find(({ name }) => name === "collector")).toMatchObject({
      requests: 5,
      spans: 50,
    });
  });

  test("days: a range, the month by default, and days across a flush and midnight", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    const generator = makeGenerator({ seed: 3 });
    for (let day = 0; day < 3; day++) {
      expect((await bench.send(ingest.text, generator.batch(10 * (day + 1)))).status).toBe(200);
      bench.world.nowMs += AGE_MS;
      for (const shard of bench.shards.values())
        expect((await shard.tick(bench.world.nowMs)).flushedBlocks).toBe(1);
      bench.world.nowMs += 86_400_000 - AGE_MS;
    }
    bench.world.nowMs -= 86_400_000;
    const days = async (query: string) => (await bench.usage(read.text, query)).body.tenants[0]?.days ?? [];
    const all = [
      { day: "2026-11-29", spans: 10 },
      { day: "2026-11-30", spans: 20 },
      { day: "2026-12-01", spans: 30 },
    ];
    expect(await days("")).toMatchObject(all.slice(2));
    expect(await days("?from=2026-11-29")).toMatchObject(all);
    expect(await days("?from=2026-11-30&to=2026-11-30")).toMatchObject(all.slice(1, 2));
    const { body } = await bench.usage(read.text, "?from=2026-11-29&to=2026-11-29");
    expect(body.tenants[0]?.spans).toBe(10);
    // The month so far is the month's, whatever the range.
    expect(body.tenants[0]?.monthToDate.usd).toBeGreaterThan(0);
  });

  test("spans that are refused are counted by reason", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    expect((await bench.send(ingest.text, new TextEncoder().encode("no protobuf"))).status).toBe(400);
    const generator = makeGenerator({ seed: 4 });
    expect((await bench.send(ingest.text, generator.batch(10))).status).toBe(200);
    const { body } = await bench.usage(read.text);
    expect(body.tenants[0]).toMatchObject({ spans: 10, refusedSpans: {} });
    expect(body.tenants[0]?.units["workerRequests"]?.units).toBe(3);
  });
});

describe("who may ask", () => {
  test("a tenant for its own; nobody for another's; the operator for all", async () => {
    const bench = setUp();
    const { ingest, read, other } = await tokens(bench);
    const scrape = await bench.world.token("acme", { scopes: ["metrics"] });
    const admin = await bench.world.token("acme", { scopes: ["admin"] });
    expect((await bench.send(other.text, makeGenerator({ seed: 5 }).batch(10))).status).toBe(200);
    expect((await bench.usage(ingest.text)).status).toBe(403);
    expect((await bench.usage("rbt_acme_0123456789012345678901234567890123456789")).status).toBe(401);
    expect(await bench.usage(scrape.text)).toMatchObject({
      status: 403,
      body: { error: { message: "this token lacks the scopes read and admin: it needs one of them" } },
    });
    expect((await bench.usage(admin.text)).status).toBe(200);
    const own = await bench.usage(read.text, "?tenant=acme");
    expect(own.body.tenants.map(({ tenant, spans }) => [tenant, spans])).toEqual([["acme", 0]]);
    const others = await bench.usage(read.text, "?tenant=other");
    expect(others).toMatchObject({
      status: 403,
      body: { error: { message: 'the token is not for tenant "other"' } },
    });
    // A tenant that there is and one that there is not are refused alike.
    const nobody = await bench.usage(read.text, "?tenant=nobody");
    expect(nobody.status).toBe(403);
    expect((await bench.usage(read.text, "?tenant=all")).status).toBe(403);
    // Not even the operator makes objects of a tenant by asking for it.
    expect((await bench.usage(ADMIN_TOKEN, "?tenant=nobody")).status).toBe(404);
    const all = await bench.usage(ADMIN_TOKEN, "?tenant=all");
    expect(all.body.tenants.map(({ tenant, spans }) => [tenant, spans])).toEqual([
      ["acme", 0],
      ["other", 10],
    ]);
    const one = await bench.usage(ADMIN_TOKEN, "?tenant=other");
    expect(one.body.tenants.map(({ tenant }) => tenant)).toEqual(["other"]);
    const named = await bench.usage(ADMIN_TOKEN, "", { "x-scope-orgid": "other" });
    expect(named.body.tenants.map(({ tenant }) => tenant)).toEqual(["other"]);
  });

  test("what is wrong with a range is said", async () => {
    const bench = setUp();
    const { read } = await tokens(bench);
    const refusal = async (query: string) => {
      const { status, body } = await bench.usage(read.text, query);
      return `${status} ${body.error?.message}`;
    };
    expect(await refusal("?from=yesterday")).toBe(
      '400 from must be a date (UTC) like 2026-11-30, not "yesterday"',
    );
    expect(await refusal("?to=2026-02-31x")).toContain("400 to must be a date");
    expect(await refusal("?from=2026-11-02&to=2026-11-01")).toBe("400 from is later than to");
    expect(await refusal("?from=2025-10-24&to=2026-11-28")).toBe("400 the range is longer than 400 days");
    expect((await bench.usage(read.text, "?from=2025-10-25&to=2026-11-28")).status).toBe(200);
  });
});

describe("spend cap", () => {
  const setCap = (bench: World, cap: object) =>
    bench.app.request("/api/admin/tenants/acme/spend-cap", {
      method: "PUT",
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify(cap),
    });

  /** Sends batches until the shard's report has made the tenant's verdict. @returns those that were stored */
  async function spendUntil(bench: World, token: string, state: string): Promise<number> {
    const generator = makeGenerator({ seed: 6 });
    for (let stored = 0; stored < 200; stored++) {
      if (bench.world.tenant("acme").view().spend?.verdict?.state === state) return stored;
      bench.world.nowMs += 1_100;
      expect((await bench.send(token, generator.batch(5))).status).toBe(200);
    }
    throw new Error(`it does not come to ${state}`);
  }

  test("told before it happens, warned of at 80 %, then 429 until the day is over; reading goes on", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    expect((await setCap(bench, { dayUsd: 0.0001 })).status).toBe(200);
    await bench.settle();
    const before = (await bench.usage(read.text)).body.tenants[0]?.spendCap;
    expect(before).toMatchObject({
      dayUsd: 0.0001,
      monthUsd: null,
      action: "reject",
      warnAt: 0.8,
      state: "ok",
      until: null,
    });
    expect(before?.["atTheCap"]).toMatch(/^spans are refused with 429 until/);
    const warned = await spendUntil(bench, ingest.text, "warning");
    expect(warned).toBeGreaterThan(20);
    expect((await bench.usage(read.text)).body.tenants[0]?.spendCap).toMatchObject({ state: "ok" });
    await spendUntil(bench, ingest.text, "capped");
    // The isolate's view is up to 30 s old: the shard, once told, refuses by itself.
    for (const tenant of bench.world.tenants.values()) await tenant.tick(bench.world.nowMs);
    const generator = makeGenerator({ seed: 7 });
    const byShard = await bench.send(ingest.text, generator.batch(5));
    expect(byShard.status).toBe(429);
    await bench.settle();
    const refused = await bench.send(ingest.text, generator.batch(5));
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("3600");
    const { message } = fromBinary(StatusSchema, new Uint8Array(await refused.arrayBuffer()));
    expect(message).toMatch(
      /^the tenant has spent USD 0\.0001\d* of its cap of USD 0\.000100 a day: no spans are taken until 2026-11-30T00:00:00\.000Z$/,
    );
    const told = (await bench.usage(read.text)).body.tenants[0];
    expect(told?.spendCap).toMatchObject({ state: "capped", until: "2026-11-30T00:00:00.000Z" });
    expect(told?.refusedSpans["rate_limited"]).toBe(5);
    const search = await bench.app.request("/api/search?q=%7B%7D", {
      headers: { authorization: `Bearer ${read.text}` },
    });
    expect(search.status).toBe(200);
    // The next day begins anew.
    bench.world.nowMs = Date.UTC(2026, 10, 30, 0, 0, 1);
    expect((await bench.send(ingest.text, generator.batch(5))).status).toBe(200);
  });

  test("a cap that is raised lets spans in again", async () => {
    const bench = setUp();
    const { ingest } = await tokens(bench);
    await setCap(bench, { dayUsd: 0.00005 });
    await bench.settle();
    await spendUntil(bench, ingest.text, "capped");
    await bench.settle();
    const generator = makeGenerator({ seed: 8 });
    expect((await bench.send(ingest.text, generator.batch(5))).status).toBe(429);
    await setCap(bench, { dayUsd: 1 });
    await bench.settle();
    expect((await bench.send(ingest.text, generator.batch(5))).status).toBe(200);
    await setCap(bench, { dayUsd: null, monthUsd: null });
    await bench.settle();
    expect(bench.world.tenant("acme").view().spend).toBeUndefined();
    expect((await bench.send(ingest.text, generator.batch(5))).status).toBe(200);
  });

  test("sample: what is left out is told by partial_success, and counted", async () => {
    const bench = setUp();
    const { ingest, read } = await tokens(bench);
    await setCap(bench, { dayUsd: 0.00005, action: "sample", keepShare: 0.5 });
    await bench.settle();
    await spendUntil(bench, ingest.text, "capped");
    await bench.settle();
    const before = (await bench.usage(read.text)).body.tenants[0]?.spans ?? 0;
    const response = await bench.send(ingest.text, makeGenerator({ seed: 9, spansPerTrace: 2 }).batch(400));
    expect(response.status).toBe(200);
    const { partialSuccess } = fromBinary(
      ExportTraceServiceResponseSchema,
      new Uint8Array(await response.arrayBuffer()),
    );
    const leftOut = Number(partialSuccess?.rejectedSpans ?? 0n);
    expect(leftOut).toBeGreaterThan(50);
    expect(leftOut).toBeLessThan(300);
    expect(partialSuccess?.errorMessage).toBe(
      `${leftOut} spans left out by the spend cap of USD 0.0000500 a day, which keeps traces with errors and 50 % of the others`,
    );
    const after = (await bench.usage(read.text)).body.tenants[0];
    expect(after?.spans).toBe(before + 400 - leftOut);
    expect(after?.refusedSpans["spendCap"]).toBe(leftOut);
    expect(after?.spendCap).toMatchObject({ action: "sample", keepShare: 0.5, state: "capped" });
  });

  test("what is no cap is refused, and only the operator sets one", async () => {
    const bench = setUp();
    const { read } = await tokens(bench);
    const text = async (cap: object) => {
      const response = await setCap(bench, cap);
      const { error } = JSON.parse(await response.text()) as { error?: { message: string } };
      return `${response.status} ${error?.message}`;
    };
    expect(await text({ dayUsd: -1 })).toContain("400 spend cap: a limit must be above 0");
    expect(await text({ dayUsd: "1" })).toBe("400 dayUsd must be a number");
    expect(await text({ dayUsd: 1, action: "drop" })).toBe("400 action must be reject or sample");
    expect(await text({ dayUsd: 1, keepShare: 2 })).toContain("400 spend cap: keepShare");
    const response = await bench.app.request("/api/admin/tenants/acme/spend-cap", {
      method: "PUT",
      headers: { authorization: `Bearer ${read.text}` },
      body: "{}",
    });
    expect(response.status).toBe(403);
  });
});
