// String literals: "…" with escapes as in Go, and `…` as it stands.
import { QueryFault } from "./errors.ts";

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};

/** Digits and base of the escapes that give a number. `\x` and `\101` are bytes, the others code points. */
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const OCTAL = /^[0-7]{3}$/;
const HEX = /^[0-9a-fA-F]+$/;

const utf8 = new TextDecoder();

/**
 * Reads the string literal that begins at `at` with a quote or a backtick.
 * @returns its value, and the offset behind it
 */
export function readQuoted(text: string, at: number): { value: string; end: number } {
  if (text[at] === "`") {
    const end = text.indexOf("`", at + 1);
    if (end < 0) throw notTerminated(at);
    return { value: text.slice(at + 1, end), end: end + 1 };
  }
  for (let i = at + 1; i < text.length; i++) {
    const char = text[i];
    if (char === '"') return { value: text.slice(at + 1, i), end: i + 1 };
    if (char === "\n") throw notTerminated(at);
    if (char === "\\") return readEscaped(text, at, i);
  }
  throw notTerminated(at);
}

function notTerminated(at: number): QueryFault {
  return new QueryFault("parse error", at, "literal not terminated");
}

/** Goes on with a literal whose first escape is at `escape`. */
function readEscaped(text: string, at: number, escape: number): { value: string; end: number } {
  const parts = [text.slice(at + 1, escape)];
  // Bytes beyond ASCII wait here until they make up their character.
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length > 0) parts.push(utf8.decode(Uint8Array.from(bytes)));
    bytes = [];
  };
  for (let i = escape; i < text.length;) {
    const char = text[i] ?? "";
    if (char === "\n") break;
    if (char === '"') {
      flush();
      return { value: parts.join(""), end: i + 1 };
    }
    const { value, end } = char === "\\" ? readEscape(text, i) : { value: char, end: i + 1 };
    if (typeof value === "number") {
      bytes.push(value);
    } else {
      flush();
      parts.push(value);
    }
    i = end;
  }
  throw notTerminated(at);
}

/** One escape: text, or a byte as a number. */
function readEscape(text: string, at: number): { value: string | number; end: number } {
  const char = text[at + 1] ?? "";
  const simple = SIMPLE_ESCAPES[char];
  if (simple !== undefined) return { value: simple, end: at + 2 };
  const octal = text.slice(at + 1, at + 4);
  if (OCTAL.test(octal) && Number.parseInt(octal, 8) < 256) {
    return { value: Number.parseInt(octal, 8), end: at + 4 };
  }
  const length = HEX_DIGITS[char];
  const digits = text.slice(at + 2, at + 2 + (length ?? 0));
  if (length === undefined || digits.length < length || !HEX.test(digits)) throw badEscape(at);
  const code = Number.parseInt(digits, 16);
  const end = at + 2 + length;
  if (char === "x") return { value: code, end };
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw badEscape(at);
  return { value: String.fromCodePoint(code), end };
}

function badEscape(at: number): QueryFault {
  return new QueryFault("parse error", at, String.raw`invalid char escape: a backslash is written \\`);
}

/** `value` as a literal that reads as the same. */
export function quote(value: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const escaped = value.replace(/["\\\u0000-\u001f\u007f]/g, (char) => {
    if (char === '"' || char === "\\") return `\\${char}`;
    if (char === "\n") return String.raw`\n`;
    if (char === "\t") return String.raw`\t`;
    return String.raw`\x` + char.charCodeAt(0).toString(16).padStart(2, "0");
  });
  return `"${escaped}"`;
}
