// What Zipkin, Jaeger and gRPC-Web cost to take in. Run: node_modules/.bin/node test/bench/formats.bench.ts
// Process CPU (garbage collection and compilation included), medians of interleaved rounds.
import { fromBinary } from "@bufbuild/protobuf";
import { gzipSync } from "node:zlib";
import { GRPC_EXPORT_PATH } from "../../src/http/routes/grpc-web.ts";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import type { KeyValue } from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";
import { makeServer } from "../support/fake-shard.ts";
import { makeGenerator } from "../support/generator.ts";
import type { Value } from "../support/thrift.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../support/thrift.ts";
import type { ZipkinStyle } from "../support/zipkin.ts";
import { encodeZipkinJson, encodeZipkinProtobuf, zipkinSpans } from "../support/zipkin.ts";

const ROUNDS = 30;
/** Milliseconds of one case in one round: long enough for the clock, short enough that the cases meet the same noise. */
const ROUND_MS = 60;
const SPANS = 512;
/** Different batches, so that nothing is learnt by heart. */
const BATCHES = 8;

type Run = (index: number) => unknown;

let sink: unknown;

/** Nanoseconds of process CPU per call. */
async function measure(run: Run, millis: number): Promise<number> {
  const start = process.cpuUsage();
  for (let calls = 1; ; calls++) {
    sink = run(calls % BATCHES);
    if (sink instanceof Promise) await sink;
    const { user, system } = process.cpuUsage(start);
    if (user + system > millis * 1000) return ((user + system) * 1000) / calls;
  }
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}

/** Median nanoseconds a span of each case. */
async function compare(
  cases: Readonly<Record<string, Run>>,
  rounds: number = ROUNDS,
): Promise<Map<string, number>> {
  const entries = Object.entries(cases).map(([name, run]) => ({ name, run, samples: [] as number[] }));
  for (const { run } of entries) await measure(run, 10 * ROUND_MS);
  for (let round = 0; round < rounds; round++) {
    // There and back: each case collects garbage of the one before it.
    const order = round % 2 === 0 ? entries : entries.toReversed();
    for (const { run, samples } of order) samples.push(await measure(run, ROUND_MS));
  }
  return new Map(entries.map(({ name, samples }) => [name, median(samples) / SPANS]));
}

function report(title: string, results: ReadonlyMap<string, number>, base?: string): void {
  console.log(`\n${title}`);
  for (const [name, ns] of results) {
    const ratio = base === undefined ? "" : `${(ns / (results.get(base) ?? 1)).toFixed(2)} of ${base}`;
    console.log(`  ${name.padEnd(36)} ${ns.toFixed(0).padStart(6)} ns/span  ${ratio}`);
  }
}

/** As far as a frame's body: converted, checked, counted. */
function stored({ traces, refusedSpans }: Converted): number {
  if (refusedSpans > 0) throw new Error("the bench's spans are good");
  return walkBatch(traces, DEFAULT_LIMITS).spanCount;
}

const generator = makeGenerator({ seed: 1 });
const otlp = Array.from({ length: BATCHES }, () => generator.batch(SPANS));

async function zipkin(style: ZipkinStyle): Promise<void> {
  const spans = otlp.map((batch) => zipkinSpans(batch, style));
  const bodies = spans.map((batch) => encodeZipkinJson(batch));
  const texts = bodies.map((body) => new TextDecoder().decode(body));
  const protobuf = spans.map((batch) => encodeZipkinProtobuf(batch));
  const bytes = Math.round((bodies[0]?.length ?? 0) / SPANS);
  // The conversion uses its body up: each gets a copy, in memory that is there, as a request's body would be.
  const scratch = new Uint8Array(Math.max(...bodies.map((body) => body.length)));
  const used = bodies.map((body) => scratch.subarray(0, body.length));
  const results = await compare({
    "JSON.parse": (i) => JSON.parse(texts[i] ?? ""),
    "TextDecoder + JSON.parse": (i) => JSON.parse(new TextDecoder().decode(bodies[i])),
    "Zipkin JSON to stored bytes": (i) => {
      scratch.set(bodies[i] ?? []);
      return stored(convertV2Json(used[i] ?? scratch, DEFAULT_LIMITS));
    },
    "Zipkin protobuf to stored bytes": (i) =>
      stored(convertV2Protobuf(protobuf[i] ?? new Uint8Array(), DEFAULT_LIMITS)),
  });
  report(
    `Zipkin, ${style}, ${SPANS} spans of ${bytes} bytes of JSON (target: 2.2 of JSON.parse)`,
    results,
    "JSON.parse",
  );
}

