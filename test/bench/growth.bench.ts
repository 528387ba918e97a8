// How the cost of a query grows with the blocks that it looks into, in the Worker alone and over the scan pool.
// Run: node_modules/.bin/node --expose-gc test/bench/growth.bench.ts. The first run writes the blocks, which takes minutes.
//
// All Scanners are in this process and are called one at a time, so that the CPU of each call is known. The time over the pool
// is modelled: of each round of questions the time of six calls at once, and what the Worker itself does. Calls themselves
// take time too, and cold blocks their reads: neither is in it.
import { DEFAULT_LIMITS, PLATFORM } from "../../src/model/limits.ts";
import type { ScanDeps } from "../../src/query/query-scan.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import type { CatalogueBlock } from "../../src/store/catalogue.ts";
import { blockKey, parseBlockKey } from "../../src/store/keys.ts";
import type { ScannerRpc } from "../../src/store/scanner-rpc.ts";
import { rangeIntervals } from "../../src/traceql/engine/metrics/intervals.ts";
import { parseQuery } from "../../src/traceql/parse.ts";
import { Gate } from "../../src/util/parallel.ts";
import { pooledLimits, ScanPool } from "../support/scan-pool.ts";
import { benchBlocks, FileStore, SMALL_BLOCK_SPANS } from "./search-blocks.ts";

const MIB = 1024 * 1024;
const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 60_000_000_000n, endNs: START_NS + 7_200_000_000_000n };
const COUNTS = [1, 10, 100];

const QUERIES = {
  "name equality": `{ name = "POST /api/v1/checkout" }`,
  "status code >= 500": `{ span.http.response.status_code >= 500 }`,
  "parent-child": `{ kind = server } > { status = error }`,
  "rate by service": `{} | rate() by (resource.service.name)`,
  "quantile by name": `{} | quantile_over_time(duration, .99) by (name)`,
} as const;

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}

