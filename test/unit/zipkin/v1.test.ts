import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { convertV1Json } from "../../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../../src/zipkin/v1-thrift.ts";
import { decode } from "../../support/format-checks.ts";
import type { NormalSpan } from "../../support/normal-span.ts";
import type { Value } from "../../support/thrift.ts";
import { i64, text } from "../../support/thrift.ts";
import type { ZipkinV1Span } from "../../support/zipkin-v1.ts";
import { encodeV1Json, encodeV1ThriftList, thriftV1Span } from "../../support/zipkin-v1.ts";

const NOW_MS = 1_795_392_000_000;
const NOW_NS = "1795392000000000000";

const BASE: ZipkinV1Span = {
  traceId: "d269b633813fc60c",
  id: "eee19b7ec3c1b174",
  name: "get",
  timestamp: 1_700_000_000_123_456,
  duration: 1500,
};

const json = (value: unknown) =>
  convertV1Json(new TextEncoder().encode(JSON.stringify(value)), DEFAULT_LIMITS, NOW_MS);
const thrift = (spans: readonly Value[]) =>
  convertV1Thrift(encodeV1ThriftList(spans), DEFAULT_LIMITS, NOW_MS);

describe.each([
  ["json", (spans: ZipkinV1Span[]) => convertV1Json(encodeV1Json(spans), DEFAULT_LIMITS, NOW_MS)],
  ["thrift", (spans: ZipkinV1Span[]) => thrift(spans.map(thriftV1Span))],
])("%s", (_name, convert) => {
  const one = (span: Partial<ZipkinV1Span> = {}): NormalSpan => {
    const spans = decode(convert([{ ...BASE, ...span }]));
    expect(spans).toHaveLength(1);
    return spans[0]!;
  };
  const shop = { serviceName: "shop", ipv4: "1.2.3.4", port: 50_000 };

  test("ids, padded; name; exact times", () => {
    expect(one({ parentId: "00000000000000aa" })).toMatchObject({
      traceId: "0000000000000000d269b633813fc60c",
      spanId: BASE.id,
      parentSpanId: "00000000000000aa",
      name: "get",
      startNs: "1700000000123456000",
      endNs: "1700000000124956000",
    });
  });

  test("trace id of 128 bits", () => {
    expect(one({ traceId: "5b8efff798038103d269b633813fc60c" }).traceId).toBe(
      "5b8efff798038103d269b633813fc60c",
    );
  });

  test("parent equal to id or zero is none", () => {
    expect(one({ parentId: BASE.id }).parentSpanId).toBe("");
    expect(one({ parentId: "0000000000000000" }).parentSpanId).toBe("");
  });

  test.each([
    ["cs", 3],
    ["cr", 3],
    ["ss", 2],
    ["sr", 2],
    ["ms", 4],
    ["mr", 5],
  ])("annotation %s is the kind and no event", (value, kind) => {
    const annotations = [
      { timestamp: 1, value: "first" },
      { timestamp: 2, value, endpoint: shop },
    ];
    const span = one({ annotations });
    expect([span.kind, span.events.map(({ name }) => name)]).toEqual([kind, ["first"]]);
  });

  test("other annotations are events", () => {
    expect(one({ annotations: [{ timestamp: 5, value: "retry" }] }).events).toEqual([
      { timeNs: "5000", name: "retry", attributes: [], droppedAttributes: 0 },
    ]);
  });

  test("the service and its address are the resource: of the annotation that tells the kind", () => {
    const annotations = [
      { timestamp: 1, value: "x", endpoint: { serviceName: "other" } },
      { timestamp: 2, value: "sr", endpoint: shop },
    ];
    expect(one({ annotations }).resource.attributes).toEqual([
      ["service.name", { string: "shop" }],
      ["ipv4", { string: "1.2.3.4" }],
      ["port", { string: "50000" }],
    ]);
  });

  test("ipv6", () => {
    const annotations = [{ timestamp: 2, value: "sr", endpoint: { serviceName: "s", ipv6: "::1" } }];
    expect(one({ annotations }).resource.attributes).toEqual([
      ["service.name", { string: "s" }],
      ["ipv6", { string: "::1" }],
    ]);
  });

  test("service: else of a binary annotation, else the local component, else unknown-service", () => {
    const service = (binaryAnnotations: ZipkinV1Span["binaryAnnotations"]) =>
      one({ binaryAnnotations: binaryAnnotations ?? [] }).resource.attributes[0];
    expect(service([{ key: "a", value: "b", endpoint: { serviceName: "bin" } }])).toEqual([
      "service.name",
      { string: "bin" },
    ]);
    expect(service([{ key: "lc", value: "finatra" }])).toEqual(["service.name", { string: "finatra" }]);
    expect(service([])).toEqual(["service.name", { string: "unknown-service" }]);
  });

  test("lc is the attribute component", () => {
    expect(one({ binaryAnnotations: [{ key: "lc", value: "finatra" }] }).attributes).toEqual([
      ["component", { string: "finatra" }],
    ]);
  });

  test("an address is the peer, not the service", () => {
    const span = one({
      binaryAnnotations: [
        { key: "sa", value: true, endpoint: { serviceName: "db", ipv4: "9.8.7.6", port: 3306 } },
      ],
    });
    expect(span.resource.attributes).toEqual([["service.name", { string: "unknown-service" }]]);
    expect(span.attributes).toEqual([
      ["sa", { bool: true }],
      ["peer.service", { string: "db" }],
      ["net.peer.ip", { string: "9.8.7.6" }],
      ["net.peer.port", { int: "3306" }],
    ]);
  });

  const status = (tags: Record<string, string>) => {
    const span = one({ binaryAnnotations: Object.entries(tags).map(([key, value]) => ({ key, value })) });
    return [span.status.code, span.status.message, span.attributes.map(([key]) => key).join()];
  };

  test.each([
    [{ "census.status_code": "0" }, [1, "", ""]],
    [{ "census.status_code": "5", "census.status_description": "gone" }, [2, "gone", ""]],
    [{ "census.status_code": "5", "opencensus.status_description": "gone" }, [2, "gone", ""]],
    [{ "otel.status_code": "1" }, [1, "", ""]],
    [{ "otel.status_code": "ERROR", "otel.status_description": "why" }, [2, "why", ""]],
    [{ "otel.status_code": "odd" }, [0, "", "otel.status_code"]],
    [{ error: "true" }, [2, "", ""]],
    [{ error: "boom" }, [2, "", "error"]],
    [{ error: "true", "otel.status_description": "why" }, [2, "why", ""]],
    [{ "http.status_code": "200" }, [0, "", "http.status_code"]],
    [
      { "http.status_code": "404", "http.status_message": "no" },
      [2, "no", "http.status_code,http.status_message"],
    ],
    [{ "http.status_code": "500", "census.status_code": "0" }, [1, "", "http.status_code"]],
    [{ "http.status_code": "500", error: "true" }, [2, "", "http.status_code"]],
  ])("status of %j", (tags, expected) => expect(status(tags)).toEqual(expected));

  test("times: of the annotations when the span has none", () => {
    const { timestamp: _, duration: __, ...span } = BASE;
    const annotations = [
      { timestamp: 30, value: "cr" },
      { timestamp: 10, value: "cs" },
    ];
    expect(decode(convert([{ ...span, annotations }]))[0]).toMatchObject({
      startNs: "10000",
      endNs: "30000",
      attributes: [],
    });
  });

  test("times: else now, and an attribute that says so", () => {
    const { timestamp: _, duration: __, ...span } = BASE;
    expect(decode(convert([span]))[0]).toMatchObject({
      startNs: NOW_NS,
      endNs: NOW_NS,
      attributes: [["otel.zipkin.absentField.startTime", { bool: true }]],
    });
  });

  test("a span without ids is refused, the rest is kept", () => {
    const converted = convert([BASE, { ...BASE, id: "0000000000000000" }, BASE]);
    expect(converted).toMatchObject({ refusedSpans: 1, firstRefusal: "[1].id: missing or all zero" });
    expect(decode(converted)).toHaveLength(2);
  });
});

