// The scan pool when things go wrong, at its limits, and what it costs in calls. What it answers is in
// test/property/scan-pool.prop.test.ts.
import { describe, expect, test } from "vitest";
import type { PoolLimits } from "../../../src/model/limits.ts";
import { type PooledQuery, QUESTIONS_VERSION, type ScanRequest } from "../../../src/query/pool/questions.ts";
import { Scanner } from "../../../src/query/pool/scanner.ts";
import { ScannerMemory } from "../../../src/query/pool/scanner-memory.ts";
import { runMetrics } from "../../../src/query/run-metrics.ts";
import { runSearch } from "../../../src/query/run-search.ts";
import type { InspectedBytes, ScanDeps } from "../../../src/query/query-scan.ts";
import { rangeIntervals } from "../../../src/traceql/engine/metrics/intervals.ts";
import { parseQuery } from "../../../src/traceql/parse.ts";
import { ScanCache } from "../../../src/scan/scan-cache.ts";
import { countedScanners } from "../../../src/usage/counted-scanner.ts";
import { pack } from "../../../src/util/pack.ts";
import { pooledLimits, ScanPool } from "../../support/scan-pool.ts";
import { ScanWorld } from "../../support/scan-world.ts";

const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 3_600_000_000_000n, endNs: START_NS + 3_600_000_000_000n };

function searchOf(text: string) {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error(text);
  return query;
}

function search(deps: ScanDeps, text = "{}", signal?: AbortSignal) {
  return runSearch(deps, { query: searchOf(text), window: WINDOW, limit: 20, spansPerSpanset: 3, signal });
}

/** Six blocks whose traces go on from one to the next, live spans, and a pool. */
async function setup(seed: number, more: Partial<PoolLimits> = {}) {
  const world = new ScanWorld(seed);
  await world.flush(6);
  await world.append(50);
  const limits = pooledLimits(world.deps.limits, { scanners: 3, ...more });
  const pool = new ScanPool(limits, world.reader);
  const deps: ScanDeps = { ...world.deps, limits, scannerOf: pool.scannerOf };
  return { world, pool, deps, limits };
}

describe("calls", () => {
  test("a search: two of each Scanner at first, one for each round after it, and one that ends it", async () => {
    const { pool, deps, world } = await setup(1);
    const run = await search(deps);
    expect(run).toEqual(await search(world.deps));
    const { length } = pool.scanners;
    expect(length).toBe(3);
    for (const call of ["scan", "summary", "digest", "traces", "find", "cancel"]) {
      expect({ call, count: pool.count(call) }).toEqual({ call, count: length });
    }
    // For the first pass, and of those who have parts of it for what is shown.
    expect(pool.count("gather")).toBeGreaterThan(length);
    expect(pool.count("gather")).toBeLessThanOrEqual(2 * length);
    expect(pool.count("show")).toBeLessThanOrEqual(length);
    expect(pool.sentBytes + pool.receivedBytes).toBeLessThan(3 * 300_000 + 500_000);
  });

  test("the same blocks again: what is known of traces in several of them is not asked for", async () => {
    const { pool, deps, world } = await setup(1);
    const { length } = (await search(deps), pool.scanners);
    const again = async (own = deps) => {
      pool.calls.length = 0;
      pool.sentBytes = pool.receivedBytes = 0;
      const run = await search(own, "{ name != `` }");
      expect(run).toEqual(await search(world.deps, "{ name != `` }"));
      expect(run.total).toBeGreaterThan(10);
      return ["digest", "traces", "gather", "find"].map((call) => pool.count(call));
    };
    // Live spans are told of, and traces with such are gathered, as is one column more of the others.
    const [digests, traces, gathers = 0, finds] = await again();
    expect([digests, traces, finds]).toEqual([0, length, length]);
    expect(gathers).toBeGreaterThan(0);
    expect(pool.sentBytes + pool.receivedBytes).toBeLessThan(200_000);
    // A new batch changes nothing of that, a new block does.
    await world.append(20);
    expect((await again()).slice(0, 2)).toEqual([0, length]);
    await world.flush(1);
    expect((await again()).slice(0, 2)).toEqual([length, length]);
    expect((await again()).slice(0, 2)).toEqual([0, 0]);
    // All that is left is what is shown.
    expect(pool.count("gather")).toBeLessThanOrEqual(length);
    // Nothing is known of merged blocks, nor in another Worker.
    expect((await again({ ...deps, cache: new ScanCache(deps.limits.scan) })).slice(0, 2)).toEqual([
      length,
      length,
    ]);
    await world.runJobs();
    expect(world.shard.blocksBetween({}).length).toBeLessThan(7);
    expect((await again())[0]).toBeGreaterThan(0);
  });

  test("a query that nothing can match: no traces are looked at", async () => {
    const { pool, deps } = await setup(2);
    expect(await search(deps, `{ span.nowhere = 1 }`)).toMatchObject({
      total: 0,
      inspectedBytes: expect.any(Number),
    });
    expect(
      pool.calls
        .map(({ call }) => call)
        .filter((call) => call !== "cancel")
        .sort(),
    ).toEqual(["scan", "scan", "scan", "summary", "summary", "summary"]);
  });

  test("blocks are read once: what a Scanner has seen it keeps", async () => {
    const { pool, deps, world } = await setup(3);
    const cold = await search(deps, "{ kind = server }");
    expect(world.gets.length).toBeGreaterThan(0);
    expect(world.gets.length).toBeLessThanOrEqual(3 * 6);
    world.gets.length = 0;
    expect(await search(deps, "{ kind = server }")).toEqual(cold);
    expect(world.gets).toEqual([]);
    pool.forget();
    expect(await search(deps, "{ kind = server }")).toEqual(cold);
    expect(world.gets.length).toBeGreaterThan(0);
  });

  test("not one more than the platform's connections at a time", async () => {
    const { pool, deps } = await setup(4, { scanners: 40 });
    let running = 0;
    let most = 0;
    pool.beforeCall = async (_, call) => {
      if (call === "cancel") return;
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
    };
    await search(deps);
    expect(most).toBeLessThanOrEqual(6);
    expect(most).toBeGreaterThan(1);
  });
});

