import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";
import type { KeyValue } from "../../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { ResourceSchema } from "../../../src/otlp/gen/opentelemetry/proto/resource/v1/resource_pb.ts";
import type { Span, TracesData } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { makeGenerator } from "../../support/generator.ts";
import { normalizeOtlpJson, normalizeTracesData } from "../../support/normal-span.ts";

function decode(bytes: Uint8Array): TracesData {
  return fromBinary(TracesDataSchema, bytes);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function spansOf(traces: TracesData): Span[] {
  return traces.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

function pairOf({ key, value }: KeyValue): string {
  return `${key} ${value?.value.case ?? "none"}`;
}

describe("generator: batches", () => {
  const SPANS = 512;
  const BATCHES = 60;
  const bytes: Uint8Array[] = [];
  let batches: TracesData[];
  let spans: Span[];

  beforeAll(() => {
    const generator = makeGenerator({ seed: 7 });
    for (let i = 0; i < BATCHES; i++) bytes.push(generator.batch(SPANS));
    batches = bytes.map(decode);
    spans = batches.flatMap(spansOf);
  });

  test("hold exactly the spans asked for, at 440 to 500 bytes each", () => {
    expect(batches.every((batch) => spansOf(batch).length === SPANS)).toBe(true);
    const size = bytes.reduce((sum, batch) => sum + batch.length, 0) / spans.length;
    expect(size).toBeGreaterThan(440);
    expect(size).toBeLessThan(500);
  });

  test("have 9 to 11 attributes a span, about 42 frequent key and type pairs and about 400 rare keys", () => {
    const pairs = new Map<string, number>();
    for (const attribute of spans.flatMap((span) => span.attributes)) {
      const pair = pairOf(attribute);
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
    const total = spans.reduce((sum, span) => sum + span.attributes.length, 0);
    expect(total / spans.length).toBeGreaterThan(9);
    expect(total / spans.length).toBeLessThan(11);
    const counts = Array.from(pairs.values());
    const frequent = counts.filter((count) => count > 0.002 * spans.length).length;
    expect(frequent).toBeGreaterThanOrEqual(39);
    expect(frequent).toBeLessThanOrEqual(45);
    expect(counts.length - frequent).toBeGreaterThan(360);
    expect(counts.length - frequent).toBeLessThanOrEqual(410);
    expect(new Set(Array.from(pairs.keys(), (pair) => pair.split(" ")[1]))).toEqual(
      new Set(["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue"]),
    );
  });

  test("have 8 to 12 spans a trace with a heavy tail, and split traces over neighbouring batches", () => {
    const sizes = new Map<string, number>();
    const batchesOf = new Map<string, Set<number>>();
    batches.forEach((batch, index) => {
      for (const traceId of spansOf(batch).map((span) => hex(span.traceId))) {
        sizes.set(traceId, (sizes.get(traceId) ?? 0) + 1);
        batchesOf.set(traceId, (batchesOf.get(traceId) ?? new Set()).add(index));
      }
    });
    const mean = spans.length / sizes.size;
    expect(mean).toBeGreaterThan(8);
    expect(mean).toBeLessThan(12);
    expect(Math.max(...sizes.values())).toBeGreaterThan(8 * mean);
    const split = Array.from(batchesOf.values()).filter((set) => set.size > 1).length;
    expect(split / sizes.size).toBeGreaterThan(0.02);
  });

  test("have 16 services with three pods of about 350 bytes, and 6 scopes", () => {
    const resources = new Map<string, number>();
    const services = new Set<string>();
    const scopes = new Set<string>();
    for (const { resource, scopeSpans } of batches.flatMap((batch) => batch.resourceSpans)) {
      const encoded = toBinary(ResourceSchema, resource!);
      resources.set(hex(encoded), encoded.length);
      const name = resource?.attributes.find(({ key }) => key === "service.name")?.value?.value;
      services.add(name?.case === "stringValue" ? name.value : "");
      for (const { scope } of scopeSpans) scopes.add(scope?.name ?? "");
    }
    expect(services.size).toBe(16);
    expect(resources.size).toBe(48);
    expect(scopes.size).toBe(6);
    const mean = Array.from(resources.values()).reduce((sum, size) => sum + size, 0) / resources.size;
    expect(mean).toBeGreaterThan(300);
    expect(mean).toBeLessThan(400);
  });

  test("group by resource and scope: no resource twice in a batch, no scope twice in a resource", () => {
    for (const batch of batches) {
      const resources = batch.resourceSpans.map(({ resource }) => hex(toBinary(ResourceSchema, resource!)));
      expect(new Set(resources).size).toBe(resources.length);
      for (const { scopeSpans } of batch.resourceSpans) {
        expect(new Set(scopeSpans.map(({ scope }) => scope?.name)).size).toBe(scopeSpans.length);
      }
    }
  });

  test("have exceptions on about 1.7 % of the spans and links on about 1 %", () => {
    const failed = spans.filter((span) => span.events.length > 0);
    expect(failed.length / spans.length).toBeGreaterThan(0.013);
    expect(failed.length / spans.length).toBeLessThan(0.021);
    expect(failed.every(({ status, events }) => status?.code === 2 && events[0]?.name === "exception")).toBe(
      true,
    );
    const linked = spans.filter((span) => span.links.length > 0);
    expect(linked.length / spans.length).toBeGreaterThan(0.007);
    expect(linked.length / spans.length).toBeLessThan(0.013);
  });

  test("have valid ids, unique span ids, all kinds, and times in order", () => {
    expect(new Set(spans.map((span) => hex(span.spanId))).size).toBe(spans.length);
    expect(new Set<number>(spans.map((span) => span.kind))).toEqual(new Set([1, 2, 3, 4, 5]));
    for (const span of spans) {
      expect(hex(span.traceId)).toMatch(/^[0-9a-f]{32}$/);
      expect(hex(span.spanId)).toMatch(/^[0-9a-f]{16}$/);
      expect(span.endTimeUnixNano > span.startTimeUnixNano).toBe(true);
    }
  });
});

describe("generator: traces", () => {
  test("a trace is one tree: one root, every parent is there, children start no earlier", () => {
    const { traceId, batches } = makeGenerator({ seed: 3 }).trace(5_000);
    const spans = batches.flatMap((batch) => spansOf(decode(batch)));
    expect(spans).toHaveLength(5_000);
    expect(new Set(spans.map((span) => hex(span.traceId)))).toEqual(new Set([hex(traceId)]));
    const byId = new Map(spans.map((span) => [hex(span.spanId), span]));
    expect(byId.size).toBe(5_000);
    expect(spans.filter((span) => span.parentSpanId.length === 0)).toHaveLength(1);
    for (const span of spans) {
      if (span.parentSpanId.length === 0) continue;
      const parent = byId.get(hex(span.parentSpanId));
      expect(parent).toBeDefined();
      expect(span.startTimeUnixNano >= (parent?.startTimeUnixNano ?? 0n)).toBe(true);
    }
  });

  test("traceIds lists the traces handed out, at most 10,000", () => {
    const generator = makeGenerator({ seed: 4, spansPerTrace: 1 });
    const first = spansOf(decode(generator.batch(20))).map((span) => hex(span.traceId));
    expect(new Set(generator.traceIds())).toEqual(new Set(first));
    for (let i = 0; i < 60; i++) generator.batch(512);
    expect(generator.traceIds()).toHaveLength(10_000);
  });
});

describe("generator: seeds", () => {
  test("the same seed gives the same bytes, another one others", () => {
    const [a, b, c] = [5, 5, 6].map((seed) => makeGenerator({ seed }));
    for (let i = 0; i < 5; i++) {
      const bytes = a?.batch(100);
      expect(b?.batch(100)).toEqual(bytes);
      expect(c?.batch(100)).not.toEqual(bytes);
    }
  });

  test("startNs moves every time, and nothing else", () => {
    const [a, b] = [1_000_000_000_000_000_000n, 1_000_000_000_000_000_777n].map((startNs) =>
      spansOf(decode(makeGenerator({ seed: 1, startNs }).batch(200))),
    );
    expect(a?.map((span) => [hex(span.spanId), span.startTimeUnixNano + 777n])).toEqual(
      b?.map((span) => [hex(span.spanId), span.startTimeUnixNano]),
    );
  });

  test("JSON holds the same spans as protobuf", () => {
    const protobuf = normalizeTracesData(decode(makeGenerator({ seed: 8 }).batch(300)));
    const json = normalizeOtlpJson(makeGenerator({ seed: 8 }).batchJson(300));
    expect(json).toHaveLength(300);
    expect(json).toEqual(protobuf);
  });
});
