// The scan pool in real workerd: Scanner objects over calls, blocks in R2.
import { abortAllDurableObjects, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { QUESTIONS_VERSION, type ScanRequest } from "../../src/query/pool/questions.ts";
import type { ScanDeps } from "../../src/query/query-scan.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { runTagNames, runTagValues } from "../../src/query/run-tags.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import { R2Store } from "../../src/store/r2-store.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import type { ScannerRpc } from "../../src/store/scanner-rpc.ts";
import { rangeIntervals } from "../../src/traceql/engine/metrics/intervals.ts";
import { parseField, parseQuery } from "../../src/traceql/parse.ts";
import { pack } from "../../src/util/pack.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";
import { faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly SCANNER: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, SCANNER, BLOCKS } = env as unknown as TestEnv;

const TENANT = "shop";
const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 3_600_000_000_000n, endNs: START_NS + 3_600_000_000_000n };
const PAGE = { limit: 40, spansPerSpanset: 2 };
const POOL = { maxLocalBlocks: 0, scanners: 3, retryAfterMs: 10 };

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

const shard = (tenant = TENANT) => TRACE_SHARD.getByName(`${tenant}/0`) as unknown as TraceShardRpc;
const scanner = (name: string) => SCANNER.getByName(name) as unknown as ScannerRpc;

/** Blocks of a tenant, with traces that go on from one to the next, and live spans. */
async function send(
  seed: number,
  { blocks, spans = 100 }: { blocks: number; spans?: number },
  tenant = TENANT,
) {
  const generator = makeGenerator({ seed, spansPerTrace: 6 });
  for (let i = 0; i <= blocks; i++) {
    const result = await shard(tenant).append(frameOf(generator.batch(spans)));
    if (!result.ok) throw new Error(result.message);
    if (i === blocks) return;
    const { flushedBlocks, error } = await shard(tenant).tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
    if (flushedBlocks !== 1) throw new Error(`${flushedBlocks} blocks flushed: ${error}`);
  }
}

function depsOf({ pool = {}, tenants = [TENANT] }: { pool?: object; tenants?: readonly string[] } = {}) {
  const calls: string[] = [];
  const scan = { ...DEFAULT_LIMITS.scan, pool: { ...DEFAULT_LIMITS.scan.pool, ...POOL, ...pool } };
  const deps: ScanDeps = {
    limits: { ...DEFAULT_LIMITS, scan },
    objects: new R2Store(BLOCKS),
    shards: tenants.map((tenant) => ({ name: `${tenant}/0`, shard: shard(tenant) })),
    cache: new ScanCache(DEFAULT_LIMITS.scan),
    scannerOf: (name) => {
      calls.push(name);
      return scanner(name);
    },
  };
  return { deps, calls, alone: { ...deps, scannerOf: undefined } };
}

function search(deps: ScanDeps, text: string, signal?: AbortSignal) {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error(text);
  return runSearch(deps, { query, window: WINDOW, ...PAGE, signal });
}

function metrics(deps: ScanDeps, text: string) {
  const query = parseQuery(text);
  if (query.kind !== "metrics") throw new Error(text);
  const intervals = rangeIntervals(START_NS, START_NS + 600_000_000_000n, 60_000_000_000n);
  return runMetrics(deps, { query, intervals, maxSeries: Infinity, exemplars: 20 });
}

