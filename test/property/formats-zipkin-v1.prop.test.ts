// Zipkin v1: random spans through the format's own encoders, JSON and Thrift, against a naive conversion.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { convertV1Json } from "../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../src/zipkin/v1-thrift.ts";
import { RUNS, decode, hexId, keys, picked, sorted, spanMicros, words } from "../support/format-checks.ts";
import type { NormalSpan, NormalValue } from "../support/normal-span.ts";
import { doubleText } from "../support/normal-span.ts";
import type { ZipkinEndpoint } from "../support/zipkin.ts";
import type { V1Value, ZipkinV1Span } from "../support/zipkin-v1.ts";
import { encodeV1Json, encodeV1Thrift } from "../support/zipkin-v1.ts";

const NOW_MS = 1_795_392_000_000;

const endpoint: fc.Arbitrary<ZipkinEndpoint> = fc.record(
  {
    serviceName: words,
    // In Thrift this one is none.
    ipv4: fc.ipV4().filter((text) => text !== "0.0.0.0"),
    ipv6: fc.constantFrom("::1", "2001:db8::c001", "fe80::1:2", "1:2:3:4:5:6:7:8"),
    port: fc.integer({ min: 1, max: 65_535 }),
  },
  { requiredKeys: ["serviceName"] },
);
const value: fc.Arbitrary<V1Value> = fc.oneof(
  words,
  fc.boolean(),
  // JSON writes -0 as 0, and no infinities.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }).map((i16) => ({ i16 })),
  fc.integer().map((i32) => ({ i32 })),
  fc.uint8Array({ maxLength: 12 }),
);
const optional = { requiredKeys: ["key", "value"] as ("key" | "value")[] };
const binaryAnnotation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ key: keys, value, endpoint }, optional) },
  { weight: 1, arbitrary: fc.record({ key: fc.constant("lc"), value: words, endpoint }, optional) },
  {
    weight: 1,
    arbitrary: fc.record(
      { key: fc.constantFrom("sa", "ca", "ma"), value: fc.constant(true), endpoint },
      optional,
    ),
  },
);
const annotation = fc.record(
  {
    timestamp: fc.nat({ max: 2 ** 52 }),
    value: fc.oneof(words, fc.constantFrom("cs", "cr", "ss", "sr", "ms", "mr")),
    endpoint,
  },
  { requiredKeys: ["value"] },
);
const span: fc.Arbitrary<ZipkinV1Span> = fc.record(
  {
    traceId: fc.oneof(hexId(16), hexId(32)),
    id: hexId(16),
    parentId: hexId(16),
    name: words,
    timestamp: spanMicros,
    duration: fc.nat({ max: 2 ** 52 }),
    annotations: fc.array(annotation, { maxLength: 5 }),
    binaryAnnotations: fc.array(binaryAnnotation, { maxLength: 6 }),
  },
  { requiredKeys: ["traceId", "id"] },
);

const KINDS = new Map(Object.entries({ cs: 3, cr: 3, ss: 2, sr: 2, ms: 4, mr: 5 }));
const PEERS = new Set(["sa", "ca", "ma"]);

function naiveValue(held: V1Value): NormalValue {
  if (typeof held === "string") return { string: held };
  if (typeof held === "boolean") return { bool: held };
  if (typeof held === "number") return { double: doubleText(held) };
  if (typeof held === "bigint") return { int: String(held) };
  if (held instanceof Uint8Array) return { bytes: Buffer.from(held).toString("base64") };
  return { int: String("i16" in held ? held.i16 : held.i32) };
}

