// The parser against the printer on random trees, and against random, mutated and hostile text.
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lenientCondition } from "../../src/traceql/lenient.ts";
import { parseQuery } from "../../src/traceql/parse.ts";
import { printQuery } from "../../src/traceql/print.ts";
import { QueryParser } from "../../src/traceql/query-parser.ts";
import { isAppError } from "../../src/util/errors.ts";
import { arbQuery, withoutPositions } from "../support/traceql-ast.ts";
import { arbMutatedQuery, PIECES } from "../support/traceql-mutations.ts";

test("parse(print(query)) is the query", () => {
  fc.assert(
    fc.property(arbQuery, (query) => {
      const text = printQuery(query);
      const read = new QueryParser(text).query();
      expect({ text, query: withoutPositions(read) }).toEqual({ text, query: withoutPositions(query) });
    }),
    { numRuns: 2000 },
  );
});

/** What becomes of a text. Throws what is thrown in place of a refusal. */
function fate(text: string): "accepted" | "refused" | "changed by printing" {
  survivesLeniently(text);
  try {
    const query = parseQuery(text);
    const printed = parseQuery(printQuery(query));
    return isDeepStrictEqual(withoutPositions(printed), withoutPositions(query))
      ? "accepted"
      : "changed by printing";
  } catch (error) {
    if (isAppError(error) && error.kind === "invalid_argument") return "refused";
    throw error;
  }
}

function survivesLeniently(text: string): void {
  try {
    lenientCondition(text);
  } catch (error) {
    if (!isAppError(error) || !error.message.startsWith("maximum condition groups")) throw error;
  }
}

test("mutated queries are accepted or refused, never more", () => {
  let accepted = 0;
  let runs = 0;
  fc.assert(
    fc.property(arbMutatedQuery, (text) => {
      runs++;
      const what = fate(text);
      if (what === "accepted") accepted++;
      expect(`${what}: ${text}`).not.toMatch(/^changed/);
    }),
    { numRuns: 5000 },
  );
  expect(accepted).toBeGreaterThan(runs / 20);
  expect(accepted).toBeLessThan(runs);
});

test("random text is accepted or refused, never more", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }), (pieces) => {
      expect(["accepted", "refused"]).toContain(fate(pieces.join("")));
      expect(["accepted", "refused"]).toContain(fate(`{ ${pieces.join(" ")} }`));
    }),
    { numRuns: 2000 },
  );
});

/** Texts as long as a query may be. */
const LENGTH = 128 * 1024;

function filled(prefix: string, part: string, suffix = ""): string {
  const count = Math.floor((LENGTH - prefix.length - suffix.length) / part.length);
  return prefix + part.repeat(count) + suffix;
}

/** Objects in the tree. */
function nodesOf(node: unknown): number {
  if (typeof node !== "object" || node === null) return 0;
  const own = Array.isArray(node) ? 0 : 1;
  return Object.values(node).reduce((sum: number, value) => sum + nodesOf(value), own);
}

describe("hostile texts", () => {
  test.each([
    ["parentheses", filled("", "(")],
    ["parentheses that close", "(".repeat(LENGTH / 2 - 1) + "{}" + ")".repeat(LENGTH / 2 - 1)],
    ["parentheses in a filter", `{${"(".repeat(65_000)}.a${")".repeat(65_000)}}`],
    ["not", filled("{ ", "!", ".a }")],
    ["minus", filled("{ ", "- ", ".a = 1 }")],
    ["minus of a scalar", filled("", "- ", "count() = 1")],
    ["powers", filled("{ .a", " ^ .a", " = 1 }")],
    ["powers of numbers", filled("{ 9", "^9", " = 1 }")],
    ["sums", filled("{ .a", " + .a", " = 1 }")],
    ["comparisons", filled("{ .a", " = .a", "}")],
    ["changing operators", filled("{ .a", " && .a || .a", "}")],
    ["relations", filled("{}", ">{}")],
    ["changing combinations", filled("{}", "&&{}||{}")],
    ["groups", filled("{", "(.a||", "}")],
    ["unclosed strings", filled("{ .a = ", '"')],
    ["escapes", filled('{ .a = "', String.raw`\xff`, '" }')],
    ["digits", filled("{ .a = ", "9", "}")],
    ["digits of a duration", filled("{ .a = ", "9", "s}")],
    ["segments of a duration", filled("{ .a = ", "1s", "}")],
    ["a word", filled("{ ", "a", "}")],
    ["comments", filled("", "/**/", "{}")],
    ["newlines", filled("{ .a = ]", "\n")],
    ["nested pipelines", filled("", "({}|")],
    ["aggregates in arithmetic", filled("{} | count()", "+count()", " > 1")],
    ["metrics in arithmetic", filled("({}|rate())", "+({}|rate())")],
    ["a regex of groups", filled("{ .a =~ `", "(", "` }")],
    ["a regex of repetitions", `{ .a =~ "${"(".repeat(100)}a${"{9}){9}".repeat(100)}" }`],
    ["a regex of repeated nothing", `{ .a =~ "${"(".repeat(5)}${"){1000}".repeat(5)}" }`],
  ])("%s", (_, text) => {
    expect(["accepted", "refused"]).toContain(fate(text));
  });

  test.each([
    ["alternatives", filled("{ .a", " || .a=1", "}"), 16_000],
    ["conjunctions", filled("{ .a", "&&.b!=1", "}"), 18_000],
    ["spansets", filled("{}", "||{}"), 30_000],
    ["fields of by", filled("{} | rate() by (.a", ",.b", ")"), 40_000],
    ["fields of select", filled("{} | select(.a", ",.b", ")"), 40_000],
    ["stages", filled("{}", "|{}"), 40_000],
    ["metrics stages", filled("{}|rate()", ">1"), 60_000],
    ["hints", filled("{} with(a=1", ",a=1", ")"), 30_000],
    ["alternatives in a regex", filled("{ .a =~ `a", "|ab", "` }"), 0],
    ["one string", filled("{ .a = `", "x", "` }"), 0],
    ["one attribute", filled("{ .", "x", " }"), 0],
  ])("%s: as many as fit", (_, text, count) => {
    const query = parseQuery(text);
    expect(nodesOf(query)).toBeGreaterThan(count);
    expect(printQuery(query).length).toBeGreaterThan(LENGTH / 2);
  });

  test("too long", () => {
    const message = "TraceQL expression exceeds the configured maximum size of 131072 bytes";
    expect(() => parseQuery(`${filled("{ .a = `", "x", "` }")}  `)).toThrow(message);
    expect(() => parseQuery(`{ .a = "${"€".repeat(LENGTH / 3)}" }`)).toThrow(message);
    expect(() => parseQuery(`{ .a = "${"€".repeat(LENGTH / 3 - 10)}" }`)).not.toThrow();
  });
});
