// The codec's cost against the libraries that it stands in for. Run: node_modules/.bin/node test/bench/otlp.bench.ts
import { fromBinary } from "@bufbuild/protobuf";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { jsonToProtobuf } from "../../src/otlp/json.ts";
import { dropRejectedSpans, filterTrace } from "../../src/otlp/rewrite.ts";
import { splitByShard } from "../../src/otlp/split.ts";
import { readSpanIds, visitSpans } from "../../src/otlp/spans.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { makeGenerator } from "../support/generator.ts";

const ROUNDS = 15;
/** Milliseconds of one case in one round: long enough for the clock, short enough that the cases meet the same noise. */
const ROUND_MS = 60;

interface Case {
  readonly name: string;
  readonly run: () => unknown;
  readonly samples: number[];
}

let sink: unknown;

/** Nanoseconds of process CPU per call, over at least ROUND_MS. */
function measure(run: () => unknown): number {
  const start = process.cpuUsage();
  let calls = 0;
  for (;;) {
    sink = run();
    calls++;
    const { user, system } = process.cpuUsage(start);
    if (user + system > ROUND_MS * 1000) return ((user + system) * 1000) / calls;
  }
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}

/** Runs the cases in turn, so that each round of each meets the same machine. Returns the median ns per call by name. */
function compare(cases: Readonly<Record<string, () => unknown>>): Map<string, number> {
  const entries: Case[] = Object.entries(cases).map(([name, run]) => ({ name, run, samples: [] }));
  for (const { run } of entries) measure(run);
  for (let round = 0; round < ROUNDS; round++)
    for (const { run, samples } of entries) samples.push(measure(run));
  return new Map(entries.map(({ name, samples }) => [name, median(samples)]));
}

function report(title: string, spans: number, results: Map<string, number>, base: string): void {
  console.log(`\n${title}`);
  const baseline = results.get(base) ?? 1;
  for (const [name, ns] of results) {
    const ratio = ns < baseline ? `1/${(baseline / ns).toFixed(1)}` : (ns / baseline).toFixed(2);
    console.log(
      `  ${name.padEnd(34)} ${(ns / spans).toFixed(0).padStart(6)} ns/span  ${ratio.padStart(7)} of ${base}`,
    );
  }
}

function split(batch: Uint8Array, count: number): Uint8Array[] {
  return splitByShard(batch, count, DEFAULT_LIMITS).map((part) => part.write());
}

for (const spanCount of [64, 512, 4096]) {
  const batch = makeGenerator({ seed: 1 }).batchBoth(spanCount);
  const { protobuf } = batch;
  const json = new TextEncoder().encode(batch.json);
  const firstId = new Uint8Array(16);
  const ids = { sum: 0 };
  visitSpans(protobuf, {
    span(start, end) {
      const at = readSpanIds(protobuf, start, end).traceIdAt;
      firstId.set(protobuf.subarray(at, at + 16));
    },
  });
  report(
    `protobuf, ${spanCount} spans, ${protobuf.length} bytes`,
    spanCount,
    compare({
      fromBinary: () => fromBinary(TracesDataSchema, protobuf),
      walkBatch: () => walkBatch(protobuf, DEFAULT_LIMITS),
      "visitSpans + readSpanIds": () =>
        visitSpans(protobuf, {
          span(start, end) {
            ids.sum += readSpanIds(protobuf, start, end).kind;
          },
        }),
      filterTrace: () => filterTrace(protobuf, firstId),
      dropRejectedSpans: () => dropRejectedSpans(protobuf, DEFAULT_LIMITS),
      "splitByShard, 4 shards": () => split(protobuf, 4),
      "splitByShard, 64 shards": () => split(protobuf, 64),
    }),
    "fromBinary",
  );
  report(
    `JSON, ${spanCount} spans, ${json.length} bytes`,
    spanCount,
    compare({
      "JSON.parse": () => JSON.parse(batch.json) as unknown,
      "TextDecoder + JSON.parse": () => JSON.parse(new TextDecoder().decode(json)) as unknown,
      jsonToProtobuf: () => jsonToProtobuf(json, DEFAULT_LIMITS),
    }),
    "JSON.parse",
  );
}
if (sink === null) console.log("never");
