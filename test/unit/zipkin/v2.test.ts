import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { Converted } from "../../../src/otlp/batch-builder.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { ByteSource } from "../../../src/util/byte-source.ts";
import { convertV2Json } from "../../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../../src/zipkin/v2-protobuf.ts";
import type { NormalSpan } from "../../support/normal-span.ts";
import { normalizeTracesData } from "../../support/normal-span.ts";
import { makeRandom } from "../../support/random.ts";
import type { ZipkinSpan } from "../../support/zipkin.ts";
import { encodeZipkinJson, encodeZipkinProtobuf } from "../../support/zipkin.ts";

const TRACE = "5b8efff798038103d269b633813fc60c";
const ID = "eee19b7ec3c1b174";
const BASE: ZipkinSpan = {
  traceId: TRACE,
  id: ID,
  timestamp: 1_700_000_000_123_456,
  duration: 1500,
  localEndpoint: { serviceName: "shop" },
};

function decode({ traces }: Converted): NormalSpan[] {
  walkBatch(traces, DEFAULT_LIMITS);
  return normalizeTracesData(fromBinary(TracesDataSchema, traces));
}

const json = (value: unknown): Converted => {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return convertV2Json(new TextEncoder().encode(text), DEFAULT_LIMITS);
};

describe.each([
  ["json", (spans: ZipkinSpan[]) => convertV2Json(encodeZipkinJson(spans), DEFAULT_LIMITS)],
  ["protobuf", (spans: ZipkinSpan[]) => convertV2Protobuf(encodeZipkinProtobuf(spans), DEFAULT_LIMITS)],
])("%s", (_name, convert) => {
  const one = (span: Partial<ZipkinSpan> = {}): NormalSpan => {
    const spans = decode(convert([{ ...BASE, ...span }]));
    expect(spans).toHaveLength(1);
    return spans[0]!;
  };
  const withTags = (tags: Record<string, string>) => one({ tags });

  describe("ids", () => {
    test("trace id of 32 digits", () => expect(one().traceId).toBe(TRACE));
    test("trace id of 16 digits is padded on the left", () =>
      expect(one({ traceId: "d269b633813fc60c" }).traceId).toBe("0000000000000000d269b633813fc60c"));
    test("id and parentId", () =>
      expect(one({ parentId: "00000000000000aa" })).toMatchObject({
        spanId: ID,
        parentSpanId: "00000000000000aa",
      }));
    test("no parentId", () => expect(one().parentSpanId).toBe(""));
    test("parentId equal to id is ignored", () => expect(one({ parentId: ID }).parentSpanId).toBe(""));
    test("parentId of zeros is ignored", () =>
      expect(one({ parentId: "0000000000000000" }).parentSpanId).toBe(""));
    test("id of zeros: valid span id required", () =>
      expect(convert([{ ...BASE, id: "0000000000000000" }])).toMatchObject({
        refusedSpans: 1,
        firstRefusal: expect.stringContaining("[0].id: valid span id required"),
      }));
    test("trace id of zeros is refused, the rest of the batch is kept", () => {
      const converted = convert([BASE, { ...BASE, traceId: "0".repeat(32) }, BASE]);
      expect(converted.refusedSpans).toBe(1);
      expect(converted.firstRefusal).toMatch(/^\[1\]\.trace/);
      expect(decode(converted)).toHaveLength(2);
    });
  });

  describe("name, kind, times", () => {
    test("name as it is", () => expect(one({ name: "GET /Größe" }).name).toBe("GET /Größe"));
    test("no name is an empty one", () => expect(one().name).toBe(""));
    test.each([
      ["SERVER", 2],
      ["CLIENT", 3],
      ["PRODUCER", 4],
      ["CONSUMER", 5],
    ] as const)("kind %s", (kind, number) => expect(one({ kind }).kind).toBe(number));
    test("no kind is UNSPECIFIED", () => expect(one().kind).toBe(0));
    test("no kind and span.kind=internal is INTERNAL", () =>
      expect(withTags({ "span.kind": "internal" })).toMatchObject({ kind: 1, attributes: [] }));
    test("span.kind of another value stays an attribute", () =>
      expect(withTags({ "span.kind": "odd" })).toMatchObject({
        kind: 0,
        attributes: [["span.kind", { string: "odd" }]],
      }));
    test("microseconds are exact in nanoseconds", () =>
      expect(one()).toMatchObject({ startNs: "1700000000123456000", endNs: "1700000000124956000" }));
    test("the largest exact number", () =>
      expect(one({ timestamp: 2 ** 53 - 1, duration: 1 })).toMatchObject({
        startNs: "9007199254740991000",
        endNs: "9007199254740992000",
      }));
    test("no duration: it ends when it starts", () => {
      const { duration: _, ...span } = BASE;
      expect(decode(convert([span]))[0]!.endNs).toBe("1700000000123456000");
    });
    test("no timestamp: start 0 and an attribute that says so", () => {
      const { timestamp: _, ...span } = BASE;
      expect(decode(convert([span]))[0]).toMatchObject({
        startNs: "0",
        endNs: "1500000",
        attributes: [["otel.zipkin.absentField.startTime", { bool: true }]],
      });
    });
  });

  describe("endpoints", () => {
    test("localEndpoint.serviceName is service.name", () =>
      expect(one().resource.attributes).toEqual([["service.name", { string: "shop" }]]));
    test("or the attribute that otlp.service.name.source names", () => {
      const span = withTags({ "otlp.service.name.source": "faas.name" });
      expect(span.resource.attributes).toEqual([["faas.name", { string: "shop" }]]);
      expect(span.attributes).toEqual([]);
    });
    test("no serviceName: no resource attributes; nothing is lost", () => {
      const span = one({ localEndpoint: { ipv4: "1.2.3.4" }, tags: { "host.name": "h" } });
      expect(span.resource.attributes).toEqual([]);
      expect(span.attributes).toEqual([
        ["net.host.ip", { string: "1.2.3.4" }],
        ["host.name", { string: "h" }],
      ]);
    });
    test("no localEndpoint: no resource attributes", () => {
      const { localEndpoint: _, ...span } = BASE;
      expect(decode(convert([span]))[0]!.resource.attributes).toEqual([]);
    });
    test.each([
      [{ ipv4: "1.2.3.4", port: 8080 }, "1.2.3.4"],
      [{ ipv6: "2001:db8::c001", port: 8080 }, "2001:db8::c001"],
      [{ ipv6: "::1", port: 8080 }, "::1"],
      [{ ipv4: "1.2.3.4", ipv6: "::1", port: 8080 }, "1.2.3.4"],
    ])("local address %j", (address, ip) =>
      expect(one({ localEndpoint: { serviceName: "shop", ...address } }).attributes).toEqual([
        ["net.host.ip", { string: ip }],
        ["net.host.port", { int: "8080" }],
      ]),
    );
    test("remote service and address", () =>
      expect(one({ remoteEndpoint: { serviceName: "db", ipv4: "9.8.7.6", port: 5432 } }).attributes).toEqual([
        ["peer.service", { string: "db" }],
        ["net.peer.ip", { string: "9.8.7.6" }],
        ["net.peer.port", { int: "5432" }],
      ]));
    test("port 0 is none", () =>
      expect(one({ localEndpoint: { serviceName: "s", port: 0 } }).attributes).toEqual([]));
  });

  describe("tags", () => {
    test("are string attributes; numbers stay strings", () =>
      expect(withTags({ "http.status_code": "500", a: "" }).attributes).toEqual([
        ["http.status_code", { string: "500" }],
        ["a", { string: "" }],
      ]));
    test.each([
      ..."cloud.provider k8s.pod.name host.name container.id os.type process.pid service.version".split(" "),
      ..."telemetry.sdk.name faas.name device.id webengine.name deployment.environment aws.ecs.task.arn".split(
        " ",
      ),
    ])("%s goes to the resource", (key) => {
      const span = withTags({ [key]: "x", other: "y" });
      expect(span.resource.attributes).toContainEqual([key, { string: "x" }]);
      expect(span.attributes).toEqual([["other", { string: "y" }]]);
    });
    test.each("http.method hostess oscar faas.trigger aws.region server.address hos k8sx".split(" "))(
      "%s stays with the span",
      (key) => expect(withTags({ [key]: "x" }).attributes).toEqual([[key, { string: "x" }]]),
    );
    test("keys alike in length, beginning, middle and end are told apart", () => {
      const tags = { "hosx.zzze": "a", "host.name": "b" };
      const span = one({ tags });
      expect(span.attributes).toEqual([["hosx.zzze", { string: "a" }]]);
      expect(span.resource.attributes).toContainEqual(["host.name", { string: "b" }]);
      const [, second] = decode(
        convert([
          { ...BASE, tags: { "host.name": "b" } },
          { ...BASE, tags },
        ]),
      );
      expect(second).toEqual(span);
    });
    test("a tag service.name is not doubled", () =>
      expect(withTags({ "service.name": "other" }).resource.attributes).toEqual([
        ["service.name", { string: "other" }],
      ]));
    test("spans are grouped by resource and scope", () => {
      const a = { ...BASE, localEndpoint: { serviceName: "a" } };
      const b = { ...BASE, localEndpoint: { serviceName: "b" } };
      const spans = [b, a, b, { ...a, tags: { "otel.library.name": "lib" } }];
      const { resourceSpans } = fromBinary(TracesDataSchema, convert(spans).traces);
      expect(resourceSpans.map((r) => r.scopeSpans.map((s) => [s.scope?.name, s.spans.length]))).toEqual([
        [["", 2]],
        [
          ["", 1],
          ["lib", 1],
        ],
      ]);
    });
    test("services whose hashes are equal are told apart", () => {
      const seen = new Map<number, string>();
      const random = makeRandom(1);
      const names = Array.from({ length: 300_000 }, () => Buffer.from(random.bytes(6)).toString("hex"));
      const equal = names.flatMap((name) => {
        const source = new ByteSource(new TextEncoder().encode(name));
        const hash = source.hash(0, name.length, 0);
        const other = seen.get(hash);
        seen.set(hash, name);
        return other === undefined ? [] : [[other, name]];
      });
      const [pair] = equal;
      const used = [...pair!, ...pair!, "shop"];
      const spans = used.map((serviceName) => ({ ...BASE, localEndpoint: { serviceName } }));
      const services = decode(convert(spans)).map(({ resource }) => resource.attributes[0]?.[1]);
      expect(services.map((value) => JSON.stringify(value)).sort()).toEqual(
        used.map((string) => JSON.stringify({ string })).sort(),
      );
    });
    test("otel.library.name and version are the scope", () =>
      expect(withTags({ "otel.library.name": "lib", "otel.library.version": "1.2" })).toMatchObject({
        scope: { name: "lib", version: "1.2" },
        attributes: [],
      }));
    test("w3c.tracestate", () =>
      expect(withTags({ "w3c.tracestate": "a=b,c=d" })).toMatchObject({
        traceState: "a=b,c=d",
        attributes: [],
      }));
    test.each([
      ["Unset", 0],
      ["Ok", 1],
      ["OK", 1],
      ["Error", 2],
      ["STATUS_CODE_UNSET", 0],
      ["STATUS_CODE_OK", 1],
      ["STATUS_CODE_ERROR", 2],
    ])("otel.status_code %s", (text, code) =>
      expect(withTags({ "otel.status_code": text, "otel.status_description": "why" })).toMatchObject({
        status: { code, message: "why" },
        attributes: [],
      }),
    );
    test("otel.status_description alone stays", () =>
      expect(withTags({ "otel.status_description": "x" }).attributes).toHaveLength(1));
    test("error=true: status ERROR, no attribute", () =>
      expect(withTags({ error: "true" })).toMatchObject({ status: { code: 2 }, attributes: [] }));
    test.each(["boom", "", "TRUE"])("error=%j: status ERROR, kept", (value) =>
      expect(withTags({ error: value })).toMatchObject({
        status: { code: 2 },
        attributes: [["error", { string: value }]],
      }),
    );
  });

  describe("annotations", () => {
    const event = (value: string) =>
      one({ annotations: [{ timestamp: 1_700_000_000_000_001, value }] }).events[0];
    test("are events", () =>
      expect(event("retry")).toEqual({
        timeNs: "1700000000000001000",
        name: "retry",
        attributes: [],
        droppedAttributes: 0,
      }));
    test("name|{json}|dropped is taken apart", () =>
      expect(event('exception|{"a":"x|y","n":3,"d":0.5,"b":true,"l":[1,{"k":null}]}|4')).toEqual({
        timeNs: "1700000000000001000",
        name: "exception",
        attributes: [
          ["a", { string: "x|y" }],
          ["n", { int: "3" }],
          ["d", { double: "0.5" }],
          ["b", { bool: true }],
          ["l", { list: [{ int: "1" }, { map: [["k", { none: true }]] }] }],
        ],
        droppedAttributes: 4,
      }));
    test.each([
      "a|b",
      "a|b|c",
      "a|{}|x",
      "a|{|1",
      "a|[]|1",
      "a|{}|99999999999",
      `a|{"x":${"[".repeat(99)}${"]".repeat(99)}}|0`,
    ])("%s is a name", (value) => expect(event(value)).toMatchObject({ name: value, attributes: [] }));
  });

  describe("otlp.link.N", () => {
    const link = `${TRACE}|${ID}|a=b|{"k":"v|w"}|2`;
    test("is a link", () =>
      expect(withTags({ "otlp.link.0": link })).toMatchObject({
        attributes: [],
        links: [
          {
            traceId: TRACE,
            spanId: ID,
            traceState: "a=b",
            attributes: [["k", { string: "v|w" }]],
            droppedAttributes: 2,
          },
        ],
      }));
    test("in order of N", () => {
      const other = link.replace(ID, "00000000000000ff");
      expect(
        withTags({ "otlp.link.10": other, "otlp.link.2": link }).links.map(({ spanId }) => spanId),
      ).toEqual([ID, "00000000000000ff"]);
    });
    test.each(["", "x|y|c|{}|0", `${TRACE}|${ID}|{}|0`, `${TRACE}|${"0".repeat(16)}||{}|0`])(
      "%j is none and stays an attribute",
      (value) =>
        expect(withTags({ "otlp.link.0": value })).toMatchObject({
          links: [],
          attributes: [["otlp.link.0", { string: value }]],
        }),
    );
  });

  test("shared and debug are passed over; both sides of a shared id are kept", () => {
    const spans = decode(
      convert([
        { ...BASE, kind: "CLIENT" },
        { ...BASE, kind: "SERVER", shared: true, debug: true },
      ]),
    );
    expect(spans.map(({ spanId, kind }) => [spanId, kind])).toEqual([
      [ID, 2],
      [ID, 3],
    ]);
  });
});

