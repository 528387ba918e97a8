// Searches and metrics over a shard: live spans and blocks, flushes and merges in between, reads that fail.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { runMetrics } from "../../../src/query/run-metrics.ts";
import { runSearch, type SearchRun } from "../../../src/query/run-search.ts";
import { QueryIo } from "../../../src/scan/query-io.ts";
import type { MetricsQuery, SearchQuery } from "../../../src/traceql/ast.ts";
import { metrics } from "../../../src/traceql/engine/metrics.ts";
import { rangeIntervals } from "../../../src/traceql/engine/metrics/intervals.ts";
import { search } from "../../../src/traceql/engine/search.ts";
import { parseQuery } from "../../../src/traceql/parse.ts";
import type { MetricsResult, SearchResult } from "../../../src/traceql/results.ts";
import { AppError } from "../../../src/util/errors.ts";
import { oneSource, ScanWorld } from "../../support/scan-world.ts";

const DAY_NS = 86_400_000_000_000n;
const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - DAY_NS, endNs: START_NS + DAY_NS };
const PAGE = { limit: 1000, spansPerSpanset: 3 };

const QUERIES = [
  `{ name = "GET" }`,
  `{ span.http.response.status_code >= 200 && span.http.response.status_code < 300 }`,
  `{ kind = server } >> { kind = client }`,
  `{ resource.service.name =~ "c.*" } | by(resource.service.name) | select(span.http.route)`,
];

function searchQuery(text: string): SearchQuery {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error(text);
  return query;
}

function metricsQuery(text: string): MetricsQuery {
  const query = parseQuery(text);
  if (query.kind !== "metrics") throw new Error(text);
  return query;
}

function runQuery(world: ScanWorld, text: string): Promise<SearchRun> {
  return runSearch(world.deps, { query: searchQuery(text), window: WINDOW, ...PAGE });
}

/** What the answer says of the spans, not of how they were found. */
function answerOf({ traces, total, cursor }: SearchResult) {
  return { traces, total, cursor };
}

/** The answers to QUERIES that are not what they are over one source that has all spans. */
async function wrongAnswers(world: ScanWorld) {
  const source = await oneSource(world.batches);
  const wrong = [];
  for (const text of QUERIES) {
    const run = await runQuery(world, text);
    const whole = await search([source], searchQuery(text), { ...WINDOW, ...PAGE });
    if (whole.total === 0) throw new Error(`${text} finds nothing`);
    const isRight = isDeepStrictEqual(answerOf(run), answerOf(whole));
    if (!isRight || run.failures.length > 0 || run.completedJobs !== run.totalJobs)
      wrong.push({ run, whole });
  }
  return wrong;
}

