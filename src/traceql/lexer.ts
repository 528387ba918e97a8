// A query's text as tokens, one at a time.
import type { NumberLiteral, Scope } from "./ast.ts";
import { QueryFault } from "./errors.ts";
import { readNumber } from "./numbers.ts";
import { readQuoted } from "./strings.ts";

/** Operators and punctuation; of two that begin alike, the longer one is meant. */
export type SymbolText =
  | ("{" | "}" | "(" | ")" | "," | "|")
  | ("=" | "!=" | "<" | "<=" | ">" | ">=" | "=~" | "!~" | "&&" | "||" | "!")
  | ("+" | "-" | "*" | "/" | "%" | "^")
  | (">>" | "<<" | "~" | "!>" | "!>>" | "!<" | "!<<" | "&>" | "&>>" | "&<" | "&<<" | "&~");

export type Token =
  | { readonly type: "end"; readonly at: number }
  | { readonly type: "symbol"; readonly at: number; readonly text: SymbolText }
  /** Keywords, functions, intrinsics and names of hints: `count`, `nestedSetLeft`, `span:id`. */
  | { readonly type: "word"; readonly at: number; readonly text: string }
  | { readonly type: "number"; readonly at: number; readonly literal: NumberLiteral }
  | { readonly type: "string"; readonly at: number; readonly value: string }
  | AttributeToken;

export interface AttributeToken {
  readonly type: "attribute";
  readonly at: number;
  readonly scope: Scope;
  readonly parent: boolean;
  readonly name: string;
  /** Whether any part of the name stood in quotes. */
  readonly quoted: boolean;
}

/** The scope that is named from `start` to `end`. Slices would have to be hashed, which costs more than comparing. */
function scopeAt(text: string, start: number, end: number): Scope | undefined {
  return SCOPES_BY_LENGTH[end - start]?.find((name) => text.startsWith(name, start));
}

const SCOPES_BY_LENGTH: Readonly<Record<number, readonly Scope[]>> = {
  4: ["span", "link"],
  5: ["event"],
  8: ["resource"],
  15: ["instrumentation"],
};

const SYMBOLS: readonly SymbolText[] = [
  ...(["{", "}", "(", ")", ",", "|", "=", "!=", "<", "<=", ">", ">=", "=~", "!~", "&&", "||", "!"] as const),
  ...(["+", "-", "*", "/", "%", "^"] as const),
  ...([">>", "<<", "~", "!>", "!>>", "!<", "!<<", "&>", "&>>", "&<", "&<<", "&~"] as const),
];

/** Symbols by their first two characters' codes (128 * first + second): those of one, two and three characters. */
const SINGLES: (SymbolText | undefined)[] = Array.from({ length: 128 });
const PAIRS: (SymbolText | undefined)[] = Array.from({ length: 128 * 128 });
/** The third character is the second once more. */
const TRIPLES: (SymbolText | undefined)[] = Array.from({ length: 128 * 128 });
for (const symbol of SYMBOLS) {
  const index = 128 * symbol.charCodeAt(0) + symbol.charCodeAt(1);
  if (symbol.length === 1) SINGLES[symbol.charCodeAt(0)] = symbol;
  else (symbol.length === 2 ? PAIRS : TRIPLES)[index] = symbol;
}

const QUOTE = 0x22;
const BACKTICK = 0x60;
const DOT = 0x2e;
const SLASH = 0x2f;
const COLON = 0x3a;

/** What each ASCII character may begin or be part of. */
const SPACE = 1;
const DIGIT = 2;
const LETTER = 4;
/** Ends the name of an attribute, or its unquoted part. */
const STOP = 8;
const OPERATOR = 16;
/** A symbol by itself, whatever follows. */
const ALONE = 32;
/** Makes a longer symbol of the operator before it. */
const SECOND = 64;

const CLASSES = new Uint8Array(128);
for (const char of " \t\n\v\f\r") CLASSES[char.charCodeAt(0)] = SPACE | STOP;
for (const char of "0123456789") CLASSES[char.charCodeAt(0)] = DIGIT;
for (const char of "abcdefghijklmnopqrstuvwxyz") {
  CLASSES[char.charCodeAt(0)] = LETTER;
  CLASSES[char.toUpperCase().charCodeAt(0)] = LETTER;
}
CLASSES["_".charCodeAt(0)] = LETTER;
for (const char of "=~<>&|") CLASSES[char.charCodeAt(0)] = STOP | OPERATOR | SECOND;
CLASSES["!".charCodeAt(0)] = STOP | OPERATOR;
for (const char of "{}(),^") CLASSES[char.charCodeAt(0)] = STOP | OPERATOR | ALONE;
CLASSES[QUOTE] = STOP;
for (const char of "+-*/%") CLASSES[char.charCodeAt(0)] = OPERATOR | ALONE;

const UNICODE_SPACE = /[\s\u0085]/;

function classAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code < 128) return CLASSES[code] ?? 0;
  return code >= 128 && UNICODE_SPACE.test(text.charAt(at)) ? SPACE | STOP : 0;
}

/** Whether the character at `at` can be part of an unquoted attribute name. */
export function isNameCharacter(text: string, at: number): boolean {
  return (classAt(text, at) & STOP) === 0;
}

/** Reads tokens from `text`. Faults are QueryFaults. */
export class Lexer {
  readonly text: string;
  private at: number;

  constructor(text: string, start = 0) {
    this.text = text;
    this.at = start;
  }

