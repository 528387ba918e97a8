// The walker and the rewriting against the generated decoder, over random messages in random encodings.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Span,
  SpanSchema,
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { DEFAULT_TENANT_LIMITS } from "../../src/model/tenant-limits.ts";
import { dropRejectedSpans, filterTrace } from "../../src/otlp/rewrite.ts";
import { readSpanIds, visitSpans } from "../../src/otlp/spans.ts";
import { type BatchSummary, walkBatch } from "../../src/otlp/walk.ts";
import { isAppError, messageOf } from "../../src/util/errors.ts";
import { traceHash } from "../../src/util/hash.ts";
import { toHex } from "../../src/util/hex.ts";
import { makeGenerator } from "../support/generator.ts";
import { arbBatch, arbTraces, decode, disturb, limitsWith, mutate, spansOf } from "../support/otlp.ts";
import { makeRandom } from "../support/random.ts";

const RUNS = 300;
/** Attributes of any size: cutting them has tests of its own. */
const LIMITS = limitsWith({
  tenant: { ...DEFAULT_TENANT_LIMITS, maxAttributeKeyBytes: 2 ** 24, maxAttributeValueBytes: 2 ** 24 },
});

function isId(id: Uint8Array, length: number): boolean {
  return id.length === length && id.some((byte) => byte !== 0);
}

function isValid(span: Span): boolean {
  return isId(span.traceId, 16) && isId(span.spanId, 8);
}

/** What walkBatch must say, from the decoded message. */
function summarize(traces: TracesData): BatchSummary {
  const spans = [...spansOf(traces)];
  const valid = spans.filter(isValid);
  const badTraceIds = spans.filter((span) => !isId(span.traceId, 16)).length;
  const starts = valid.map((span) => span.startTimeUnixNano);
  const ends = valid.map((span) => span.endTimeUnixNano);
  const traceHashes = Uint32Array.from(new Set(valid.map((span) => traceHash(span.traceId)))).sort();
  return {
    spanCount: valid.length,
    rejected: { tooLarge: 0, traceId: badTraceIds, spanId: spans.length - valid.length - badTraceIds },
    minStartNs: starts.reduce((a, b) => (a < b ? a : b), starts[0] ?? 0n),
    maxEndNs: ends.reduce((a, b) => (a > b ? a : b), 0n),
    implausibleStarts: 0,
    mayExceedAttributes: false,
    traceHashes,
    traceSizes: new Uint32Array(2 * traceHashes.length),
  };
}

/** The batch's spans by the wire's library: their bytes as they stand there. */
function spanBodies(bytes: Uint8Array): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  const open = (message: Uint8Array, level: number): void => {
    const reader = new BinaryReader(message);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (type !== WireType.LengthDelimited) {
        reader.skip(type, field);
        continue;
      }
      const body = reader.bytes();
      if (field !== (level === 0 ? 1 : 2)) continue;
      if (level === 2) bodies.push(body);
      else open(body, level + 1);
    }
  };
  open(bytes, 0);
  return bodies;
}

/** As `summarize`, with the sizes of traces as they are on the wire. */
function summarizeWire(bytes: Uint8Array): BatchSummary {
  const summary = summarize(decode(bytes));
  const { traceHashes, traceSizes } = summary;
  for (const body of spanBodies(bytes)) {
    const span = fromBinary(SpanSchema, body);
    if (!isValid(span)) continue;
    const at = traceHashes.indexOf(traceHash(span.traceId));
    traceSizes[at] = (traceSizes[at] ?? 0) + body.length;
    traceSizes[traceHashes.length + at] = (traceSizes[traceHashes.length + at] ?? 0) + 1;
  }
  return summary;
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

test("disturb: changes the encoding, not the known fields", () => {
  let changed = 0;
  fc.assert(
    fc.property(arbTraces, fc.nat(), (traces, seed) => {
      const plain = Buffer.from(toBinary(TracesDataSchema, traces));
      const odd = disturb(plain, seed);
      if (!plain.equals(odd)) changed++;
      const known = toBinary(TracesDataSchema, decode(odd), { writeUnknownFields: false });
      expect(plain.equals(known)).toBe(true);
    }),
    { numRuns: RUNS },
  );
  expect(changed).toBeGreaterThan(RUNS / 4);
});

test("walkBatch: agrees with the generated decoder", () => {
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      expect(walkBatch(bytes, LIMITS)).toEqual(summarizeWire(bytes));
    }),
    { numRuns: RUNS },
  );
});

