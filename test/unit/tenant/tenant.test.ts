// The state machine of a tenant: changes of the shard count, growth, retention, deletion.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { Change } from "../../../src/store/tenant-rpc.ts";
import type { TokenRecord } from "../../../src/model/token.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { ShardSettings } from "../../../src/store/rpc.ts";
import { MemoryTenantStorage } from "../../../src/tenant/memory-storage.ts";
import { changeDelayMs } from "../../../src/tenant/shard-map.ts";
import { Tenant } from "../../../src/tenant/tenant.ts";
import { runTenantStorageContract } from "../../contract/tenant-storage.ts";

const T = 1_795_392_000_000;
const DELAY = changeDelayMs(DEFAULT_LIMITS);
const COOL_DOWN = DEFAULT_LIMITS.growth.coolDownMs;
const LOAD = { appendsPerSecond: 300, rawBytesPerSecond: 1e6 };
const DAY = 86_400_000;

runTenantStorageContract("MemoryTenantStorage", (body) => {
  const storage = new MemoryTenantStorage();
  return body({
    storage,
    reopen: () => storage,
    alarm: async () => storage.alarm,
    tables: () => (storage.load() === undefined ? [] : ["record"]),
  });
});

class FakeShard {
  settings: ShardSettings[] = [];
  /** Calls to destroy that are not the last. */
  work = 0;
  destroyed = 0;
  fails = false;

  async configure(settings: ShardSettings): Promise<void> {
    if (this.fails) throw new Error("out of reach");
    this.settings.push(settings);
  }

  async destroy(): Promise<{ done: boolean }> {
    if (this.fails) throw new Error("out of reach");
    if (this.work-- > 0) return { done: false };
    this.destroyed++;
    return { done: true };
  }
}

function setUp() {
  const storage = new MemoryTenantStorage();
  const objects = new MemoryStore();
  const shards = new Map<number, FakeShard>();
  const ended: number[] = [];
  const removed: string[] = [];
  const world = { nowMs: T };
  const shardOf = (index: number): FakeShard => {
    const shard = shards.get(index) ?? new FakeShard();
    shards.set(index, shard);
    return shard;
  };
  /** The object after an eviction. */
  const open = () =>
    new Tenant("acme", DEFAULT_LIMITS, {
      storage,
      objects,
      clock: { now: () => world.nowMs },
      shardOf,
      removeName: async () => void removed.push("acme"),
      endCompaction: async (index) => void ended.push(index),
    });
  /** Runs alarms as they come due, until none is set or `untilMs`. */
  const runAlarms = async (tenant: Tenant, untilMs = Number.POSITIVE_INFINITY): Promise<number> => {
    let count = 0;
    while (storage.alarm !== null && storage.alarm <= untilMs) {
      world.nowMs = Math.max(world.nowMs, storage.alarm);
      storage.alarm = null;
      await tenant.tick(world.nowMs);
      if (++count > 1_000) throw new Error("alarms without end");
    }
    return count;
  };
  return { storage, objects, shards, shardOf, ended, removed, world, open, runAlarms };
}

beforeEach(() => {
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "warn").mockReturnValue();
});

