// What another project's encoder makes: the serialisers of the OpenTelemetry JavaScript SDK.
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { jsonToProtobuf } from "../../../src/otlp/json.ts";
import { visitSpans } from "../../../src/otlp/spans.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { traceHash } from "../../../src/util/hash.ts";
import { toHex } from "../../../src/util/hex.ts";
import { decode, SPAN_ID, TRACE_ID } from "../../support/otlp.ts";

type SdkSpan = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number];

const parent = { traceId: toHex(TRACE_ID), spanId: toHex(SPAN_ID), traceFlags: 1 };
const child = { ...parent, spanId: "00000000000000ff" };

const resource = { attributes: { "service.name": "shop", "process.pid": 12 } };
const instrumentationScope = { name: "lib", version: "1.0" };

function sdkSpan(changes: Partial<SdkSpan>): SdkSpan {
  return {
    name: "parent é",
    kind: SpanKind.SERVER,
    spanContext: () => parent,
    startTime: [1_795_392_000, 123_456_789],
    endTime: [1_795_392_001, 1],
    duration: [0, 876_543_212],
    ended: true,
    status: { code: SpanStatusCode.ERROR, message: "boom" },
    attributes: {
      text: "é",
      count: 3,
      big: 2 ** 52,
      negative: -1,
      ratio: 0.5,
      yes: true,
      list: ["a", "b"],
      none: [],
    },
    links: [{ context: child, attributes: { "link.kind": "follows" } }],
    events: [
      {
        name: "exception",
        time: [1_795_392_000, 5],
        attributes: { "exception.stacktrace": "x".repeat(3000) },
      },
    ],
    resource,
    instrumentationScope,
    droppedAttributesCount: 1,
    droppedEventsCount: 0,
    droppedLinksCount: 2,
    ...changes,
  } as SdkSpan;
}

const spans = [
  sdkSpan({}),
  sdkSpan({
    name: "child",
    spanContext: () => child,
    parentSpanContext: parent,
    status: { code: SpanStatusCode.UNSET },
  }),
];

function spanBytes(bytes: Uint8Array): number {
  let sum = 0;
  visitSpans(bytes, { span: (start, end) => void (sum += end - start) });
  return sum;
}

test("protobuf of the SDK: walks", () => {
  const bytes = ProtobufTraceSerializer.serializeRequest(spans)!;
  expect(walkBatch(bytes, DEFAULT_LIMITS)).toEqual({
    implausibleStarts: 0,
    mayExceedAttributes: false,
    traceSizes: Uint32Array.of(spanBytes(bytes), 2),
    spanCount: 2,
    rejected: { tooLarge: 0, traceId: 0, spanId: 0 },
    minStartNs: 1_795_392_000_123_456_789n,
    maxEndNs: 1_795_392_001_000_000_001n,
    traceHashes: Uint32Array.of(traceHash(TRACE_ID)),
  });
  expect(decode(bytes).resourceSpans[0]!.scopeSpans[0]!.spans.map((span) => span.name)).toEqual([
    "parent é",
    "child",
  ]);
});

test("JSON of the SDK: converts to the message of its protobuf", () => {
  const bytes = ProtobufTraceSerializer.serializeRequest(spans)!;
  const converted = jsonToProtobuf(JsonTraceSerializer.serializeRequest(spans)!, DEFAULT_LIMITS);
  expect(decode(converted)).toEqual(decode(bytes));
});
