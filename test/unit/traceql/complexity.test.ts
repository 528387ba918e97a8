// What a query may ask for: at each limit and one past it.
import { describe, expect, test } from "vitest";
import {
  COMPLEXITY_LIMITS,
  checkComplexity,
  type ComplexityLimits,
} from "../../../src/traceql/complexity.ts";
import { CONDITIONS_MAX } from "../../../src/traceql/engine/conditions/condition.ts";
import { compileMetrics } from "../../../src/traceql/engine/metrics/plan.ts";
import { compileSearch } from "../../../src/traceql/engine/search.ts";
import { parseQuery } from "../../../src/traceql/parse.ts";

function list(count: number, part: (index: number) => string, separator: string): string {
  return Array.from({ length: count }, (_, index) => part(index)).join(separator);
}

const QUERIES: readonly (readonly [keyof ComplexityLimits, (count: number) => string])[] = [
  ["fields", (count) => `{ ${list(count, (i) => `.a${i} = 1`, " && ")} }`],
  ["fields", (count) => list(count, (i) => `{ span.a${i} = 1 }`, " || ")],
  ["fields", (count) => `{ } | ${list(count / 4, (i) => `by(.a${i} + .b${i} + .c${i} + .d${i})`, " | ")}`],
  ["listedFields", (count) => `{ } | rate() by (${list(count, () => "name", ", ")})`],
  ["listedFields", (count) => `{ } | select(${list(count, () => "name", ", ")})`],
  ["filters", (count) => list(count, () => "{ }", " || ")],
  ["filters", (count) => `${list(count, () => "{ }", " && ")} | rate()`],
  ["regexes", (count) => `{ ${list(count, (i) => `name =~ "${i}"`, " || ")} }`],
  ["stages", (count) => list(count, () => "{ }", " | ")],
  ["stages", (count) => `{ }${" | by(name)".repeat(count - 1)}`],
  ["stages", (count) => `{ } | rate()${" > 1".repeat(count - 1)}`],
  ["aggregates", (count) => list(count / 2, () => "count() > min(duration)", " | ")],
  ["quantiles", (count) => `{ } | quantile_over_time(duration, ${list(count, () => "0.5", ", ")})`],
];

function compile(text: string): void {
  const query = parseQuery(text);
  if (query.kind === "search") compileSearch(query);
  else compileMetrics(query);
}

describe("a query may have", () => {
  test.each(QUERIES.map(([what, make]) => [what, make(3).slice(0, 60), make] as const))(
    "so many %s and no more: %s",
    (what, _, make) => {
      const limit = COMPLEXITY_LIMITS[what];
      expect(() => compile(make(limit))).not.toThrow();
      const step = make(limit + 1) === make(limit) ? 4 : 1;
      const past = make(limit + (what === "aggregates" ? 2 : step));
      expect(() => compile(past)).toThrow(
        expect.objectContaining({
          kind: "invalid_argument",
          message: expect.stringContaining(`more than ${limit} `),
        }),
      );
    },
  );

  test("as many alternatives as there is room for", () => {
    const text = `{ ${list(10_000, (i) => `.a=${i}`, "||")} }`;
    expect(() => compile(text)).not.toThrow();
    expect(() => checkComplexity(parseQuery(text))).not.toThrow();
    for (const [op, join] of [
      ["=", " || "],
      ["!=", " && "],
    ] as const) {
      const texts = list(2_000, (i) => `span.a ${op} ${i}.5 ${join} span.b ${op} "x${i}"`, join);
      expect(() => compile(`{ ${texts} }`)).not.toThrow();
    }
  });

  test("so many other conditions in a filter and no more", () => {
    const ranges = (count: number): string => `{ ${list(count, (i) => `duration > ${i}`, " || ")} }`;
    expect(() => compile(ranges(CONDITIONS_MAX))).not.toThrow();
    expect(() => compile(ranges(CONDITIONS_MAX + 1))).toThrow(/more than 1024 conditions/);
    const half = list(CONDITIONS_MAX / 2, (i) => `duration > ${i}`, " || ");
    expect(() => compile(`{ (${half}) && (${half}) }`)).not.toThrow();
    expect(() => compile(`{ (${half}) && (${half}) && kind = server }`)).toThrow(/more than 1024 conditions/);
  });
});