describe("shard count", () => {
  test("a tenant nobody set anything for has one shard, and asking stores nothing", () => {
    const { open, storage } = setUp();
    expect(open().view()).toEqual({
      state: "active",
      limits: {},
      tokens: [],
      version: 0,
      versions: [{ fromMs: 0, count: 1 }],
      shardCount: 1,
      retentionMs: undefined,
    });
    expect(storage.load()).toBeUndefined();
  });

  test("a change takes effect when every reader knows it, and survives an eviction", () => {
    const { open } = setUp();
    const reply = open().setShardCount(4);
    const versions = [
      { fromMs: 0, count: 1 },
      { fromMs: T + DELAY, count: 4 },
    ];
    expect(reply).toMatchObject({ ok: true, view: { versions, shardCount: 4 } });
    expect(open().view()).toMatchObject({ versions, shardCount: 4 });
  });

  test.each([0, -1, 3, 1.5, 65, 128, Number.NaN, Number.POSITIVE_INFINITY])("%s is refused", (count) => {
    expect(setUp().open().setShardCount(count)).toMatchObject({
      ok: false,
      kind: "invalid_argument",
      message: expect.stringContaining("power of 2 from 1 to 64"),
    });
  });

  test("one change at a time; the same count again is no change", () => {
    const { open, world } = setUp();
    const tenant = open();
    tenant.setShardCount(2);
    expect(tenant.setShardCount(2)).toMatchObject({ ok: true });
    world.nowMs += 1_000;
    expect(tenant.setShardCount(4)).toEqual({
      ok: false,
      kind: "rate_limited",
      message: "the last change, to 2 shards, has not taken effect yet",
      retryAfterMs: DELAY - 1_000,
    });
    world.nowMs = T + DELAY;
    expect(tenant.setShardCount(4)).toMatchObject({ ok: true, view: { shardCount: 4 } });
    expect(tenant.view().versions).toHaveLength(3);
  });

  test("fewer shards are possible; the greatest count is remembered", () => {
    const { open, world } = setUp();
    const tenant = open();
    tenant.setShardCount(8);
    world.nowMs += DELAY;
    tenant.setShardCount(1);
    expect(tenant.view()).toMatchObject({ shardCount: 8 });
    expect(tenant.view().versions.map(({ count }) => count)).toEqual([1, 8, 1]);
  });

  test("versions whose spans have expired are forgotten by the next change", () => {
    const { open, world } = setUp();
    const tenant = open();
    tenant.setShardCount(2);
    world.nowMs = T + DELAY + DEFAULT_LIMITS.blockRetentionMs + 2 * DAY - 1;
    tenant.setShardCount(4);
    expect(tenant.view().versions.map(({ count }) => count)).toEqual([1, 2, 4]);
    world.nowMs += DELAY;
    tenant.setShardCount(8);
    expect(tenant.view().versions.map(({ count }) => count)).toEqual([2, 4, 8]);
  });

  test("changes without end are refused before the map grows without end", () => {
    const { open, world } = setUp();
    const tenant = open();
    for (let i = 1; i < 256; i++) {
      expect(tenant.setShardCount(i % 2 === 1 ? 2 : 1)).toMatchObject({ ok: true });
      world.nowMs += DELAY;
    }
    expect(tenant.view().versions).toHaveLength(256);
    expect(tenant.setShardCount(4)).toMatchObject({ ok: false, kind: "rate_limited" });
  });
});

describe("growth", () => {
  test("doubles from 1 to 64, once a cool-down, and stays there", () => {
    const { open, world } = setUp();
    const tenant = open();
    const counts: number[] = [];
    for (let minute = 0; minute < 120; minute++) {
      tenant.requestGrowth(0, LOAD);
      counts.push(tenant.view().shardCount);
      world.nowMs += 60_000;
    }
    expect([...new Set(counts)]).toEqual([2, 4, 8, 16, 32, 64]);
    expect(counts.at(-1)).toBe(64);
    const { versions } = tenant.view();
    const times = versions.map(({ fromMs }) => fromMs).slice(1);
    const gaps = times.slice(1).map((fromMs, i) => fromMs - (times[i] ?? 0));
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(COOL_DOWN + DELAY);
  });

  test("within the cool-down a request is refused, with the time that is left", () => {
    const { open, world } = setUp();
    const tenant = open();
    tenant.setShardCount(2);
    world.nowMs = T + DELAY + COOL_DOWN - 5_000;
    expect(tenant.requestGrowth(1, LOAD)).toMatchObject({ kind: "rate_limited", retryAfterMs: 5_000 });
    world.nowMs += 5_000;
    expect(tenant.requestGrowth(1, LOAD)).toMatchObject({ ok: true, view: { shardCount: 4 } });
  });

  test("several shards that ask at once double it once", () => {
    const { open } = setUp();
    const tenant = open();
    for (const shard of [0, 0, 0]) tenant.requestGrowth(shard, LOAD);
    expect(tenant.view().shardCount).toBe(2);
  });

  test("a shard that is not one of the newest version is not heard", () => {
    const { open, world } = setUp();
    const tenant = open();
    tenant.setShardCount(4);
    world.nowMs += DELAY;
    tenant.setShardCount(1);
    world.nowMs += DELAY + COOL_DOWN;
    tenant.requestGrowth(3, LOAD);
    expect(tenant.view().versions.at(-1)?.count).toBe(1);
  });
});