describe("what is counted", () => {
  test("of each Scanner a request, its gets, and the time until it is told to stop", async () => {
    const { pool, deps, world } = await setup(6);
    const meters = new Map<string, Record<string, number>>();
    const clock = { ms: 1_000, now: () => clock.ms };
    const scannerOf = countedScanners({
      scannerOf: pool.scannerOf,
      meterOf: (tenant) => ({
        add: (name, value) => {
          const meter = meters.get(tenant) ?? {};
          meters.set(tenant, { ...meter, [name]: (meter[name] ?? 0) + value });
        },
      }),
      clock,
    });
    pool.beforeCall = (_, call) => void (clock.ms += call === "digest" ? 7 : 0);
    const inspected: InspectedBytes[] = [];
    pool.sentBytes = pool.receivedBytes = 0;
    const run = await search({ ...deps, scannerOf, noteInspected: (bytes) => inspected.push(bytes) });
    await expect.poll(() => pool.count("cancel")).toBe(3);
    const counted = meters.get(world.tenant) ?? {};
    expect([...meters.keys()]).toEqual([world.tenant]);
    expect(counted["objectRequests"]).toBe(3);
    // Live spans are read from the shard, blocks by the Scanners alone.
    expect(counted["r2ClassB"]).toBe(world.gets.length);
    expect(world.gets.length).toBeGreaterThan(0);
    expect(counted["objectMs"]).toBeGreaterThanOrEqual(3 * 7);
    const alone: InspectedBytes[] = [];
    const noteInspected = (bytes: InspectedBytes) => alone.push(bytes);
    expect(run).toEqual(await search({ ...world.deps, noteInspected }));
    const { inspectedBytes: all } = run;
    expect(alone).toEqual([{ all, here: all }]);
    // The Worker's own are live spans and messages: Scanners are charged for by their time.
    const { epochs } = await world.scanned.shard.snapshot({});
    const liveBytes = epochs.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
    expect(liveBytes).toBeGreaterThan(0);
    expect(inspected).toEqual([{ all, here: liveBytes + pool.sentBytes + pool.receivedBytes }]);
  });
});

