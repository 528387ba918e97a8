// GRAMMAR.md against the parser: the same productions, each above the method that has its name.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

function read(file: string): string {
  return readFileSync(`src/traceql/${file}`, "utf8");
}

const PRODUCTION = /^([A-Z]\w+) = .+$/gm;

test.each([
  [0, "field-parser.ts"],
  [1, "query-parser.ts"],
])("block %i is %s", (block, file) => {
  const ebnf = read("GRAMMAR.md").split("```ebnf\n")[block + 1]?.split("```")[0] ?? "";
  const productions = [...ebnf.matchAll(PRODUCTION)].map(([text, name = ""]) => ({ text, name }));
  expect(productions.length).toBeGreaterThan(8);
  const methods = [
    ...read(file).matchAll(/^ {2}\/\/ ([A-Z]\w+ = .+)\n {2}(?:private |protected )?(\w+)\(/gm),
  ];
  expect(methods.map(([, text, method]) => `${method}: ${text}`)).toEqual(
    productions.map(({ text, name }) => `${name.charAt(0).toLowerCase()}${name.slice(1)}: ${text}`),
  );
});

test("every name that a production uses is one, or a token of the table", () => {
  const grammar = read("GRAMMAR.md");
  const defined = new Set([...grammar.matchAll(PRODUCTION)].map(([, name]) => name));
  const tokens = new Set(
    [...grammar.matchAll(/^\| ([A-Z, ]+?) +\|/gm)].flatMap(([, names = ""]) => names.split(", ")),
  );
  const used = [...grammar.matchAll(PRODUCTION)].flatMap(
    ([text]) => text.replace(/"[^"]*"/g, "").match(/\b[A-Z]\w*/g) ?? [],
  );
  expect(used.filter((name) => !defined.has(name) && !tokens.has(name) && name !== "END")).toEqual([]);
});
