// The bodies of answers: exact texts and bytes, and how they are streamed.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { ResourceSchema } from "../../../src/otlp/gen/opentelemetry/proto/resource/v1/resource_pb.ts";
import {
  ScopeSpansSchema,
  Span_SpanKind,
  SpanSchema,
  TracesDataSchema,
} from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { traceToJson } from "../../../src/otlp/trace-json.ts";
import { findTrace, type FoundTrace } from "../../../src/query/find-trace.ts";
import { traceBody } from "../../../src/query/trace-body.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { makeGenerator } from "../../support/generator.ts";
import {
  batch,
  FakeShard,
  FakeStore,
  fakeReadPages,
  id8,
  liveStream,
  span,
  TRACE_ID,
  tracesData,
} from "../../support/query-fakes.ts";
import { mergedByModel } from "../../support/trace-model.ts";

interface Options {
  readonly live?: Uint8Array | ReadableStream<Uint8Array>;
  readonly maxTraceBytes?: number;
  /** Keys of blocks that cannot be read. */
  readonly broken?: readonly string[];
}

async function find({ live, maxTraceBytes, broken = [] }: Options): Promise<FoundTrace> {
  const shard = new FakeShard();
  const objects = new FakeStore();
  if (live !== undefined) shard.live = live;
  for (const key of broken) {
    await shard.addBlock(objects, key, [batch("a", [span(1)])]);
    objects.fail(key, "corrupt");
  }
  const limits = { ...DEFAULT_LIMITS, maxTraceBytes: maxTraceBytes ?? DEFAULT_LIMITS.maxTraceBytes };
  return findTrace(
    { limits, objects, shards: [{ name: "t/0", shard }], readPages: fakeReadPages },
    { traceId: TRACE_ID, mode: "all", startSeconds: 0, endSeconds: 0 },
  );
}

function bodyOf(
  found: FoundTrace,
  version: 1 | 2,
  encoding: "json" | "protobuf",
): ReturnType<typeof traceBody> {
  return traceBody(found, { version, encoding, maxValueDepth: 64 });
}

async function bytesOf(
  found: FoundTrace,
  version: 1 | 2,
  encoding: "json" | "protobuf",
): Promise<Uint8Array> {
  const body = bodyOf(found, version, encoding);
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return concatBytes(chunks);
}

async function textOf(found: FoundTrace, version: 1 | 2): Promise<string> {
  return new TextDecoder().decode(await bytesOf(found, version, "json"));
}

const SPAN_1 =
  '{"traceId":"oKGio6SlpqeoqaqrrK2urw==","spanId":"AAAAAAAAAAE=","name":"s1","kind":"SPAN_KIND_INTERNAL","status":{}}';
const GROUP_1 =
  '{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},' +
  `"scopeSpans":[{"scope":{"name":"lib"},"spans":[${SPAN_1}]}]}`;

