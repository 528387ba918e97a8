import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { convertBatch } from "../../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import type { NormalSpan } from "../../support/normal-span.ts";
import { normalizeTracesData } from "../../support/normal-span.ts";
import type { JaegerSpan, Protocol, Value } from "../../support/thrift.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../../support/thrift.ts";

const BASE: JaegerSpan = {
  traceIdLow: 0x1122334455667788n,
  traceIdHigh: 0x99aabbccddeeff00n,
  spanId: 0xabcn,
};
const TRACE = "99aabbccddeeff001122334455667788";

function convert(batch: Value, protocol: Protocol = "binary", call?: string): NormalSpan[] {
  const { traces } = convertBatch(encodeThrift(batch, protocol, call), DEFAULT_LIMITS);
  walkBatch(traces, DEFAULT_LIMITS);
  return normalizeTracesData(fromBinary(TracesDataSchema, traces));
}

function one(span: Partial<JaegerSpan> = {}, protocol: Protocol = "binary"): NormalSpan {
  const spans = convert(jaegerBatch([jaegerSpan({ ...BASE, ...span })]), protocol);
  expect(spans).toHaveLength(1);
  return spans[0]!;
}

const withTags = (...tags: Value[]) => one({ tags });

describe("process", () => {
  test("serviceName is service.name", () => {
    expect(one().resource.attributes).toEqual([["service.name", { string: "shop" }]]);
  });

  test.each(["OTLPResourceNoServiceName", ""])("serviceName %j counts as missing", (name) => {
    expect(convert(jaegerBatch([jaegerSpan(BASE)], name))[0]!.resource.attributes).toEqual([]);
  });

  test("tags are resource attributes, typed", () => {
    const tags = [jaegerTag("a", "x"), jaegerTag("b", 7n), jaegerTag("c", true)];
    expect(convert(jaegerBatch([jaegerSpan(BASE)], "shop", tags))[0]!.resource.attributes).toEqual([
      ["service.name", { string: "shop" }],
      ["a", { string: "x" }],
      ["b", { int: "7" }],
      ["c", { bool: true }],
    ]);
  });

  test("hostname and jaeger.version are renamed", () => {
    const tags = [jaegerTag("hostname", "node-1"), jaegerTag("jaeger.version", "Node-3.19.0")];
    expect(convert(jaegerBatch([jaegerSpan(BASE)], "shop", tags))[0]!.resource.attributes).toEqual([
      ["service.name", { string: "shop" }],
      ["host.name", { string: "node-1" }],
      ["opencensus.exporterversion", { string: "Jaeger-Node-3.19.0" }],
    ]);
  });

  test("hostname stays beside a host.name", () => {
    const tags = [jaegerTag("hostname", "a"), jaegerTag("host.name", "b")];
    expect(convert(jaegerBatch([jaegerSpan(BASE)], "shop", tags))[0]!.resource.attributes.slice(1)).toEqual([
      ["hostname", { string: "a" }],
      ["host.name", { string: "b" }],
    ]);
  });

  test("a process behind the spans is theirs all the same", () => {
    const [process, spans] = (jaegerBatch([jaegerSpan(BASE)]) as { struct: [number, Value][] }).struct;
    expect(convert({ struct: [spans!, process!] })[0]!.resource.attributes).toHaveLength(1);
  });
});