describe("retention", () => {
  test("every shard there ever was is told, by the alarm", async () => {
    const { open, shards, runAlarms } = setUp();
    const tenant = open();
    tenant.setShardCount(4);
    tenant.setRetention(3 * DAY);
    expect(tenant.view().retentionMs).toBe(3 * DAY);
    expect(await runAlarms(tenant)).toBe(1);
    expect(new Set(shards.keys())).toEqual(new Set([0, 1, 2, 3]));
    for (const { settings } of shards.values())
      expect(settings).toEqual([{ retentionMs: 3 * DAY, limits: {} }]);
  });

  test("a shard that is out of reach is told later, after an eviction too; then there is no alarm any more", async () => {
    const { open, shardOf, runAlarms, storage, world } = setUp();
    const tenant = open();
    tenant.setShardCount(2);
    shardOf(1).fails = true;
    tenant.setRetention(DAY);
    await runAlarms(tenant, world.nowMs + 20_000);
    expect(storage.alarm).not.toBeNull();
    shardOf(1).fails = false;
    await runAlarms(open());
    expect(shardOf(1).settings).toEqual([{ retentionMs: DAY, limits: {} }]);
    expect(storage.alarm).toBeNull();
  });

  test("shards that are added later are told before they take spans", async () => {
    const { open, shardOf, runAlarms, world } = setUp();
    const tenant = open();
    tenant.setRetention(DAY);
    await runAlarms(tenant);
    tenant.setShardCount(2);
    await runAlarms(tenant);
    expect(world.nowMs).toBeLessThan(T + DELAY);
    expect(shardOf(1).settings).toEqual([{ retentionMs: DAY, limits: {} }]);
  });

  test("what is set while the shards are being told is told, too", async () => {
    const { open, shardOf, runAlarms } = setUp();
    const tenant = open();
    tenant.setRetention(DAY);
    const telling = tenant.tick(T);
    tenant.setRetention(2 * DAY);
    await telling;
    await runAlarms(tenant);
    expect(shardOf(0).settings.at(-1)).toEqual({ retentionMs: 2 * DAY, limits: {} });
  });

  test("undefined goes back to the default; less than an hour is refused", async () => {
    const { open, shardOf, runAlarms } = setUp();
    const tenant = open();
    tenant.setRetention(DAY);
    tenant.setRetention(undefined);
    await runAlarms(tenant);
    expect(shardOf(0).settings.at(-1)).toEqual({ retentionMs: undefined, limits: {} });
    for (const ms of [0, -1, 3_599_999, Number.NaN, 1e300]) {
      expect(tenant.setRetention(ms)).toMatchObject({ ok: false, kind: "invalid_argument" });
    }
  });
});