test("walkBatch: reads a view into a larger buffer", () => {
  fc.assert(
    fc.property(arbBatch, fc.nat(9), (bytes, offset) => {
      const larger = new Uint8Array(bytes.length + 20).fill(0xff);
      larger.set(bytes, offset);
      const view = larger.subarray(offset, offset + bytes.length);
      expect(walkBatch(view, LIMITS)).toEqual(walkBatch(bytes, LIMITS));
    }),
    { numRuns: 100 },
  );
});

test("walkBatch: counts spans above maxSpanBytes as decode and encode would", () => {
  fc.assert(
    fc.property(arbTraces, fc.integer({ min: 20, max: 400 }), (traces, maxSpanBytes) => {
      const sizes = [...spansOf(traces)].map((span) => toBinary(SpanSchema, span).length);
      const { rejected } = walkBatch(toBinary(TracesDataSchema, traces), limitsWith({ maxSpanBytes }));
      expect(rejected.tooLarge).toBe(sizes.filter((size) => size > maxSpanBytes).length);
    }),
    { numRuns: RUNS },
  );
});

test("dropRejectedSpans: equals decode, filter, encode, unknown fields included", () => {
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      const kept = dropRejectedSpans(bytes, LIMITS);
      expect(kept.byteLength).toBe(kept.buffer.byteLength);
      const expected = filterDecoded(decode(bytes), isValid);
      expect(canonical(decode(kept))).toEqual(
        canonical(expected.resourceSpans.length === 0 ? create(TracesDataSchema) : expected),
      );
      const summary = walkBatch(kept, LIMITS);
      expect(summary).toEqual({
        ...walkBatch(bytes, LIMITS),
        rejected: { tooLarge: 0, traceId: 0, spanId: 0 },
      });
    }),
    { numRuns: RUNS },
  );
});

test("filterTrace: equals decode, filter, encode for each trace, unknown fields included", () => {
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      const traces = decode(bytes);
      const ids = new Map(
        [...spansOf(traces)].filter(isValid).map((span) => [toHex(span.traceId), span.traceId]),
      );
      for (const [hex, id] of ids) {
        const filtered = filterTrace(bytes, id)!;
        expect(filtered.byteLength).toBe(filtered.buffer.byteLength);
        const expected = filterDecoded(traces, (span) => toHex(span.traceId) === hex);
        expect(canonical(decode(filtered))).toEqual(canonical(expected));
      }
      expect(
        filterTrace(
          bytes,
          Uint8Array.from({ length: 16 }, () => 0xee),
        ),
      ).toBeUndefined();
    }),
    { numRuns: RUNS },
  );
});

