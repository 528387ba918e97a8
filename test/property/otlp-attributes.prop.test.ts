// Cutting attributes against the generated decoder, over random messages in random encodings.
import { toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_TENANT_LIMITS } from "../../src/model/tenant-limits.ts";
import { cutAttributes } from "../../src/otlp/attribute-limits.ts";
import {
  type AnyValue,
  AnyValueSchema,
  type KeyValue,
} from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { arbBatch, arbTraces, decode, limitsWith } from "../support/otlp.ts";

const RUNS = 300;
const TENANT = {
  ...DEFAULT_TENANT_LIMITS,
  maxAttributeKeyBytes: 128,
  maxAttributeValueBytes: 150,
  maxAttributesPerSpan: 3,
};
/** As many as the walker looks for. */
const LOOKED_FOR = { ...TENANT, maxAttributesPerSpan: 64 };
const LIMITS = limitsWith({ tenant: LOOKED_FOR });

interface Owner {
  attributes: KeyValue[];
  droppedAttributesCount: number;
}

function ownersOf(traces: TracesData): Owner[] {
  const owners: (Owner | undefined)[] = [];
  for (const { resource, scopeSpans } of traces.resourceSpans) {
    owners.push(resource);
    for (const { scope, spans } of scopeSpans) {
      owners.push(scope);
      for (const span of spans) owners.push(span, ...span.events, ...span.links);
    }
  }
  return owners.filter((owner) => owner !== undefined);
}

function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}

/** The longest start of the text of at most so many bytes. */
function startOf(text: string, bytes: number): string {
  if (bytesOf(text) <= bytes) return text;
  let start = "";
  for (const character of text) {
    if (bytesOf(start + character) > bytes) break;
    start += character;
  }
  return start;
}

/** What a decoder would make of the owner, as far as keys, texts and the count go. */
function expected({ attributes, droppedAttributesCount }: Owner): unknown[] {
  const surplus = Math.max(0, attributes.length - TENANT.maxAttributesPerSpan);
  return [
    Math.min(droppedAttributesCount + surplus, 0xffffffff),
    attributes
      .slice(0, TENANT.maxAttributesPerSpan)
      .map(({ key, value }) => [startOf(key, 128), textOf(value, (text) => startOf(text, 150))]),
  ];
}

function found({ attributes, droppedAttributesCount }: Owner): unknown[] {
  return [droppedAttributesCount, attributes.map(({ key, value }) => [key, textOf(value, (text) => text)])];
}

/** Of another value what it is: a number stays as it is, what is in an array or list has tests of its own. */
function textOf(any: AnyValue | undefined, change: (text: string) => string): string | undefined {
  if (any?.value.case === "stringValue") return change(any.value.value);
  return any?.value.case;
}

test("cutAttributes: keys, texts and numbers as a decoder would cut them; the rest as it was", () => {
  const seen = { truncated: 0, dropped: 0, untouched: 0 };
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      const before = ownersOf(decode(bytes));
      const cut = cutAttributes(bytes, TENANT);
      expect(JSON.stringify(ownersOf(decode(cut.bytes)).map(found))).toBe(
        JSON.stringify(before.map(expected)),
      );
      const surplus = before.map(({ attributes }) => Math.max(0, attributes.length - 3));
      expect(cut.dropped).toBe(surplus.reduce((a, b) => a + b, 0));
      expect(cut.bytes === bytes).toBe(cut.truncated + cut.dropped === 0);
      seen.truncated += cut.truncated;
      seen.dropped += cut.dropped;
      seen.untouched += cut.bytes === bytes ? 1 : 0;
    }),
    { numRuns: RUNS },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
});

test("cutAttributes: the walker sees all that it would cut, accepts what it makes, and it has nothing left to cut", () => {
  fc.assert(
    fc.property(arbBatch, (bytes) => {
      const cut = cutAttributes(bytes, LOOKED_FOR);
      const summary = walkBatch(bytes, LIMITS);
      expect(cut.bytes === bytes || summary.mayExceedAttributes).toBe(true);
      const { spanCount, traceHashes } = walkBatch(cut.bytes, LIMITS);
      expect({ spanCount, traceHashes }).toEqual({
        spanCount: summary.spanCount,
        traceHashes: summary.traceHashes,
      });
      const again = cutAttributes(cut.bytes, LOOKED_FOR);
      expect([again.bytes === cut.bytes, again.truncated, again.dropped]).toEqual([true, 0, 0]);
    }),
    { numRuns: RUNS },
  );
});

test("cutAttributes: a value of any kind is cut to the limit, give or take its own tag and length", () => {
  fc.assert(
    fc.property(arbTraces, (traces) => {
      const cut = cutAttributes(toBinary(TracesDataSchema, traces), TENANT);
      const sizes = ownersOf(decode(cut.bytes)).flatMap(({ attributes }) =>
        attributes.map(({ value }) => (value === undefined ? 0 : toBinary(AnyValueSchema, value).length)),
      );
      expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(150 + 3);
    }),
    { numRuns: RUNS },
  );
});
