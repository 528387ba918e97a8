// Text that is not what it should be: bytes that are not UTF-8, lone surrogates, keys that come twice, in every format.
import { describe, expect, test } from "vitest";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import { convertV1Json } from "../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../src/zipkin/v1-thrift.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";
import { decode } from "../support/format-checks.ts";
import { makeRandom } from "../support/random.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../support/thrift.ts";
import { encodeZipkinJson, encodeZipkinProtobuf } from "../support/zipkin.ts";
import { encodeV1Json, encodeV1Thrift } from "../support/zipkin-v1.ts";

/** A byte that stands for itself in every encoding, to be replaced by others. */
const MARK = "~";
const SERVICE = `s${MARK}`;

const v2 = [
  {
    traceId: "1".repeat(16),
    id: "1".repeat(16),
    timestamp: 1,
    name: `n${MARK}n`,
    tags: { [`x${MARK}`]: `v${MARK}`, [`host.name`]: `h${MARK}` },
    localEndpoint: { serviceName: SERVICE },
    annotations: [{ timestamp: 1, value: `e${MARK}` }],
  },
];
const v1 = [
  {
    traceId: "1".repeat(16),
    id: "1".repeat(16),
    timestamp: 1,
    name: `n${MARK}n`,
    annotations: [{ timestamp: 1, value: `e${MARK}`, endpoint: { serviceName: SERVICE } }],
    binaryAnnotations: [{ key: `x${MARK}`, value: `v${MARK}` }],
  },
];
const v1Thrift = [
  {
    ...v1[0]!,
    binaryAnnotations: [...v1[0]!.binaryAnnotations, { key: "b", value: Buffer.from(`b${MARK}`) }],
  },
];
const jaeger = jaegerBatch(
  [
    jaegerSpan({
      traceIdLow: 1n,
      spanId: 1n,
      operationName: `n${MARK}n`,
      tags: [jaegerTag(`x${MARK}`, `v${MARK}`), jaegerTag("b", Buffer.from(`b${MARK}`))],
      logs: [{ timestamp: 1, fields: [jaegerTag("event", `e${MARK}`)] }],
    }),
  ],
  SERVICE,
  [jaegerTag("hostname", `h${MARK}`)],
);

const FORMATS: [name: string, body: Uint8Array, convert: (body: Uint8Array) => Converted][] = [
  ["zipkin v2 json", encodeZipkinJson(v2), (body) => convertV2Json(body, DEFAULT_LIMITS)],
  ["zipkin v2 protobuf", encodeZipkinProtobuf(v2), (body) => convertV2Protobuf(body, DEFAULT_LIMITS)],
  ["zipkin v1 json", encodeV1Json(v1), (body) => convertV1Json(body, DEFAULT_LIMITS, 1)],
  ["zipkin v1 thrift", encodeV1Thrift(v1Thrift), (body) => convertV1Thrift(body, DEFAULT_LIMITS, 1)],
  ["jaeger binary", encodeThrift(jaeger, "binary"), (body) => convertBatch(body, DEFAULT_LIMITS, "binary")],
  [
    "jaeger compact",
    encodeThrift(jaeger, "compact"),
    (body) => convertBatch(body, DEFAULT_LIMITS, "compact"),
  ],
];

describe("bytes that are not UTF-8: U+FFFD in text, as they are in bytes", () => {
  test.each(FORMATS)("%s", (name, body, convert) => {
    const random = makeRandom(3);
    for (let i = 0; i < 128; i++) {
      const other = 0x80 + i;
      const changed = body.map((byte) => (byte === MARK.charCodeAt(0) ? other : byte));
      const [span] = decode(convert(changed));
      const text = (before: string, after = ""): { string: string } => ({
        string: `${before}\ufffd${after}`,
      });
      expect(span!.name).toBe("n\ufffdn");
      expect(span!.events.map((event) => event.name)).toEqual(["e\ufffd"]);
      expect(span!.attributes[0]).toEqual(["x\ufffd", text("v")]);
      expect(span!.resource.attributes).toContainEqual(["service.name", text("s")]);
      const host = name.includes("v1") ? [] : [["host.name", text("h")]];
      expect(span!.resource.attributes.filter(([key]) => key === "host.name")).toEqual(host);
      const kept = Buffer.of("b".charCodeAt(0), other).toString("base64");
      const bytes = /jaeger|thrift/.test(name) ? [["b", { bytes: kept }]] : [];
      expect(span!.attributes.slice(1)).toEqual(bytes);
    }
    // Each mark another byte.
    for (let i = 0; i < 1000; i++) {
      const changed = body.map((byte) => (byte === MARK.charCodeAt(0) ? 0x80 + random.below(128) : byte));
      expect(decode(convert(changed))[0]!.name).toBe("n\ufffdn");
    }
  });

  test.each(FORMATS)("%s: what is UTF-8 stays, in pieces of one to four bytes", (_name, body, convert) => {
    // The mark is one byte; lengths are not adjusted, so that only JSON takes longer characters in its place.
    const isJson = body[0] === 0x5b;
    for (const char of isJson ? ["é", "€", "😀", "\u{10ffff}"] : ["}"]) {
      const written = Buffer.from(
        Buffer.from(body).toString("latin1").replaceAll(MARK, Buffer.from(char).toString("latin1")),
        "latin1",
      );
      expect(decode(convert(new Uint8Array(written)))[0]!.name).toBe(`n${char}n`);
    }
  });
});

