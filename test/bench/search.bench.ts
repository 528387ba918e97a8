// Queries over the buffer and over blocks of 500,000 spans.
// Run: node_modules/.bin/node --expose-gc test/bench/search.bench.ts [live|blocks|requests|scan|memory]. Times are process CPU; the
// first run writes the blocks, which takes minutes.
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { gzipSync, zstdDecompressSync } from "node:zlib";
import { parquetMetadata, parquetRead } from "hyparquet";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { ScanDeps } from "../../src/query/query-scan.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { runTagNames, runTagValues } from "../../src/query/run-tags.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import type { CatalogueBlock } from "../../src/store/catalogue.ts";
import { rangeIntervals } from "../../src/traceql/engine/metrics/intervals.ts";
import { parseField, parseQuery } from "../../src/traceql/parse.ts";
import { compressZstd } from "../../src/util/codec.ts";
import { frameOf } from "../support/frames.ts";
import { makeGenerator } from "../support/generator.ts";
import { ScanWorld } from "../support/scan-world.ts";
import { benchBlocks, FileStore, pathOf } from "./search-blocks.ts";

const MIB = 1024 * 1024;
const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 60_000_000_000n, endNs: START_NS + 3_600_000_000_000n };

const QUERIES = {
  "name equality": `{ name = "POST /api/v1/checkout" }`,
  "rare attribute": `{ span.app.retry.import_377 = true }`,
  "status code >= 500": `{ span.http.response.status_code >= 500 }`,
  "duration > 2s": `{ duration > 2s }`,
  "duration > 20ms": `{ duration > 20ms }`,
  "regex on url.path": `{ span.url.path =~ ".*/users/1.*" }`,
  "parent-child": `{ kind = server } > { status = error }`,
  "rate by service": `{} | rate() by (resource.service.name)`,
  "quantile by name": `{} | quantile_over_time(duration, .99) by (name)`,
} as const;

/** The columns that hyparquet reads for the same. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  "name equality": ["name"],
  "rare attribute": ["attributes_rest"],
  "status code >= 500": ["span.http.response.status_code.int"],
  "duration > 2s": ["duration_nano"],
  "duration > 20ms": ["duration_nano"],
  // Nothing is noted of it, and every page has some.
  "duration > 20ms and more each time": ["duration_nano"],
  "regex on url.path": ["span.url.path"],
  "parent-child": ["parent_row_distance", "kind", "status_code"],
  "rate by service": ["start_time_unix_nano", "service"],
};

function line(name: string, text: string): void {
  console.log(`${name.padEnd(44)} ${text}`);
}

/** Rounds that meet code which is not compiled, or not well yet: of ten queries each. */
const WARM_UP_ROUNDS = 20;
/** So many of the same are measured together, so that each side collects its own garbage. */
const GROUP = 10;

/** Milliseconds of process CPU. */
async function cpu(work: () => unknown): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** The same for one of GROUP. */
async function cpuOfGroup(work: () => Promise<unknown>): Promise<number> {
  const all = await cpu(async () => {
    for (let i = 0; i < GROUP; i++) await work();
  });
  return all / GROUP;
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}

async function run(
  deps: ScanDeps,
  text: string,
  limit = 20,
): Promise<{ total: number; failures: readonly unknown[] }> {
  const query = parseQuery(text);
  if (query.kind === "search") {
    return runSearch(deps, { query, window: WINDOW, limit, spansPerSpanset: 3 });
  }
  const intervals = rangeIntervals(START_NS, START_NS + 1_200_000_000_000n, 60_000_000_000n);
  const { series, failures } = await runMetrics(deps, {
    query,
    intervals,
    maxSeries: Infinity,
    exemplars: 100,
  });
  return { total: series.length, failures };
}

/** A shard of nothing but blocks. */
function depsOf(blocks: readonly CatalogueBlock[], store: FileStore, columnCacheBytes: number): ScanDeps {
  const scan = { ...DEFAULT_LIMITS.scan, columnCacheBytes };
  const shard = {
    snapshot: async () => ({ epochs: [], blocks }),
    readSegments: async () => ({ kind: "gone" }) as const,
    findTrace: async () => ({ live: new Uint8Array(), blocks: [] }),
    findBeyond: async () => [],
    noteFailedReads: async () => undefined,
  };
  return {
    limits: { ...DEFAULT_LIMITS, scan },
    objects: store,
    shards: [{ name: "t/0", shard }],
    cache: new ScanCache(scan),
  };
}

