// What the property tests of the tracers' formats share: random values, and results in a form to compare.
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import type { NormalSpan } from "./normal-span.ts";
import { normalizeTracesData } from "./normal-span.ts";

export const RUNS = 300;

/** The spans of a result, by the generated decoder; what is stored must pass the walk as well. */
export function decode({ traces }: Converted): NormalSpan[] {
  walkBatch(traces, DEFAULT_LIMITS);
  return normalizeTracesData(fromBinary(TracesDataSchema, traces));
}

/** Spans in an order that does not depend on that of their batches. */
export function sorted(spans: readonly Partial<NormalSpan>[]): string[] {
  return spans.map((span) => JSON.stringify(span)).sort();
}

/** Of each span the members that `like` has, in its order. */
export function picked(spans: readonly NormalSpan[], like: Partial<NormalSpan>): Partial<NormalSpan>[] {
  return spans.map(
    (span) =>
      Object.fromEntries(
        Object.keys(like).map((key) => [key, span[key as keyof NormalSpan]]),
      ) as Partial<NormalSpan>,
  );
}

/** An id that is not zero. */
export function hexId(digits: number): fc.Arbitrary<string> {
  return fc
    .array(fc.constantFrom(..."0123456789abcdef".split("")), { minLength: digits, maxLength: digits })
    .map((all) => all.join(""))
    .filter((text) => /[1-9a-f]/.test(text));
}

export const words = fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => text.isWellFormed());
export const micros = fc.nat({ max: Number.MAX_SAFE_INTEGER });
/** As far as a sum of two of them is exact and fits 64 bits of nanoseconds. */
export const spanMicros = fc.integer({ min: 1, max: 2 ** 52 });
/** Keys without a place of their own, which the unit tests have one by one. No integers: objects put them first. */
export const keys = words.map((text) => `x.${text}`);