test("visitSpans and readSpanIds: find every span with its ids, and groups whose fields and spans rebuild the batch", () => {
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      const traces = decode(bytes);
      const seen: unknown[] = [];
      const owners: unknown[] = [];
      visitSpans(bytes, {
        resourceSpans: (group) => {
          owners.push([group.owner !== undefined, new TextDecoder().decode(group.schemaUrl)]);
          return true;
        },
        scopeSpans: (group) => {
          owners.push([group.owner !== undefined, new TextDecoder().decode(group.schemaUrl)]);
          return true;
        },
        span(start, end) {
          const ids = readSpanIds(bytes, start, end);
          const view = new DataView(bytes.buffer, bytes.byteOffset);
          seen.push({
            traceId: bytes.slice(ids.traceIdAt, ids.traceIdAt + ids.traceIdLength),
            spanId: bytes.slice(ids.spanIdAt, ids.spanIdAt + ids.spanIdLength),
            parentSpanId: bytes.slice(ids.parentSpanIdAt, ids.parentSpanIdAt + ids.parentSpanIdLength),
            kind: ids.kind,
            startTimeUnixNano: ids.startTimeAt < 0 ? 0n : view.getBigUint64(ids.startTimeAt, true),
            endTimeUnixNano: ids.endTimeAt < 0 ? 0n : view.getBigUint64(ids.endTimeAt, true),
          });
        },
      });
      expect(seen).toEqual(
        [...spansOf(traces)].map(
          ({ traceId, spanId, parentSpanId, kind, startTimeUnixNano, endTimeUnixNano }) => ({
            traceId,
            spanId,
            parentSpanId,
            kind,
            startTimeUnixNano,
            endTimeUnixNano,
          }),
        ),
      );
      const groups: unknown[] = [];
      for (const group of traces.resourceSpans) {
        groups.push([group.resource !== undefined, group.schemaUrl]);
        for (const scope of group.scopeSpans) groups.push([scope.scope !== undefined, scope.schemaUrl]);
      }
      expect(owners).toEqual(groups);
    }),
    { numRuns: RUNS },
  );
});

/** The summary, or undefined when the walker refuses, as it must: with a place, not with a crash. */
function tryWalk(bytes: Uint8Array): BatchSummary | undefined {
  try {
    return walkBatch(bytes, LIMITS);
  } catch (error) {
    if (isAppError(error) && error.kind === "invalid_argument" && / at byte \d+$/.test(error.message))
      return undefined;
    throw error;
  }
}

/** The decoded message, or undefined when it holds text that is not UTF-8: the walker does not look (see the README). */
function tryDecode(bytes: Uint8Array): TracesData | undefined {
  try {
    return decode(bytes);
  } catch (error) {
    if (/utf-?8/i.test(messageOf(error))) return undefined;
    throw error;
  }
}

function textOf({ spanCount, rejected, minStartNs, maxEndNs, traceHashes }: BatchSummary): string {
  const { tooLarge, traceId, spanId } = rejected;
  return [spanCount, tooLarge, traceId, spanId, minStartNs, maxEndNs, ...traceHashes].join();
}

test("20,000 damaged batches: only an AppError comes out, soon, and what the walker accepts the decoder accepts", () => {
  const random = makeRandom(20_000);
  const generator = makeGenerator({ seed: 7 });
  const samples = fc.sample(arbBatch, { seed: 11, numRuns: 150 }).filter((bytes) => bytes.length < 2_000);
  const sources = [...samples, ...Array.from({ length: 40 }, () => generator.batch(1 + random.below(2)))];
  const outcomes = { accepted: 0, refused: 0, notUtf8: 0 };
  const wrong: string[] = [];
  let slowestMs = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = mutate(random.pick(sources), random);
    const start = performance.now();
    const summary = tryWalk(bytes);
    slowestMs = Math.max(slowestMs, performance.now() - start);
    if (summary === undefined) {
      outcomes.refused++;
      continue;
    }
    const kept = walkBatch(dropRejectedSpans(bytes, LIMITS), LIMITS);
    const decoded = tryDecode(bytes);
    if (decoded === undefined) outcomes.notUtf8++;
    else outcomes.accepted++;
    const agrees = decoded === undefined || textOf(summary) === textOf(summarize(decoded));
    if (kept.spanCount !== summary.spanCount || !agrees) wrong.push(toHex(bytes));
  }
  expect(wrong).toEqual([]);
  expect(outcomes.accepted).toBeGreaterThan(2_000);
  expect(outcomes.refused).toBeGreaterThan(2_000);
  expect(outcomes.notUtf8).toBeLessThan(2_000);
  // Microseconds each; the bound leaves room for a garbage collection on a busy machine.
  expect(slowestMs).toBeLessThan(500);
});
