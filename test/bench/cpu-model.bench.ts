// The model that a Worker's CPU time is estimated by (src/usage/cpu-model.ts) against the CPU time that the same work takes
// in this process. Run: npm run bench -- cpu-model
import { gzipSync } from "node:zlib";
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { createApp } from "../../src/http/app.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ScanReport } from "../../src/query/query-scan.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { rangeIntervals } from "../../src/traceql/engine/metrics/intervals.ts";
import { parseQuery } from "../../src/traceql/parse.ts";
import { bodyCpuUs, requestCpuUs, scanCpuUs } from "../../src/usage/cpu-model.ts";
import { UsageLedger } from "../../src/usage/ledger.ts";
import { NOW_MS, oneShard } from "../support/fake-shard.ts";
import { compressZstd } from "../../src/util/codec.ts";
import { makeGenerator } from "../support/generator.ts";
import { ScanWorld } from "../support/scan-world.ts";
import { START_MS } from "../support/shard-world.ts";

const ROUNDS = 7;
const ROUND_MS = 60;
const QUERIES = [
  "{ name = `GET` }",
  "{ status = error }",
  "{ span.http.response.status_code >= 500 }",
  "{} | rate() by (resource.service.name)",
  "{} | quantile_over_time(duration, .9)",
];
const SIZES = [1, 16, 64, 256, 512, 2048, 4096];

/** Microseconds of process CPU of a call. */
async function measure(run: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  for (let calls = 1; ; calls++) {
    await run();
    const { user, system } = process.cpuUsage(start);
    if (user + system > ROUND_MS * 1000) return (user + system) / calls;
  }
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}

interface Case {
  readonly name: string;
  /** Bytes that the cost goes by. */
  readonly bytes: number;
  readonly modelUs: number;
  readonly run: () => Promise<unknown>;
  readonly samples: number[];
}

/** MB/s of zstd at level 3 on a core that does nothing else: what is measured is told as on such a one. */
const IDLE_ZSTD = 660;

/** How fast the machine is at the moment, against an idle core. */
async function speed(): Promise<number> {
  const page = makeGenerator({ seed: 2 })
    .batch(1100)
    .subarray(0, 512 * 1024);
  return page.length / (await measure(async () => compressZstd(page, 3))) / IDLE_ZSTD;
}

async function compare(cases: readonly Case[]): Promise<void> {
  for (const { run } of cases) await measure(run);
  const speeds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const { run, samples } of cases) {
      const now = await speed();
      speeds.push(now);
      samples.push((await measure(run)) * now);
    }
  }
  console.log(`  the core gives ${median(speeds).toFixed(2)} of an idle one`);
  for (const { name, bytes, modelUs, samples } of cases) {
    const us = median(samples);
    console.log(
      `  ${name.padEnd(38)} ${us.toFixed(0).padStart(8)} us, ${((us / bytes) * 1000).toFixed(2).padStart(8)} ns a byte; model ${modelUs.toFixed(0).padStart(8)} us: ${(modelUs / us).toFixed(2)}`,
    );
  }
  // Least squares, each case weighed by its relative error.
  let [s, sx, sxx, sy, sxy] = [0, 0, 0, 0, 0];
  for (const { bytes, samples } of cases) {
    const us = median(samples);
    const weight = 1 / us ** 2;
    s += weight;
    sx += weight * bytes;
    sxx += weight * bytes ** 2;
    sy += weight * us;
    sxy += weight * bytes * us;
  }
  const slope = (s * sxy - sx * sy) / (s * sxx - sx ** 2);
  console.log(
    `  fits best: ${((sy - slope * sx) / s).toFixed(0)} us and ${(slope * 1000).toFixed(3)} ns a byte`,
  );
}

function jsonOf(raw: Uint8Array): Uint8Array {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const traces = fromBinary(TracesDataSchema, raw);
  const json = JSON.stringify(toJson(TracesDataSchema, traces));
  // Ids are hex in OTLP's JSON, and base64 in protobuf's.
  const ids = new Map<string, string>();
  const note = (id: Uint8Array): void => void ids.set(Buffer.from(id).toString("base64"), hex(id));
  for (const { spans } of traces.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans)) {
    for (const { traceId, spanId, parentSpanId, links } of spans) {
      for (const id of [traceId, spanId, parentSpanId]) note(id);
      for (const link of links) for (const id of [link.traceId, link.spanId]) note(id);
    }
  }
  const withHex = json.replaceAll(
    /"(traceId|spanId|parentSpanId)":"([^"]*)"/g,
    (_, name: string, id: string) => `"${name}":"${ids.get(id) ?? ""}"`,
  );
  return new TextEncoder().encode(withHex);
}

function ingestCases(
  contentType: string,
  bodyOf: (raw: Uint8Array) => Uint8Array,
  isConverted: boolean,
): Case[] {
  const clock = { now: () => NOW_MS };
  const shards = oneShard({ append: async () => ({ ok: true }) });
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock,
    objects: new MemoryStore(),
    shards,
    ledger: new UsageLedger(clock, "bench"),
  });
  const generator = makeGenerator({ seed: 1 });
  return SIZES.map((spans) => {
    const inflated = bodyOf(generator.batch(spans));
    const body = gzipSync(inflated);
    const headers = { "content-type": contentType, "content-encoding": "gzip" };
    return {
      name: `${spans} spans, ${contentType}`,
      bytes: inflated.length,
      modelUs: requestCpuUs() + bodyCpuUs(inflated.length, isConverted),
      samples: [],
      run: async () => {
        const response = await app.request("/v1/traces", { method: "POST", headers, body });
        if (response.status !== 200) throw new Error(`a batch was answered ${response.status}`);
        await response.arrayBuffer();
      },
    };
  });
}

async function scanCases(): Promise<Case[]> {
  const world = new ScanWorld(1);
  const generator = makeGenerator({ seed: 2 });
  for (let block = 0; block < 4; block++) {
    for (let i = 0; i < 10; i++) await world.appendBatch(generator.batch(2_000));
    world.clock.ms += DEFAULT_LIMITS.flushAgeMs;
    await world.tick();
  }
  const startNs = BigInt(START_MS - 3_600_000) * 1_000_000n;
  const endNs = BigInt(START_MS + 86_400_000) * 1_000_000n;
  const run = (text: string) => async (): Promise<ScanReport> => {
    const query = parseQuery(text);
    if (query.kind === "search") {
      return runSearch(world.deps, { query, window: { startNs, endNs }, limit: 20, spansPerSpanset: 3 });
    }
    const intervals = rangeIntervals(startNs, endNs, 600_000_000_000n);
    return runMetrics(world.deps, { query, intervals, maxSeries: Infinity, exemplars: 0 });
  };
  const cases: Case[] = [];
  for (const text of QUERIES) {
    const { inspectedBytes: bytes } = await run(text)();
    cases.push({
      name: text,
      bytes,
      modelUs: requestCpuUs() + scanCpuUs(bytes),
      samples: [],
      run: run(text),
    });
  }
  return cases;
}

console.log("OTLP protobuf, gzip");
await compare(ingestCases("application/x-protobuf", (raw) => raw, false));
console.log("OTLP JSON, gzip");
await compare(ingestCases("application/json", jsonOf, true));
console.log("queries over 80,000 spans in 4 blocks, caches warm");
await compare(await scanCases());
