import { describe, expect, test } from "vitest";
import { compileRegex, regexProblem } from "../../../src/traceql/regex.ts";

describe("whole texts, RE2's meaning", () => {
  test.each<[pattern: string, matching: readonly string[], others: readonly string[]]>([
    ["", [""], ["a", "\n"]],
    ["a", ["a"], ["", "aa", "ba", "ab"]],
    ["a|bc|", ["a", "bc", ""], ["abc", "b"]],
    ["(a|b)c", ["ac", "bc"], ["a", "abc"]],
    ["a.c", ["abc", "a\u{1F600}c", "a\rc"], ["a\nc", "ac"]],
    ["(?s)a.c", ["a\nc"], []],
    // To the end of its group, later alternatives included.
    ["(x|(?s)y|a.c)", ["a\nc", "abc"], []],
    ["(a.c|(?s)y)", ["abc"], ["a\nc"]],
    ["(x|(?s)y)a.c", ["yabc"], ["ya\nc"]],
    ["(?s:a.)c.", ["a\ncd"], ["a\nc\n"]],
    [".*", ["", "abc"], ["a\nb", "\n"]],
    ["ab*", ["a", "abbb"], ["b", "aba"]],
    ["ab+?", ["ab", "abb"], ["a"]],
    ["ab??", ["a", "ab"], ["abb"]],
    ["a{2}", ["aa"], ["a", "aaa"]],
    ["a{2,}", ["aa", "aaaa"], ["a"]],
    ["a{1,3}", ["a", "aaa"], ["", "aaaa"]],
    ["(ab){0}c", ["c"], ["abc"]],
    ["a{,2}", ["a{,2}"], ["a", "aa"]],
    ["a{x}{", ["a{x}{"], ["a"]],
    ["a{01}", ["a{01}"], ["a"]],
    ["[a-c]", ["a", "b", "c"], ["d", "", "ab"]],
    ["[^a-c]", ["d", "\n", "\u{1F600}"], ["a", ""]],
    ["[]a]", ["]", "a"], ["b"]],
    ["[^]a]", ["b"], ["]", "a"]],
    ["[a-]", ["a", "-"], ["b"]],
    ["[a-b-d]", ["a", "-", "d"], ["c"]],
    [String.raw`[\d\-x]`, ["5", "-", "x"], ["a"]],
    [String.raw`\d\D\w\W\s\S`, ["1a_- x"], ["1a_-\u000bx", "1a_- "]],
    [String.raw`\s`, ["\t", "\n", "\f", "\r", " "], ["\v", "\u00a0"]],
    [String.raw`\w+`, ["az_09"], ["é", "a b"]],
    ["[[:alpha:]]+", ["aZ"], ["1"]],
    ["[[:^alpha:][:upper:]]+", ["1A"], ["a"]],
    [String.raw`\pL+`, ["aéß中"], ["1"]],
    [String.raw`\p{Greek}\P{Greek}\p{^Greek}`, ["αab"], ["αβb", "aab"]],
    [String.raw`[\p{Lu}\d]`, ["É", "1"], ["é"]],
    [String.raw`\pC`, ["\u0000", "\u200b"], ["a", "\u0378"]],
    [String.raw`\x41\x{1F600}\101\07\0`, ["A\u{1F600}A\u0007\u0000"], []],
    [String.raw`\a\f\t\n\r\v\.\\\/\_`, ["\u0007\f\t\n\r\v.\\/_"], []],
    [String.raw`\Qa.b*\E+`, ["a.b*", "a.b**"], ["aXb*"]],
    [String.raw`\Qa.b`, ["a.b"], ["axb"]],
    ["(?i)straSSe", ["STRASSE", "strasse", "\u017ftra\u017fse"], ["straße"]],
    ["(?i)k[a-c]", ["K\u0041", "\u212ab"], ["l"]],
    ["(?i)[^k]", ["a"], ["k", "K", "\u212a"]],
    [String.raw`(?i)\p{Lu}`, ["a", "A"], ["1"]],
    [String.raw`(?i)\P{Lu}`, ["1"], ["a", "A"]],
    ["a(?i)b(?-i)c", ["abc", "aBc"], ["Abc", "abC"]],
    ["(?i:a)b", ["Ab"], ["AB"]],
    ["(?U)a+", ["aaa"], ["b"]],
    ["(?P<x>a)(?<x>b)(?:c)", ["abc"], []],
    ["^a$", ["a"], ["a\n"]],
    ["a^b", [], ["ab", "a\nb"]],
    ["(?m)a$\n^b", ["a\nb"], ["ab"]],
    ["(?m)^$(\n^$)*", ["", "\n\n"], ["a"]],
    ["a$\n^b", [], ["a\nb"]],
    [String.raw`\Aa\z`, ["a"], ["a\n"]],
    [String.raw`\ba\b \b\w+\b`, ["a bc"], ["a  "]],
    [String.raw`a\b.*`, ["a", "a b"], ["ab", "aé_"].slice(0, 1)],
    [String.raw`a\Bb`, ["ab"], []],
    [String.raw`é\bx`, ["éx"], []],
    ["(a*)*", ["", "aaa"], ["b"]],
    ["(a|b*)+c", ["c", "abbac"], ["ab"]],
    ["((((a))))", ["a"], ["((((a))))"]],
    ["\u{1F600}+", ["\u{1F600}\u{1F600}"], ["\ud83d"]],
    ["(|a)(^|b)(|$)", ["", "a", "ab"].filter((text) => text !== "a"), ["b b"]],
  ])("%j", (pattern, matching, others) => {
    const regex = compileRegex(pattern);
    expect(matching.filter((text) => !regex.matches(text))).toEqual([]);
    expect(others.filter((text) => regex.matches(text))).toEqual([]);
  });
});