describe("scan pool in workerd", () => {
  test("gives what the Worker alone gives", async () => {
    await send(1, { blocks: 7 });
    const { deps, calls, alone } = depsOf();
    for (const text of [
      "{}",
      "{ kind = server } >> { kind = client }",
      "{ traceDuration > 100ms } | select(resource.service.name) | count() > 1",
    ]) {
      const run = await search(alone, text);
      expect(run).toMatchObject({ totalJobs: 8, completedJobs: 8, failures: [] });
      expect(run.total).toBeGreaterThan(10);
      expect(await search(deps, text)).toEqual(run);
    }
    for (const text of [
      "{} | rate() by (resource.service.name)",
      "{} | quantile_over_time(duration, .5, .99) by (name)",
      "{} | avg_over_time(duration)",
      "{} | compare({ status = error })",
    ]) {
      const run = await metrics(alone, text);
      expect(run.series.length).toBeGreaterThan(0);
      expect(await metrics(deps, text)).toEqual(run);
    }
    const tags = { window: WINDOW, limit: 10, maxBytes: 300 };
    expect(await runTagNames(deps, tags)).toEqual(await runTagNames(alone, tags));
    const values = { ...tags, field: parseField("name") };
    expect(await runTagValues(deps, values)).toEqual(await runTagValues(alone, values));
    expect(new Set(calls).size).toBeGreaterThan(0);
  });

  test("no object stores anything", async () => {
    await send(2, { blocks: 3 });
    const { deps, calls } = depsOf();
    await search(deps, "{}");
    expect(calls.length).toBeGreaterThan(0);
    for (const name of new Set(calls)) {
      await runInDurableObject(SCANNER.getByName(name), async (_, { storage }) => {
        expect(
          storage.sql
            .exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'")
            .toArray(),
        ).toEqual([]);
        expect((await storage.list()).size).toBe(0);
        expect(await storage.getAlarm()).toBeNull();
      });
    }
  });

  test("answers in several messages and work in many slices", async () => {
    await send(3, { blocks: 4, spans: 2000 });
    faults.pool = { maxMessageBytes: 100_000, sliceRows: 500 };
    const { deps, alone } = depsOf();
    for (const text of ["{}", "{ kind = server } >> { kind = client }"]) {
      expect(await search(deps, text)).toEqual(await search(alone, text));
    }
  });

  test("objects that die are tried once more", async () => {
    // Of a tenant of their own: what is aborted is not reset for the tests after it.
    await send(4, { blocks: 4 }, "cinema");
    const { deps, calls, alone } = depsOf({ tenants: ["cinema"] });
    const whole = await search(alone, "{}");
    let reads = 0;
    faults.beforeScan = async () => {
      if (++reads <= 3) await scheduler.wait(500);
    };
    const running = search(deps, "{}");
    await vi.waitUntil(() => reads > 0);
    await abortAllDurableObjects();
    expect(await running).toEqual(whole);
    expect(calls.length).toBeGreaterThan(new Set(calls).size);
  });

  test("a block that cannot be read is left out, the others are not", async () => {
    await send(5, { blocks: 4 });
    const { objects } = await BLOCKS.list();
    const lost = objects[1]?.key ?? "";
    await BLOCKS.delete(lost);
    const { deps, alone } = depsOf();
    const run = await search(deps, "{}");
    expect(run).toMatchObject({ totalJobs: 5, completedJobs: 4 });
    expect(run.failures).toMatchObject([{ source: lost, kind: "not_found" }]);
    const { traces, total } = await search(alone, "{}");
    expect({ traces: run.traces, total: run.total }).toEqual({ traces, total });
    expect(await shard().stats()).toMatchObject({ failedReads: 2 });
  });

  test("an object that does not answer in time, twice: its blocks are left out", async () => {
    await send(6, { blocks: 5 });
    const { deps, calls } = depsOf({ pool: { callMs: 3000, scanners: 5 } });
    const { objects } = await BLOCKS.list();
    const slow = objects[0]?.key ?? "";
    let late = 0;
    faults.beforeScan = async (key) => {
      if (key !== slow) return;
      late++;
      await scheduler.wait(12_000);
    };
    const run = await search(deps, "{}");
    expect(run.completedJobs).toBeLessThan(run.totalJobs);
    expect(run.failures).toContainEqual({
      source: slow,
      kind: "unavailable",
      message: expect.stringContaining("does not answer"),
    });
    expect(run.total).toBeGreaterThan(0);
    expect(late).toBe(2);
    expect(calls.length).toBe(new Set(calls).size + 1);
  });
});

describe("a client that goes away", () => {
  test("stops the work in Scanners", async () => {
    await send(7, { blocks: 7 });
    const { deps } = depsOf({ pool: { scanners: 1 } });
    const client = new AbortController();
    let reads = 0;
    faults.beforeScan = async () => {
      reads++;
      await scheduler.wait(100);
    };
    const running = search(deps, "{}", client.signal);
    running.catch(() => undefined);
    await vi.waitUntil(() => reads > 0);
    client.abort();
    await expect(running).rejects.toThrow("cancelled");
    await scheduler.wait(500);
    // Those that were under way at the same time. A whole query reads each block twice at least.
    expect(reads).toBeLessThanOrEqual(6);
  });

  test("a Worker that asks no more gets no more work done", async () => {
    await send(8, { blocks: 14 });
    faults.pool = { sliceRows: 1, maxEvaluations: 1 };
    const { blocks } = await shard().snapshot({});
    const query = parseQuery(`{ name != "a" }`);
    if (query.kind !== "search") throw new Error("search");
    const request: ScanRequest = {
      version: QUESTIONS_VERSION,
      query: { kind: "search", query, window: { ...WINDOW, ...PAGE } },
      jobs: blocks.map((block) => ({ kind: "block", shard: `${TENANT}/0`, block })),
    };
    const session = await scanner(`${TENANT}/scan-0`).scan(pack(request, Infinity));
    const question = pack({ name: "find", input: [] }, Infinity);
    let reads = 0;
    faults.beforeScan = () => void reads++;
    expect(await session.ask(question)).toMatchObject({ state: "working" });
    const first = reads;
    await scheduler.wait(300);
    expect(reads).toBe(first);
    expect(await session.more()).toMatchObject({ state: "working" });
    await scheduler.wait(300);
    const second = reads;
    expect(second).toBeGreaterThan(first);
    // Of six that are read ahead.
    expect(second).toBeLessThan(2 * 14 - 4);
    await session.cancel();
    expect(await session.more()).toEqual({ state: "gone" });
    expect(reads).toBe(second);
  });
});

describe("tenants", () => {
  test("have Scanners of their own, also in one query", async () => {
    await send(9, { blocks: 2 });
    await send(10, { blocks: 2 }, "bank");
    const { deps, calls, alone } = depsOf({ tenants: [TENANT, "bank"] });
    const run = await search(alone, "{}");
    expect(run).toMatchObject({ totalBlocks: 4, failures: [] });
    expect(await search(deps, "{}")).toEqual(run);
    expect(new Set(calls.map((name) => name.split("/")[0]))).toEqual(new Set([TENANT, "bank"]));
  });
});
