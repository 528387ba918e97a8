import { describe, expect, test } from "vitest";
import type { FieldExpression, Literal } from "../../../src/traceql/ast.ts";
import { parseCondition, parseField, parseQuery } from "../../../src/traceql/parse.ts";
import { printField, printQuery } from "../../../src/traceql/print.ts";
import { withoutPositions } from "../../support/traceql-ast.ts";

/** The tree of operators, each in parentheses. */
function tree(node: FieldExpression): string {
  switch (node.kind) {
    case "literal":
      return node.type === "nil" ? "nil" : String(node.value);
    case "attribute":
    case "intrinsic":
      return printField(node);
    case "unary":
      return `(${node.op} ${tree(node.operand)})`;
    case "regex":
      return `(${node.op} ${tree(node.operand)} ${node.pattern})`;
    case "arithmetic":
    case "comparison":
      return `(${node.op} ${tree(node.left)} ${tree(node.right)})`;
    case "logical":
      return `(${node.op} ${node.operands.map((operand) => tree(operand)).join(" ")})`;
  }
}

describe("precedence between braces", () => {
  test.each([
    [".a || .b && .c", "(&& (|| .a .b) .c)"],
    [".a && .b || .c && .d", "(&& (|| (&& .a .b) .c) .d)"],
    [".a || (.b && .c)", "(|| .a (&& .b .c))"],
    [".a && (.b && (.c && .d)) && .e", "(&& .a .b .c .d .e)"],
    ["(.a || .b) || .c || (.d && .e)", "(|| .a .b .c (&& .d .e))"],
    [".a = .b = .c", "(= (= .a .b) .c)"],
    [".a = .b && .c < .d", "(&& (= .a .b) (< .c .d))"],
    [".a + .b < .c - .d", "(< (+ .a .b) (- .c .d))"],
    [".a - .b - .c = 0", "(= (- (- .a .b) .c) 0)"],
    [".a + .b * .c = 0", "(= (+ .a (* .b .c)) 0)"],
    [".a / .b * .c % .d = 0", "(= (% (* (/ .a .b) .c) .d) 0)"],
    [".a * .b ^ .c = 0", "(= (* .a (^ .b .c)) 0)"],
    [".a ^ .b ^ .c = 0", "(= (^ .a (^ .b .c)) 0)"],
    ["(.a ^ .b) ^ .c = 0", "(= (^ (^ .a .b) .c) 0)"],
    ["-.a * .b = 0", "(= (- (* .a .b)) 0)"],
    ["-.a + .b = 0", "(= (+ (- .a) .b) 0)"],
    [".a * -.b * .c = 0", "(= (* .a (- (* .b .c))) 0)"],
    ["-.a ^ .b = 0", "(= (- (^ .a .b)) 0)"],
    ["!.a = .b", "(= (! .a) .b)"],
    ["!.a && .b", "(&& (! .a) .b)"],
    ["!(.a = .b)", "(! (= .a .b))"],
    [".a =~ `x` && .b !~ `y`", "(&& (=~ .a x) (!~ .b y))"],
  ])("%s", (text, expected) => {
    expect(tree(parseCondition(text))).toBe(expected);
  });
});

describe("literals", () => {
  function literal(text: string): Literal {
    const condition = parseCondition(`.a = ${text}`);
    if (condition.kind !== "comparison" || condition.right.kind !== "literal") throw new Error("no literal");
    return condition.right;
  }

  test.each([
    ["5", "int", 5n],
    ["-5", "int", -5n],
    ["maxInt", "int", 9_223_372_036_854_775_807n],
    ["minInt", "int", -9_223_372_036_854_775_808n],
    ["1.5", "float", 1.5],
    ["3.0", "float", 3],
    [".5", "float", 0.5],
    ["1e3", "float", 1000],
    ["1.5s", "duration", 1_500_000_000n],
    ["1h30m", "duration", 5_400_000_000_000n],
    ["100ms", "duration", 100_000_000n],
    ["10µs", "duration", 10_000n],
    ["1.000000001s", "duration", 1_000_000_001n],
    ["0.1ns", "duration", 0n],
    ["1d", "duration", 86_400_000_000_000n],
    ["1y1w1d", "duration", 373n * 86_400_000_000_000n],
    ["0s", "duration", 0n],
    ['"a\\nb"', "string", "a\nb"],
    [String.raw`"\x41\101\u00e9\U0001F600"`, "string", "AAé\u{1F600}"],
    [String.raw`"\xc3\xa9 \xff"`, "string", "é \ufffd"],
    ["`a\\nb`", "string", "a\\nb"],
    ["true", "bool", true],
    ["error", "status", "error"],
    ["consumer", "kind", "consumer"],
  ])("%s", (text, type, value) => {
    expect(literal(text)).toMatchObject({ type, value });
  });

  test.each([
    ["10 - 3 * 2", "int", 4n],
    ["7 / 2", "int", 3n],
    ["-7 / 2", "int", -3n],
    ["-7 % 4", "int", -3n],
    ["2 ^ 10", "int", 1024n],
    ["2 ^ 3 ^ 2", "int", 512n],
    ["2 ^ -1", "float", 0.5],
    ["-2 ^ 2", "int", -4n],
    ["(1 + 2) * 3", "int", 9n],
    ["1 / 2.0", "float", 0.5],
    ["1h / 2", "duration", 1_800_000_000_000n],
    ["1s * 1.5", "float", 1_500_000_000],
    ["maxInt + 1", "float", 2 ** 63],
    ["-minInt", "float", 2 ** 63],
    ["10s * 10s", "float", 1e20],
    ["3 ^ 100", "float", 3 ** 100],
  ])("constants are computed: %s", (text, type, value) => {
    expect(literal(text)).toMatchObject({ type, value });
  });

  test.each(["3 ^ 1000", "1e308 * 10", "1 / 0", "1 % 0.0", "1.5 / 0s"])("without a number: %s", (text) => {
    expect(() => literal(text)).toThrow(/the result is no finite number|division by zero/);
  });
});