describe("binary annotations, typed", () => {
  test("json: by their JSON type, or what their type says", () => {
    const values = [
      { key: "a", value: true },
      { key: "b", value: 5 },
      { key: "c", value: 0.5 },
      { key: "d", value: "9007199254740993", type: "I64" },
      { key: "e", value: "0.25", type: "DOUBLE" },
      { key: "f", value: "AP8=", type: "BYTES" },
      { key: "g", value: "false", type: "BOOL" },
      { key: "h", value: "x", type: "I32" },
    ];
    expect(decode(json([{ ...BASE, binaryAnnotations: values }]))[0]!.attributes).toEqual([
      ["a", { bool: true }],
      ["b", { int: "5" }],
      ["c", { double: "0.5" }],
      ["d", { int: "9007199254740993" }],
      ["e", { double: "0.25" }],
      ["f", { bytes: "AP8=" }],
      ["g", { bool: false }],
      ["h", { string: "x" }],
    ]);
  });

  test("thrift: by their type, big-endian; too few bytes stay bytes", () => {
    const annotation = (key: string, type: number, ...bytes: number[]): Value => ({
      struct: [
        [1, text(key)],
        [2, text(Uint8Array.from(bytes))],
        [3, { i32: type }],
      ],
    });
    const span: Value = {
      struct: [
        [1, i64(1)],
        [4, i64(2)],
        [
          8,
          {
            list: [
              annotation("bool", 0, 0),
              annotation("bytes", 1, 0xff, 0),
              annotation("i16", 2, 0xff, 0xfe),
              annotation("i32", 3, 0, 0, 1, 0),
              annotation("i64", 4, 0x80, 0, 0, 0, 0, 0, 0, 0),
              annotation("double", 5, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0),
              annotation("string", 6, 0x61, 0xff),
              annotation("short", 4, 1),
            ],
          },
        ],
        [10, i64(1)],
      ],
    };
    expect(decode(thrift([span]))[0]!.attributes).toEqual([
      ["bool", { bool: false }],
      ["bytes", { bytes: "/wA=" }],
      ["i16", { int: "-2" }],
      ["i32", { int: "256" }],
      ["i64", { int: "-9223372036854775808" }],
      ["double", { double: "0.5" }],
      ["string", { string: "a�" }],
      ["short", { bytes: "AQ==" }],
    ]);
  });
});