  /** The next token; `end` again and again at the end. */
  next(): Token {
    this.skipSpace();
    const { text, at } = this;
    if (at >= text.length) return { type: "end", at };
    const code = text.charCodeAt(at);
    const cls = classAt(text, at);
    if ((cls & LETTER) !== 0) return this.word();
    if ((cls & OPERATOR) !== 0) return this.symbol(cls);
    if ((cls & DIGIT) !== 0) return this.number();
    if (code === DOT) {
      if ((classAt(text, at + 1) & DIGIT) !== 0) return this.number();
      return this.attribute(at, at + 1, "any", false);
    }
    if (code === QUOTE || code === BACKTICK) {
      const { value, end } = readQuoted(text, at);
      this.at = end;
      return { type: "string", at, value };
    }
    throw new QueryFault("parse error", at, `syntax error: unexpected ${describeCharacter(text, at)}`);
  }

  private skipSpace(): void {
    const { text } = this;
    for (;;) {
      while ((classAt(text, this.at) & SPACE) !== 0) this.at++;
      if (text.charCodeAt(this.at) !== SLASH) return;
      const second = text[this.at + 1];
      if (second !== "/" && second !== "*") return;
      const end = second === "/" ? text.indexOf("\n", this.at) : text.indexOf("*/", this.at + 2);
      if (end < 0 && second === "*") {
        throw new QueryFault("parse error", this.at, "comment not terminated");
      }
      this.at = end < 0 ? text.length : second === "/" ? end + 1 : end + 2;
    }
  }

  private symbol(cls: number): Token {
    const { text, at } = this;
    const first = text.charCodeAt(at);
    let symbol = SINGLES[first];
    if ((cls & ALONE) === 0 && (classAt(text, at + 1) & SECOND) !== 0) {
      const second = text.charCodeAt(at + 1);
      const index = 128 * first + second;
      const triple = text.charCodeAt(at + 2) === second ? TRIPLES[index] : undefined;
      symbol = triple ?? PAIRS[index] ?? symbol;
    }
    if (symbol === undefined) {
      throw new QueryFault("parse error", at, `syntax error: unexpected ${describeCharacter(text, at)}`);
    }
    this.at += symbol.length;
    return { type: "symbol", at, text: symbol };
  }

  private number(): Token {
    const { at } = this;
    const { literal, end } = readNumber(this.text, at);
    this.at = end;
    return { type: "number", at, literal };
  }

  private word(): Token {
    const { text, at } = this;
    let end = this.wordEnd(at);
    if (text.charCodeAt(end) === DOT) {
      const scope = scopeAt(text, at, end);
      if (scope !== undefined) return this.attribute(at, end + 1, scope, false);
      if (text.startsWith("parent.", at)) return this.parentAttribute(at, end + 1);
    }
    if (text.charCodeAt(end) === COLON) end = this.wordEnd(end + 1);
    this.at = end;
    return { type: "word", at, text: text.slice(at, end) };
  }

  private wordEnd(start: number): number {
    const { text } = this;
    let end = start;
    // Beyond ASCII and beyond the end there is no class, and no letter.
    while (((CLASSES[text.charCodeAt(end)] ?? 0) & (LETTER | DIGIT)) !== 0) end++;
    return end;
  }

  /** After `parent.`: a scope and a name, or a name alone. */
  private parentAttribute(at: number, start: number): AttributeToken {
    const end = this.wordEnd(start);
    const scope = this.text.charCodeAt(end) === DOT ? scopeAt(this.text, start, end) : undefined;
    return scope === undefined
      ? this.attribute(at, start, "any", true)
      : this.attribute(at, end + 1, scope, true);
  }

  /** A name that begins at `start`; any of its parts may stand in quotes. */
  private attribute(at: number, start: number, scope: Scope, parent: boolean): AttributeToken {
    const { text } = this;
    let name = "";
    let quoted = false;
    let end = start;
    for (;;) {
      const partStart = end;
      while (end < text.length && isNameCharacter(text, end)) end++;
      name += text.slice(partStart, end);
      if (text.charCodeAt(end) !== QUOTE) break;
      const part = this.quotedName(end);
      name += part.name;
      end = part.end;
      quoted = true;
    }
    if (name === "") throw new QueryFault("parse error", at, "syntax error: an attribute needs a name");
    this.at = end;
    return { type: "attribute", at, scope, parent, name, quoted };
  }

  /** From a quote to the next: `\"` and `\\` are the only escapes, anything else stands for itself. */
  private quotedName(at: number): { name: string; end: number } {
    const { text } = this;
    let name = "";
    let partStart = at + 1;
    for (let i = partStart; i < text.length; i++) {
      const char = text[i];
      if (char === '"') return { name: name + text.slice(partStart, i), end: i + 1 };
      if (char !== "\\") continue;
      const escaped = text[i + 1];
      if (escaped !== '"' && escaped !== "\\") throw new QueryFault("parse error", i, "invalid char escape");
      name += text.slice(partStart, i);
      partStart = i + 1;
      i++;
    }
    throw new QueryFault("parse error", at, "attribute name not terminated");
  }
}

function describeCharacter(text: string, at: number): string {
  const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
  return char === "'" ? 'a single quote: strings stand in "…" or `…`' : `character ${JSON.stringify(char)}`;
}

/** A token as an error names it. */
export function describeToken(token: Token, text: string): string {
  switch (token.type) {
    case "end":
      return "end of the query";
    case "symbol":
    case "word":
      return `"${shorten(token.text)}"`;
    case "number":
      return "number";
    case "string":
      return "string";
    case "attribute":
      return `attribute ${shorten(text.slice(token.at).split(/[\s{}()=~!<>&|^,]/, 1)[0] ?? "")}`;
  }
}

const SHOWN_CHARACTERS = 64;

function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
