import { describe, expect, test } from "vitest";
import { lenientCondition } from "../../../src/traceql/lenient.ts";
import { printFieldExpression } from "../../../src/traceql/print.ts";

function read(text: string): string {
  const condition = lenientCondition(text);
  return condition === undefined ? "all" : printFieldExpression(condition);
}

describe("lenientCondition", () => {
  test.each([
    ['{ .a = "x" && span.b > 5 }', '.a = "x" && span.b > 5'],
    ['{ .a = "x" && .b = }', '.a = "x"'],
    ['{ .a = && .b != "y" && .c =~ }', '.b != "y"'],
    ['{ .a = "x" && (.b = ', '.a = "x"'],
    ['{ .a = "x" && (.b = 1 || .c = 2', '.a = "x" && (.b = 1 || .c = 2)'],
    ["{ (.a = 1 || .b = ) && .c = 2 }", ".c = 2"],
    ["{ .a = 1 || .b = }", "all"],
    ["{ .a = || .b = 1 && .c = 2 }", ".c = 2"],
    ["{ .a = 1 && .b = 2 || .c = 3 }", "(.a = 1 && .b = 2) || .c = 3"],
    ["{ (((.a = 1)) && ((.b = 2) && .c = 3)) }", ".a = 1 && .b = 2 && .c = 3"],
    ["{ (.a + 1) * 2 > .b && .c = 1 }", "(.a + 1) * 2 > .b && .c = 1"],
    ["{ .a = 1 } && { .b = 2 }", ".a = 1"],
    ["{ .a = 1 } | rate() by (name)", ".a = 1"],
    ["{.a=1", ".a = 1"],
    ["{ 2 = .b ", "2 = .b"],
    ['{ .a = "not closed', "all"],
    ['{ .a = "} && {" && .b = `||` }', '.a = "} && {" && .b = "||"'],
    [String.raw`{ .a = "\"}" && .b = 1 }`, String.raw`.a = "\"}" && .b = 1`],
    ["{ .a//b = 1 && .c = 2 // && .d = 3 }\n }", ".a//b = 1 && .c = 2"],
    ["{ /* } */ .a = 1 }", ".a = 1"],
    ['{ duration = "100ms" && span.ok = "true" && status = "error" }', 'span.ok = "true"'],
    ['{ .a =~ "[" && .b = 1 }', ".b = 1"],
    ["{ resource.service.na", "all"],
    ["{ status }", "all"],
    ["{ !(.a = 1) && .b", "!(.a = 1)"],
    ["{ true && .a = 1 }", "true && .a = 1"],
    ["{ .a = 1 && ) .b = 2 }", ".a = 1"],
    ["", "all"],
    ["{", "all"],
    ["{}", "all"],
    ["{ }", "all"],
    ["name", "all"],
    ["} {", "all"],
    ["not { .a = 1 } a query", ".a = 1"],
  ])("%s", (text, condition) => {
    expect(read(text)).toBe(condition);
  });

  test("groups of conditions are limited to 100", () => {
    const alternatives = (count: number): string =>
      Array.from({ length: count }, (_, i) => `.a = ${i}`).join(" || ");
    expect(read(`{ ${alternatives(100)} }`)).toContain(".a = 99");
    const message =
      "maximum condition groups reached (limit: 100). Reduce the number of OR conditions in the query";
    expect(() => lenientCondition(`{ ${alternatives(101)} }`)).toThrow(message);
    expect(() => lenientCondition(`{ (${alternatives(11)}) && (${alternatives(10)}) }`)).toThrow(message);
    expect(read(`{ (${alternatives(10)}) && (${alternatives(10)}) }`)).toContain(".a = 9");
    expect(read(`{ ${alternatives(100)} || .b = }`)).toBe("all");
  });
});