describe("trace body, small", () => {
  const live = batch("shop", [span(1)]);

  test("version 1 JSON has the key batches", async () => {
    expect(await textOf(await find({ live }), 1)).toBe(`{"batches":[${GROUP_1}]}`);
  });

  test("version 2 JSON keeps resourceSpans, tells the bytes as text and leaves status out", async () => {
    expect(await textOf(await find({ live }), 2)).toBe(
      `{"trace":{"resourceSpans":[${GROUP_1}]},"metrics":{"inspectedBytes":"${live.length}"}}`,
    );
  });

  test("version 1 protobuf of a single complete record is that record, byte for byte", async () => {
    expect(await bytesOf(await find({ live }), 1, "protobuf")).toEqual(live);
  });

  test("a parent id that is there and empty, as the Collector writes it for roots, is left out", async () => {
    const field = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
      const body = concatBytes(parts);
      return Uint8Array.of(tag, body.length, ...body);
    };
    const record = (withStatus: boolean, ...parents: readonly Uint8Array[]): Uint8Array => {
      const status = withStatus ? { status: { message: "m" } } : {};
      const own = toBinary(SpanSchema, create(SpanSchema, { traceId: TRACE_ID, spanId: id8(1), ...status }));
      const scope = toBinary(ScopeSpansSchema, create(ScopeSpansSchema, { scope: { name: "lib" } }));
      return field(0x0a, field(0x0a), field(0x12, scope, field(0x12, ...parents, own)));
    };
    const parent = field(0x22, id8(9));
    for (const withStatus of [true, false]) {
      const roots = record(withStatus, field(0x22));
      const child = record(withStatus, parent, field(0x22));
      const bare = await bytesOf(await find({ live: record(withStatus) }), 1, "protobuf");
      expect(await bytesOf(await find({ live: roots }), 1, "protobuf")).toEqual(bare);
      // The last of several counts.
      expect(await bytesOf(await find({ live: child }), 1, "protobuf")).toEqual(bare);
      const json = await textOf(await find({ live: roots }), 1);
      expect(json).toBe(await textOf(await find({ live: record(withStatus) }), 1));
      const decoded = fromBinary(
        TracesDataSchema,
        await bytesOf(await find({ live: record(withStatus, parent) }), 1, "protobuf"),
      );
      expect(decoded.resourceSpans[0]?.scopeSpans[0]?.spans[0]?.parentSpanId).toEqual(id8(9));
    }
  });

  test("version 2 protobuf is the trace as field 1, then the metrics", async () => {
    const head = Uint8Array.of(0x0a, live.length);
    const tail = Uint8Array.of(0x12, 2, 0x08, live.length);
    expect(live.length).toBeLessThan(128);
    expect(await bytesOf(await find({ live }), 2, "protobuf")).toEqual(concatBytes([head, live, tail]));
  });

  test("version 2 of nothing is an empty trace that is there", async () => {
    expect(await textOf(await find({}), 2)).toBe('{"trace":{},"metrics":{}}');
    expect(await bytesOf(await find({}), 2, "protobuf")).toEqual(Uint8Array.of(0x0a, 0, 0x12, 0));
  });

  test("version 2 of nothing, because a block is missing, says so", async () => {
    const message = "Trace may be incomplete, could not read b1 (corrupt)";
    expect(await textOf(await find({ broken: ["b1"] }), 2)).toBe(
      `{"trace":{},"metrics":{},"status":"PARTIAL","message":"${message}"}`,
    );
    expect(await bytesOf(await find({ broken: ["b1"] }), 2, "protobuf")).toEqual(
      concatBytes([
        Uint8Array.of(0x0a, 0, 0x12, 0, 0x18, 1, 0x22, message.length),
        new TextEncoder().encode(message),
      ]),
    );
  });

  test("several reasons are joined with a semicolon", async () => {
    const two = batch("shop", [span(1), span(2)]);
    const exceeded = await find({ live: two, maxTraceBytes: two.length - 1, broken: ["b1"] });
    const json = JSON.parse(await textOf(exceeded, 2)) as { status: string; message: string; trace: unknown };
    expect(json.status).toBe("PARTIAL");
    // Past the limit no block is read, so none is missing.
    expect(json.message).toBe(
      `Trace exceeds maximum size of ${two.length - 1} bytes, a partial trace is returned`,
    );
    expect(json.trace).toEqual({ resourceSpans: [JSON.parse(GROUP_1)] });
    const broken = await textOf(await find({ live: two.subarray(0, -1), broken: ["b1"] }), 2);
    expect(broken).toContain("could not read live spans (corrupt), b1 (corrupt)");
  });

  test("a span with a value nested too deep is corrupt, not the request's fault", async () => {
    const value = { value: { case: "stringValue", value: "x" } } as const;
    const deep = batch("shop", [
      span(1, {
        attributes: [{ key: "k", value: { value: { case: "arrayValue", value: { values: [value] } } } }],
      }),
    ]);
    const found = await find({ live: deep });
    expect(() => traceBody(found, { version: 1, encoding: "json", maxValueDepth: 1 })).toThrow(
      expect.objectContaining({ name: "AppError", kind: "corrupt" }),
    );
  });
});

