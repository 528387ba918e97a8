// Small random traces for the engine: few values, so that queries hit, and every oddity that spans may have.
import type { PlainAttributes, PlainSpan, PlainValue } from "./oracle/trace.ts";
import { makeRandom, type Random } from "./random.ts";

export const SPANS_START = 1_700_000_000_000_000_000n;

const TEXTS = ["a", "b", "GET /", "ä😀", "", '"q\\'];
const LISTS: readonly PlainValue[] = [
  ["a", "b"],
  ["ä😀", "", "b"],
  ["a"],
  [1n, 200n],
  [0.5, 2],
  [true, false],
  [],
  [2n, "a"],
];
const ID_COUNT = 6;

function scalar(random: Random): string | bigint | number | boolean {
  switch (random.below(5)) {
    case 0:
      return random.pick([0n, 1n, 2n, 200n, 500n, -3n, 2n ** 53n + 1n, 2n ** 62n, -(2n ** 63n)]);
    case 1:
      return random.pick([0.5, 2, 0.1, -0.25, -0, 1e-9, 2 ** 53, 1e300]);
    case 2:
      return random.chance(0.5);
    default:
      return random.pick(TEXTS);
  }
}

function value(random: Random): PlainValue {
  if (random.chance(0.85)) return scalar(random);
  if (random.chance(0.2)) return null;
  return random.pick(LISTS);
}

function attributes(random: Random, keys: readonly string[]): PlainAttributes {
  return new Map(keys.filter(() => random.chance(0.4)).map((key) => [key, value(random)]));
}

function spanId(random: Random): string {
  return `00000000000000${(1 + random.below(ID_COUNT * 2)).toString(16).padStart(2, "0")}`;
}

function span(random: Random, traceId: string): PlainSpan {
  const start = SPANS_START + BigInt(random.below(60)) * 1_000_000_000n;
  const id = spanId(random);
  const resource = random.chance(0.8)
    ? new Map<string, PlainValue>([["service.name", random.pick(["shop", "cart", "pay"])]])
    : new Map<string, PlainValue>();
  for (const [key, each] of attributes(random, ["x", "region"])) resource.set(key, each);
  return {
    traceId,
    spanId: id,
    parentSpanId: random.chance(0.25) ? "" : spanId(random),
    name: random.pick(["GET", "POST", "run"]),
    // OTLP may get more kinds and statuses.
    kind: random.below(8),
    statusCode: random.below(4),
    statusMessage: random.pick(["", "", "boom"]),
    start,
    end: start + BigInt(random.below(42) - 2) * 50_000_000n,
    attributes: attributes(random, ["x", "y", "n", "rare", "flag"]),
    events: Array.from({ length: random.chance(0.3) ? 1 + random.below(2) : 0 }, () => ({
      time: start + BigInt(random.below(1000)) * 1_000_000n,
      name: random.pick(["exception", "log"]),
      attributes: attributes(random, ["x", "type"]),
    })),
    links: Array.from({ length: random.chance(0.2) ? 1 : 0 }, () => ({
      traceId: `0${random.below(3)}`.repeat(16),
      spanId: spanId(random),
      attributes: attributes(random, ["x"]),
    })),
    resource,
    scope: {
      name: random.pick(["lib", ""]),
      version: random.pick(["1.0", ""]),
      attributes: attributes(random, ["x"]),
    },
  };
}

/** Spans of a few traces, in no order. */
export function randomSpans(seed: number, count: number): PlainSpan[] {
  const random = makeRandom(seed);
  const traces = Math.max(1, Math.floor(count / 7));
  return Array.from({ length: count }, () => {
    const trace = 1 + random.below(traces);
    return span(random, trace.toString(16).padStart(32, "0"));
  });
}