describe("what is refused", () => {
  test.each([
    ["[", "missing closing ]: ["],
    ["[a", "missing closing ]: [a"],
    ["[]", "missing closing ]: []"],
    ["(a", "missing closing )"],
    ["a)", "unexpected )"],
    ["*", "missing argument to repetition operator: *"],
    ["a|*", "missing argument to repetition operator: *"],
    ["(+)", "missing argument to repetition operator: +"],
    ["a**", "invalid nested repetition operator: *"],
    ["a???", "invalid nested repetition operator: ?"],
    ["a{2}{3}", "invalid nested repetition operator: {3}"],
    ["a{1001}", "invalid repeat count: {1001}"],
    ["a{2,1}", "invalid repeat count: {2,1}"],
    ["a{1,1001}", "invalid repeat count: {1,1001}"],
    ["[z-a]", "invalid character class range: z-a"],
    [String.raw`[a-\d]`, String.raw`invalid escape sequence: \d`],
    ["[[:word2:]]", "invalid character class range: [:word2:]"],
    [String.raw`\pX`, String.raw`invalid character class range: \pX`],
    [String.raw`\p{Klingon}`, String.raw`invalid character class range: \p{Klingon}`],
    [String.raw`\p`, String.raw`invalid character class range: \p`],
    [String.raw`a\1`, String.raw`invalid escape sequence: \1`],
    [String.raw`\8`, String.raw`invalid escape sequence: \8`],
    [String.raw`\C`, String.raw`invalid escape sequence: \C`],
    [String.raw`\Z`, String.raw`invalid escape sequence: \Z`],
    [String.raw`\é`, String.raw`invalid escape sequence: \é`],
    [String.raw`\x{110000}`, String.raw`invalid escape sequence: \x`],
    [String.raw`\xg`, String.raw`invalid escape sequence: \x`],
    ["\\", "trailing backslash at end of expression"],
    ["[\\", "trailing backslash at end of expression"],
    ["(?=a)", "invalid or unsupported group: (?=a"],
    ["(?!a)", "invalid or unsupported group: (?!a"],
    ["(?<=a)b", "invalid or unsupported group: (?<="],
    ["(?x)a", "invalid or unsupported group: (?x)"],
    ["(?i-)a", "invalid or unsupported group: (?i-"],
    ["(?P<a", "invalid or unsupported group: (?P<"],
    ["((a{100}){100}){2}", "expression too large"],
    ["(".repeat(300), "groups nest deeper than 200 levels"],
  ])("%j", (pattern, problem) => {
    expect(regexProblem(pattern)).toBe(problem);
    expect(() => compileRegex(pattern)).toThrow(`invalid regex: ${problem}`);
  });

  test("a valid pattern has no problem", () => {
    expect(regexProblem("a+")).toBeUndefined();
  });
});

describe("cost", () => {
  const text = "a".repeat(20_000);

  // Engines that backtrack take a number of steps here that has thousands of digits.
  test.each([
    "(a*)*b",
    "(a|a)*b",
    "(a+)+b",
    "(a|aa)+b",
    "(.*a){20}b",
    "(a?){30}a{30}b",
    String.raw`(\w+\s?)*:`,
  ])("%s: a few states, then one look-up for each character", (pattern) => {
    const regex = compileRegex(pattern);
    expect(regex.matches(text)).toBe(false);
    expect(regex.steps).toBeLessThan(20_000);
    const { steps } = regex;
    regex.matches(text + text);
    expect(regex.steps - steps).toBeLessThan(200);
  });

  /** Letters a and b without a period. */
  function noise(length: number): string {
    let state = 1;
    return Array.from({ length }, () => {
      state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
      return (state & 0x10000) === 0 ? "a" : "b";
    }).join("");
  }

  test("2^16 states: steps stay linear to the text", () => {
    const short = compileRegex(".*a.{15}|x");
    const long = compileRegex(".*a.{15}|x");
    const letters = noise(200_000);
    const place = letters.length - 16;
    expect(short.matches(letters.slice(0, 20_000))).toBe(letters[20_000 - 16] === "a");
    expect(long.matches(letters)).toBe(letters[place] === "a");
    expect(long.steps).toBeLessThan(short.steps * 12);
    expect(long.steps).toBeLessThan(letters.length * 64);
  });

  test("a pattern that goes on for ever is stopped", () => {
    const regex = compileRegex(".*a.{900}|(.*b.{900})?.*a.{900}");
    const letters = noise(100_000);
    expect(() => {
      for (let i = 0; i < 100; i++) regex.matches(letters);
    }).toThrow('regex ".*a.{900}|(.*b.{900})?.*a.{900}" takes too many steps');
  });

  test("texts that are compared whole cost nothing", () => {
    const texts = Array.from({ length: 20_000 }, (_, i) => `/api/${i}`);
    const regex = compileRegex(texts.join("|"));
    expect(texts.every((each) => regex.matches(each))).toBe(true);
    expect(regex.matches("/api/20000")).toBe(false);
    expect(regex.steps).toBe(0);
  });
});