describe("deletion", () => {
  async function storeObjects(objects: MemoryStore): Promise<void> {
    for (let i = 0; i < 2_500; i++)
      await objects.put(`tenant=acme/date=2026-11-23/shard=00/${i}`, new Uint8Array(1));
    for (const key of ["tenant=acme2/x", "tenant=acm/x", "tenant=ACME/x", "x/tenant=acme/"]) {
      await objects.put(key, new Uint8Array(1));
    }
  }

  async function keys(objects: MemoryStore): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of objects.list("")) found.push(key);
    return found;
  }

  test("every shard, every object and all rows go; other tenants keep theirs; then the tenant is as new", async () => {
    const { open, objects, shards, ended, storage, runAlarms, world, shardOf } = setUp();
    await storeObjects(objects);
    const tenant = open();
    tenant.setShardCount(4);
    tenant.setRetention(DAY);
    shardOf(2).work = 5;
    expect(tenant.startDeletion()).toMatchObject({ ok: true, view: { state: "deleting" } });
    await runAlarms(tenant);
    expect(await keys(objects)).toEqual([
      "tenant=ACME/x",
      "tenant=acm/x",
      "tenant=acme2/x",
      "x/tenant=acme/",
    ]);
    expect(new Set(shards.keys())).toEqual(new Set([0, 1, 2, 3]));
    for (const shard of shards.values()) expect(shard.destroyed).toBeGreaterThanOrEqual(2);
    expect(new Set(ended)).toEqual(new Set([0, 1, 2, 3]));
    expect(storage.load()).toBeUndefined();
    expect(storage.alarm).toBeNull();
    expect(tenant.view()).toEqual(setUp().open().view());
    // The name is free when nothing that began before can still be under way.
    expect(world.nowMs).toBeGreaterThanOrEqual(T + DEFAULT_LIMITS.objectGraceMs);
  });

  test("the data goes at once, not at the end", async () => {
    const { open, shardOf, world, runAlarms } = setUp();
    const tenant = open();
    tenant.startDeletion();
    await runAlarms(tenant, T + 1_000);
    expect(shardOf(0).destroyed).toBe(1);
    expect(tenant.view().state).toBe("deleting");
    expect(world.nowMs).toBeLessThanOrEqual(T + 1_000);
  });

  test("goes on after an eviction at any moment, and after faults", async () => {
    const { open, objects, storage, shardOf, runAlarms, world } = setUp();
    await storeObjects(objects);
    open().setShardCount(2);
    open().startDeletion();
    shardOf(1).fails = true;
    shardOf(0).work = 3;
    for (let i = 0; i < 4; i++) await runAlarms(open(), world.nowMs);
    await runAlarms(open(), world.nowMs + 10_000);
    expect(open().view().state).toBe("deleting");
    shardOf(1).fails = false;
    // Each alarm is the first thing that a new object does.
    for (let i = 0; i < 100 && storage.alarm !== null; i++) await runAlarms(open(), storage.alarm);
    expect(open().view().state).toBe("active");
    expect(await keys(objects)).toHaveLength(4);
  });

  test("what arrives while it runs is removed as well", async () => {
    const { open, objects, runAlarms } = setUp();
    const tenant = open();
    tenant.startDeletion();
    await runAlarms(tenant, T + 60_000);
    // A compaction that was under way puts its block.
    await objects.put("tenant=acme/date=2026-11-23/shard=00/late.parquet", new Uint8Array(1));
    await runAlarms(tenant);
    expect(await keys(objects)).toEqual([]);
  });

  test("while it runs nothing can be set, and beginning again changes nothing", async () => {
    const { open, world, runAlarms } = setUp();
    const tenant = open();
    tenant.startDeletion();
    const gone = { ok: false, kind: "not_found", message: 'tenant "acme" is being deleted' };
    expect(tenant.setShardCount(2)).toEqual(gone);
    expect(tenant.setRetention(DAY)).toEqual(gone);
    expect(tenant.requestGrowth(0, LOAD)).toEqual(gone);
    world.nowMs += 60_000;
    expect(tenant.startDeletion()).toMatchObject({ ok: true, view: { state: "deleting" } });
    await runAlarms(tenant);
    expect(world.nowMs).toBe(T + DEFAULT_LIMITS.objectGraceMs);
    expect(tenant.setShardCount(2)).toMatchObject({ ok: true });
  });
});