describe("tags", () => {
  test("typed: string, bool, long, double, binary", () => {
    const span = withTags(
      jaegerTag("s", "größe"),
      jaegerTag("b", false),
      jaegerTag("l", -(2n ** 63n)),
      jaegerTag("d", -0.5),
      jaegerTag("x", Uint8Array.of(0, 255, 128)),
    );
    expect(span.attributes).toEqual([
      ["s", { string: "größe" }],
      ["b", { bool: false }],
      ["l", { int: "-9223372036854775808" }],
      ["d", { double: "-0.5" }],
      ["x", { bytes: "AP+A" }],
    ]);
  });

  test.each([
    ["internal", 1],
    ["server", 2],
    ["client", 3],
    ["producer", 4],
    ["consumer", 5],
  ])("span.kind %s is the kind and no attribute", (kind, number) => {
    const span = withTags(jaegerTag("span.kind", kind));
    expect([span.kind, span.attributes]).toEqual([number, []]);
  });

  test.each(["binary", "compact"] as const)(
    "a type that Jaeger does not have: the text, if any, %s",
    (protocol) => {
      const types = [-1, -2, 5, 6, 64, 300, -300];
      const tags = types.map((type): Value => ({
        struct: [
          [1, { text: String(type) }],
          [2, { i32: type }],
          [3, type % 2 === 0 ? { text: "x" } : undefined],
        ],
      }));
      const expected = types.map((type) => [String(type), type % 2 === 0 ? { string: "x" } : { none: true }]);
      expect(one({ tags }, protocol).attributes).toEqual(expected);
      const kind: Value = {
        struct: [
          [1, { text: "span.kind" }],
          [2, { i32: -1 }],
          [3, { text: "client" }],
        ],
      };
      expect(one({ tags: [kind] }, protocol).kind).toBe(0);
    },
  );

  test.each(["binary", "compact"] as const)("a value of another type than is said: zero, %s", (protocol) => {
    const tag = (type: number, field: number, value: Value): Value => ({
      struct: [
        [1, { text: "k" }],
        [2, { i32: type }],
        [field, value],
      ],
    });
    const tags = [
      tag(0, 6, { i64: 5 }),
      tag(1, 3, { text: "x" }),
      tag(2, 4, { double: 1 }),
      tag(3, 5, { bool: true }),
    ];
    expect(one({ tags: [...tags, tag(4, 3, { text: "x" })] }, protocol).attributes).toEqual([
      ["k", { string: "" }],
      ["k", { double: "0" }],
      ["k", { bool: false }],
      ["k", { int: "0" }],
      ["k", { bytes: "" }],
    ]);
  });

  test("span.kind of another name stays", () => {
    const span = withTags(jaegerTag("span.kind", "odd"));
    expect([span.kind, span.attributes]).toEqual([0, [["span.kind", { string: "odd" }]]]);
  });

  test("error=true is status ERROR and no attribute", () => {
    const span = withTags(jaegerTag("error", true));
    expect([span.status, span.attributes]).toEqual([{ code: 2, message: "" }, []]);
  });

  test.each([
    ["false", false],
    ["text", "true"],
  ])("error as %s stays an attribute", (_name, value) => {
    const span = withTags(jaegerTag("error", value));
    expect(span.status.code).toBe(0);
    expect(span.attributes).toHaveLength(1);
  });

  test("error's message: otel.status_description, which goes", () => {
    const span = withTags(
      jaegerTag("otel.status_description", "boom"),
      jaegerTag("http.status_message", "no"),
      jaegerTag("error", true),
    );
    expect(span.status).toEqual({ code: 2, message: "boom" });
    expect(span.attributes.map(([key]) => key)).toEqual(["http.status_message"]);
  });

  test("error's message: else http.status_message, which stays", () => {
    const span = withTags(jaegerTag("error", true), jaegerTag("http.status_message", "no"));
    expect(span.status).toEqual({ code: 2, message: "no" });
    expect(span.attributes).toHaveLength(1);
  });

  test.each([
    ["OK", 1],
    ["ok", 1],
    ["ERROR", 2],
    ["UNSET", 0],
  ])("otel.status_code %s is the status and no attribute", (text, code) => {
    const span = withTags(jaegerTag("otel.status_code", text), jaegerTag("otel.status_description", "why"));
    expect(span.status).toEqual({ code, message: "why" });
    expect(span.attributes).toEqual([]);
  });

  test("error=true outweighs otel.status_code, which goes", () => {
    const span = withTags(jaegerTag("otel.status_code", "OK"), jaegerTag("error", true));
    expect([span.status.code, span.attributes]).toEqual([2, []]);
  });

  test("otel.status_description without a status stays", () => {
    expect(withTags(jaegerTag("otel.status_description", "x")).attributes).toHaveLength(1);
  });

  test.each([
    [500n, undefined, 2],
    [599n, "server", 2],
    [404n, "client", 2],
    [404n, "server", 0],
    [200n, "client", 0],
    [399n, undefined, 0],
    ["503", "server", 2],
    ["x", "client", 0],
  ])("http.status_code %s, kind %s: status %s; it stays", (value, kind, code) => {
    const tags = [jaegerTag("http.status_code", value), ...(kind ? [jaegerTag("span.kind", kind)] : [])];
    const span = withTags(...tags);
    expect(span.status.code).toBe(code);
    expect(span.attributes.map(([key]) => key)).toEqual(["http.status_code"]);
  });

  test("http.status_code does not outweigh an explicit status", () => {
    expect(
      withTags(jaegerTag("http.status_code", 500n), jaegerTag("otel.status_code", "OK")).status.code,
    ).toBe(1);
  });

  test("w3c.tracestate, otel.scope.*: attributes and an empty scope, as Tempo has them from Thrift", () => {
    const span = withTags(
      jaegerTag("w3c.tracestate", "a=b"),
      jaegerTag("otel.scope.name", "lib"),
      jaegerTag("otel.scope.version", "1"),
    );
    expect([span.traceState, span.scope.name, span.attributes.length]).toEqual(["", "", 3]);
  });
});

