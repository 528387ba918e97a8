// Mutated payloads of every format: a decoder refuses them as one of the project's errors, or makes valid OTLP of them.
import { describe, expect, test } from "vitest";
import { readUnaryMessage } from "../../src/http/grpc-web.ts";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { AppError, isAppError } from "../../src/util/errors.ts";
import { convertV1Json } from "../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../src/zipkin/v1-thrift.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";
import { makeGenerator } from "../support/generator.ts";
import { makeRandom } from "../support/random.ts";
import { encodeThrift, jaegerBatch, jaegerSpan, jaegerTag } from "../support/thrift.ts";
import { encodeZipkinJson, encodeZipkinProtobuf, zipkinSpans } from "../support/zipkin.ts";
import type { ZipkinV1Span } from "../support/zipkin-v1.ts";
import { encodeV1Json, encodeV1Thrift } from "../support/zipkin-v1.ts";

const small = zipkinSpans(makeGenerator({ seed: 21 }).batch(6), "otel");
const v1Spans: ZipkinV1Span[] = [
  {
    traceId: "1",
    id: "2",
    name: "n",
    timestamp: 5,
    annotations: [{ timestamp: 6, value: "sr", endpoint: { serviceName: "s", ipv4: "1.2.3.4", port: 1 } }],
    binaryAnnotations: [
      { key: "lc", value: "c", endpoint: { serviceName: "s" } },
      { key: "n", value: 5n },
      { key: "b", value: Uint8Array.of(1, 2) },
    ],
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
/** The walk judges what is stored; decoding each of 160,000 results would take most of the time. */
function checked({ traces }: Converted): number {
  return walkBatch(traces, DEFAULT_LIMITS).spanCount;
}

function readUnary(body: Uint8Array): void {
  const unary = readUnaryMessage(body, "gzip");
  if (!unary.ok) throw new AppError("invalid_argument", unary.status.message);
}

const DECODERS: [name: string, seed: Uint8Array, convert: (body: Uint8Array) => unknown][] = [
  ["zipkin v2 json", encodeZipkinJson(small), (body) => checked(convertV2Json(body, DEFAULT_LIMITS))],
  [
    "zipkin v2 protobuf",
    encodeZipkinProtobuf(small),
    (body) => checked(convertV2Protobuf(body, DEFAULT_LIMITS)),
  ],
  ["zipkin v1 json", encodeV1Json(v1Spans), (body) => checked(convertV1Json(body, DEFAULT_LIMITS, 1))],
  ["zipkin v1 thrift", encodeV1Thrift(v1Spans), (body) => checked(convertV1Thrift(body, DEFAULT_LIMITS, 1))],
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
  ["grpc-web", Uint8Array.of(1, 0, 0, 0, 2, 5, 6), readUnary],
];

const KINDS_OF_REFUSAL: ReadonlySet<string> = new Set(["invalid_argument", "too_large"]);

describe("20,000 mutated payloads: only AppErrors come out", () => {
  test.each(DECODERS)("%s", (_name, seed, convert) => {
    const random = makeRandom(77);
    let taken = 0;
    let refused = 0;
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
        refused++;
      }
    }
    // Both sides of the check are reached.
    expect(taken).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  });
});