describe("changes by people", () => {
  const token = (digit: string): TokenRecord => ({
    id: digit.repeat(12),
    hash: digit.repeat(64),
    name: `n${digit}`,
    scopes: ["ingest", "read"],
    tenants: [],
    origins: [],
    createdMs: T,
  });
  const by = (ifVersion?: number): Change => ({ actor: "operator", ifVersion });

  test("each has a version and a line in the log; what the installation does has neither", () => {
    const { open, world } = setUp();
    open().setShardCount(2, by());
    world.nowMs += 1_000;
    open().setRetention(2 * DAY, by());
    open().addToken(token("a"), { actor: "token b (ci)" });
    open().revokeToken(token("a").id, by());
    expect(open().view()).toMatchObject({ version: 4, tokens: [] });
    expect(open().audit(10)).toEqual([
      { id: 4, atMs: T + 1_000, actor: "operator", action: "revoke token", detail: "aaaaaaaaaaaa (na)" },
      {
        id: 3,
        atMs: T + 1_000,
        actor: "token b (ci)",
        action: "create token",
        detail: "aaaaaaaaaaaa (na): ingest, read",
      },
      {
        id: 2,
        atMs: T + 1_000,
        actor: "operator",
        action: "set retention",
        detail: "from default to 172800000 ms",
      },
      { id: 1, atMs: T, actor: "operator", action: "set shards", detail: "from 1 to 2" },
    ]);
    world.nowMs += DEFAULT_LIMITS.growth.coolDownMs + DAY;
    expect(open().requestGrowth(0, LOAD)).toMatchObject({ ok: true, view: { version: 4 } });
    expect(open().audit(10)).toHaveLength(4);
  });

  test("one who saw another version is refused, and nothing is changed", () => {
    const { open } = setUp();
    expect(open().setRetention(2 * DAY, by(0))).toMatchObject({ ok: true, view: { version: 1 } });
    const tenant = open();
    const refusal = {
      ok: false,
      kind: "conflict",
      message: "the tenant has been changed: it has version 1, not 0",
      version: 1,
    };
    expect(tenant.setRetention(DAY, by(0))).toEqual(refusal);
    expect(tenant.setShardCount(2, by(0))).toEqual(refusal);
    expect(tenant.addToken(token("a"), by(0))).toEqual(refusal);
    expect(tenant.revokeToken("x", by(0))).toEqual(refusal);
    expect(tenant.startDeletion(by(0))).toEqual(refusal);
    expect(open().view()).toMatchObject({ version: 1, retentionMs: 2 * DAY, tokens: [], state: "active" });
    expect(open().audit(10)).toHaveLength(1);
    expect(tenant.addToken(token("a"), by(1))).toMatchObject({ ok: true, view: { version: 2 } });
  });

  test("tokens are in the view until they are revoked; an id is there once", () => {
    const { open } = setUp();
    expect(open().addToken(token("a"), by())).toMatchObject({ ok: true });
    expect(open().addToken(token("b"), by())).toMatchObject({ ok: true });
    expect(open().addToken({ ...token("a"), hash: "a".repeat(63).padEnd(64, "c") }, by())).toMatchObject({
      kind: "conflict",
    });
    expect(open().view().tokens).toEqual([token("a"), token("b")]);
    expect(open().revokeToken("c".repeat(12), by())).toMatchObject({ kind: "not_found" });
    expect(open().revokeToken(token("a").id, by())).toMatchObject({ ok: true });
    expect(open().view().tokens).toEqual([token("b")]);
  });

  test("500 tokens and no more", () => {
    const { open } = setUp();
    const tenant = open();
    const numbered = (n: number): TokenRecord => ({
      ...token("a"),
      id: String(n).padStart(12, "0"),
      hash: String(n).padStart(64, "0"),
    });
    for (let n = 0; n < 500; n++) expect(tenant.addToken(numbered(n), by())).toMatchObject({ ok: true });
    expect(tenant.addToken(numbered(500), by())).toMatchObject({
      kind: "invalid_argument",
      message: "the tenant has 500 tokens, the most there may be: revoke some",
    });
  });

  test("a tenant that is deleted has no tokens at once, and no name in the end", async () => {
    const { open, removed, runAlarms } = setUp();
    open().addToken(token("a"), by());
    expect(open().startDeletion(by())).toMatchObject({ ok: true, view: { state: "deleting", tokens: [] } });
    expect(open().addToken(token("b"), by())).toMatchObject({ kind: "not_found" });
    expect(removed).toEqual([]);
    await runAlarms(open());
    expect(removed).toEqual(["acme"]);
    expect(open().audit(10)).toEqual([]);
  });
});

const CHANGE = { actor: "operator" };

describe("limits", () => {
  test("what is set is in the view and told every shard, also those that come later, and after an eviction", async () => {
    const { open, shards, runAlarms } = setUp();
    const limits = { rateBytes: 5_000_000, maxLiveTraces: 7 };
    expect(open().setLimits(limits, CHANGE)).toMatchObject({ ok: true, view: { limits, version: 1 } });
    expect(open().view().limits).toEqual(limits);
    await runAlarms(open());
    const tenant = open();
    tenant.setShardCount(2);
    await runAlarms(tenant);
    for (const index of [0, 1]) {
      expect(shards.get(index)?.settings.at(-1)).toEqual({ retentionMs: undefined, limits });
    }
    tenant.setLimits({}, CHANGE);
    await runAlarms(tenant);
    expect(shards.get(1)?.settings.at(-1)).toEqual({ retentionMs: undefined, limits: {} });
    expect(open().audit(1)).toMatchObject([
      { action: "set limits", detail: 'from {"rateBytes":5000000,"maxLiveTraces":7} to {}' },
    ]);
  });

  test("one that cannot be is refused by name, and nothing is changed", () => {
    const { open, storage } = setUp();
    expect(open().setLimits({ rateBytes: 1, maxSearchMs: 0 }, CHANGE)).toMatchObject({
      ok: false,
      kind: "invalid_argument",
      message: expect.stringMatching(
        /^read.max_search_duration must be a whole number of milliseconds from 60000/,
      ),
    });
    expect(open().setLimits({ nothing: 1 } as never, CHANGE)).toMatchObject({ kind: "invalid_argument" });
    expect(storage.load()).toBeUndefined();
  });
});
