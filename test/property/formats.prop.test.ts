// Zipkin, Jaeger: random spans through the formats' own encoders, mutated payloads, bombs.
import { fromBinary } from "@bufbuild/protobuf";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { ByteSource } from "../../src/util/byte-source.ts";
import { isAppError } from "../../src/util/errors.ts";
import { JsonCursor } from "../../src/util/json-cursor.ts";
import { readUnaryMessage } from "../../src/http/grpc-web.ts";
import { convertV1Json } from "../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../src/zipkin/v1-thrift.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";
import { makeGenerator } from "../support/generator.ts";
import type { NormalSpan } from "../support/normal-span.ts";
import { normalizeTracesData } from "../support/normal-span.ts";
import { makeRandom } from "../support/random.ts";
import type { JaegerSpan, TagValue, Value } from "../support/thrift.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../support/thrift.ts";
import type { ZipkinSpan } from "../support/zipkin.ts";
import { encodeZipkinJson, encodeZipkinProtobuf, zipkinSpans } from "../support/zipkin.ts";

const RUNS = 300;
const MIB = 1024 * 1024;

function decode({ traces }: Converted): NormalSpan[] {
  walkBatch(traces, DEFAULT_LIMITS);
  return normalizeTracesData(fromBinary(TracesDataSchema, traces));
}

// ---- Zipkin v2: random spans, against a naive conversion

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(..."0123456789abcdef".split("")), { minLength: digits, maxLength: digits })
    .map((all) => all.join(""))
    .filter((text) => /[1-9a-f]/.test(text));
