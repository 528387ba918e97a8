// Queries in real workerd: the buffer over calls that carry streams, blocks in R2, flushes, merges and evictions between.
import { evictDurableObject, reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { parseTraceId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { ScanDeps } from "../../src/query/query-scan.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { runTagValues } from "../../src/query/run-tags.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import { R2Store } from "../../src/store/r2-store.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { instantInterval } from "../../src/traceql/engine/metrics/intervals.ts";
import { search } from "../../src/traceql/engine/search.ts";
import { parseField, parseQuery } from "../../src/traceql/parse.ts";
import type { SearchResult } from "../../src/traceql/results.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";
import { oneSource } from "../support/scan-world.ts";
import { faults } from "./worker.ts";

interface TestEnv {
  readonly TRACE_SHARD: DurableObjectNamespace;
  readonly COMPACTOR: DurableObjectNamespace;
  readonly BLOCKS: R2Bucket;
}
const { TRACE_SHARD, COMPACTOR, BLOCKS } = env as unknown as TestEnv;

const NAME = "single-tenant/0";
const object = () => TRACE_SHARD.getByName(NAME);
const shard = () => object() as unknown as TraceShardRpc;

const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 3_600_000_000_000n, endNs: START_NS + 3_600_000_000_000n };
const PAGE = { limit: 10_000, spansPerSpanset: 2 };

afterEach(async () => {
  for (const name of Object.keys(faults)) delete faults[name as keyof typeof faults];
  await reset();
});

/** A Worker's isolate with what it keeps. */
class Isolate {
  gets = 0;
  readonly deps: ScanDeps;

  constructor() {
    const store = new R2Store(BLOCKS);
    this.deps = {
      limits: DEFAULT_LIMITS,
      objects: {
        getRange: (key, range, etag) => {
          this.gets++;
          return store.getRange(key, range, etag);
        },
      },
      shards: [{ name: "t/0", shard: shard() }],
      cache: new ScanCache(DEFAULT_LIMITS.scan),
    };
  }

  search(text: string) {
    const query = parseQuery(text);
    if (query.kind !== "search") throw new Error(text);
    return runSearch(this.deps, { query, window: WINDOW, ...PAGE });
  }
}

const answerOf = ({ traces, total }: SearchResult) => ({ traces, total });

class Sender {
  readonly batches: Uint8Array[] = [];
  readonly #generator;

  constructor(seed: number) {
    this.#generator = makeGenerator({ seed, spansPerTrace: 6 });
  }

  async send(spanCount = 100): Promise<void> {
    const batch = this.#generator.batch(spanCount);
    const result = await shard().append(frameOf(batch));
    if (!result.ok) throw new Error(result.message);
    this.batches.push(batch);
  }

  async flush(): Promise<void> {
    const now = Date.now() + (faults.clockOffsetMs ?? 0) + DEFAULT_LIMITS.flushAgeMs;
    const { flushedBlocks, error } = await shard().tick(now);
    if (flushedBlocks !== 1) throw new Error(`${flushedBlocks} blocks flushed: ${error}`);
  }

  /** What a search of all that was sent gives. */
  async whole(text: string) {
    const query = parseQuery(text);
    if (query.kind !== "search") throw new Error(text);
    return answerOf(await search([await oneSource(this.batches)], query, { ...WINDOW, ...PAGE }));
  }
}

const QUERY = "{ kind = server } >> { kind = client }";

describe("search in workerd", () => {
  test("the newest span is found as soon as its batch is stored", async () => {
    const isolate = new Isolate();
    const sender = new Sender(1);
    for (let i = 0; i < 4; i++) {
      await sender.send();
      expect(answerOf(await isolate.search(QUERY))).toEqual(await sender.whole(QUERY));
    }
    await evictDurableObject(object());
    await sender.send();
    expect(answerOf(await isolate.search(QUERY))).toEqual(await sender.whole(QUERY));
    expect(isolate.gets).toBe(0);
  });

  test("the same before and after a flush, an eviction and a merge, with traces on both sides", async () => {
    const isolate = new Isolate();
    const sender = new Sender(2);
    for (let i = 0; i < 8; i++) {
      await sender.send(60);
      await sender.flush();
    }
    await sender.send();
    const whole = await sender.whole(QUERY);
    expect(whole.total).toBeGreaterThan(50);
    const before = await isolate.search(QUERY);
    expect(before).toMatchObject({ totalBlocks: 8, completedJobs: 9, failures: [] });
    expect(answerOf(before)).toEqual(whole);
    await evictDurableObject(object());
    expect(answerOf(await isolate.search(QUERY))).toEqual(whole);
    // The shard wakes the compactor when it is asked what is due.
    await shard().tick(Date.now() + DEFAULT_LIMITS.idleAlarmMs);
    for (let i = 0; i < 4; i++) await runDurableObjectAlarm(COMPACTOR.getByName(NAME));
    const after = await isolate.search(QUERY);
    expect(after.totalBlocks).toBeLessThan(8);
    expect(answerOf(after)).toEqual(whole);
    expect(answerOf(await new Isolate().search(QUERY))).toEqual(whole);
  });

  test("large and long bodies come through the call", async () => {
    const isolate = new Isolate();
    const sender = new Sender(3);
    await sender.send(9000);
    for (let i = 0; i < 30; i++) await sender.send(5);
    expect(answerOf(await isolate.search("{ status = error }"))).toEqual(
      await sender.whole("{ status = error }"),
    );
  });

  test("requests: three a block at most, then none", async () => {
    const isolate = new Isolate();
    const sender = new Sender(4);
    await sender.send(3000);
    await sender.flush();
    const cold = await isolate.search(QUERY);
    expect(isolate.gets).toBeLessThanOrEqual(3);
    const { gets } = isolate;
    expect(await isolate.search(QUERY)).toEqual(cold);
    expect(isolate.gets).toBe(gets);
  });

  test("a block that is gone: what is left, and a word about it", async () => {
    const sender = new Sender(5);
    await sender.send();
    await sender.flush();
    await sender.send();
    await sender.flush();
    const { objects } = await BLOCKS.list();
    const lost = objects[0]?.key ?? "";
    await BLOCKS.delete(lost);
    const run = await new Isolate().search("{}");
    expect(run).toMatchObject({ totalJobs: 2, completedJobs: 1 });
    expect(run.failures).toMatchObject([{ source: lost, kind: "not_found" }]);
    expect(run.total).toBeGreaterThan(0);
    expect(await shard().stats()).toMatchObject({ failedReads: 1 });
  });

  test("the shard tells of which traces there is more outside a range", async () => {
    const sender = new Sender(9);
    await sender.send(600);
    await sender.flush();
    const { traces } = await new Isolate().search("{}");
    const ids = traces.slice(0, 2).map(({ traceId }) => parseTraceId(traceId));
    const later = { startSeconds: Number(WINDOW.endNs / 1_000_000_000n) };
    expect(await shard().findBeyond(concatBytes([...ids, new Uint8Array(16)]), later)).toEqual([0, 1]);
    expect((await shard().snapshot(later)).hasAllBlocks).toBe(false);
    expect(await shard().findBeyond(concatBytes(ids), {})).toEqual([]);
    expect((await shard().snapshot({})).hasAllBlocks).toBe(true);
  });

  test("an epoch that is not there: gone; one that is read is kept until its stream ends", async () => {
    const sender = new Sender(6);
    await sender.send(2000);
    expect(await shard().readSegments(1, 1)).toEqual({ kind: "gone" });
    const { epochs } = await shard().snapshot({});
    const reply = await shard().readSegments(epochs[0]?.id ?? 0, 1);
    if (reply.kind === "gone") throw new Error("the epoch is there");
    const flushing = sender.flush();
    await scheduler.wait(400);
    expect((await shard().snapshot({})).epochs).toHaveLength(1);
    let bytes = 0;
    for await (const chunk of reply.frames) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(100_000);
    await flushing;
    expect((await shard().snapshot({})).epochs).toHaveLength(0);
  });
});

describe("metrics and tags in workerd", () => {
  test("count every span once, live or stored", async () => {
    const isolate = new Isolate();
    const sender = new Sender(7);
    await sender.send(200);
    await sender.flush();
    await sender.send(100);
    const query = parseQuery("{} | count_over_time() by (resource.service.name)");
    if (query.kind !== "metrics") throw new Error("metrics");
    const run = await runMetrics(isolate.deps, {
      query,
      intervals: instantInterval(WINDOW.startNs, WINDOW.endNs),
      maxSeries: Infinity,
      exemplars: 0,
    });
    const counts = run.series.map(({ samples }) => samples[0]?.value ?? 0);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(300);
    const tags = await runTagValues(isolate.deps, {
      field: parseField("resource.service.name"),
      window: WINDOW,
      limit: 1000,
      maxBytes: 1_000_000,
    });
    const services = run.series.map(({ labels }) => {
      const value = labels[0]?.value;
      return value?.type === "string" ? value.value : "";
    });
    expect(tags.values.map(({ value }) => value)).toEqual(services.toSorted());
  });
});