describe("failures", () => {
  test.each(["scan", "summary", "digest", "traces", "find", "gather", "show"])(
    "a Scanner that fails once at %s: the answer is whole",
    async (at) => {
      const { pool, deps, world } = await setup(5);
      const whole = await search(world.deps);
      let failed = 0;
      pool.beforeCall = (_, call) => {
        if (call !== at || failed > 0) return;
        failed++;
        throw new Error("the object is gone");
      };
      expect(await search(deps)).toEqual(whole);
      expect(failed).toBe(1);
      expect(pool.count("scan")).toBe(pool.scanners.length + 1);
    },
  );

  test.each(["scan", "digest", "find", "gather"])(
    "one that fails twice, the second time at %s: its blocks are left out whole, and the answer says so",
    async (at) => {
      const { pool, deps } = await setup(6);
      const [first = ""] = (await search(deps), pool.scanners);
      pool.calls.length = 0;
      pool.beforeCall = (scanner, call) => {
        if (scanner === first && call === at) throw new Error("the object is gone");
      };
      // Another Worker, which knows nothing of the blocks.
      const run = await search({ ...deps, cache: new ScanCache(deps.limits.scan) });
      const lost = run.totalJobs - run.completedJobs;
      expect(lost).toBeGreaterThan(0);
      expect(run.failures).toHaveLength(lost);
      for (const failure of run.failures) {
        expect(failure).toMatchObject({ kind: "unavailable", message: expect.stringContaining(first) });
      }
      expect(pool.calls.filter(({ scanner, call }) => scanner === first && call === "scan")).toHaveLength(2);
      // As if the blocks were not there.
      const sources = new Set(run.failures.map(({ source }) => source));
      const { shards, ...rest } = deps;
      const without = shards.map(({ name, shard }) => ({
        name,
        shard: {
          ...shard,
          snapshot: async (range: Parameters<typeof shard.snapshot>[0]) => {
            const { epochs, blocks } = await shard.snapshot(range);
            return { epochs, blocks: blocks.filter(({ key }) => !sources.has(key)) };
          },
        },
      }));
      const { traces, total } = await search({ ...rest, shards: without, scannerOf: undefined });
      expect({ traces: run.traces, total: run.total }).toEqual({ traces, total });
    },
  );

  test("one that does not answer in time counts as one that failed", async () => {
    const { pool, deps, world } = await setup(7, { callMs: 3000 });
    const whole = await search(world.deps);
    let late = 0;
    pool.beforeCall = async (_, call) => {
      if (call === "digest" && late++ === 0) await new Promise(() => undefined);
    };
    expect(await search(deps)).toEqual(whole);
    expect(pool.count("scan")).toBe(pool.scanners.length + 1);
  });

  test("a damaged block is left out, the others of its Scanner are not", async () => {
    const { deps, world } = await setup(8);
    const [damaged = ""] = world.blockKeys();
    await world.damage(damaged, "name");
    const text = `{ name != "" }`;
    const run = await search(deps, text);
    expect(run).toMatchObject({ totalJobs: 7, completedJobs: 6 });
    expect(run.failures).toMatchObject([{ source: damaged, kind: "corrupt" }]);
    const alone = await search(world.deps, text);
    expect({ traces: run.traces, total: run.total }).toEqual({ traces: alone.traces, total: alone.total });
    expect(world.shard.stats()).toMatchObject({ failedReads: 2 });
  });

  test("what the query itself cannot do is no failure of a Scanner's", async () => {
    const { pool, deps } = await setup(9);
    await expect(search(deps, "{ span.http.response.status_code / 0 > 1 }")).rejects.toMatchObject({
      kind: "invalid_argument",
    });
    expect(pool.count("scan")).toBe(pool.scanners.length);
    expect(pool.count("cancel")).toBe(pool.scanners.length);
  });
});

describe("a client that goes away", () => {
  test.each(["scan", "digest", "find", "show"])(
    "at %s: the sessions are cancelled, nothing is tried again",
    async (at) => {
      const { pool, deps } = await setup(10);
      const client = new AbortController();
      pool.beforeCall = (_, call) => {
        if (call === at) client.abort();
      };
      await expect(search(deps, "{}", client.signal)).rejects.toThrow("cancelled");
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(pool.count("scan")).toBeLessThanOrEqual(3);
      expect(pool.count("cancel")).toBe(pool.count("scan"));
    },
  );
});