function jaegerTags(attributes: readonly KeyValue[]): Value[] {
  return attributes.map(({ key, value }) => {
    const held = value?.value;
    switch (held?.case) {
      case "stringValue":
      case "boolValue":
      case "intValue":
      case "doubleValue":
        return jaegerTag(key, held.value);
      case "arrayValue":
      case "kvlistValue":
      case "bytesValue":
      case undefined:
        return jaegerTag(
          key,
          JSON.stringify(held?.value, (_key, inner: unknown) =>
            typeof inner === "bigint" ? String(inner) : inner,
          ),
        );
    }
  });
}

const idOf = (bytes: Uint8Array, start = 0): bigint => Buffer.from(bytes).readBigUInt64BE(start);
const JAEGER_KINDS = ["", "internal", "server", "client", "producer", "consumer"];

/** One batch of one process, as a Jaeger client sends it. */
function jaegerOf(batch: Uint8Array): Value {
  const { resourceSpans } = fromBinary(TracesDataSchema, batch);
  const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  return jaegerBatch(
    spans.map((span) =>
      jaegerSpan({
        traceIdLow: idOf(span.traceId, 8),
        traceIdHigh: idOf(span.traceId),
        spanId: idOf(span.spanId),
        parentSpanId: span.parentSpanId.length === 8 ? idOf(span.parentSpanId) : 0n,
        operationName: span.name,
        startTime: span.startTimeUnixNano / 1000n,
        duration: (span.endTimeUnixNano - span.startTimeUnixNano) / 1000n,
        tags: [...jaegerTags(span.attributes), jaegerTag("span.kind", JAEGER_KINDS[span.kind] ?? "")],
        logs: span.events.map((event) => ({
          timestamp: event.timeUnixNano / 1000n,
          fields: [jaegerTag("event", event.name), ...jaegerTags(event.attributes)],
        })),
      }),
    ),
    "shop",
    jaegerTags(resourceSpans[0]?.resource?.attributes ?? []),
  );
}

async function jaeger(): Promise<void> {
  const batches = otlp.map(jaegerOf);
  const binary = batches.map((batch) => encodeThrift(batch, "binary"));
  const compact = batches.map((batch) => encodeThrift(batch, "compact"));
  const bytes = Math.round((binary[0]?.length ?? 0) / SPANS);
  // One after the other: a Worker meets one of the two, and the reader of both is slower than that of one.
  const title = `Jaeger, ${SPANS} spans of ${bytes} bytes of binary Thrift (target: 2,000 ns/span)`;
  const ofBinary = await compare({
    "Jaeger Thrift (binary) to stored bytes": (i) =>
      stored(convertBatch(binary[i] ?? new Uint8Array(), DEFAULT_LIMITS)),
  });
  report(title, ofBinary);
  const ofCompact = await compare({
    "Jaeger Thrift (compact) to stored bytes": (i) =>
      stored(convertBatch(compact[i] ?? new Uint8Array(), DEFAULT_LIMITS)),
  });
  report("Jaeger, the same in compact Thrift", ofCompact);
}

function framed(flags: number, message: Uint8Array): Uint8Array {
  const body = Buffer.alloc(5 + message.length);
  body[0] = flags;
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  return new Uint8Array(body);
}

async function grpcWeb(title: string, compressed: boolean): Promise<void> {
  const server = makeServer();
  const sent = otlp.map((batch) => (compressed ? new Uint8Array(gzipSync(batch)) : batch));
  const frames = sent.map((body) => framed(compressed ? 1 : 0, body));
  const post = async (
    path: string,
    body: Uint8Array | undefined,
    headers: Record<string, string>,
  ): Promise<void> => {
    const init = {
      method: "POST",
      body: body ?? null,
      headers: { ...headers, "content-length": String(body?.length) },
    };
    const response = await server.app.fetch(new Request(`http://localhost${path}`, init));
    await response.arrayBuffer();
    if (response.status !== 200 || server.batches.length !== 1)
      throw new Error(`not stored: ${response.status}`);
    server.batches.length = 0;
  };
  const otlpHeaders = {
    "content-type": "application/x-protobuf",
    ...(compressed ? { "content-encoding": "gzip" } : {}),
  };
  const grpcHeaders = {
    "content-type": "application/grpc-web+proto",
    ...(compressed ? { "grpc-encoding": "gzip" } : {}),
  };
  const cases = {
    "OTLP protobuf": (i: number) => post("/v1/traces", sent[i], otlpHeaders),
    "OTLP over gRPC-Web": (i: number) => post(GRPC_EXPORT_PATH, frames[i], grpcHeaders),
  };
  // The two are alike: what parts them is less than the garbage of the requests' bodies wobbles.
  const results = await compare(cases, 3 * ROUNDS);
  report(
    `${title}, ${SPANS} spans, the whole route (target: 1.05 of OTLP protobuf)`,
    results,
    "OTLP protobuf",
  );
}

await jaeger();
await zipkin("plain");
await zipkin("otel");
await grpcWeb("gRPC-Web, gzip", true);
await grpcWeb("gRPC-Web, uncompressed", false);
void sink;