/** The first endpoint with a name: of the annotation that tells the kind, of others, of what describes the span. */
function naiveResource({ annotations = [], binaryAnnotations = [] }: ZipkinV1Span): NormalSpan["resource"] {
  const own = binaryAnnotations.filter(({ key }) => !PEERS.has(key));
  const local = own.find(({ key }) => key === "lc")?.value;
  const found = [
    ...annotations.filter(({ value: text }) => KINDS.has(text)),
    ...annotations,
    ...own,
    { endpoint: { serviceName: typeof local === "string" ? local : "" } },
    { endpoint: { serviceName: "unknown-service" } },
  ].find((one) => one.endpoint?.serviceName)!.endpoint as ZipkinEndpoint;
  const named = { "service.name": found.serviceName, ipv4: found.ipv4, ipv6: found.ipv6, port: found.port };
  return {
    attributes: Object.entries(named).flatMap(([key, held]): NormalSpan["attributes"] =>
      held === undefined ? [] : [[key, { string: String(held) }]],
    ),
    schemaUrl: "",
  };
}

function naiveAttributes({ binaryAnnotations = [] }: ZipkinV1Span): NormalSpan["attributes"] {
  return binaryAnnotations.flatMap(({ key, value: held, endpoint: peer }): NormalSpan["attributes"] => [
    [key === "lc" ? "component" : key, naiveValue(held)],
    ...(PEERS.has(key) && peer !== undefined ? naivePeer(peer) : []),
  ]);
}

function naivePeer({ serviceName, ipv4, ipv6, port }: ZipkinEndpoint): NormalSpan["attributes"] {
  const ip = ipv4 ?? ipv6;
  return [
    ...(serviceName ? ([["peer.service", { string: serviceName }]] satisfies NormalSpan["attributes"]) : []),
    ...(ip ? ([["net.peer.ip", { string: ip }]] satisfies NormalSpan["attributes"]) : []),
    ...(port ? ([["net.peer.port", { int: String(port) }]] satisfies NormalSpan["attributes"]) : []),
  ];
}

function naive(one: ZipkinV1Span): Partial<NormalSpan> {
  const { annotations = [] } = one;
  const times = annotations.map(({ timestamp }) => timestamp ?? 0).filter((time) => time > 0);
  const start = one.timestamp ?? (times.length > 0 ? Math.min(...times) : NOW_MS * 1000);
  const duration = one.duration ?? Math.max(0, Math.max(0, ...times) - start);
  const isAbsent = one.timestamp === undefined && times.length === 0;
  const nanos = (time: number): string => String(BigInt(time) * 1000n);
  return {
    traceId: one.traceId.padStart(32, "0"),
    spanId: one.id,
    parentSpanId: one.parentId === one.id ? "" : (one.parentId ?? ""),
    name: one.name ?? "",
    kind: annotations.map(({ value: text }) => KINDS.get(text)).find(Boolean) ?? 0,
    startNs: nanos(start),
    endNs: nanos(start + duration),
    attributes: [
      ...(isAbsent
        ? ([["otel.zipkin.absentField.startTime", { bool: true }]] satisfies NormalSpan["attributes"])
        : []),
      ...naiveAttributes(one),
    ],
    events: annotations
      .filter(({ value: text }) => text !== "" && !KINDS.has(text))
      .map(({ timestamp, value: text }) => ({
        timeNs: nanos(timestamp ?? 0),
        name: text,
        attributes: [],
        droppedAttributes: 0,
      })),
    status: { code: 0, message: "" },
    resource: naiveResource(one),
  };
}

describe("round trips", () => {
  test("zipkin v1: JSON and Thrift give what a naive conversion gives", () => {
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 6 }), fc.nat(4), (spans, indent) => {
        const expected = spans.map(naive);
        const json = decode(convertV1Json(encodeV1Json(spans, indent), DEFAULT_LIMITS, NOW_MS));
        expect(sorted(picked(json, expected[0]!))).toEqual(sorted(expected));
        const thrift = decode(convertV1Thrift(encodeV1Thrift(spans), DEFAULT_LIMITS, NOW_MS));
        expect(sorted(thrift)).toEqual(sorted(json));
      }),
      { numRuns: RUNS },
    );
  });
});
