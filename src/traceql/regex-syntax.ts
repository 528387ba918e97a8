// RE2's syntax of regular expressions, as a tree. https://github.com/google/re2/wiki/Syntax
import {
  CharSet,
  CharSetBuilder,
  DIGITS,
  MAX_CODE_POINT,
  POSIX_CLASSES,
  type Ranges,
  SPACES,
  WORDS,
} from "./char-set.ts";

/** What lies between two characters; `line` forms are those of the flag `m`. */
export type Assertion =
  | "text-start"
  | "text-end"
  | "line-start"
  | "line-end"
  | "word-boundary"
  | "no-word-boundary";

export type RegexNode =
  | { readonly kind: "empty" }
  | { readonly kind: "char"; readonly codePoint: number }
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "assertion"; readonly assertion: Assertion }
  | { readonly kind: "concat"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "alternate"; readonly branches: readonly RegexNode[] }
  /** `max` is Infinity where there is none. How greedy it is decides nothing when only the whole text may match. */
  | { readonly kind: "repeat"; readonly node: RegexNode; readonly min: number; readonly max: number };

/** Why a pattern is no regular expression. */
export class RegexFault extends Error {
  override readonly name = "RegexFault";
}

/** RE2's bound on the counts of `{n,m}`. */
const REPEAT_MAX = 1000;

/** Groups in groups: bounds the recursion here and in the compiler. */
const DEPTH_MAX = 200;

interface Flags {
  readonly fold: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
}

const NEWLINE: Ranges = [0x0a, 0x0a];

const ESCAPED_CHARACTERS: Readonly<Record<string, number>> = {
  a: 0x07,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  v: 0x0b,
};
const PERL_CLASSES: Readonly<Record<string, Ranges>> = { d: DIGITS, s: SPACES, w: WORDS };
const ASSERTION_ESCAPES: Readonly<Record<string, Assertion>> = {
  A: "text-start",
  z: "text-end",
  b: "word-boundary",
  B: "no-word-boundary",
};

