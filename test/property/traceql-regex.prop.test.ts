// The automaton against the native engine, on patterns small enough for one that backtracks.
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileRegex, regexProblem } from "../../src/traceql/regex.ts";

/** One expression in both dialects: RE2's, and JavaScript's with the flag `v`. */
interface Pair {
  readonly re2: string;
  readonly native: string;
}

function same(text: string): Pair {
  return { re2: text, native: text };
}

const ATOMS: readonly Pair[] = [
  ...["a", "b", "A", "k", "K", "_", "1", "é", "ß", "σ", "\u{1F600}", String.raw`\.`, String.raw`\n`].map(
    same,
  ),
  ...["[ab]", "[^ab]", "[a-k1]", "[^A-K_]", String.raw`\d`, String.raw`\D`, String.raw`[\d_]`].map(same),
  ...[String.raw`\p{Lu}`, String.raw`\p{L}`, String.raw`\P{L}`, String.raw`[^\p{Ll}\d]`].map(same),
  { re2: ".", native: String.raw`[^\n]` },
  // Not "(?s).": a flag holds in the alternatives behind it too, which a native pattern does not say.
  { re2: "(?s:.)", native: "." },
  { re2: "[[:upper:]]", native: "[A-Z]" },
  { re2: "[[:^alpha:]]", native: "[^A-Za-z]" },
  { re2: String.raw`\pL`, native: String.raw`\p{L}` },
  { re2: String.raw`\p{Greek}`, native: String.raw`\p{Script=Greek}` },
  { re2: String.raw`\s`, native: String.raw`[\t\n\f\r ]` },
  { re2: String.raw`\w`, native: "[0-9A-Za-z_]" },
  { re2: String.raw`\x{1F600}\x41`, native: String.raw`\u{1F600}\x41` },
  { re2: String.raw`\Qa.b\E`, native: String.raw`a\.b` },
];

const ASSERTIONS: readonly Pair[] = [
  ...["^", "$", String.raw`\b`, String.raw`\B`].map(same),
  { re2: "(?m:^)", native: String.raw`(?<![^\n])` },
  { re2: "(?m:$)", native: String.raw`(?![^\n])` },
  { re2: String.raw`\A`, native: "^" },
  { re2: String.raw`\z`, native: "$" },
];

const QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{0}", "{1,3}?"];

function arbPair(atoms: readonly Pair[]): fc.Arbitrary<Pair> {
  const { pair } = fc.letrec<{ pair: Pair }>((tie) => ({
    pair: fc.oneof(
      { maxDepth: 4, depthSize: "small" },
      fc.constantFrom(...atoms),
      fc.array(tie("pair"), { minLength: 1, maxLength: 4 }).map((pairs) => ({
        re2: pairs.map(({ re2 }) => `(?:${re2})`).join(""),
        native: pairs.map(({ native }) => `(?:${native})`).join(""),
      })),
      fc.array(tie("pair"), { minLength: 2, maxLength: 3 }).map((pairs) => ({
        re2: `(${pairs.map(({ re2 }) => re2).join("|")})`,
        native: `(${pairs.map(({ native }) => native).join("|")})`,
      })),
      fc.tuple(tie("pair"), fc.constantFrom(...QUANTIFIERS)).map(([{ re2, native }, quantifier]) => ({
        re2: `(?:${re2})${quantifier}`,
        native: `(?:${native})${quantifier}`,
      })),
    ),
  }));
  return pair;
}

const CHARACTERS = Array.from("aabbABkK_1 .é\u00c9ßσςΣ\n\t\u{1F600}\u212a\u017f-");
const arbTexts = fc.array(fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 7 }), {
  minLength: 12,
  maxLength: 12,
});

function agrees(atoms: readonly Pair[], re2Prefix: string, flags: string): number {
  let matched = 0;
  fc.assert(
    fc.property(arbPair(atoms), arbTexts, ({ re2, native }, texts) => {
      const regex = compileRegex(re2Prefix + re2);
      const oracle = new RegExp(`^(?:${native})$`, flags);
      for (const characters of texts) {
        const text = characters.join("");
        const expected = oracle.test(text);
        if (expected) matched++;
        expect([re2, text, regex.matches(text)]).toEqual([re2, text, expected]);
      }
    }),
    { numRuns: 2000 },
  );
  return matched;
}

test("case counts", () => {
  expect(agrees([...ATOMS, ...ASSERTIONS], "", "vs")).toBeGreaterThan(1000);
});

test("case does not count", () => {
  // A complement with the flag i has three meanings in as many engines; RE2's has unit tests. So have word boundaries.
  const atoms = ATOMS.filter(({ native }) => !/\^|\\[DP]/.test(native) || native === String.raw`[^\n]`);
  expect(agrees(atoms, "(?i)", "vsi")).toBeGreaterThan(1000);
});

test("any text is a pattern or is refused, never more", () => {
  const pieces = [
    ...Array.from("abé.^$*+?()[]{}|\\-,:=!<>PpQEimsU019\u{1F600}\n"),
    ...String.raw`(? [[: :]] (?P< {2, \p{ \x{ [^ \Q`.split(" "),
  ];
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
      const pattern = parts.join("");
      if (regexProblem(pattern) !== undefined) return;
      accepted++;
      const regex = compileRegex(pattern);
      for (const text of ["", "a", pattern]) expect(typeof regex.matches(text)).toBe("boolean");
    }),
    { numRuns: 5000 },
  );
  expect(accepted).toBeGreaterThan(500);
});
