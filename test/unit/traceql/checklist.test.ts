// Every construct of the language, what is accepted of it and what is refused.
import { describe, expect, test } from "vitest";
import { parseQuery } from "../../../src/traceql/parse.ts";
import { printQuery } from "../../../src/traceql/print.ts";
import { isAppError } from "../../../src/util/errors.ts";
import { withoutPositions } from "../../support/traceql-ast.ts";
import {
  CHECKLIST,
  CLIENTS,
  DRILLDOWN,
  DRILLDOWN_FAULTY,
  INTRINSIC_SPELLINGS,
  WRONG_INTRINSICS,
} from "../../support/traceql-queries.ts";

function refusal(query: string): string {
  try {
    return `accepted as ${printQuery(parseQuery(query))}`;
  } catch (error) {
    if (!isAppError(error) || error.kind !== "invalid_argument") throw error;
    return error.message;
  }
}

const REFUSAL =
  /^invalid TraceQL query: (parse error|validation error|unsupported) at line \d+, col \d+: \S[^]*$/;

const ACCEPTED = CHECKLIST.filter(({ accepted }) => accepted.length > 0);
const REFUSED = CHECKLIST.flatMap(({ row, refused = [] }) => (refused.length > 0 ? [{ row, refused }] : []));

test.each(ACCEPTED)("$row: accepted", ({ accepted }) => {
  for (const query of accepted) {
    const parsed = parseQuery(query);
    const printed = withoutPositions(parseQuery(printQuery(parsed)));
    expect({ query, parsed: printed }).toEqual({ query, parsed: withoutPositions(parsed) });
  }
});

test.each(REFUSED)("$row: refused", ({ refused }) => {
  expect(refused.map(refusal).filter((message) => !REFUSAL.test(message))).toEqual([]);
});

describe("intrinsics", () => {
  test.each(INTRINSIC_SPELLINGS)("%s", (canonical, spellings, literal) => {
    for (const spelling of spellings) {
      const query = parseQuery(`{ ${spelling} = ${literal} } | select(${spelling})`);
      expect(printQuery(query)).toBe(`{ ${canonical} = ${literal} } | select(${canonical})`);
    }
  });

  test.each(WRONG_INTRINSICS)("%s is none", (name) => {
    expect(refusal(`{ ${name} = 1 }`)).toMatch(`unknown identifier: ${name}`);
  });
});

describe("clients", () => {
  test("Drilldown's queries", () => {
    expect(DRILLDOWN.length).toBeGreaterThan(300);
    for (const query of DRILLDOWN) expect(() => parseQuery(query)).not.toThrow();
  });

  test("Drilldown's faulty query is refused", () => {
    expect(refusal(DRILLDOWN_FAULTY)).toBe(
      "invalid TraceQL query: parse error at line 1, col 31: unknown identifier: undefined",
    );
  });

  test.each(CLIENTS)("%s", (query) => {
    expect(() => parseQuery(query)).not.toThrow();
  });
});