describe("limits", () => {
  test("traces in several blocks: at maxSplitTraces an answer, one more is too many", async () => {
    const { world, limits } = await setup(11);
    const run = async (maxSplitTraces: number) => {
      const own = pooledLimits(limits, { scanners: 3, maxSplitTraces });
      const pool = new ScanPool(own, world.reader);
      return search({ ...world.deps, limits: own, scannerOf: pool.scannerOf });
    };
    const whole = await search(world.deps);
    const isEnough = async (maxSplitTraces: number): Promise<boolean> =>
      run(maxSplitTraces).then(
        () => true,
        () => false,
      );
    let count = 1;
    while (count < 500 && !(await isEnough(count))) count++;
    expect(await run(count)).toEqual(whole);
    await expect(run(count - 1)).rejects.toThrow(`more than ${count - 1} traces are in several blocks`);
    expect(count).toBeGreaterThan(1);
    expect(count).toBeLessThan(500);
  });

  test("traces that are too large to be gathered together are gathered one by one", async () => {
    const { world, limits, deps } = await setup(12);
    const text = "{ span.http.request.method != nil } | select(span.url.path)";
    const whole = await search(deps, text);
    // Which traces are in several blocks is known after the first; for their columns there is no room.
    const cache = new ScanCache({ ...limits.scan, splitCacheBytes: 30_000 });
    const pooled = async (maxPartBytes: number) => {
      const own = pooledLimits(limits, { scanners: 3, maxPartBytes });
      const pool = new ScanPool(own, world.reader);
      const run = await search({ ...deps, limits: own, scannerOf: pool.scannerOf, cache }, text);
      return { run, gathers: pool.count("gather") };
    };
    await pooled(1_000_000);
    const enough = await pooled(1_000_000);
    const few = await pooled(4000);
    expect(enough.run).toEqual(whole);
    expect(few.run).toEqual(whole);
    expect(few.gathers).toBeGreaterThan(enough.gathers + 2);
  });

  test("at maxSessions queries are looked into, one more is refused, tried again and left out", async () => {
    const { world, limits } = await setup(13);
    const memory = new ScannerMemory({ ...limits.scan.pool, maxSessions: 1 });
    const ports = { limits, objects: world.reader, memory, pause: async () => undefined };
    const scanner = new Scanner("t/scan-0", ports);
    const request = requestOf(world, "{}");
    const question = pack({ name: "summary", input: pooledQuery("{}") }, Infinity);
    const first = scanner.scan(request);
    const second = scanner.scan(request);
    expect(await first.ask(question)).toMatchObject({ state: "last" });
    expect(await second.ask(question)).toEqual({ state: "gone" });
    await first.cancel();
    await first.cancel();
    const third = scanner.scan(request);
    expect(await third.ask(question)).toMatchObject({ state: "last" });
    expect(await scanner.scan(request).ask(question)).toEqual({ state: "gone" });
  });

  test("what Scanners of one isolate keep: at maxCacheBytes all of it, one byte less and the older one's is dropped", async () => {
    const { world, limits } = await setup(14);
    const kept = async (maxCacheBytes: number) => {
      const memory = new ScannerMemory({ ...limits.scan.pool, maxCacheBytes });
      const ports = { limits, objects: world.reader, memory, pause: async () => undefined };
      for (const name of ["t/scan-0", "t/scan-1"]) {
        const session = new Scanner(name, ports).scan(requestOf(world, "{ kind = server }"));
        await session.ask(pack({ name: "find", input: [] }, Infinity));
        await session.cancel();
      }
      return ["t/scan-0", "t/scan-1"].map((name) => memory.cacheOf(name).byteLength);
    };
    const [one = 0, other = 0] = await kept(Infinity);
    expect(one).toBeGreaterThan(0);
    expect(other).toBe(one);
    expect(await kept(one + other)).toEqual([one, other]);
    expect(await kept(one + other - 1)).toEqual([0, other]);
  });

  test("nothing that was read along is held when a session ends", async () => {
    const { world, limits } = await setup(15);
    const memory = new ScannerMemory(limits.scan.pool);
    const scanner = new Scanner("t/scan-0", {
      limits,
      objects: world.reader,
      memory,
      pause: async () => undefined,
    });
    const session = scanner.scan(requestOf(world, "{ kind = server }"));
    await session.ask(pack({ name: "digest", input: undefined }, Infinity));
    expect(memory.held.bytes).toBeGreaterThan(0);
    await session.cancel();
    expect(memory.held.bytes).toBe(0);
  });
});

function pooledQuery(text: string): PooledQuery {
  const window = { ...WINDOW, limit: 20, spansPerSpanset: 3 };
  return { kind: "search", query: searchOf(text), window };
}

function requestOf(world: ScanWorld, text: string, version = QUESTIONS_VERSION): Uint8Array {
  const request: ScanRequest = {
    version,
    query: pooledQuery(text),
    jobs: world.shard.blocksBetween({}).map((block) => ({ kind: "block", shard: "t/0", block })),
  };
  return pack(request, Infinity);
}

describe("a Scanner", () => {
  test("refuses blocks of another tenant, and whoever speaks another version", async () => {
    const { world, limits } = await setup(16);
    const ports = {
      limits,
      objects: world.reader,
      memory: new ScannerMemory(limits.scan.pool),
      pause: async () => undefined,
    };
    expect(() => new Scanner("u/scan-0", ports).scan(requestOf(world, "{}"))).toThrow("not of the tenant");
    const session = new Scanner("t/scan-0", ports).scan(requestOf(world, "{}", QUESTIONS_VERSION + 1));
    expect(await session.ask(new Uint8Array(0))).toEqual({ state: "gone" });
  });
});

describe("metrics", () => {
  test("exemplars are made where their spans are, one call a Scanner", async () => {
    const { pool, deps, world } = await setup(17);
    const query = parseQuery("{} | rate() by (resource.service.name)");
    if (query.kind !== "metrics") throw new Error("metrics");
    const intervals = rangeIntervals(START_NS, START_NS + 3_600_000_000_000n, 60_000_000_000n);
    const input = { query, intervals, maxSeries: Infinity, exemplars: 50 };
    const run = await runMetrics(deps, input);
    expect(run).toEqual(await runMetrics(world.deps, input));
    expect(run.series.flatMap(({ exemplars }) => exemplars).length).toBeGreaterThan(0);
    expect(pool.count("exemplars")).toBeLessThanOrEqual(pool.scanners.length);
    expect(pool.count("measure")).toBe(pool.scanners.length);
  });
});