describe("trace body, shared spans", () => {
  const { CLIENT, SERVER, INTERNAL } = Span_SpanKind;

  test("the server side gets a fresh id below the client side, its children follow it", async () => {
    const live = concatBytes([
      batch("front", [span(7, { kind: CLIENT, parentSpanId: id8(1) }), span(1, { kind: SERVER })]),
      batch("back", [
        span(50, { kind: INTERNAL, parentSpanId: id8(7) }),
        span(7, { kind: SERVER, parentSpanId: id8(1), flags: 0x101, status: { message: "m" } }),
      ]),
    ]);
    const { resourceSpans } = fromBinary(
      TracesDataSchema,
      await bytesOf(await find({ live }), 1, "protobuf"),
    );
    const spans = resourceSpans.flatMap((group) => group.scopeSpans.flatMap((scope) => scope.spans));
    const shape = spans.map(({ name, spanId, parentSpanId, kind }) => [name, spanId, parentSpanId, kind]);
    // 1 is a span's id, so 2 is the first that is free.
    expect(shape).toEqual([
      ["s7", id8(7), id8(1), CLIENT],
      ["s1", id8(1), new Uint8Array(0), SERVER],
      ["s50", id8(50), id8(2), INTERNAL],
      ["s7", id8(2), id8(7), SERVER],
    ]);
    expect(spans[3]).toMatchObject({ flags: 0x101, status: { message: "m" } });
  });

  test("a server span that repeats its own kind is a duplicate, not shared", async () => {
    const live = concatBytes([
      batch("a", [span(7, { kind: SERVER })]),
      batch("b", [span(7, { kind: SERVER })]),
    ]);
    const found = await find({ live });
    expect(found.trace.spanCount).toBe(1);
    expect(await bytesOf(found, 1, "protobuf")).toEqual(batch("a", [span(7, { kind: SERVER })]));
  });
});

test("trace body: what Tempo loses stays: schema URLs and flags", async () => {
  const live = tracesData([
    {
      schemaUrl: "https://resource",
      scopeSpans: [{ schemaUrl: "https://scope", spans: [span(1, { flags: 0x301 })] }],
    },
  ]);
  const json = await textOf(await find({ live }), 1);
  expect(json).toContain('"schemaUrl":"https://resource"');
  expect(json).toContain('"schemaUrl":"https://scope"');
  expect(json).toContain('"flags":769');
  const { resourceSpans } = fromBinary(TracesDataSchema, await bytesOf(await find({ live }), 1, "protobuf"));
  expect(resourceSpans[0]?.schemaUrl).toBe("https://resource");
});

describe("trace body: a resource without attributes, of which Grafana would show no span", () => {
  const unknown = [{ key: "service.name", value: { stringValue: "unknown_service" } }];

  test.each([
    ["absent", undefined, { attributes: unknown }],
    ["empty", {}, { attributes: unknown }],
    ["with a count alone", { droppedAttributesCount: 3 }, { attributes: unknown, droppedAttributesCount: 3 }],
  ])("%s: it gets the name of an unknown service", async (_, resource, expected) => {
    const live = tracesData([
      {
        ...(resource && { resource: create(ResourceSchema, resource) }),
        schemaUrl: "https://resource",
        scopeSpans: [{ spans: [span(1)] }],
      },
    ]);
    const protobuf = await bytesOf(await find({ live }), 1, "protobuf");
    const printed = new TextDecoder().decode(traceToJson(protobuf, 64)).replace("resourceSpans", "batches");
    for (const text of [await textOf(await find({ live }), 1), printed]) {
      const [group] = JSON.parse(text).batches;
      expect(group).toMatchObject({ schemaUrl: "https://resource", scopeSpans: [{ spans: [{}] }] });
      expect(group.resource).toEqual(expected);
    }
    const v2 = await bytesOf(await find({ live }), 2, "protobuf");
    expect(v2[1]).toBe(protobuf.length);
  });
});