describe("logs", () => {
  test("are events; the field event is the name", () => {
    const fields = [jaegerTag("event", "retry"), jaegerTag("n", 3n), jaegerTag("ok", true)];
    expect(one({ logs: [{ timestamp: 1_700_000_000_000_001n, fields }] }).events).toEqual([
      {
        timeNs: "1700000000000001000",
        name: "retry",
        attributes: [
          ["n", { int: "3" }],
          ["ok", { bool: true }],
        ],
        droppedAttributes: 0,
      },
    ]);
  });

  test("no event field, or none that is text: an empty name", () => {
    const logs = [
      { timestamp: 1, fields: [jaegerTag("a", "b")] },
      { timestamp: 2, fields: [jaegerTag("event", 5n)] },
      { timestamp: 3, fields: [] },
    ];
    expect(one({ logs }).events.map(({ name, attributes }) => [name, attributes.length])).toEqual([
      ["", 1],
      ["", 1],
      ["", 0],
    ]);
  });
});

describe("references", () => {
  const ref = (type: number, spanId: bigint, low = BASE.traceIdLow) => ({
    type,
    low,
    high: BASE.traceIdHigh!,
    spanId,
  });
  const links = (span: NormalSpan) =>
    span.links.map(({ traceId, spanId, attributes }) => [traceId, spanId, attributes]);
  const refType = (value: string) => [["opentracing.ref_type", { string: value }]];

  test("parentSpanId is the parent; a CHILD_OF to it is no link", () => {
    const span = one({ parentSpanId: 7n, references: [ref(0, 7n)] });
    expect([span.parentSpanId, span.links]).toEqual(["0000000000000007", []]);
  });

  test("without it the first CHILD_OF is, wherever it stands", () => {
    const span = one({ references: [ref(1, 5n), ref(0, 6n), ref(0, 8n)] });
    expect(span.parentSpanId).toBe("0000000000000006");
    expect(links(span)).toEqual([
      [TRACE, "0000000000000005", refType("follows_from")],
      [TRACE, "0000000000000008", refType("child_of")],
    ]);
  });

  test("else the first FOLLOWS_FROM, which stays a link", () => {
    const span = one({ references: [ref(1, 5n), ref(1, 6n)] });
    expect(span.parentSpanId).toBe("0000000000000005");
    expect(links(span)).toHaveLength(2);
  });

  test("a reference into another trace is no parent", () => {
    const span = one({ references: [ref(0, 5n, 1n)] });
    expect(span.parentSpanId).toBe("");
    expect(links(span)).toEqual([
      ["99aabbccddeeff000000000000000001", "0000000000000005", refType("child_of")],
    ]);
  });
});

