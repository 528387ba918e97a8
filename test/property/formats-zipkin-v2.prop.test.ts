// Zipkin v2: random spans through the format's own encoders, JSON and protobuf, against a naive conversion.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";
import {
  RUNS,
  decode,
  hexId,
  keys,
  micros,
  picked,
  sorted,
  spanMicros,
  words,
} from "../support/format-checks.ts";
import type { NormalSpan } from "../support/normal-span.ts";
import { makeRandom } from "../support/random.ts";
import type { ZipkinSpan } from "../support/zipkin.ts";
import { encodeZipkinProtobuf } from "../support/zipkin.ts";

const endpoint = fc.record(
  { serviceName: words, ipv4: fc.ipV4(), port: fc.integer({ min: 1, max: 65_535 }) },
  { requiredKeys: ["serviceName"] },
);
const zipkinSpan: fc.Arbitrary<ZipkinSpan> = fc.record(
  {
    traceId: fc.oneof(hexId(16), hexId(32)),
    id: hexId(16),
    parentId: hexId(16),
    name: words,
    timestamp: spanMicros,
    duration: micros.map((value) => value % 2 ** 52),
    kind: fc.constantFrom("CLIENT", "SERVER", "PRODUCER", "CONSUMER"),
    localEndpoint: endpoint,
    remoteEndpoint: endpoint,
    tags: fc.dictionary(keys, words, { maxKeys: 12, noNullPrototype: true }),
    annotations: fc.array(
      fc.record({ timestamp: micros, value: words.filter((text) => !text.includes("|")) }),
      {
        maxLength: 4,
      },
    ),
    shared: fc.boolean(),
    debug: fc.boolean(),
  },
  { requiredKeys: ["traceId", "id", "timestamp"] },
);

const KINDS = { SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 };

function naiveAttributes({
  localEndpoint: local,
  remoteEndpoint: remote,
  tags,
}: ZipkinSpan): NormalSpan["attributes"] {
  const text = (key: string, value: string | undefined): NormalSpan["attributes"] =>
    value ? [[key, { string: value }]] : [];
  const port = (key: string, value: number | undefined): NormalSpan["attributes"] =>
    value ? [[key, { int: String(value) }]] : [];
  return [
    ...text("net.host.ip", local?.ipv4),
    ...port("net.host.port", local?.port),
    ...text("peer.service", remote?.serviceName),
    ...text("net.peer.ip", remote?.ipv4),
    ...port("net.peer.port", remote?.port),
    ...Object.entries(tags ?? {}).map(([key, string]): [string, { string: string }] => [key, { string }]),
  ];
}

function naive(span: ZipkinSpan): Partial<NormalSpan> {
  const service = span.localEndpoint?.serviceName;
  return {
    traceId: span.traceId.padStart(32, "0"),
    spanId: span.id,
    parentSpanId: span.parentId === span.id ? "" : (span.parentId ?? ""),
    name: span.name ?? "",
    kind: span.kind === undefined ? 0 : KINDS[span.kind],
    startNs: String(BigInt(span.timestamp ?? 0) * 1000n),
    endNs: String((BigInt(span.timestamp ?? 0) + BigInt(span.duration ?? 0)) * 1000n),
    attributes: naiveAttributes(span),
    events: (span.annotations ?? []).map(({ timestamp, value }) => ({
      timeNs: String(BigInt(timestamp) * 1000n),
      name: value,
      attributes: [],
      droppedAttributes: 0,
    })),
    resource: { attributes: service ? [["service.name", { string: service }]] : [], schemaUrl: "" },
  };
}

describe("round trips", () => {
  test("zipkin v2: JSON and protobuf give what a naive conversion gives", () => {
    fc.assert(
      fc.property(fc.array(zipkinSpan, { minLength: 1, maxLength: 8 }), fc.nat(4), (spans, indent) => {
        const expected = spans.map(naive);
        const json = new TextEncoder().encode(JSON.stringify(spans, null, indent));
        const fromJson = decode(convertV2Json(json, DEFAULT_LIMITS));
        expect(sorted(picked(fromJson, expected[0]!))).toEqual(sorted(expected));
        const fromProtobuf = decode(convertV2Protobuf(encodeZipkinProtobuf(spans), DEFAULT_LIMITS));
        expect(sorted(fromProtobuf)).toEqual(sorted(fromJson));
      }),
      { numRuns: RUNS },
    );
  });

  test("zipkin v2 JSON: escaped text is what JSON.parse makes of it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), fc.boolean(), (value, escapeAll) => {
        const quoted = escapeAll
          ? `"${[...Array(value.length).keys()].map((i) => `\\u${value.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`
          : JSON.stringify(value);
        const body = `[{"traceId":"1","id":"1","timestamp":1,"name":${quoted},"tags":{"x.${quoted.slice(1)}:${quoted}}}]`;
        const [span] = decode(convertV2Json(new TextEncoder().encode(body), DEFAULT_LIMITS));
        const text = value.toWellFormed();
        expect([span!.name, span!.attributes]).toEqual([text, [[`x.${text}`, { string: text }]]]);
      }),
      { numRuns: RUNS },
    );
  });

  test("zipkin v2 JSON: keys in any form that JSON has for them", () => {
    const random = makeRandom(5);
    const escaped = (text: string): string =>
      text.replaceAll(/./g, (char) =>
        random.below(4) ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
    const space = (): string => random.pick(["", "", "", " ", "\n", "\t\r "]);
    const written = (value: unknown): string => {
      if (Array.isArray(value))
        return `[${space()}${value.map(written).join(`${space()},${space()}`)}${space()}]`;
      if (typeof value !== "object" || value === null) return JSON.stringify(value);
      const members = Object.entries(value).map(
        ([key, held]) => `"${escaped(key)}"${space()}:${space()}${written(held)}`,
      );
      return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
    };
    const span: ZipkinSpan = {
      traceId: "a".repeat(32),
      id: "b".repeat(16),
      parentId: "c".repeat(16),
      name: "n",
      kind: "CLIENT",
      timestamp: 5,
      duration: 6,
      localEndpoint: { serviceName: "s", ipv4: "1.2.3.4", port: 7 },
      remoteEndpoint: { serviceName: "r", ipv6: "::1", port: 8 },
      tags: { k: "v" },
      annotations: [{ timestamp: 9, value: "a" }],
      shared: true,
    };
    const expected = [{ ...naive(span), attributes: expect.anything() as unknown }];
    for (let i = 0; i < RUNS; i++) {
      const text = written([span]);
      const spans = decode(convertV2Json(new TextEncoder().encode(text), DEFAULT_LIMITS));
      expect([text, spans]).toMatchObject([text, expected]);
      expect([text, spans[0]!.attributes.length]).toEqual([text, 6]);
    }
  });
});