describe("trace body, large", () => {
  const { batches } = makeGenerator({ seed: 3 }).trace(6000, 500);
  const raw = concatBytes(batches);

  test("both encodings are streamed, hold every span and are what a small trace would be", async () => {
    expect(bodyOf(await find({ live: raw }), 1, "protobuf")).toBeInstanceOf(ReadableStream);
    const protobuf = await bytesOf(await find({ live: liveStream(raw, 100_000) }), 1, "protobuf");
    expect(fromBinary(TracesDataSchema, protobuf)).toEqual(mergedByModel(batches));
    const json = await textOf(await find({ live: raw }), 2);
    const whole = new TextDecoder().decode(traceToJson(protobuf, 64));
    expect(JSON.parse(json)).toEqual({
      trace: JSON.parse(whole),
      metrics: { inspectedBytes: String(raw.length) },
    });
  });

  test("version 2 protobuf announces its exact length, with shared ids too", async () => {
    const shared = concatBytes([
      raw,
      batch("a", [span(7, { kind: Span_SpanKind.CLIENT }), span(8, { parentSpanId: id8(7) })]),
      batch("b", [span(7, { kind: Span_SpanKind.SERVER })]),
    ]);
    const v1 = await bytesOf(await find({ live: shared }), 1, "protobuf");
    const v2 = await bytesOf(await find({ live: shared }), 2, "protobuf");
    const at = v2.length - v1.length;
    expect(v1.length).toBeGreaterThan(raw.length);
    const from = 5;
    expect(v2[0]).toBe(0x0a);
    expect(at).toBeGreaterThan(from);
    expect(v2.subarray(from, from + v1.length)).toEqual(v1);
    let length = 0;
    for (let i = from - 1; i > 0; i--) length = length * 128 + (v2[i]! & 127);
    expect(length).toBe(v1.length);
    expect(v2[from + v1.length]).toBe(0x12);
  });

  test("a single record larger than any part is streamed in chunks of tens of kilobytes", async () => {
    const spans = Array.from({ length: 9000 }, (_, i) => span(i + 1, { name: "x".repeat(100) }));
    const live = batch("big", spans);
    for (const encoding of ["json", "protobuf"] as const) {
      const body = bodyOf(await find({ live }), 1, encoding);
      let largest = 0;
      let total = 0;
      for await (const chunk of body as ReadableStream<Uint8Array>) {
        largest = Math.max(largest, chunk.length);
        total += chunk.length;
      }
      expect(largest).toBeLessThan(140_000);
      expect(total).toBeGreaterThan(live.length - 1);
    }
  });

  test("nothing is made before it is asked for, whatever the reader's pace", async () => {
    const found = await find({ live: raw });
    const records = found.trace.records.bind(found.trace);
    let made = 0;
    found.trace.records = function* counted(release) {
      for (const layout of records(release)) {
        made++;
        yield layout;
      }
    };
    const reader = (bodyOf(found, 1, "protobuf") as ReadableStream<Uint8Array>).getReader();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(made).toBe(0);
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 10));
    const afterOne = made;
    expect(afterOne).toBeGreaterThan(0);
    expect(afterOne).toBeLessThan(20);
    await reader.read();
    expect(made).toBeLessThan(2 * afterOne + 20);
    await reader.cancel("enough");
    const afterCancel = made;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(made).toBe(afterCancel);
  });

  test("a reader with its own buffer gets the same bytes", async () => {
    const expected = await bytesOf(await find({ live: raw }), 1, "protobuf");
    const body = bodyOf(await find({ live: raw }), 1, "protobuf") as ReadableStream<Uint8Array>;
    const reader = body.getReader({ mode: "byob" });
    const parts: Uint8Array[] = [];
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(10_000));
      if (value !== undefined) parts.push(value);
      if (done) break;
    }
    expect(concatBytes(parts)).toEqual(expected);
  });

  test("a fault met halfway fails the stream: no answer that looks whole", async () => {
    const value = { value: { case: "stringValue", value: "x" } } as const;
    const deep = batch("shop", [
      span(1, {
        attributes: [{ key: "k", value: { value: { case: "arrayValue", value: { values: [value] } } } }],
      }),
    ]);
    const found = await find({ live: concatBytes([raw, deep]) });
    const body = traceBody(found, { version: 2, encoding: "json", maxValueDepth: 1 });
    await expect(new Response(body as BodyInit).arrayBuffer()).rejects.toMatchObject({ kind: "corrupt" });
  });
});