describe("search", () => {
  test("finds what was appended just now, before and after flush, restart and merge", async () => {
    const world = new ScanWorld(1);
    for (let i = 0; i < 5; i++) {
      await world.append(200);
      expect(await wrongAnswers(world)).toEqual([]);
    }
    world.restart();
    expect(await wrongAnswers(world)).toEqual([]);
    world.clock.ms += world.limits.flushAgeMs;
    await world.tick();
    expect(await wrongAnswers(world)).toEqual([]);
    await world.flush(3);
    await world.append(100);
    expect(await wrongAnswers(world)).toEqual([]);
    await world.runJobs();
    expect(await wrongAnswers(world)).toEqual([]);
    world.forgetCache();
    expect(await wrongAnswers(world)).toEqual([]);
  });

  test("spans that were sent twice count once, in the buffer, in a block and in both", async () => {
    const world = new ScanWorld(2);
    await world.append(300);
    const [twice] = world.batches;
    if (twice === undefined) throw new Error("a batch was appended");
    await world.appendBatch(twice);
    expect(await wrongAnswers(world)).toEqual([]);
    await world.flush();
    await world.appendBatch(twice);
    expect(await wrongAnswers(world)).toEqual([]);
  });

  test("an epoch that becomes a block while it is asked for is read from there", async () => {
    const world = new ScanWorld(3);
    await world.append(300);
    let flushes = 1;
    world.afterSnapshot = async () => {
      if (flushes-- <= 0) return;
      world.clock.ms += world.limits.flushAgeMs;
      await world.tick();
    };
    expect(await wrongAnswers(world)).toEqual([]);
  });

  test("a shard whose epochs are always gone is unavailable", async () => {
    const world = new ScanWorld(4);
    world.afterSnapshot = async () => {
      world.clock.ms += world.limits.flushAgeMs;
      await world.tick();
      await world.append(10);
    };
    await world.append(10);
    await expect(runQuery(world, "{}")).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("pages follow each other without a gap", async () => {
    const world = new ScanWorld(5);
    await world.flush(2);
    await world.append(100);
    const all = await runQuery(world, "{}");
    const found: string[] = [];
    let cursor: SearchRun["cursor"];
    do {
      const page = await runSearch(world.deps, {
        query: searchQuery("{}"),
        window: WINDOW,
        limit: 7,
        spansPerSpanset: 3,
        cursor,
      });
      expect(page.total).toBe(all.total);
      found.push(...page.traces.map(({ traceId }) => traceId));
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(found).toEqual(all.traces.map(({ traceId }) => traceId));
  });

  test("after an abort nothing more is read", async () => {
    const world = new ScanWorld(6);
    await world.flush(3);
    const controller = new AbortController();
    world.beforeGet = () => controller.abort();
    const run = runSearch(world.deps, {
      query: searchQuery("{}"),
      window: WINDOW,
      ...PAGE,
      signal: controller.signal,
    });
    await expect(run).rejects.toMatchObject({ kind: "unavailable" });
    expect(world.gets.length).toBeLessThanOrEqual(3);
  });
});

describe("live spans", () => {
  test("only new rows are fetched, none when there are none", async () => {
    const world = new ScanWorld(7);
    await world.append(100);
    await runQuery(world, "{}");
    await world.append(100);
    await runQuery(world, "{}");
    await runQuery(world, "{}");
    expect(world.segmentReads).toEqual([1, 2]);
  });

  test("many small appends are few groups, and one when the epoch is cut", async () => {
    const world = new ScanWorld(8, { flushBytes: 2_000_000 });
    for (let i = 0; i < 200; i++) {
      await world.append(10);
      await runQuery(world, `{ name = "no such" }`);
    }
    const [epoch] = world.shard.snapshot({}).epochs;
    if (epoch === undefined) throw new Error("there are live spans");
    const io = new QueryIo(world.reader, undefined);
    const shard = { name: "t/0", rpc: world.scanned.shard };
    const groups = await world.cache.live.groups(shard, epoch, io);
    expect(groups?.length).toBeLessThanOrEqual(9);
    const spans = groups?.reduce((sum, { block }) => sum + block.meta.spanCount, 0);
    expect(spans).toBe(2000);
    const cut = await world.cache.live.groups(shard, { ...epoch, isCut: true }, io);
    expect(cut).toHaveLength(1);
    expect(cut?.[0]?.block.meta.spanCount).toBe(2000);
    expect(await world.cache.live.groups(shard, { ...epoch, isCut: true }, io)).toBe(cut);
  });

  test("queries at the same time share the work", async () => {
    const world = new ScanWorld(9);
    await world.append(100);
    await Promise.all(QUERIES.map((text) => runQuery(world, text)));
    expect(world.segmentReads).toEqual([1]);
  });
});

describe("requests", () => {
  test("a block is opened and scanned with three at most, and with none when it is hot", async () => {
    for (const text of QUERIES) {
      const world = new ScanWorld(10);
      await world.flush(3);
      const cold = await runQuery(world, text);
      const perBlock = Map.groupBy(world.gets, (key) => key);
      expect(Math.max(...[...perBlock.values()].map(({ length }) => length))).toBeLessThanOrEqual(3);
      expect(perBlock.size).toBe(3);
      world.gets.length = 0;
      const hot = await runQuery(world, text);
      expect(world.gets).toEqual([]);
      expect(hot).toEqual(cold);
    }
  });

  test.each([
    "{ } | rate() by (resource.service.name, name)",
    "{ status = error } | quantile_over_time(duration, .5, .99) by (kind)",
    "{ kind = server } >> { } | histogram_over_time(duration)",
    "{ } | compare({ status = error })",
  ])("metrics need no more: %s", async (text) => {
    const world = new ScanWorld(13);
    await world.flush(3);
    const intervals = rangeIntervals(START_NS, START_NS + 60_000_000_000n, 10_000_000_000n);
    const input = { query: metricsQuery(text), intervals, maxSeries: Infinity, exemplars: 0 };
    expect((await runMetrics(world.deps, input)).series).not.toEqual([]);
    const perBlock = Map.groupBy(world.gets, (key) => key);
    expect(Math.max(...[...perBlock.values()].map(({ length }) => length))).toBeLessThanOrEqual(3);
    expect(perBlock.size).toBe(3);
  });

  test("a condition that no span can meet opens the block and reads its trace ids, no more", async () => {
    const world = new ScanWorld(11);
    await world.flush();
    await runQuery(world, `{ span.no_such_attribute = 1 }`);
    expect(world.gets).toHaveLength(1);
  });

  test("blocks outside of the window are not opened", async () => {
    const world = new ScanWorld(12);
    await world.flush(2);
    const window = { startNs: START_NS + DAY_NS, endNs: START_NS + 2n * DAY_NS };
    const run = await runSearch(world.deps, { query: searchQuery("{}"), window, ...PAGE });
    expect(run).toMatchObject({ traces: [], totalBlocks: 0, totalJobs: 0, completedJobs: 0 });
    expect(world.gets).toEqual([]);
  });
});

describe("failures", () => {
  const unavailable = (): never => {
    throw new AppError("unavailable", "the store stumbles");
  };

  test("a read that fails once is repeated", async () => {
    const world = new ScanWorld(13);
    await world.flush(2);
    let left = 1;
    world.beforeGet = () => {
      if (left-- > 0) unavailable();
    };
    expect(await wrongAnswers(world)).toEqual([]);
  });

  test("a block that is not there is left out and named; the rest is answered", async () => {
    const world = new ScanWorld(14);
    await world.flush(3);
    await world.append(100);
    const [lost = ""] = world.blockKeys();
    await world.objects.delete([lost]);
    const run = await runQuery(world, "{}");
    expect(run.failures).toMatchObject([{ source: lost, kind: "not_found" }]);
    expect(run).toMatchObject({ totalJobs: 4, completedJobs: 3, totalBlocks: 3 });
    expect(run.total).toBeGreaterThan(0);
    expect(world.shard.stats().failedReads).toBe(1);
  });

  test("a block whose columns cannot be read, though its footer can, is left out likewise", async () => {
    const world = new ScanWorld(15);
    await world.flush(3);
    const [, bad = ""] = world.blockKeys();
    await runQuery(world, `{ span.no_such_attribute = 1 }`);
    world.beforeGet = (key) => {
      if (key === bad) unavailable();
    };
    const run = await runQuery(world, `{ kind = client }`);
    expect(run.failures).toMatchObject([{ source: bad, kind: "unavailable" }]);
    expect(run).toMatchObject({ totalJobs: 3, completedJobs: 2 });
    expect(run.total).toBeGreaterThan(0);
  });

  test("a block with a damaged column is left out likewise", async () => {
    const world = new ScanWorld(16);
    await world.flush(3);
    const [bad = ""] = world.blockKeys();
    await world.damage(bad, "kind");
    const run = await runQuery(world, `{ kind = client }`);
    expect(run.failures).toMatchObject([{ source: bad, kind: "corrupt" }]);
    expect(run).toMatchObject({ totalJobs: 3, completedJobs: 2 });
  });

  test("a shard that does not answer is named when another does, and thrown when none does", async () => {
    const world = new ScanWorld(17);
    await world.append(100);
    const dead = {
      name: "t/1",
      shard: { ...world.scanned.shard, snapshot: () => Promise.reject(new Error("overloaded")) },
    };
    const input = { query: searchQuery("{}"), window: WINDOW, ...PAGE };
    const run = await runSearch({ ...world.deps, shards: [world.scanned, dead] }, input);
    expect(run.failures).toMatchObject([{ source: "shard t/1", kind: "unavailable" }]);
    expect(run).toMatchObject({ totalJobs: 2, completedJobs: 1 });
    await expect(runSearch({ ...world.deps, shards: [dead] }, input)).rejects.toMatchObject({
      kind: "unavailable",
    });
  });

  test("what the query cannot do is the caller's fault, not a block's", async () => {
    const world = new ScanWorld(18);
    await world.flush(1);
    await expect(
      runQuery(world, `{ 1 / (span.a + 0 * 1) > 0 || duration / (duration - duration) > 1 }`),
    ).rejects.toMatchObject({
      kind: "invalid_argument",
    });
  });

  test("blocks beyond a limit are left out, the oldest first, and reported", async () => {
    const world = new ScanWorld(19, { scan: { ...DEFAULT_LIMITS.scan, maxQueryTraces: 60 } });
    await world.flush(4);
    const run = await runQuery(world, "{}");
    expect(run.totalJobs).toBe(4);
    expect(run.completedJobs).toBeLessThan(4);
    expect(run.completedJobs).toBeGreaterThan(0);
    expect(run.failures).toMatchObject([
      { kind: "too_large", message: expect.stringContaining("maxQueryTraces") },
    ]);
  });
});

describe("metrics", () => {
  const answerOfMetrics = ({ series, isTruncated }: MetricsResult) => ({ series, isTruncated });

  test("are those of all spans, whatever was flushed or merged", async () => {
    const world = new ScanWorld(20);
    await world.flush(3);
    await world.append(200);
    const texts = [
      `{} | rate() by (resource.service.name)`,
      `{ kind = server } | quantile_over_time(duration, .5, .99) by (name)`,
    ];
    for (let i = 0; i < 2; i++) {
      const source = await oneSource(world.batches);
      for (const text of texts) {
        const intervals = rangeIntervals(START_NS, START_NS + 60_000_000_000n, 1_000_000_000n);
        const input = { intervals, maxSeries: Infinity, exemplars: 0 };
        const whole = await metrics([source], metricsQuery(text), input);
        const run = await runMetrics(world.deps, { query: metricsQuery(text), ...input });
        expect(run.failures).toEqual([]);
        expect(answerOfMetrics(run)).toEqual(answerOfMetrics(whole));
        expect(whole.series.length).toBeGreaterThan(1);
      }
      await world.runJobs();
    }
  });
});
