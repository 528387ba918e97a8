// Jaeger: random batches through Apache's encoder, both protocols, against a naive conversion; and the client's encoder.
import fc from "fast-check";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { RUNS, decode, keys, micros, picked, sorted, words } from "../support/format-checks.ts";
import type { NormalSpan } from "../support/normal-span.ts";
import { doubleText } from "../support/normal-span.ts";
import { makeRandom } from "../support/random.ts";
import type { Fields, JaegerSpan, TagValue, Value } from "../support/thrift.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../support/thrift.ts";

describe("round trips", () => {
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
    if (typeof value === "number") return [key, { double: doubleText(value) }];
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

  test("jaeger: tags with their fields in any order, with others between, mean the same", () => {
    const random = makeRandom(31);
    const shuffled = (tag: Value): Value => {
      const fields: Fields[number][] = "struct" in tag ? [...tag.struct] : [];
      if (random.below(2))
        fields.push([random.pick([8, 9, 300]), random.pick<Value>([{ i64: 1 }, { text: "x" }])]);
      // A value of a type that is not the tag's says nothing; zero is what is not there.
      if (random.below(3) === 0) fields.push([4, { double: 0 }]);
      for (let i = fields.length - 1; i > 0; i--) {
        const k = random.below(i + 1);
        [fields[i], fields[k]] = [fields[k]!, fields[i]!];
      }
      return { struct: fields.filter(([id], i) => fields.findIndex(([other]) => other === id) === i) };
    };
    for (let i = 0; i < RUNS; i++) {
      const plain = [
        jaegerTag("s", "x".repeat(random.below(300))),
        jaegerTag("k".repeat(1 + random.below(200)), "v"),
        jaegerTag("b", random.below(2) === 0),
        jaegerTag("l", BigInt(random.below(1 << 30)) << BigInt(random.below(33))),
        jaegerTag("y", random.bytes(random.below(200))),
        jaegerTag("span.kind", "client"),
      ];
      const batch = (of: readonly Value[]): Value =>
        jaegerBatch([jaegerSpan({ traceIdLow: 1n, spanId: 2n, tags: of })], "shop", of);
      const expected = decode(convertBatch(encodeThrift(batch(plain), "binary"), DEFAULT_LIMITS));
      const other = batch(plain.map(shuffled));
      for (const protocol of ["binary", "compact"] as const) {
        expect(decode(convertBatch(encodeThrift(other, protocol), DEFAULT_LIMITS))).toEqual(expected);
      }
    }
  });
});