describe("json only", () => {
  test.each([
    ["[3].traceId: missing", { id: ID }],
    ["[3].id: missing", { traceId: TRACE }],
    ["[3].traceId: expected a string, got a number", { ...BASE, traceId: 5 }],
    ["[3].traceId: expected 16 or 32 hex digits", { ...BASE, traceId: "xyz" }],
    ["[3].traceId: expected 16 or 32 hex digits", { ...BASE, traceId: "1".repeat(33) }],
    ["[3].id: expected 16 hex digits", { ...BASE, id: "1".repeat(17) }],
    ["[3].parentId: expected 16 hex digits", { ...BASE, parentId: "é" }],
    ["[3].name: expected a string, got an object", { ...BASE, name: {} }],
    ["[3].kind: expected CLIENT, SERVER, PRODUCER or CONSUMER", { ...BASE, kind: "client" }],
    ["[3].timestamp: expected microseconds, an unsigned integer", { ...BASE, timestamp: -1 }],
    ["[3].timestamp: expected microseconds, an unsigned integer", { ...BASE, timestamp: "soon" }],
    ["[3].duration: expected microseconds, an unsigned integer", { ...BASE, duration: 1e300 }],
    ["[3].duration: expected microseconds, an unsigned integer", { ...BASE, duration: true }],
    ["[3].localEndpoint: expected an object, got an array", { ...BASE, localEndpoint: [] }],
    [
      "[3].localEndpoint.serviceName: expected a string, got a number",
      { ...BASE, localEndpoint: { serviceName: 1 } },
    ],
    [
      "[3].remoteEndpoint.port: expected a number from 0 to 65535",
      { ...BASE, remoteEndpoint: { port: 70000 } },
    ],
    [
      "[3].remoteEndpoint.ipv4: expected a string, got a boolean",
      { ...BASE, remoteEndpoint: { ipv4: true } },
    ],
    ["[3].tags: expected an object, got a string", { ...BASE, tags: "x" }],
    ["[3].tags: expected strings, got an array", { ...BASE, tags: { a: [] } }],
    ["[3].annotations: expected an array, got an object", { ...BASE, annotations: {} }],
    ["[3].annotations[1]: expected an object, got a number", { ...BASE, annotations: [{ value: "a" }, 5] }],
    ["[3].annotations[0].value: missing", { ...BASE, annotations: [{ timestamp: 1 }] }],
    ["[3]: expected an object, got a number", 7],
    ["[3]: expected an object, got null", null],
  ])("%s", (message, bad) => {
    const converted = json([BASE, BASE, BASE, bad, BASE]);
    expect(converted).toMatchObject({ refusedSpans: 1, firstRefusal: message });
    expect(decode(converted)).toHaveLength(4);
  });

  test.each([
    ["[", "malformed JSON: it ends at byte 1"],
    ["", "malformed JSON: it ends at byte 0"],
    ["[{]", "malformed JSON at byte 2"],
    ['[{"a":tru}]', "malformed JSON at byte 9"],
    ["[01]", "malformed JSON at byte 2"],
    ["[1.]", "malformed JSON at byte 3"],
    ['["\\x"]', "malformed JSON at byte 3"],
    ['["\\u12g4"]', "malformed JSON at byte 6"],
    ["[] x", "malformed JSON at byte 3"],
    ['["a\nb"]', "malformed JSON at byte 3"],
    ["{}", "expected a list of spans, got an object"],
    ["5", "expected a list of spans, got a number"],
  ])("%j: %s", (text, message) => {
    expect(() => json(text)).toThrow(message);
  });

  test("null is absent, unknown fields are passed over", () => {
    const span = {
      ...BASE,
      parentId: null,
      name: null,
      tags: { a: null, b: "c" },
      remoteEndpoint: null,
      more: [{ a: [1, "]", {}] }],
    };
    expect(decode(json([span]))[0]).toMatchObject({ parentSpanId: "", attributes: [["b", { string: "c" }]] });
  });

  test("numbers and booleans in tags are their text; times may be text", () => {
    const span = { ...BASE, timestamp: "1700000000123456", duration: "7", tags: { n: 1.5, b: true } };
    expect(decode(json([span]))[0]).toMatchObject({
      startNs: "1700000000123456000",
      endNs: "1700000000123463000",
      attributes: [
        ["n", { string: "1.5" }],
        ["b", { string: "true" }],
      ],
    });
  });

  test("fractions of microseconds are kept to the nanosecond", () => {
    expect(decode(json([{ ...BASE, timestamp: 1.25, duration: 2.5 }]))[0]).toMatchObject({
      startNs: "1250",
      endNs: "3750",
    });
  });

  test("of equal keys the last counts", () => {
    const text = `[{"id":"1","id":"${ID}","traceId":"${TRACE}","tags":{"a":"1","b":"2","a":"3","\\u0061":"4"}}]`;
    expect(decode(json(text))[0]).toMatchObject({
      spanId: ID,
      attributes: [
        ["otel.zipkin.absentField.startTime", { bool: true }],
        ["b", { string: "2" }],
        ["a", { string: "4" }],
      ],
    });
  });

  test("escapes, pairs, lone surrogates, byte order mark, bytes that are not UTF-8", () => {
    const text = `\ufeff[{"traceId":"${TRACE}","id":"${ID}","timestamp":1,"name":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00","tags":{"k\\ud800x":"\\udc00","\\ud800\\u0041":"b"}}]`;
    const bytes = new TextEncoder().encode(text.replace('"b"', '"b!"'));
    bytes[bytes.lastIndexOf(0x21)] = 0xff;
    expect(decode(convertV2Json(bytes, DEFAULT_LIMITS))[0]).toMatchObject({
      name: '"\\/\b\f\n\r\té€😀',
      attributes: [
        ["k\ufffdx", { string: "\ufffd" }],
        ["\ufffdA", { string: "b\ufffd" }],
      ],
    });
  });

  test("white space wherever it may be", () => {
    const text = JSON.stringify(
      [{ ...BASE, tags: { a: "b" }, annotations: [{ timestamp: 1, value: "x" }] }],
      null,
      "\t\n\r ",
    );
    expect(decode(json(text))).toEqual(
      decode(json([{ ...BASE, tags: { a: "b" }, annotations: [{ timestamp: 1, value: "x" }] }])),
    );
  });

  test("short ids are padded", () => {
    expect(decode(json([{ ...BASE, traceId: "abc", id: "1" }]))[0]).toMatchObject({
      traceId: "abc".padStart(32, "0"),
      spanId: "1".padStart(16, "0"),
    });
  });

  test("no spans", () => expect(json([])).toMatchObject({ refusedSpans: 0, traces: new Uint8Array() }));
});

describe("protobuf only", () => {
  test("bytes that are no protobuf: the byte is named", () => {
    expect(() => convertV2Protobuf(Uint8Array.of(0x0a, 0x05, 0x0a), DEFAULT_LIMITS)).toThrow(
      "malformed Zipkin protobuf: length exceeds its message at byte 1",
    );
  });

  test("an address of odd length is refused with its span", () => {
    const bytes = encodeZipkinProtobuf([{ ...BASE, localEndpoint: { ipv4: "1.2.3" } }]);
    expect(convertV2Protobuf(bytes, DEFAULT_LIMITS)).toMatchObject({
      refusedSpans: 1,
      firstRefusal: "[0].local_endpoint: expected 4 bytes of ipv4 or 16 of ipv6",
    });
  });

  test("an empty list", () =>
    expect(convertV2Protobuf(new Uint8Array(), DEFAULT_LIMITS).traces).toHaveLength(0));
});