const COUNT = /\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}/y;
const GROUP_NAME = /\?P?<\w+>/y;
const FLAGS = /\?([imsU]*)(-([imsU]+))?([:)])/y;
const POSIX_CLASS = /\[:(\^?)(\w+):\]/y;
const UNICODE_CLASS = /[pP](?:\{(\^?)(\w+)\}|([A-Z]))/y;
const HEX = /x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))/y;
const OCTAL = /(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/y;

class RegexParser {
  private readonly pattern: string;
  private at = 0;
  private depth = 0;
  private flags: Flags = { fold: false, multiLine: false, dotAll: false };

  constructor(pattern: string) {
    this.pattern = pattern;
  }

  parse(): RegexNode {
    const node = this.alternation();
    if (this.at < this.pattern.length) throw new RegexFault("unexpected )");
    return node;
  }

  private alternation(): RegexNode {
    const branches = [this.concatenation()];
    while (this.accept("|")) branches.push(this.concatenation());
    const [only] = branches;
    return branches.length === 1 && only !== undefined ? only : { kind: "alternate", branches };
  }

  private concatenation(): RegexNode {
    const parts: RegexNode[] = [];
    let repeated = false;
    while (this.at < this.pattern.length && !this.startsWith("|") && !this.startsWith(")")) {
      const start = this.at;
      const count = this.repetition();
      if (count === undefined) {
        this.element(parts);
        repeated = false;
        continue;
      }
      const operator = this.pattern.slice(start, this.at);
      if (repeated) throw new RegexFault(`invalid nested repetition operator: ${operator}`);
      const node = parts.pop();
      if (node === undefined) throw new RegexFault(`missing argument to repetition operator: ${operator}`);
      parts.push({ kind: "repeat", node, ...count });
      repeated = true;
    }
    const [only] = parts;
    if (only === undefined) return { kind: "empty" };
    return parts.length === 1 ? only : { kind: "concat", parts };
  }

  private repetition(): { min: number; max: number } | undefined {
    const char = this.pattern[this.at];
    let count: { min: number; max: number } | undefined;
    if (char === "*") count = { min: 0, max: Infinity };
    else if (char === "+") count = { min: 1, max: Infinity };
    else if (char === "?") count = { min: 0, max: 1 };
    if (count !== undefined) {
      this.at++;
    } else {
      const match = char === "{" ? this.match(COUNT) : undefined;
      if (match === undefined) return undefined;
      const [text, min = "", comma, max] = match;
      count = { min: Number(min), max: comma === undefined ? Number(min) : Number(max ?? Infinity) };
      if (count.min > REPEAT_MAX || (max !== undefined && count.max > REPEAT_MAX) || count.min > count.max) {
        throw new RegexFault(`invalid repeat count: ${text}`);
      }
    }
    this.accept("?");
    return count;
  }

  /** Adds the next element; flags and an empty quotation add nothing. */
  private element(parts: RegexNode[]): void {
    const char = this.pattern[this.at] ?? "";
    switch (char) {
      case "(":
        this.group(parts);
        return;
      case "[":
        parts.push({ kind: "set", set: this.charClass() });
        return;
      case ".":
        this.at++;
        parts.push({ kind: "set", set: new CharSet(this.flags.dotAll ? [] : NEWLINE, [], true) });
        return;
      case "^":
        this.at++;
        parts.push({ kind: "assertion", assertion: this.flags.multiLine ? "line-start" : "text-start" });
        return;
      case "$":
        this.at++;
        parts.push({ kind: "assertion", assertion: this.flags.multiLine ? "line-end" : "text-end" });
        return;
      case "\\":
        this.escape(parts);
        return;
      default:
        parts.push(this.literal(this.codePoint()));
    }
  }

  private literal(codePoint: number): RegexNode {
    if (!this.flags.fold) return { kind: "char", codePoint };
    const set = new CharSetBuilder(true);
    set.addRange(codePoint, codePoint);
    return { kind: "set", set: set.build(false) };
  }

  private group(parts: RegexNode[]): void {
    const start = this.at;
    this.at++;
    const { flags } = this;
    if (this.startsWith("?")) {
      const named = this.match(GROUP_NAME) !== undefined;
      if (!named && this.groupFlags(start)) return;
    }
    if (++this.depth > DEPTH_MAX) throw new RegexFault(`groups nest deeper than ${DEPTH_MAX} levels`);
    parts.push(this.alternation());
    this.depth--;
    if (!this.accept(")")) throw new RegexFault("missing closing )");
    this.flags = flags;
  }

  /** `(?i)` and `(?i:`; returns whether the group ends there. Of no account is `U`, which is about greed. */
  private groupFlags(start: number): boolean {
    const match = this.match(FLAGS);
    if (match === undefined) {
      throw new RegexFault(`invalid or unsupported group: ${this.pattern.slice(start, start + 4)}`);
    }
    const [, on = "", , off = "", end] = match;
    const flag = (letter: string, before: boolean): boolean =>
      (before || on.includes(letter)) && !off.includes(letter);
    this.flags = {
      fold: flag("i", this.flags.fold),
      multiLine: flag("m", this.flags.multiLine),
      dotAll: flag("s", this.flags.dotAll),
    };
    return end === ")";
  }

  private escape(parts: RegexNode[]): void {
    const char = this.pattern[this.at + 1] ?? "";
    const assertion = ASSERTION_ESCAPES[char];
    if (assertion !== undefined) {
      this.at += 2;
      parts.push({ kind: "assertion", assertion });
      return;
    }
    if (char === "Q") {
      this.quotation(parts);
      return;
    }
    const set = new CharSetBuilder(this.flags.fold);
    if (this.classEscape(set)) parts.push({ kind: "set", set: set.build(false) });
    else parts.push(this.literal(this.escapedCodePoint()));
  }

  /** `\Q…\E`: what stands between is meant as it is. */
  private quotation(parts: RegexNode[]): void {
    this.at += 2;
    while (this.at < this.pattern.length) {
      if (this.startsWith("\\E")) {
        this.at += 2;
        return;
      }
      parts.push(this.literal(this.codePoint()));
    }
  }

  private charClass(): CharSet {
    const start = this.at;
    this.at++;
    const negated = this.accept("^");
    const set = new CharSetBuilder(this.flags.fold);
    for (let first = true; first || !this.startsWith("]"); first = false) {
      if (this.at >= this.pattern.length) throw new RegexFault(`missing closing ]: ${this.excerpt(start)}`);
      if (this.posixClass(set) || this.classEscape(set)) continue;
      this.classRange(set);
    }
    this.at++;
    return set.build(negated);
  }

  private posixClass(set: CharSetBuilder): boolean {
    if (!this.startsWith("[:")) return false;
    const match = this.match(POSIX_CLASS);
    if (match === undefined) return false;
    const [text, caret, name = ""] = match;
    const ranges = POSIX_CLASSES.get(name);
    if (ranges === undefined) throw new RegexFault(`invalid character class range: ${text}`);
    set.addRanges(ranges, caret === "^");
    return true;
  }

  /** `\d`, `\PL`, `\p{Greek}` and the like. */
  private classEscape(set: CharSetBuilder): boolean {
    if (!this.startsWith("\\")) return false;
    const char = this.pattern[this.at + 1] ?? "";
    const perl = PERL_CLASSES[char.toLowerCase()];
    if (perl !== undefined) {
      this.at += 2;
      set.addRanges(perl, char !== char.toLowerCase());
      return true;
    }
    if (char !== "p" && char !== "P") return false;
    const start = this.at;
    this.at++;
    const [, caret, name, letter] = this.match(UNICODE_CLASS) ?? [];
    if (!set.addUnicode(name ?? letter ?? "", (char === "P") !== (caret === "^"))) {
      throw new RegexFault(`invalid character class range: ${this.excerpt(start)}`);
    }
    return true;
  }

  private classRange(set: CharSetBuilder): void {
    const start = this.at;
    const low = this.classCodePoint();
    let high = low;
    if (this.startsWith("-") && this.pattern[this.at + 1] !== "]" && this.at + 1 < this.pattern.length) {
      this.at++;
      high = this.classCodePoint();
    }
    if (high < low) {
      throw new RegexFault(`invalid character class range: ${this.pattern.slice(start, this.at)}`);
    }
    set.addRange(low, high);
  }

  private classCodePoint(): number {
    return this.startsWith("\\") ? this.escapedCodePoint() : this.codePoint();
  }

  private codePoint(): number {
    const codePoint = this.pattern.codePointAt(this.at) ?? 0;
    this.at += codePoint > 0xffff ? 2 : 1;
    return codePoint;
  }

  private escapedCodePoint(): number {
    const start = this.at;
    this.at++;
    if (this.at >= this.pattern.length) throw new RegexFault("trailing backslash at end of expression");
    const octal = this.match(OCTAL);
    if (octal !== undefined) return Number.parseInt(octal[0], 8);
    const hex = this.match(HEX);
    const digits = hex?.[1] ?? hex?.[2];
    if (digits !== undefined) {
      const codePoint = Number.parseInt(digits, 16);
      if (codePoint <= MAX_CODE_POINT) return codePoint;
      throw new RegexFault(`invalid escape sequence: ${this.pattern.slice(start, start + 2)}`);
    }
    const char = this.pattern[this.at] ?? "";
    this.at++;
    const escaped = ESCAPED_CHARACTERS[char];
    if (escaped !== undefined) return escaped;
    // Any ASCII punctuation may be escaped. What else has a meaning in other dialects has none here.
    if (char < "\x80" && !/[0-9A-Za-z]/.test(char)) return char.charCodeAt(0);
    throw new RegexFault(`invalid escape sequence: ${this.pattern.slice(start, start + 2)}`);
  }

  private startsWith(text: string): boolean {
    return this.pattern.startsWith(text, this.at);
  }

  private accept(char: string): boolean {
    if (!this.startsWith(char)) return false;
    this.at++;
    return true;
  }

  private match(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.at;
    const match = expression.exec(this.pattern);
    if (match === null) return undefined;
    this.at += match[0].length;
    return match;
  }

  private excerpt(start: number): string {
    return this.pattern.slice(start, start + 32);
  }
}

/** @throws RegexFault */
export function parseRegex(pattern: string): RegexNode {
  return new RegexParser(pattern).parse();
}
