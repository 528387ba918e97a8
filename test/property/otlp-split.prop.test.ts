// The split of a batch against the generated decoder, over random messages in random encodings.
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import {
  type Span,
  SpanSchema,
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { dropRejectedSpans } from "../../src/otlp/rewrite.ts";
import { splitByShard } from "../../src/otlp/split.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { shardOfHash, traceHash } from "../../src/util/hash.ts";
import { makeGenerator } from "../support/generator.ts";
import {
  arbBatch,
  batchOf,
  decode,
  encode,
  limitsWith,
  SPAN_ID,
  spansOf,
  spanWith,
} from "../support/otlp.ts";
import { spanBag } from "../support/span-bag.ts";

const RUNS = 300;
const arbCount = fc.constantFrom(1, 2, 4, 8, 64);

function isId(id: Uint8Array, length: number): boolean {
  return id.length === length && id.some((byte) => byte !== 0);
}

function isValid(span: Span): boolean {
  return isId(span.traceId, 16) && isId(span.spanId, 8);
}

/** The decoded message with only the wanted spans, and only the groups that have some. */
function filterDecoded(traces: TracesData, wanted: (span: Span) => boolean): TracesData {
  const resourceSpans = traces.resourceSpans
    .map((group) => ({
      ...group,
      scopeSpans: group.scopeSpans
        .map((scope) => ({ ...scope, spans: scope.spans.filter(wanted) }))
        .filter((scope) => scope.spans.length > 0),
    }))
    .filter((group) => group.scopeSpans.length > 0);
  return { ...traces, resourceSpans };
}

/** Canonical bytes, as text that compares fast: equal when all fields, unknown ones too, are equal. */
function canonical(traces: TracesData): string {
  return Buffer.from(toBinary(TracesDataSchema, traces)).toString("latin1");
}

describe("splitByShard", () => {
  test("each part equals decode, filter, encode, unknown fields included; its facts are those of its bytes", () => {
    fc.assert(
      fc.property(arbBatch, arbCount, (bytes, count) => {
        const traces = decode(bytes);
        const parts = splitByShard(bytes, count, DEFAULT_LIMITS);
        const shards = new Set([...spansOf(traces)].filter(isValid).map((span) => shardOf(span, count)));
        expect(parts.map(({ shard }) => shard)).toEqual([...shards].sort((a, b) => a - b));
        for (const { shard, byteLength, write, ...facts } of parts) {
          const part = write();
          expect([part.length, part.buffer.byteLength]).toEqual([byteLength, byteLength]);
          expect(byteLength).toBeLessThanOrEqual(bytes.length);
          const expected = filterDecoded(traces, (span) => isValid(span) && shardOf(span, count) === shard);
          expect(canonical(decode(part))).toEqual(canonical(expected));
          const summary = walkBatch(part, DEFAULT_LIMITS);
          expect(summary.rejected).toEqual({ tooLarge: 0, traceId: 0, spanId: 0 });
          expect(summary).toMatchObject(facts);
          expect(Object.keys(facts)).toContain("traceSizes");
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("together the parts have every valid span once, byte for byte", () => {
    fc.assert(
      fc.property(arbBatch, arbCount, (bytes, count) => {
        const parts = splitByShard(bytes, count, DEFAULT_LIMITS).map((part) => part.write());
        expect(spanBag(parts)).toEqual(spanBag([dropRejectedSpans(bytes, DEFAULT_LIMITS)]));
      }),
      { numRuns: RUNS },
    );
  });

  test("works on a view into a larger buffer", () => {
    fc.assert(
      fc.property(arbBatch, fc.nat(9), (bytes, offset) => {
        const larger = new Uint8Array(bytes.length + 20).fill(0xff);
        larger.set(bytes, offset);
        const view = larger.subarray(offset, offset + bytes.length);
        const written = (batch: Uint8Array) =>
          splitByShard(batch, 4, DEFAULT_LIMITS).map((part) => Buffer.from(part.write()).toString("hex"));
        expect(written(view)).toEqual(written(bytes));
      }),
      { numRuns: 100 },
    );
  });

  test("a span larger than the limit is left out, as the walker counts it", () => {
    fc.assert(
      fc.property(arbBatch, fc.integer({ min: 20, max: 400 }), (bytes, maxSpanBytes) => {
        const limits = limitsWith({ maxSpanBytes });
        const spans = splitByShard(bytes, 4, limits).reduce((sum, part) => sum + part.spanCount, 0);
        expect(spans).toBe(walkBatch(bytes, limits).spanCount);
      }),
      { numRuns: 100 },
    );
  });

  test("unknown fields of every level are in every part; lengths that need two bytes are right", () => {
    const spans = Array.from({ length: 40 }, (_, i) =>
      spanWith({ traceId: Uint8Array.from({ length: 16 }).map((__, at) => at + i), name: "n".repeat(i * 5) }),
    );
    // Field 100, a varint, behind the children and at the top.
    const odd = Uint8Array.of(0xa0, 0x06, 7);
    const scope = concatBytes([
      framed(0x0a, new Uint8Array()),
      ...spans.map((span) => framed(0x12, spanBytes(span))),
      odd,
    ]);
    const record = concatBytes([odd, framed(0x12, scope), odd]);
    const bytes = concatBytes([odd, framed(0x0a, record), odd]);
    const parts = splitByShard(bytes, 8, DEFAULT_LIMITS);
    expect(parts.length).toBe(8);
    for (const part of parts) {
      const traces = decode(part.write());
      expect(traces.$unknown?.length).toBe(2);
      expect(traces.resourceSpans[0]?.$unknown?.length).toBe(2);
      expect(traces.resourceSpans[0]?.scopeSpans[0]?.$unknown?.length).toBe(1);
    }
  });

  test("a resource of 100 kB in each of 64 parts: the lengths tell before a byte is copied", () => {
    const spans = Array.from({ length: 640 }, (_, i) => {
      const traceId = new Uint8Array(16);
      new DataView(traceId.buffer).setUint32(0, i + 1);
      return { traceId, spanId: SPAN_ID };
    });
    const attributes = [
      { key: "k", value: { value: { case: "stringValue" as const, value: "v".repeat(100_000) } } },
    ];
    const bytes = encode({ resourceSpans: [{ resource: { attributes }, scopeSpans: [{ spans }] }] });
    const parts = splitByShard(bytes, 64, DEFAULT_LIMITS);
    expect(parts.reduce((sum, part) => sum + part.byteLength, 0)).toBeGreaterThan(6_400_000);
  });

  test("a batch without a valid span has no part", () => {
    expect(splitByShard(new Uint8Array(), 4, DEFAULT_LIMITS)).toEqual([]);
    expect(splitByShard(batchOf({ name: "no ids" }), 4, DEFAULT_LIMITS)).toEqual([]);
  });

  test("ids as tracers make them spread evenly over 64 shards", () => {
    const loads = new Uint32Array(64);
    const batch = makeGenerator({ seed: 64, spansPerTrace: 1 }).batch(20_000);
    for (const { shard, spanCount } of splitByShard(batch, 64, DEFAULT_LIMITS)) loads[shard] = spanCount;
    const sum = loads.reduce((a, b) => a + b);
    // Five standard deviations of a fair share.
    for (const load of loads) expect(Math.abs(load - sum / 64)).toBeLessThan(5 * Math.sqrt(sum / 64));
  });
});

function shardOf(span: Span, count: number): number {
  return shardOfHash(traceHash(span.traceId), count);
}

function spanBytes(init: ReturnType<typeof spanWith>): Uint8Array {
  return toBinary(SpanSchema, create(SpanSchema, init));
}

/** A length-delimited field. */
function framed(tag: number, body: Uint8Array): Uint8Array {
  const length: number[] = [];
  let rest = body.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return concatBytes([Uint8Array.of(tag, ...length, rest), body]);
}