const words = fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => text.isWellFormed());
const micros = fc.nat({ max: Number.MAX_SAFE_INTEGER });
// Keys without a place of their own, which the unit tests have one by one. No integers: objects put them first.
const keys = words.map((text) => `x.${text}`);
const endpoint = fc.record(
  { serviceName: words, ipv4: fc.ipV4(), port: fc.integer({ min: 1, max: 65_535 }) },
  { requiredKeys: ["serviceName"] },
);
const zipkinSpan: fc.Arbitrary<ZipkinSpan> = fc.record(
  {
    traceId: fc.oneof(hex(16), hex(32)),
    id: hex(16),
    parentId: hex(16),
    name: words,
    timestamp: fc.integer({ min: 1, max: 2 ** 52 }),
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

function sorted(spans: readonly Partial<NormalSpan>[]): string[] {
  return spans.map((span) => JSON.stringify(span, (_key, value: unknown) => value)).sort();
}

function picked(spans: readonly NormalSpan[], like: Partial<NormalSpan>): Partial<NormalSpan>[] {
  return spans.map(
    (span) =>
      Object.fromEntries(
        Object.keys(like).map((key) => [key, span[key as keyof NormalSpan]]),
      ) as Partial<NormalSpan>,
  );
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

  test("JSON cursor: takes and refuses what JSON.parse takes and refuses", () => {
    const random = makeRandom(11);
    const alphabet = '{}[]",:0123456789.eE+-truefalsn \\u/\n\t';
    for (let i = 0; i < 30_000; i++) {
      let text = i % 2 ? "" : JSON.stringify([{ a: [1, -2.5e3, "x\\n", null, true, {}], b: [] }]);
      const edits = i % 2 ? 1 + random.below(8) : 1 + random.below(3);
      for (let k = 0; k < edits; k++) {
        const at = random.below(text.length + 1);
        text =
          text.slice(0, at) + alphabet[random.below(alphabet.length)]! + text.slice(at + random.below(2));
      }
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      let taken = true;
      try {
        const cursor = new JsonCursor(new ByteSource(new TextEncoder().encode(text)));
        cursor.skip();
        cursor.finish();
      } catch (error) {
        if (!isAppError(error)) throw error;
        taken = false;
      }
      expect([text, taken]).toEqual([text, isJson]);
    }
  });

  const tagValue: fc.Arbitrary<TagValue> = fc.oneof(
    words,
    // The library writes -0 as 0.
    fc.double({ noNaN: true }).map((value) => value + 0),
    fc.boolean(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.uint8Array({ maxLength: 12 }),
  );
  const tags = fc.array(fc.tuple(keys, tagValue), { maxLength: 12 });
  const id64 = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
  const jaegerSpans = fc.array(
    fc.record({
      traceIdLow: id64,
      traceIdHigh: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      spanId: id64,
      parentSpanId: id64,
      operationName: words,
      startTime: fc.bigInt({ min: 0n, max: 2n ** 52n }),
      duration: fc.bigInt({ min: 0n, max: 2n ** 52n }),
      tags,
      logs: fc.array(fc.record({ timestamp: micros, fields: tags }), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 5 },
  );
  const attribute = ([key, value]: [string, TagValue]): NormalSpan["attributes"][number] => {
    if (typeof value === "string") return [key, { string: value }];
    if (typeof value === "boolean") return [key, { bool: value }];
    if (typeof value === "bigint") return [key, { int: String(value) }];
    if (typeof value === "number") return [key, { double: Object.is(value, -0) ? "-0" : String(value) }];
    return [key, { bytes: Buffer.from(value).toString("base64") }];
  };

  test("jaeger: both protocols give what a naive conversion gives", () => {
    fc.assert(
      fc.property(jaegerSpans, tags, (spans, processTags) => {
        const asTags = (all: [string, TagValue][]): Value[] =>
          all.map(([key, value]) => jaegerTag(key, value));
        const batch = jaegerBatch(
          spans.map((span) =>
            jaegerSpan({
              ...span,
              tags: asTags(span.tags),
              logs: span.logs.map(({ timestamp, fields }) => ({ timestamp, fields: asTags(fields) })),
            } satisfies JaegerSpan),
          ),
          "shop",
          asTags(processTags),
        );
        const expected = spans.map((span): Partial<NormalSpan> => ({
          traceId: ((span.traceIdHigh << 64n) | span.traceIdLow).toString(16).padStart(32, "0"),
          spanId: span.spanId.toString(16).padStart(16, "0"),
          parentSpanId: span.parentSpanId.toString(16).padStart(16, "0"),
          name: span.operationName,
          startNs: String(span.startTime * 1000n),
          endNs: String((span.startTime + span.duration) * 1000n),
          attributes: span.tags.map(attribute),
          events: span.logs.map(({ timestamp, fields }) => ({
            timeNs: String(BigInt(timestamp) * 1000n),
            name: "",
            attributes: fields.map(attribute),
            droppedAttributes: 0,
          })),
          resource: {
            attributes: [["service.name", { string: "shop" }], ...processTags.map(attribute)],
            schemaUrl: "",
          },
        }));
        for (const protocol of ["binary", "compact"] as const) {
          const actual = decode(convertBatch(encodeThrift(batch, protocol), DEFAULT_LIMITS));
          expect(sorted(picked(actual, expected[0]!))).toEqual(sorted(expected));
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("jaeger: the batches of jaeger-client's own encoder", () => {
    const require = createRequire(import.meta.url);
    const clientRoot = dirname(require.resolve("jaeger-client/package.json"));
    const { Thrift } = createRequire(join(clientRoot, "package.json"))("thriftrw") as {
      Thrift: new (options: object) => {
        Batch: {
          rw: {
            byteLength(v: object): { length: number };
            writeInto(v: object, b: Buffer, at: number): { err: unknown };
          };
        };
      };
    };
    const thrift = new Thrift({
      entryPoint: join(clientRoot, "dist/src/jaeger-idl/thrift/jaeger.thrift"),
      allowFilesystemAccess: true,
    });
    const long = (low: number): Buffer => Buffer.from([0, 0, 0, 0, 0, 0, low >> 8, low & 255]);
    const batch = {
      process: { serviceName: "shop", tags: [{ key: "hostname", vType: "STRING", vStr: "node-1" }] },
      spans: [
        {
          traceIdLow: long(1),
          traceIdHigh: long(2),
          spanId: long(3),
          parentSpanId: long(4),
          operationName: "größe",
          references: [],
          flags: 1,
          startTime: long(1000),
          duration: long(500),
          tags: [
            { key: "error", vType: "BOOL", vBool: true },
            { key: "n", vType: "DOUBLE", vDouble: 0.5 },
          ],
          logs: [{ timestamp: long(1200), fields: [{ key: "event", vType: "STRING", vStr: "retry" }] }],
        },
      ],
    };
    const { rw } = thrift.Batch;
    const bytes = Buffer.alloc(rw.byteLength(batch).length);
    expect(rw.writeInto(batch, bytes, 0).err).toBeNull();
    expect(decode(convertBatch(bytes, DEFAULT_LIMITS))).toMatchObject([
      {
        traceId: "00000000000000020000000000000001",
        spanId: "0000000000000003",
        parentSpanId: "0000000000000004",
        name: "größe",
        startNs: "1000000",
        endNs: "1500000",
        status: { code: 2 },
        attributes: [["n", { double: "0.5" }]],
        events: [{ name: "retry", timeNs: "1200000" }],
        resource: {
          attributes: [
            ["service.name", { string: "shop" }],
            ["host.name", { string: "node-1" }],
          ],
        },
      },
    ]);
  });
});

// ---- mutated payloads

const small = zipkinSpans(makeGenerator({ seed: 21 }).batch(6), "otel");
const v1Spans = [
  {
    traceId: "1",
    id: "2",
    name: "n",
    timestamp: 5,
    annotations: [{ timestamp: 6, value: "sr", endpoint: { serviceName: "s", ipv4: "1.2.3.4", port: 1 } }],
    binaryAnnotations: [{ key: "lc", value: "c", endpoint: { serviceName: "s" } }],
  },
];
const richJaeger = jaegerBatch(
  [1n, 2n].map((spanId) =>
    jaegerSpan({
      traceIdLow: 1n,
      spanId,
      references: [{ type: 0, low: 1n, high: 0n, spanId: 9n }],
      tags: [
        jaegerTag("span.kind", "client"),
        jaegerTag("a", 5n),
        jaegerTag("d", 0.5),
        jaegerTag("b", Uint8Array.of(1, 2)),
      ],
      logs: [{ timestamp: 5, fields: [jaegerTag("event", "e"), jaegerTag("x", true)] }],
    }),
  ),
  "shop",
  [jaegerTag("hostname", "h")],
);
const v1Thrift = encodeThrift(
  {
    struct: [
      [
        1,
        {
          list: [
            {
              struct: [
                [1, { i64: 1 }],
                [3, { text: "n" }],
                [4, { i64: 2 }],
                [
                  6,
                  {
                    list: [
                      {
                        struct: [
                          [1, { i64: 5 }],
                          [2, { text: "sr" }],
                          [
                            3,
                            {
                              struct: [
                                [1, { i32: 7 }],
                                [2, { i16: 8 }],
                                [3, { text: "s" }],
                              ],
                            },
                          ],
                        ],
                      },
                    ],
                  },
                ],
                [
                  8,
                  {
                    list: [
                      {
                        struct: [
                          [1, { text: "k" }],
                          [2, { text: "v" }],
                          [3, { i32: 6 }],
                        ],
                      },
                    ],
                  },
                ],
                [10, { i64: 9 }],
              ],
            },
          ],
        },
      ],
    ],
  },
  "binary",
).slice(3, -1);

/** The walk judges what is stored; decoding each of 160,000 results would take most of the time. */
function checked({ traces }: Converted): number {
  return walkBatch(traces, DEFAULT_LIMITS).spanCount;
}

const DECODERS: [name: string, seed: Uint8Array, convert: (body: Uint8Array) => unknown][] = [
  ["zipkin v2 json", encodeZipkinJson(small), (body) => checked(convertV2Json(body, DEFAULT_LIMITS))],
  [
    "zipkin v2 protobuf",
    encodeZipkinProtobuf(small),
    (body) => checked(convertV2Protobuf(body, DEFAULT_LIMITS)),
  ],
  ["zipkin v1 json", encodeZipkinJson(v1Spans), (body) => checked(convertV1Json(body, DEFAULT_LIMITS, 1))],
  ["zipkin v1 thrift", v1Thrift, (body) => checked(convertV1Thrift(body, DEFAULT_LIMITS, 1))],
  [
    "jaeger binary",
    encodeThrift(richJaeger, "binary"),
    (body) => checked(convertBatch(body, DEFAULT_LIMITS, "binary")),
  ],
  [
    "jaeger compact",
    encodeThrift(richJaeger, "compact"),
    (body) => checked(convertBatch(body, DEFAULT_LIMITS, "compact")),
  ],
  [
    "jaeger emitBatch",
    encodeThrift(richJaeger, "compact", "emitBatch"),
    (body) => checked(convertBatch(body, DEFAULT_LIMITS)),
  ],
  ["grpc-web", Uint8Array.of(1, 0, 0, 0, 2, 5, 6), (body) => readUnaryMessage(body, "gzip")],
];

const KINDS_OF_REFUSAL: ReadonlySet<string> = new Set(["invalid_argument", "too_large"]);

describe("20,000 mutated payloads: only AppErrors come out", () => {
  test.each(DECODERS)("%s", (_name, seed, convert) => {
    const random = makeRandom(77);
    const started = performance.now();
    let taken = 0;
    for (let i = 0; i < 20_000; i++) {
      let body = Uint8Array.from(seed);
      for (let edits = 1 + random.below(4); edits > 0; edits--) {
        const at = random.below(body.length);
        const choice = random.below(6);
        if (choice === 0) body = body.slice(0, at);
        else if (choice === 1) body[at] = random.below(256);
        else if (choice === 2) body[at]! ^= 1 << random.below(8);
        else if (choice === 3) body[at] = random.pick([0, 255, 127, 128, 0x22, 0x5c, 0x7b, 0x5b]);
        else if (choice === 4) body.copyWithin(at, random.below(body.length), random.below(body.length));
        else body.set(random.bytes(Math.min(4, body.length - at)), at);
        if (body.length === 0) break;
      }
      try {
        convert(body);
        taken++;
      } catch (error) {
        if (!isAppError(error) || !KINDS_OF_REFUSAL.has(error.kind)) throw error;
      }
    }
    expect(taken).toBeGreaterThan(0);
    // 3 ms each would be a loop gone wild; the decoding by the oracle is in it.
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});

// ---- bombs

function within<Result>(ms: number, run: () => Result): Result {
  const started = process.cpuUsage();
  const result = run();
  const { user, system } = process.cpuUsage(started);
  expect((user + system) / 1000).toBeLessThan(ms);
  return result;
}

describe("bombs: bounded time and memory", () => {
  const MILLION = 1_000_000;
  const concat = (...parts: (string | Uint8Array)[]): Uint8Array =>
    new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));
  const count = (n: number): Uint8Array => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);

  test.each<[string, Uint8Array, (body: Uint8Array) => Converted]>([
    [
      "zipkin v2 json",
      concat(`[${"{},".repeat(MILLION - 1)}{}]`),
      (body) => convertV2Json(body, DEFAULT_LIMITS),
    ],
    ["zipkin v2 protobuf", concat("\n\0".repeat(MILLION)), (body) => convertV2Protobuf(body, DEFAULT_LIMITS)],
    [
      "zipkin v1 json",
      concat(`[${"{},".repeat(MILLION - 1)}{}]`),
      (body) => convertV1Json(body, DEFAULT_LIMITS, 1),
    ],
    [
      "zipkin v1 thrift",
      concat(Uint8Array.of(12), count(MILLION), new Uint8Array(MILLION)),
      (body) => convertV1Thrift(body, DEFAULT_LIMITS, 1),
    ],
    [
      "jaeger binary",
      concat(Uint8Array.of(15, 0, 2, 12), count(MILLION), new Uint8Array(MILLION + 1)),
      (body) => convertBatch(body, DEFAULT_LIMITS, "binary"),
    ],
  ])("10^6 empty spans: %s", (_name, body, convert) => {
    const converted = within(10_000, () => convert(body));
    expect(converted).toMatchObject({ refusedSpans: MILLION });
    expect(converted.traces).toHaveLength(0);
  });

  test.each<[string, () => unknown]>([
    [
      "32 MiB of empty spans, jaeger",
      () =>
        convertBatch(
          concat(Uint8Array.of(15, 0, 2, 12), count(32 * MIB), new Uint8Array(32 * MIB + 1)),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "32 MiB of empty spans, zipkin v1 thrift",
      () =>
        convertV1Thrift(
          concat(Uint8Array.of(12), count(32 * MIB), new Uint8Array(32 * MIB)),
          DEFAULT_LIMITS,
          1,
        ),
    ],
    [
      "32 MiB of empty tags, jaeger",
      () =>
        convertBatch(
          concat(
            Uint8Array.of(15, 0, 2, 12),
            count(1),
            Uint8Array.of(15, 0, 10, 12),
            count(32 * MIB),
            new Uint8Array(32 * MIB + 2),
          ),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "32 MiB of empty logs, jaeger",
      () =>
        convertBatch(
          concat(
            Uint8Array.of(15, 0, 2, 12),
            count(1),
            Uint8Array.of(15, 0, 11, 12),
            count(32 * MIB),
            new Uint8Array(32 * MIB + 2),
          ),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "32 MiB of empty references, jaeger",
      () =>
        convertBatch(
          concat(
            Uint8Array.of(15, 0, 2, 12),
            count(1),
            Uint8Array.of(15, 0, 6, 12),
            count(32 * MIB),
            new Uint8Array(32 * MIB + 2),
          ),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "32 MiB of empty process tags, jaeger",
      () =>
        convertBatch(
          concat(Uint8Array.of(12, 0, 1, 15, 0, 2, 12), count(32 * MIB), new Uint8Array(32 * MIB + 2)),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "a count of 2^31 - 1",
      () =>
        convertBatch(
          concat(Uint8Array.of(15, 0, 2, 12), count(2 ** 31 - 1), new Uint8Array(100)),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "a negative count",
      () =>
        convertBatch(
          concat(Uint8Array.of(15, 0, 2, 12), count(-1), new Uint8Array(100)),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "a text of 2^31 - 1 bytes",
      () => convertBatch(concat(Uint8Array.of(11, 0, 9), count(2 ** 31 - 1)), DEFAULT_LIMITS, "binary"),
    ],
    [
      "a text of negative length",
      () =>
        convertBatch(concat(Uint8Array.of(11, 0, 9), count(-5), new Uint8Array(9)), DEFAULT_LIMITS, "binary"),
    ],
    [
      "compact: a list of 2^32 - 1",
      () => convertBatch(Uint8Array.of(0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f), DEFAULT_LIMITS, "compact"),
    ],
    [
      "structs in structs, 10^6 deep",
      () =>
        convertBatch(
          concat(
            ...Array.from({ length: 20 }, () =>
              new Uint8Array(150_000).map((_, i) => (i % 3 === 0 ? 12 : 9)),
            ),
          ),
          DEFAULT_LIMITS,
          "binary",
        ),
    ],
    [
      "compact: structs in structs, 10^6 deep",
      () => convertBatch(new Uint8Array(MILLION).fill(0x9c), DEFAULT_LIMITS, "compact"),
    ],
    [
      "lists in lists, 10^6 deep",
      () =>
        convertBatch(
          concat(Uint8Array.of(0x99), new Uint8Array(MILLION).fill(0x19)),
          DEFAULT_LIMITS,
          "compact",
        ),
    ],
    [
      "16 M tags of a span, zipkin protobuf",
      () => {
        const inner = concat("Z\0".repeat(8 * MIB));
        return convertV2Protobuf(concat("\n", Uint8Array.of(0x80, 0x80, 0x80, 0x08), inner), DEFAULT_LIMITS);
      },
    ],
    ["JSON 10^6 deep", () => convertV2Json(concat(`[{"x":${'{"a":['.repeat(500_000)}`), DEFAULT_LIMITS)],
    [
      "JSON number of 10^6 digits",
      () => convertV2Json(concat(`[{"timestamp":${"9".repeat(MILLION)}`), DEFAULT_LIMITS),
    ],
    [
      "v1 JSON 10^6 deep",
      () => convertV1Json(concat(`[{"x":${'{"a":['.repeat(500_000)}`), DEFAULT_LIMITS, 1),
    ],
  ])("%s", (_name, run) => {
    let refused: unknown;
    try {
      const result = within(20_000, run) as Converted;
      refused = result.refusedSpans > 0 ? "span by span" : undefined;
    } catch (error) {
      if (!isAppError(error)) throw error;
      refused = error.kind;
    }
    expect(["invalid_argument", "too_large", "span by span"]).toContain(refused);
  });

  test("a million annotations that only look like objects", () => {
    const annotations = '{"value":"|{x}|1"},'.repeat(300_000).slice(0, -1);
    const body = concat(`[{"traceId":"1","id":"1","annotations":[${annotations}]}]`);
    const converted = within(10_000, () => convertV2Json(body, DEFAULT_LIMITS));
    expect(converted.refusedSpans).toBe(1);
  });

  test("a resource in each of 300,000 spans", () => {
    const body = concat(
      `[${Array.from({ length: 300_000 }, (_, i) => `{"traceId":"1","id":"1","localEndpoint":{"serviceName":"${i}"}}`).join()}]`,
    );
    const converted = within(10_000, () => convertV2Json(body, DEFAULT_LIMITS));
    expect(walkBatch(converted.traces, DEFAULT_LIMITS).spanCount).toBe(300_000);
  });

  test("bytes that are not UTF-8 anywhere: replaced in text", () => {
    const json = encodeZipkinJson([
      {
        traceId: "1",
        id: "1",
        timestamp: 1,
        name: "~",
        tags: { "x~": "~" },
        localEndpoint: { serviceName: "~" },
      },
    ]);
    const body = json.map((byte) => (byte === 0x7e ? 0xc3 : byte));
    expect(decode(convertV2Json(body, DEFAULT_LIMITS))).toMatchObject([
      {
        name: "�",
        attributes: [["x�", { string: "�" }]],
        resource: { attributes: [["service.name", { string: "�" }]] },
      },
    ]);
  });
});