describe("refusals, json", () => {
  test.each([
    ["[0]: expected an object, got a string", "x"],
    ["[0].traceId: missing", { id: "1" }],
    ["[0].id: expected a string, got a number", { traceId: "1", id: 1 }],
    ["[0].id: expected up to 16 hex digits, got a string", { traceId: "1", id: "x" }],
    ["[0].timestamp: expected microseconds, an unsigned integer, got a number", { ...BASE, timestamp: -1 }],
    ["[0].annotations: expected an array, got an object", { ...BASE, annotations: {} }],
    [
      "[0].annotations[1].value: expected a string, got a number",
      { ...BASE, annotations: [{ value: "a" }, { value: 1 }] },
    ],
    [
      "[0].binaryAnnotations[0].endpoint.port: expected a number from 0 to 65535, got a number",
      { ...BASE, binaryAnnotations: [{ key: "a", value: "b", endpoint: { port: -1 } }] },
    ],
    [
      "[0].binaryAnnotations[0].value: expected a string, number or boolean, got an array",
      { ...BASE, binaryAnnotations: [{ key: "a", value: [] }] },
    ],
  ])("%s", (message, span) => {
    expect(json([span])).toMatchObject({ refusedSpans: 1, firstRefusal: message });
  });

  test("times may be text", () => {
    expect(decode(json([{ ...BASE, timestamp: "1700000000123456", duration: "1500" }]))).toEqual(
      decode(json([BASE])),
    );
  });
});