/** Milliseconds of process CPU so far. */
function cpuNow(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function run(deps: ScanDeps, text: string): Promise<string> {
  const query = parseQuery(text);
  if (query.kind === "search") {
    const { traces, total, failures } = await runSearch(deps, {
      query,
      window: WINDOW,
      limit: 20,
      spansPerSpanset: 3,
    });
    if (failures.length > 0) throw new Error(JSON.stringify(failures));
    return `${total} ${traces.map(({ traceId }) => traceId).join()}`;
  }
  const intervals = rangeIntervals(START_NS, START_NS + 1_200_000_000_000n, 60_000_000_000n);
  const { series, failures } = await runMetrics(deps, {
    query,
    intervals,
    maxSeries: Infinity,
    exemplars: 20,
  });
  if (failures.length > 0) throw new Error(JSON.stringify(failures));
  return JSON.stringify(series, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

/** Blocks under keys as a shard gives them. */
function depsOf(blocks: readonly CatalogueBlock[]): ScanDeps {
  const files = new FileStore();
  const scan = { ...DEFAULT_LIMITS.scan, columnCacheBytes: 256 * MIB, traceCacheBytes: 64 * MIB };
  return {
    limits: { ...DEFAULT_LIMITS, scan },
    objects: {
      getRange: (key, range) =>
        files.getRange(`${SMALL_BLOCK_SPANS}/${parseBlockKey(key)?.id}.parquet`, range),
    },
    shards: [
      {
        name: "t/0",
        shard: {
          snapshot: async () => ({
            epochs: [],
            blocks: blocks.map((block) => ({ ...block, key: blockKey("t", 0, block.id) })),
          }),
          readSegments: async () => ({ kind: "gone" }) as const,
          findBeyond: async () => [],
          findTrace: async () => ({ live: new Uint8Array(0), blocks: [] }),
          noteFailedReads: async () => undefined,
        },
      },
    ],
    cache: new ScanCache(scan),
  };
}

/** A pool whose calls are made one at a time, and measured. */
class MeasuredPool {
  readonly pool: ScanPool;
  /** CPU of calls, by round of questions, then by Scanner. */
  rounds: Map<string, number>[] = [];
  #question = "";
  readonly #one = new Gate(1);

  constructor(pool: ScanPool) {
    this.pool = pool;
  }

  begin(): void {
    this.rounds = [];
    this.#question = "";
    this.pool.calls.length = 0;
    this.pool.sentBytes = 0;
    this.pool.receivedBytes = 0;
  }

  readonly scannerOf = (name: string): ScannerRpc => {
    const scanner = this.pool.scannerOf(name);
    return {
      scan: async (request) => {
        const session = await this.#measured(name, "begin", () => scanner.scan(request));
        return {
          ask: (question) => this.#measured(name, undefined, () => session.ask(question)),
          more: () => this.#measured(name, undefined, () => session.more()),
          cancel: () => session.cancel(),
        };
      },
    };
  };

  #measured<T>(scanner: string, question: string | undefined, call: () => Promise<T>): Promise<T> {
    return this.#one.run(async () => {
      const start = cpuNow();
      const result = await call();
      const ms = cpuNow() - start;
      const name = question ?? this.pool.calls.findLast((each) => each.call !== "more")?.call ?? "";
      if (name !== this.#question || this.rounds.length === 0) this.rounds.push(new Map());
      this.#question = name;
      const round = this.rounds.at(-1);
      round?.set(scanner, (round.get(scanner) ?? 0) + ms);
      return result;
    });
  }

  get cpuMs(): number {
    return this.rounds.reduce((sum, round) => [...round.values()].reduce((a, b) => a + b, sum), 0);
  }
}

/**
 * Of each round the time until the last of its calls ends, so many at a time, each call taken to last as its median does: the
 * heap of all Scanners is one here, and what collects it falls on one call or another.
 */
function spanMs(samples: readonly (readonly Map<string, number>[])[]): number {
  const [first = []] = samples;
  return first.reduce((sum, calls, round) => {
    const ms = [...calls.keys()].map((scanner) =>
      median(samples.map((rounds) => rounds[round]?.get(scanner) ?? 0)),
    );
    return sum + makespan(ms);
  }, 0);
}

function makespan(calls: readonly number[]): number {
  const lanes = Array.from({ length: PLATFORM.connections }, () => 0);
  for (const ms of calls) {
    const next = lanes.indexOf(Math.min(...lanes));
    lanes[next] = (lanes[next] ?? 0) + ms;
  }
  return Math.max(...lanes);
}

interface Figures {
  readonly alone: number;
  readonly scanners: number;
  readonly worker: number;
  /** The Worker's share when it knows nothing of these blocks. */
  readonly coldWorker: number;
}

interface Measured extends Figures {
  /** The modelled times. */
  readonly wall: number;
  readonly coldWall: number;
  readonly note: string;
}

async function measure(blocks: readonly CatalogueBlock[], text: string): Promise<Measured> {
  const alone = depsOf(blocks);
  const limits = pooledLimits(alone.limits);
  const measured = new MeasuredPool(new ScanPool(limits, alone.objects));
  const pooled = { ...depsOf(blocks), limits, scannerOf: measured.scannerOf };
  const expected = await run(alone, text);
  if ((await run(pooled, text)) !== expected) throw new Error(`${text}: the pool gives something else`);
  const samples: Figures[] = [];
  const hotRounds: Map<string, number>[][] = [];
  const coldRounds: Map<string, number>[][] = [];
  for (let round = 0; round < 5; round++) {
    measured.begin();
    let start = cpuNow();
    await run({ ...pooled, cache: new ScanCache(limits.scan) }, text);
    const coldWorker = cpuNow() - start - measured.cpuMs;
    coldRounds.push(measured.rounds);
    start = cpuNow();
    await run(alone, text);
    const own = cpuNow() - start;
    measured.begin();
    start = cpuNow();
    await run(pooled, text);
    const worker = cpuNow() - start - measured.cpuMs;
    hotRounds.push(measured.rounds);
    samples.push({ alone: own, scanners: measured.cpuMs, worker, coldWorker });
  }
  const of = (name: keyof Figures): number => median(samples.map((sample) => sample[name]));
  const { pool } = measured;
  const note =
    `${pool.count("scan")} object calls, ${pool.calls.length} messages, ` +
    `${((pool.sentBytes + pool.receivedBytes) / MIB).toFixed(1)} MiB, ${measured.rounds.length} rounds`;
  return {
    alone: of("alone"),
    scanners: of("scanners"),
    worker: of("worker"),
    wall: of("worker") + spanMs(hotRounds),
    coldWorker: of("coldWorker"),
    coldWall: of("coldWorker") + spanMs(coldRounds),
    note,
  };
}

const all = await benchBlocks(Math.max(...COUNTS), SMALL_BLOCK_SPANS);
console.log(`blocks of ${SMALL_BLOCK_SPANS} spans, hot; ms of CPU, medians of 5`);
for (const [name, text] of Object.entries(QUERIES)) {
  for (const count of COUNTS) {
    const figures = await measure(all.slice(0, count), text);
    const { alone, scanners, worker, wall, coldWorker, coldWall, note } = figures;
    const ms = [alone, scanners, worker, wall, coldWorker, coldWall].map((each) => each.toFixed(0));
    console.log(
      `${name.padEnd(20)} ${String(count).padStart(3)} blocks: alone ${ms[0]}; pool: Scanners ${ms[1]}, ` +
        `Worker ${ms[2]}, slowest way ${ms[3]}; a new Worker ${ms[4]}, ${ms[5]} (${note})`,
    );
  }
}