describe("lone surrogates in JSON are U+FFFD, pairs are one character", () => {
  test.each(FORMATS.filter(([name]) => name.endsWith("json")))("%s", (_name, body, convert) => {
    const withEscape = (escape: string): string => {
      const text = new TextDecoder().decode(body).replaceAll(MARK, escape);
      const [span] = decode(convert(new TextEncoder().encode(text)));
      expect(span!.attributes[0]![0]).toBe(`x${span!.name.slice(1, -1)}`);
      return span!.name.slice(1, -1);
    };
    expect(withEscape("\\ud800")).toBe("\ufffd");
    expect(withEscape("\\udfff")).toBe("\ufffd");
    expect(withEscape("\\ud83dx")).toBe("\ufffdx");
    expect(withEscape("\\udc00\\ud800")).toBe("\ufffd\ufffd");
    expect(withEscape("\\ud800\\ud83d\\ude00")).toBe("\ufffd😀");
    expect(withEscape("\\uD83D\\uDE00")).toBe("😀");
    expect(withEscape("\\ud83d\\u0041")).toBe("\ufffdA");
  });
});

describe("keys that come twice", () => {
  const only = (converted: Converted) => {
    const [span] = decode(converted);
    return { name: span!.name, attributes: span!.attributes };
  };

  test("zipkin v2 json: the last counts, of fields and of tags", () => {
    const body = `[{"traceId":"2","id":"1","name":"a","tags":{"a":"0"},"timestamp":1,"traceId":"1","name":"b",
      "tags":{"k":"1","j":"2","k":"3"}}]`;
    expect(only(convertV2Json(new TextEncoder().encode(body), DEFAULT_LIMITS))).toEqual({
      name: "b",
      attributes: [
        ["j", { string: "2" }],
        ["k", { string: "3" }],
      ],
    });
  });

  test("zipkin v2 protobuf: the last counts", () => {
    const body = encodeZipkinProtobuf([{ traceId: "1", id: "1", timestamp: 1, tags: { k: "1", m: "3" } }]);
    const doubled = body.map((byte) => (byte === "m".charCodeAt(0) ? "k".charCodeAt(0) : byte));
    expect(only(convertV2Protobuf(doubled, DEFAULT_LIMITS)).attributes).toEqual([["k", { string: "3" }]]);
  });

  test("zipkin v1 json: the last counts of fields; annotations are a list, which keeps both", () => {
    const body = `[{"traceId":"2","id":"1","name":"a","name":"b","traceId":"1","timestamp":1,
      "binaryAnnotations":[{"key":"k","value":"0","value":"1"},{"key":"k","value":"3"}]}]`;
    expect(only(convertV1Json(new TextEncoder().encode(body), DEFAULT_LIMITS, 1))).toEqual({
      name: "b",
      attributes: [
        ["k", { string: "1" }],
        ["k", { string: "3" }],
      ],
    });
  });

  test.each(["binary", "compact"] as const)(
    "jaeger %s: the last counts of fields; tags are a list",
    (protocol) => {
      const twice = jaegerSpan({
        traceIdLow: 1n,
        spanId: 1n,
        tags: [
          jaegerTag("k", "1"),
          jaegerTag("k", "3"),
          {
            struct: [
              [1, { text: "a" }],
              [3, { text: "x" }],
              [3, { text: "y" }],
            ],
          },
        ],
      });
      const batch = jaegerBatch([
        "struct" in twice ? { struct: [...twice.struct, [5, { text: "b" }]] } : twice,
      ]);
      expect(only(convertBatch(encodeThrift(batch, protocol), DEFAULT_LIMITS, protocol))).toEqual({
        name: "b",
        attributes: [
          ["k", { string: "1" }],
          ["k", { string: "3" }],
          ["a", { string: "y" }],
        ],
      });
    },
  );
});