/** How fast the machine is at the moment. */
async function calibrate(): Promise<void> {
  const page = makeGenerator({ seed: 2 })
    .batch(1100)
    .subarray(0, 512 * 1024);
  const samples: number[] = [];
  for (let round = 0; round < 9; round++) {
    samples.push(await cpu(() => Array.from({ length: 20 }, () => compressZstd(page, 3))));
  }
  line(
    "zstd-3 of 512 KB here (idle core: 660)",
    `${((20 * page.length) / 1000 / median(samples)).toFixed(0)} MB/s`,
  );
}

async function benchLive(): Promise<void> {
  const world = new ScanWorld(1, { flushBytes: 64 * MIB });
  const generator = makeGenerator({ seed: 1 });
  const append = async (): Promise<number> => {
    const batch = generator.batch(512);
    await world.shard.append(frameOf(gzipSync(batch), "gzip"));
    return batch.length;
  };
  for (let bytes = 0; bytes < 32 * MIB;) bytes += await append();
  const query = QUERIES["name equality"];
  // Code that is not compiled yet.
  await run(world.deps, query);
  const first: number[] = [];
  const firstTimes: number[] = [];
  const after: number[] = [];
  const withNew: number[] = [];
  for (let round = 0; round < 7; round++) {
    world.forgetCache();
    const start = performance.now();
    first.push(await cpu(() => run(world.deps, query)));
    firstTimes.push(performance.now() - start);
    after.push(await cpu(() => run(world.deps, query)));
    await append();
    withNew.push(await cpu(() => run(world.deps, query)));
  }
  const { liveSpans } = world.shard.stats();
  line(
    `live search, ${liveSpans} spans, first`,
    `${median(firstTimes).toFixed(0)} ms (to reach: 300), ${median(first).toFixed(0)} of CPU, ` +
      "with the threads of collector and compiler",
  );
  line("  again", `${median(after).toFixed(1)} ms (40)`);
  line("  again after a batch of 512 spans", `${median(withNew).toFixed(1)} ms (40)`);
  const many: number[] = [];
  for (let i = 0; i < 64; i++) {
    await append();
    many.push(await cpu(() => run(world.deps, query)));
  }
  line(
    "  64 batches, a search after each",
    `median ${median(many).toFixed(1)}, most ${Math.max(...many).toFixed(0)} ms`,
  );
}

async function benchBlocksQuery(): Promise<void> {
  const all = await benchBlocks(10);
  for (const count of [1, 10]) {
    const blocks = all.slice(0, count);
    const spans = blocks.reduce((sum, { spanCount }) => sum + spanCount, 0);
    for (const [name, text] of Object.entries(QUERIES)) {
      const store = new FileStore();
      const deps = depsOf(blocks, store, 256 * MIB);
      const { total, failures } = await run(deps, text);
      if (failures.length > 0) throw new Error(JSON.stringify(failures));
      const { gets, bytes } = store;
      const samples: number[] = [];
      for (let round = 0; round < 5; round++) samples.push(await cpu(() => run(deps, text)));
      line(
        `${spans / 1e6} M spans: ${name}`,
        `${median(samples).toFixed(0)} ms, found ${total}; GETs a block ${(gets / count).toFixed(1)} cold, ` +
          `${((store.gets - gets) / count).toFixed(1)} hot; ${(bytes / MIB).toFixed(0)} MiB`,
      );
    }
    const store = new FileStore();
    const deps = depsOf(blocks, store, 256 * MIB);
    const input = { window: WINDOW, limit: 1000, maxBytes: 1_000_000 };
    await runTagNames(deps, input);
    const names = await cpu(() => runTagNames(deps, input));
    const field = parseField("span.url.path");
    const values = await cpu(() => runTagValues(deps, { ...input, field }));
    line(`${spans / 1e6} M spans: tag names, tag values`, `${names.toFixed(0)}, ${values.toFixed(0)} ms`);
  }
}

/** Queries whose columns do not all fit the memory of a query over ten blocks. */
const LARGE = {
  "compare()": "{} | compare({ status = error })",
  "whole traces": `{ rootServiceName != "" } | by(resource.service.name) | avg(duration) > 1s`,
  "below a span": `{ .http.route = "/x" } >> { event:name != "" }`,
} as const;