describe("ids and times", () => {
  test("128 bits from high and low", () => {
    expect([one().traceId, one().spanId]).toEqual([TRACE, "0000000000000abc"]);
  });

  test("64 bits are padded on the left", () => {
    expect(one({ traceIdHigh: 0n, traceIdLow: -1n }).traceId).toBe("0000000000000000ffffffffffffffff");
  });

  test("microseconds are exact in nanoseconds", () => {
    const span = one({ startTime: 1_700_000_000_123_457n, duration: 3n });
    expect([span.startNs, span.endNs]).toEqual(["1700000000123457000", "1700000000123460000"]);
  });

  test("negative times are 0, times beyond 2^64 ns stay there", () => {
    expect(one({ startTime: -5n, duration: -1n })).toMatchObject({ startNs: "0", endNs: "0" });
    expect(one({ startTime: 2n ** 62n, duration: 1n })).toMatchObject({ startNs: "18446744073709551615" });
  });

  test("spans without ids are refused one by one, with the place", () => {
    const spans = [
      jaegerSpan(BASE),
      jaegerSpan({ ...BASE, spanId: 0n }),
      jaegerSpan({ ...BASE, traceIdLow: 0n, traceIdHigh: 0n }),
    ];
    const converted = convertBatch(encodeThrift(jaegerBatch(spans), "binary"), DEFAULT_LIMITS);
    expect(converted).toMatchObject({ refusedSpans: 2, firstRefusal: "[1].spanId: missing or zero" });
    expect(walkBatch(converted.traces, DEFAULT_LIMITS).spanCount).toBe(1);
  });
});

describe("protocols", () => {
  const rich: JaegerSpan = {
    ...BASE,
    parentSpanId: -2n,
    startTime: 1_700_000_000_123_457n,
    tags: [
      jaegerTag("l", -123456789012345n),
      jaegerTag("t", true),
      jaegerTag("f", false),
      jaegerTag("d", 0.1),
      jaegerTag("s", "x".repeat(200)),
    ],
    logs: [{ timestamp: 5n, fields: [jaegerTag("event", "e")] }],
    references: [{ type: 1, low: 1n, high: 2n, spanId: 3n }],
  };

  test("compact gives what binary gives", () => {
    expect(one(rich, "compact")).toEqual(one(rich, "binary"));
  });

  test.each(["binary", "compact"] as const)("emitBatch, as agents get it, %s", (protocol) => {
    const batch = jaegerBatch([jaegerSpan(rich)]);
    expect(convert(batch, protocol, "emitBatch")).toEqual(convert(batch));
  });

  test("more than 15 members of a list, field numbers far apart, maps and sets that are unknown", () => {
    const tags = Array.from({ length: 40 }, (_, i) => jaegerTag(`k${i}`, BigInt(i)));
    const odd: Value = {
      struct: [
        ...(jaegerSpan({ ...BASE, tags }) as { struct: [] }).struct,
        [
          200,
          {
            map: [
              [{ i32: 1 }, { bool: true }],
              [{ i32: 2 }, { bool: false }],
            ],
          },
        ],
        [201, { list: [{ bool: true }, { bool: false }] }],
        [3000, { map: [] }],
      ],
    };
    for (const protocol of ["binary", "compact"] as const) {
      expect(convert(jaegerBatch([odd]), protocol)[0]!.attributes).toHaveLength(40);
    }
  });

  test("text that is not UTF-8 is replaced, bytes are kept", () => {
    const bad = Uint8Array.of(0x61, 0xff, 0x62);
    const span = one({ operationName: bad, tags: [jaegerTag(bad, bad), jaegerTag("b", bad)] });
    expect(span.name).toBe("a�b");
    // A Tag of bytes is a binary one; its key is text.
    expect(span.attributes).toEqual([
      ["a�b", { bytes: "Yf9i" }],
      ["b", { bytes: "Yf9i" }],
    ]);
  });
});
