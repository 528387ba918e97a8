// When the Worker asks for a tenant's shard map, and what it does when there is no answer.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { TenantView } from "../../../src/store/tenant-rpc.ts";
import { ShardMapCache } from "../../../src/tenant/shard-map-cache.ts";

const TTL = DEFAULT_LIMITS.shardMapTtlMs;
const DAY = 86_400_000;

function setUp() {
  const state = {
    nowMs: 1_000_000,
    /** Names of tenants in the order they were asked for. */
    asked: [] as string[],
    answer: (async () => viewOf(1)) as () => Promise<TenantView>,
    kept: 0,
  };
  const cache = new ShardMapCache(DEFAULT_LIMITS, {
    fetch: (tenant) => {
      state.asked.push(tenant);
      return state.answer();
    },
    clock: { now: () => state.nowMs },
    keepAlive: () => void state.kept++,
  });
  return { state, cache };
}

function viewOf(count: number): TenantView {
  return { state: "active", versions: [{ fromMs: 0, count }], shardCount: count };
}

const countOf = ({ versions }: TenantView): number | undefined => versions[0]?.count;
const failure = async (): Promise<TenantView> => {
  throw new Error("tenant is not reachable");
};

beforeEach(() => void vi.spyOn(console, "warn").mockReturnValue());
afterEach(() => vi.useRealTimers());

describe("ShardMapCache", () => {
  test("one call a TTL, however many requests; it outlives the request that made it", async () => {
    const { state, cache } = setUp();
    for (let i = 0; i < 100; i++) {
      await cache.forReading("a");
      await cache.forWriting("a");
      state.nowMs += (TTL - 1) / 100;
    }
    expect(state.asked).toEqual(["a"]);
    expect(state.kept).toBe(1);
  });

  test("tenants have maps of their own", async () => {
    const { state, cache } = setUp();
    await Promise.all(["a", "b", "a"].map((tenant) => cache.forWriting(tenant)));
    expect(state.asked).toEqual(["a", "b"]);
  });

  test("requests that come together share one call", async () => {
    const { state, cache } = setUp();
    const { promise, resolve } = Promise.withResolvers<TenantView>();
    state.answer = () => promise;
    const waiting = Promise.all([cache.forReading("a"), cache.forWriting("a"), cache.forReading("a")]);
    resolve(viewOf(2));
    expect((await waiting).map(countOf)).toEqual([2, 2, 2]);
    expect(state.asked).toEqual(["a"]);
  });

  test("between one and two TTLs nobody waits: the old map serves, the new one comes in the background", async () => {
    const { state, cache } = setUp();
    await cache.forReading("a");
    state.answer = async () => viewOf(2);
    state.nowMs += TTL;
    expect(countOf(await cache.forReading("a"))).toBe(1);
    expect(countOf(await cache.forReading("a"))).toBe(2);
    expect(state.asked).toHaveLength(2);
    expect(state.kept).toBe(2);
  });

  test("a map counts from when it was asked for, not from when it came", async () => {
    const { state, cache } = setUp();
    const { promise, resolve } = Promise.withResolvers<TenantView>();
    state.answer = () => promise;
    const first = cache.forReading("a");
    state.nowMs += 2 * TTL;
    resolve(viewOf(1));
    await first;
    state.answer = async () => viewOf(2);
    expect(countOf(await cache.forReading("a"))).toBe(2);
  });

  test("after two TTLs a reader waits, and is refused when there is no answer", async () => {
    const { state, cache } = setUp();
    await cache.forReading("a");
    state.nowMs += 2 * TTL - 1;
    state.answer = failure;
    expect(countOf(await cache.forReading("a"))).toBe(1);
    state.nowMs += 1;
    await expect(cache.forReading("a")).rejects.toMatchObject({
      kind: "unavailable",
      message: 'the shards of tenant "a" are not known for the moment',
      retryAfterMs: 1_000,
    });
  });

  test("a writer goes on with what it has, for a day", async () => {
    const { state, cache } = setUp();
    await cache.forWriting("a");
    state.answer = failure;
    state.nowMs += DAY - 1;
    expect(countOf(await cache.forWriting("a"))).toBe(1);
    state.nowMs += 1_000;
    await expect(cache.forWriting("a")).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("without any map a writer is refused, too", async () => {
    const { state, cache } = setUp();
    state.answer = failure;
    await expect(cache.forWriting("a")).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("after a failure the next call is made a second later, not by every request", async () => {
    const { state, cache } = setUp();
    state.answer = failure;
    for (let i = 0; i < 5; i++)
      await expect(cache.forReading("a")).rejects.toThrow("not known for the moment");
    expect(state.asked).toHaveLength(1);
    state.nowMs += 1_000;
    state.answer = async () => viewOf(4);
    expect(countOf(await cache.forReading("a"))).toBe(4);
    expect(state.asked).toHaveLength(2);
  });

  test("a call that never comes back holds nobody for more than three seconds; a late answer does no harm", async () => {
    vi.useFakeTimers();
    const { state, cache } = setUp();
    const lost = Promise.withResolvers<TenantView>();
    state.answer = () => lost.promise;
    const refused = cache.forReading("a").catch((error: unknown) => error);
    state.nowMs += 3_000;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await refused).toMatchObject({ kind: "unavailable" });
    state.answer = async () => viewOf(2);
    expect(countOf(await cache.forReading("a"))).toBe(2);
    lost.resolve(viewOf(1));
    await lost.promise;
    expect(countOf(await cache.forReading("a"))).toBe(2);
    expect(state.asked).toHaveLength(2);
  });

  test("a clock that has gone back makes a map old", async () => {
    const { state, cache } = setUp();
    await cache.forReading("a");
    state.nowMs -= 1;
    state.answer = async () => viewOf(2);
    expect(countOf(await cache.forReading("a"))).toBe(2);
    expect(countOf(await cache.forReading("a"))).toBe(2);
    expect(state.asked).toHaveLength(2);
  });

  test("of more than a thousand tenants the one used longest ago is forgotten", async () => {
    const { state, cache } = setUp();
    await cache.forReading("first");
    for (let i = 0; i < 999; i++) await cache.forReading(`t${i}`);
    await cache.forReading("first");
    await cache.forReading("one more");
    await cache.forReading("first");
    expect(state.asked).toHaveLength(1_001);
    await cache.forReading("t0");
    expect(state.asked).toHaveLength(1_002);
  });
});