/** With the default caches: requests of the first time and of later ones, which find what is kept. */
async function benchRequests(): Promise<void> {
  for (const count of [2, 4, 10]) {
    const blocks = await benchBlocks(count);
    for (const [name, text] of Object.entries({ ...QUERIES, ...LARGE })) {
      const store = new FileStore();
      const deps = depsOf(blocks, store, DEFAULT_LIMITS.scan.columnCacheBytes);
      const requests: number[] = [];
      const times: number[] = [];
      for (let round = 0; round < 4; round++) {
        const before = store.gets;
        times.push(await cpu(() => run(deps, text)));
        requests.push(store.gets - before);
      }
      line(
        `${count} blocks, default caches: ${name}`,
        `requests ${requests.join(", ")}; ${times.at(-1)?.toFixed(0)} ms the last time`,
      );
    }
  }
}

async function benchScan(): Promise<void> {
  const [block] = await benchBlocks(1);
  if (block === undefined) return;
  const bytes = readFileSync(pathOf(block.key));
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const metadata = parquetMetadata(file);
  const compressors = { ZSTD: (page: Uint8Array) => new Uint8Array(zstdDecompressSync(page)) };
  const deps = depsOf([block], new FileStore(), 256 * MIB);
  for (const [name, columns] of Object.entries(COLUMNS)) {
    const known = Object.entries(QUERIES).find(([key]) => key === name)?.[1];
    let asked = 0;
    const nextText = (): string => known ?? `{ duration > ${20_000 + asked++}us }`;
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < WARM_UP_ROUNDS + 9; round++) {
      // What is shown of the hits is not the scan: one of them is enough.
      const our = await cpuOfGroup(() => run(deps, nextText(), 1));
      const their = await cpuOfGroup(() =>
        parquetRead({ file, metadata, columns: [...columns], compressors, onChunk: () => undefined }),
      );
      if (round < WARM_UP_ROUNDS) continue;
      ours.push(our);
      theirs.push(their);
    }
    const ratio = median(theirs.map((ms, round) => ms / (ours[round] ?? 1)));
    line(
      `one block: ${name}`,
      `${median(ours).toFixed(1)} ms = ${(block.spanCount / 1000 / median(ours)).toFixed(0)} M spans/s; ` +
        `hyparquet reads ${median(theirs).toFixed(1)} ms, ratio ${ratio.toFixed(1)}`,
    );
  }
}

/** Bytes of the heap and of buffers outside of it, once what is dead is freed. */
async function settledBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    // Buffers are freed after the collection, by another thread.
    await setTimeout(20);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function benchMemory(): Promise<void> {
  if (globalThis.gc === undefined) return line("memory", "skipped: run with --expose-gc");
  const blocks = await benchBlocks(10);
  for (const [name, text] of Object.entries(QUERIES)) {
    // Code that is not compiled yet.
    await run(depsOf(blocks.slice(0, 1), new FileStore(), 0), text);
    const before = await settledBytes();
    let peak = 0;
    const store = new FileStore();
    // Each read of a block is a look at what is alive; others rest meanwhile, as their pieces would be counted as they go by.
    let look: Promise<void> = Promise.resolve();
    store.beforePiece = async () => look;
    store.beforeGet = async () => {
      const last = look;
      const next = async (): Promise<void> => {
        await last;
        peak = Math.max(peak, (await settledBytes()) - before);
      };
      look = next();
      await look;
    };
    const deps = depsOf(blocks, store, DEFAULT_LIMITS.scan.columnCacheBytes);
    await run(deps, text);
    const kept = (await settledBytes()) - before;
    const { chunks, traces } = deps.cache;
    line(
      `memory over 5 M spans: ${name}`,
      `at most ${(peak / MIB).toFixed(0)} MiB, afterwards ${(kept / MIB).toFixed(0)} ` +
        `(chunks ${(chunks.byteLength / MIB).toFixed(0)}, trace ids ${(traces.byteLength / MIB).toFixed(0)})`,
    );
  }
}

const wanted = process.argv.slice(2);
const benches = {
  live: benchLive,
  blocks: benchBlocksQuery,
  requests: benchRequests,
  scan: benchScan,
  memory: benchMemory,
};
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  await calibrate();
  await bench();
}