describe("fields", () => {
  const attribute = { kind: "attribute", parent: false };

  test.each([
    [".a.b", { ...attribute, scope: "any", name: "a.b" }],
    [".a-b/c:d[0]", { ...attribute, scope: "any", name: "a-b/c:d[0]" }],
    ["span.http.status_code", { ...attribute, scope: "span", name: "http.status_code" }],
    ['resource."k8s pod".name', { ...attribute, scope: "resource", name: "k8s pod.name" }],
    [String.raw`."a\"b\\c"`, { ...attribute, scope: "any", name: String.raw`a"b\c` }],
    ["event.name", { ...attribute, scope: "event", name: "name" }],
    [".span.a", { ...attribute, scope: "any", name: "span.a" }],
    ["name", { kind: "intrinsic", name: "name", parent: false }],
    ["span:name", { kind: "intrinsic", name: "name", parent: false }],
    ["trace:rootService", { kind: "intrinsic", name: "rootServiceName", parent: false }],
    ["event:name", { kind: "intrinsic", name: "event:name", parent: false }],
    ["parent.a", { kind: "attribute", scope: "any", name: "a", parent: true }],
    ["parent.span.a", { kind: "attribute", scope: "span", name: "a", parent: true }],
    [
      "parent.resource.service.name",
      { kind: "attribute", scope: "resource", name: "service.name", parent: true },
    ],
    ["parent.name", { kind: "intrinsic", name: "name", parent: true }],
    ["parent.span:duration", { kind: "intrinsic", name: "duration", parent: true }],
    ['parent."name"', { kind: "attribute", scope: "any", name: "name", parent: true }],
    ['parent."span.a"', { kind: "attribute", scope: "any", name: "span.a", parent: true }],
    ["parent.span.name", { kind: "attribute", scope: "span", name: "name", parent: true }],
    ["parent.resource", { kind: "attribute", scope: "any", name: "resource", parent: true }],
  ])("%s", (text, field) => {
    expect(withoutPositions(parseField(text))).toEqual(field);
    expect(withoutPositions(parseField(printField(parseField(text))))).toEqual(field);
  });

  test.each([
    [
      "app.user.id",
      "failed to parse identifier app.user.id: parse error at line 1, col 1: unknown identifier: app",
    ],
    [
      "span.a b",
      'failed to parse identifier span.a b: parse error at line 1, col 8: syntax error: unexpected "b"',
    ],
    [
      "",
      "failed to parse identifier : parse error at line 1, col 1: syntax error: unexpected end of the query",
    ],
    ["5", "failed to parse identifier 5: parse error at line 1, col 1: syntax error: unexpected number"],
  ])("%j is none", (text, message) => {
    expect(() => parseField(text)).toThrow(message);
  });
});

