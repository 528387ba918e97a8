import { createRequire } from "node:module";
import type Protobuf from "protobufjs";
import { beforeAll, describe, expect, test } from "vitest";
import { makeGenerator } from "../../support/generator.ts";

// protobufjs is an oracle that shares nothing with the generator's writer nor with src.
const SCHEMA = `syntax = "proto3";
message Traces { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
message Scope { string name = 1; string version = 2; }
message KeyValue { string key = 1; Value value = 2; }
message Value {
  oneof value { string text = 1; bool flag = 2; int64 integer = 3; double real = 4; List list = 5; }
}
message List { repeated Value values = 1; }
message Event { fixed64 time = 1; string name = 2; repeated KeyValue attributes = 3; }
message Link { bytes trace_id = 1; bytes span_id = 2; repeated KeyValue attributes = 4; fixed32 flags = 6; }
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4;
  string name = 5; int32 kind = 6; fixed64 start = 7; fixed64 end = 8;
  repeated KeyValue attributes = 9; repeated Event events = 11; repeated Link links = 13;
  Status status = 15; fixed32 flags = 16;
}`;

interface KeyValue {
  key: string;
  value: { value: string; text?: string; integer?: string; list?: { values: { text: string }[] } };
}
interface Span {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: number;
  start: string;
  end: string;
  attributes: KeyValue[];
  events: { name: string; time: string }[];
  links: { traceId: string; spanId: string }[];
  status: { code: number };
}
interface Traces {
  resourceSpans: {
    resource: { attributes: KeyValue[] };
    scopeSpans: { scope: { name: string }; spans: Span[] }[];
  }[];
}

let root: Protobuf.Root;
beforeAll(() => {
  // protobufjs has no named exports under ESM.
  const protobuf = createRequire(import.meta.url)("protobufjs") as typeof Protobuf;
  root = protobuf.parse(SCHEMA).root;
});

function decode(bytes: Uint8Array): Traces {
  const type = root.lookupType("Traces");
  return type.toObject(type.decode(bytes), {
    bytes: String,
    longs: String,
    defaults: true,
    oneofs: true,
  }) as Traces;
}

function hex(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}

function spansOf(traces: Traces): Span[] {
  return traces.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));
}

function summary(span: Record<string, unknown>): Record<string, unknown> {
  return {
    traceId: span["traceId"],
    spanId: span["spanId"],
    parentSpanId: span["parentSpanId"] ?? "",
    name: span["name"],
    start: span["startTimeUnixNano"],
    end: span["endTimeUnixNano"],
    keys: (span["attributes"] as { key: string }[]).map(({ key }) => key),
    values: (span["attributes"] as { value: Record<string, unknown> }[]).map(({ value }) =>
      JSON.stringify(Object.values(value)[0]),
    ),
  };
}

describe("generator: batches", () => {
  const SPANS = 512;
  const BATCHES = 60;
  const bytes: Uint8Array[] = [];
  let batches: Traces[];
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
    for (const span of spans) {
      for (const { key, value } of span.attributes) {
        const pair = `${key} ${value.value}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      }
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
      new Set(["text", "flag", "integer", "real", "list"]),
    );
  });

  test("have 8 to 12 spans a trace with a heavy tail, and split traces over neighbouring batches", () => {
    const sizes = new Map<string, number>();
    const batchesOf = new Map<string, Set<number>>();
    batches.forEach((batch, index) => {
      for (const { traceId } of spansOf(batch)) {
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
    const type = root.lookupType("Resource");
    for (const { resource, scopeSpans } of batches.flatMap((batch) => batch.resourceSpans)) {
      resources.set(JSON.stringify(resource), type.encode(type.fromObject(resource)).finish().length);
      services.add(resource.attributes.find(({ key }) => key === "service.name")?.value.text ?? "");
      for (const { scope } of scopeSpans) scopes.add(scope.name);
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
      const resources = batch.resourceSpans.map(({ resource }) => JSON.stringify(resource));
      expect(new Set(resources).size).toBe(resources.length);
      for (const { scopeSpans } of batch.resourceSpans) {
        expect(new Set(scopeSpans.map(({ scope }) => scope.name)).size).toBe(scopeSpans.length);
      }
    }
  });

  test("have exceptions on about 1.7 % of the spans and links on about 1 %", () => {
    const failed = spans.filter((span) => span.events.length > 0);
    expect(failed.length / spans.length).toBeGreaterThan(0.013);
    expect(failed.length / spans.length).toBeLessThan(0.021);
    expect(failed.every((span) => span.status.code === 2 && span.events[0]?.name === "exception")).toBe(true);
    const linked = spans.filter((span) => span.links.length > 0);
    expect(linked.length / spans.length).toBeGreaterThan(0.007);
    expect(linked.length / spans.length).toBeLessThan(0.013);
  });

  test("have valid ids, unique span ids, all kinds, and times in order", () => {
    expect(new Set(spans.map((span) => span.spanId)).size).toBe(spans.length);
    expect(new Set(spans.map((span) => span.kind))).toEqual(new Set([1, 2, 3, 4, 5]));
    for (const span of spans) {
      expect(hex(span.traceId)).toMatch(/^[0-9a-f]{32}$/);
      expect(hex(span.spanId)).toMatch(/^[0-9a-f]{16}$/);
      expect(BigInt(span.end) > BigInt(span.start)).toBe(true);
    }
  });
});

describe("generator: traces", () => {
  test("a trace is one tree: one root, every parent is there, children start no earlier", () => {
    const { traceId, batches } = makeGenerator({ seed: 3 }).trace(5_000);
    const spans = batches.flatMap((batch) => spansOf(decode(batch)));
    expect(spans).toHaveLength(5_000);
    expect(new Set(spans.map((span) => hex(span.traceId)))).toEqual(
      new Set([Buffer.from(traceId).toString("hex")]),
    );
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    expect(byId.size).toBe(5_000);
    expect(spans.filter((span) => span.parentSpanId === "")).toHaveLength(1);
    for (const span of spans) {
      if (span.parentSpanId === "") continue;
      const parent = byId.get(span.parentSpanId);
      expect(parent).toBeDefined();
      expect(BigInt(span.start) >= BigInt(parent?.start ?? 0)).toBe(true);
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
    expect(a?.map((span) => [span.spanId, BigInt(span.start) + 777n])).toEqual(
      b?.map((span) => [span.spanId, BigInt(span.start)]),
    );
  });

  test("JSON holds the same spans as protobuf", () => {
    const protobuf = spansOf(decode(makeGenerator({ seed: 8 }).batch(300)));
    const json = JSON.parse(makeGenerator({ seed: 8 }).batchJson(300)) as {
      resourceSpans: { scopeSpans: { spans: Record<string, never>[] }[] }[];
    };
    const spans = json.resourceSpans.flatMap((resource) =>
      resource.scopeSpans.flatMap((scope) => scope.spans),
    );
    const expected = protobuf.map((span) =>
      summary({
        ...span,
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        startTimeUnixNano: span.start,
        endTimeUnixNano: span.end,
        attributes: span.attributes.map(({ key, value }) => ({
          key,
          value: {
            v:
              value.list === undefined || value.list === null
                ? (value as unknown as Record<string, unknown>)[value.value]
                : { values: value.list.values.map((item) => ({ stringValue: item.text })) },
          },
        })),
      }),
    );
    expect(spans.map(summary)).toEqual(expected);
    expect(spans).toHaveLength(300);
  });
});