describe("spansets, pipelines and metrics in their one form", () => {
  test.each([
    ["{}", "{ true }"],
    ["{.a} && {.b} || {.c}", "({ .a } && { .b }) || { .c }"],
    ["{.a} || {.b} && {.c}", "({ .a } || { .b }) && { .c }"],
    ["{.a} && ({.b} && {.c})", "{ .a } && { .b } && { .c }"],
    ["{.a} >> {.b} && {.c} > {.d}", "{ .a } >> { .b } && { .c } > { .d }"],
    ["{.a} >> ({.b} !~ {.c})", "{ .a } >> ({ .b } !~ { .c })"],
    ["({.a} &> {.b}) << {.c}", "{ .a } &> { .b } << { .c }"],
    ["({.a} | {.b}) | ({.c} | count()>1)", "{ .a } | { .b } | { .c } | count() > 1"],
    ["(({.a}))", "{ .a }"],
    ["({.a} | count() > 1) && (by(.b))", "({ .a } | count() > 1) && (by(.b))"],
    ["count() * -2 < -sum(.a) ^ 2", "count() * -2 < -sum(.a) ^ 2"],
    ["-count() * 2 < 1", "-count() * 2 < 1"],
    ["-(count() * 2) < 1", "-(count() * 2) < 1"],
    ["({} | rate()) > 10", "{ true } | rate() > 10"],
    ["(({} | rate()) > 1) | topk(3)", "{ true } | rate() > 1 | topk(3)"],
    ["(({} | rate())) * 3 * 2 > 1 / 2", "({ true } | rate()) * 3 * 2 > 0"],
    ["1 + 2 * 3 - ({} | rate())", "7 - ({ true } | rate())"],
    ["-20 / ({}|rate()) - 1", "-20 / ({ true } | rate()) - 1"],
    ["({}|rate()>6) * 100 | topk(5)", "({ true } | rate() > 6) * 100 | topk(5)"],
    ["{} | compare({})", "{ true } | compare({ true }, 10)"],
    ["{} | rate() by (name,.a)with(b=1)", "{ true } | rate() by(name, .a) with(b=1)"],
  ])("%s", (text, printed) => {
    expect(printQuery(parseQuery(text))).toBe(printed);
  });

  test("relations and forms", () => {
    const query = parseQuery("{ .a } !<< { .b }");
    expect(withoutPositions(query)).toMatchObject({
      kind: "search",
      pipeline: { stages: [{ kind: "structural", relation: "<<", form: "negated" }] },
      hints: [],
    });
  });

  test("positions are those of operators and first characters", () => {
    const query = parseQuery("{ .a = 1 }\n >> { name =~ `x` } | rate()");
    expect(query).toMatchObject({
      at: 0,
      expression: {
        at: 33,
        source: {
          stages: [
            { at: 12, left: { at: 0, condition: { at: 5 } }, right: { at: 15, condition: { at: 22 } } },
          ],
        },
      },
    });
  });
});

describe("what is wrong, and where", () => {
  test.each([
    ["{ .a = }", 'parse error at line 1, col 8: syntax error: unexpected "}"'],
    ["{ .a = 1", 'parse error at line 1, col 9: syntax error: unexpected end of the query, expected "}"'],
    ["{ .a = 1 }\n{ .b }", 'parse error at line 2, col 1: syntax error: unexpected "{"'],
    [
      "{ .\u{1F600} = 'x' }",
      'parse error at line 1, col 8: syntax error: unexpected a single quote: strings stand in "…" or `…`',
    ],
    ["{ app = 1 }", "parse error at line 1, col 3: unknown identifier: app"],
    ["{} | median(.a) > 1", "parse error at line 1, col 6: unknown identifier: median"],
    [
      String.raw`{ .a = "\." }`,
      String.raw`parse error at line 1, col 9: invalid char escape: a backslash is written \\`,
    ],
    [
      "{ .a = 1.5d }",
      'parse error at line 1, col 8: invalid duration "1.5d": days and longer units are whole numbers',
    ],
    ["{} | count()", "parse error at line 1, col 6: an aggregate is no stage: compare it with a number"],
    [
      "count() > 1 && {}",
      "parse error at line 1, col 9: && combines sets of spans, not a stage of a pipeline; put the comparison into parentheses",
    ],
    ["{ .a } + { .b }", "parse error at line 1, col 1: + needs numbers, not a set of spans"],
    [
      "{ 1 + 1 }",
      "validation error at line 1, col 5: span filter field expressions must resolve to a boolean: { 2 }",
    ],
    [
      "{ name = 1 }",
      "validation error at line 1, col 8: binary operations must operate on the same type: name = 1",
    ],
    [
      "{ status > ok }",
      "validation error at line 1, col 10: illegal operation for the given types: status > ok",
    ],
    [
      "{ name = nil }",
      "validation error at line 1, col 3: name = nil is not valid because intrinsics cannot be nil",
    ],
    ["{ name =~ `[` }", "validation error at line 1, col 8: invalid regex: missing closing ]: ["],
    ["{ name =~ .a }", "validation error at line 1, col 11: =~ needs a string literal on its right"],
    ["{ .a = 1 / 0 }", "validation error at line 1, col 10: division by zero"],
    [
      "{} | by(1)",
      "validation error at line 1, col 9: grouping field expressions must reference the span: 1",
    ],
    [
      "{} | max(name) > 1",
      "validation error at line 1, col 10: aggregate field expressions must resolve to a number type: max(name)",
    ],
    ["{} | rate() | topk(0)", "validation error at line 1, col 15: topk() needs a number of series above 0"],
    [
      "{} | compare({}) > 1",
      "validation error at line 1, col 6: `compare()` cannot be used with second stage functions or arithmetic",
    ],
    [
      "{} | max_over_time(name)",
      "validation error at line 1, col 20: max_over_time() needs numbers: name is of type string",
    ],
    [
      "{ parent }",
      "unsupported at line 1, col 3: parent without a field is not supported; parent.span:id and the like are",
    ],
    [
      "({} | count()) > 1",
      "unsupported at line 1, col 7: an aggregate of a parenthesized pipeline is not supported",
    ],
    [`{ ${"(".repeat(200)}`, "parse error at line 1, col 132: nested deeper than 128 levels"],
  ])("%s", (text, message) => {
    expect(() => parseQuery(text)).toThrow(`invalid TraceQL query: ${message}`);
    expect(() => parseQuery(text)).toThrow(expect.objectContaining({ kind: "invalid_argument" }));
  });
});
