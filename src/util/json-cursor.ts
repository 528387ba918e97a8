// JSON read in place, value by value, for documents whose values go straight into another buffer: nothing is built, so
// a body costs no heap and half the time of JSON.parse with its strings.
import type { ByteSource } from "./byte-source.ts";
import { AppError } from "./errors.ts";
import { hexDigit } from "./hex.ts";
import type { JsonKeys } from "./json-keys.ts";

export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

// Four bytes at once.
const ONES = 0x01010101;
const QUOTES = QUOTE * ONES;
const BACKSLASHES = BACKSLASH * ONES;
const SPACES = 0x20 * ONES;
const HIGH_BITS = 0x80808080 | 0;
/** Levels of a value that is passed over. One level is three bytes of a body and 8 of memory. */
const DEPTH_MAX = 1000;
/** Digits that 32 bits hold. */
const CHUNK_DIGITS = 9;

const ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }).map(
    ([letter, char]) => [letter.charCodeAt(0), char.charCodeAt(0)],
  ),
);
const LITERALS: ReadonlyMap<number, Uint8Array> = new Map(
  ["true", "false", "null"].map((word) => [word.charCodeAt(0), new TextEncoder().encode(word)]),
);

/** What a value is, by its first byte, for an error that must not quote it. */
export function kindOfValue(first: number): string {
  if (first === QUOTE) return "a string";
  if (first === OPEN_BRACE) return "an object";
  if (first === OPEN_BRACKET) return "an array";
  if (first === 0x6e) return "null";
  return first === 0x74 || first === 0x66 ? "a boolean" : "a number";
}

function isStringEnd(byte: number): boolean {
  return byte === QUOTE || byte === BACKSLASH || byte < 0x20;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/**
 * A position in a JSON document. Strict: whatever is read or skipped is checked to be JSON (bytes that are not UTF-8
 * pass; the reader of the text replaces them).
 *
 *     if (cursor.open(OPEN_BRACE)) do { cursor.key(); ...one value... } while (cursor.more(CLOSE_BRACE));
 *
 * Escapes are undone in place, which never needs more room: the document is used up as it is read.
 * All methods throw AppError `invalid_argument` naming the byte where the document is no JSON.
 */
export class JsonCursor {
  readonly source: ByteSource;
  readonly bytes: Uint8Array;
  pos = 0;
  /** Where the string (or key, or the text of a scalar) that was read last lies, without quotes. */
  start = 0;
  end = 0;

  constructor(source: ByteSource) {
    const { bytes } = source;
    this.source = source;
    this.bytes = bytes;
    // A byte order mark is no part of the document.
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.pos = 3;
  }

  /** The first byte of what comes next, behind white space; -1 at the end. */
  peek(): number {
    for (;;) {
      const byte = this.bytes[this.pos];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte ?? -1;
      this.pos++;
    }
  }

  isString(): boolean {
    return this.peek() === QUOTE;
  }

  isNumber(): boolean {
    const byte = this.peek();
    return isDigit(byte) || byte === 0x2d;
  }

  /** Takes the opening of an object or array. Returns false when it is empty, and takes its end. */
  open(bracket: number): boolean {
    this.#expect(bracket);
    // The closing byte of both is the opening one plus 2.
    if (this.peek() !== bracket + 2) return true;
    this.pos++;
    return false;
  }

  /** After a member: takes a comma (true) or the end of the object or array (false). */
  more(close: number): boolean {
    const byte = this.peek();
    if (byte !== COMMA && byte !== close) throw this.malformed();
    this.pos++;
    return byte === COMMA;
  }

  /** Reads a key and its colon. */
  key(): void {
    if (this.peek() !== QUOTE) throw this.malformed();
    this.string();
    const { bytes } = this;
    if (bytes[this.pos] === COLON) this.pos++;
    else this.#expect(COLON);
  }

  /** Reads a key and its colon. Returns its number in `keys`, or -1. */
  keyOf(keys: JsonKeys): number {
    const known = this.peek() === QUOTE ? keys.at(this.source, this.pos + 1) : undefined;
    if (known !== undefined) {
      this.pos += 1 + known.length;
      return known.value;
    }
    this.key();
    return keys.of(this.bytes, this.start, this.end);
  }

  /** Reads the string at the position. */
  string(): void {
    const { bytes, view } = this.source;
    const last = bytes.length - 4;
    let pos = this.pos + 1;
    this.start = pos;
    // Letters, digits and what is not ASCII go on; quote, backslash and control characters do not.
    for (; pos <= last; pos += 4) {
      const word = view.getInt32(pos, true);
      // Subtracting sets the high bit of a byte that was 0, or below a space; bytes with one of their own do not count.
      const isEnd = ((word ^ QUOTES) - ONES) | ((word ^ BACKSLASHES) - ONES) | (word - SPACES);
      const ends = isEnd & ~word & HIGH_BITS;
      if (ends === 0) continue;
      // The lowest is exact; those above it may have lent to it.
      return this.#endString(pos + ((31 - Math.clz32(ends & -ends)) >>> 3));
    }
    while (pos < bytes.length && !isStringEnd(bytes[pos] ?? 0)) pos++;
    this.#endString(pos);
  }

  /** Ends the string at the quote at `pos`, or goes on behind the backslash there. */
  #endString(pos: number): void {
    const byte = this.bytes[pos];
    if (byte === QUOTE) {
      this.end = pos;
      this.pos = pos + 1;
    } else if (byte === BACKSLASH) this.#escapedString(pos);
    else throw this.malformed(pos);
  }

  /** Reads the rest of a string from its first backslash on; what is read moves down over the escapes. */
  #escapedString(firstBackslash: number): void {
    const { bytes } = this;
    let to = firstBackslash;
    this.pos = firstBackslash;
    for (;;) {
      const byte = bytes[this.pos] ?? 0;
      if (byte === QUOTE) break;
      if (byte < 0x20) throw this.malformed();
      if (byte === BACKSLASH) to = this.#escape(to);
      else {
        bytes[to++] = byte;
        this.pos++;
      }
    }
    this.end = to;
    this.pos++;
  }

  /** Undoes the escape at the position, writing at `to`. Returns the end of what was written. */
  #escape(to: number): number {
    const { bytes } = this;
    const kind = bytes[this.pos + 1] ?? 0;
    const char = ESCAPES.get(kind);
    if (char !== undefined) {
      this.pos += 2;
      bytes[to] = char;
      return to + 1;
    }
    let unit = this.#unit();
    if (unit >= 0xd800 && unit < 0xdc00 && this.#isLowSurrogateNext()) {
      unit = 0x10000 + ((unit - 0xd800) << 10) + (this.#unit() - 0xdc00);
    }
    // A lone surrogate is no character.
    if (unit >= 0xd800 && unit < 0xe000) unit = 0xfffd;
    return putUtf8(bytes, to, unit);
  }

  /** Reads an escaped UTF-16 unit, `u` and four digits, at the position. */
  #unit(): number {
    const { bytes } = this;
    if (bytes[this.pos + 1] !== 0x75) throw this.malformed(this.pos + 1);
    let unit = 0;
    for (let i = 2; i < 6; i++) {
      const digit = hexDigit(bytes[this.pos + i] ?? 0);
      if (digit < 0) throw this.malformed(this.pos + i);
      unit = (unit << 4) | digit;
    }
    this.pos += 6;
    return unit;
  }

  #isLowSurrogateNext(): boolean {
    const { bytes, pos } = this;
    return (
      bytes[pos] === BACKSLASH &&
      bytes[pos + 1] === 0x75 &&
      ((bytes[pos + 2] ?? 0) | 0x20) === 0x64 &&
      hexDigit(bytes[pos + 3] ?? 0) >= 0xc
    );
  }

  /** Reads the number at the position; its text lies in [start, end). */
  number(): number {
    const { bytes } = this;
    const start = this.pos;
    const first = bytes[start] === 0x2d ? start + 1 : start;
    let pos = first;
    while (isDigit(bytes[pos] ?? 0)) pos++;
    this.start = start;
    this.pos = pos;
    const digits = pos - first;
    if (digits === 0 || (digits > 1 && bytes[first] === 0x30))
      throw this.malformed(first + Math.min(digits, 1));
    const next = bytes[pos] ?? 0;
    if (next === 0x2e || (next | 0x20) === 0x65 || digits > 2 * CHUNK_DIGITS) return this.#inexact();
    // Whole numbers up to 2^53 are exact as they come; the rest is for the runtime, which rounds right.
    const value = this.#decimal(first, pos);
    if (value > Number.MAX_SAFE_INTEGER) return this.#inexact();
    this.end = pos;
    return first === start ? value : -value;
  }

  /** The number of up to 18 digits in [start, end). Two of 32 bits: a double takes four times as long a digit. */
  #decimal(start: number, end: number): number {
    const { bytes } = this;
    let at = start;
    let upper = 0;
    let lower = 0;
    for (; at < end - CHUNK_DIGITS; at++) upper = (upper * 10 + (bytes[at] ?? 0) - 0x30) | 0;
    for (; at < end; at++) lower = (lower * 10 + (bytes[at] ?? 0) - 0x30) | 0;
    return upper * 1e9 + lower;
  }

  /** Reads the rest of a number whose whole part was read. */
  #inexact(): number {
    this.#fraction();
    this.end = this.pos;
    const text = this.bytes.subarray(this.start, Math.min(this.end, this.start + 400));
    return Number(String.fromCharCode(...text));
  }

  #fraction(): void {
    const { bytes } = this;
    if (bytes[this.pos] === 0x2e) {
      this.pos++;
      this.#digits();
    }
    if (((bytes[this.pos] ?? 0) | 0x20) !== 0x65) return;
    this.pos++;
    const sign = bytes[this.pos];
    if (sign === 0x2b || sign === 0x2d) this.pos++;
    this.#digits();
  }

  #digits(): void {
    const start = this.pos;
    while (isDigit(this.bytes[this.pos] ?? 0)) this.pos++;
    if (this.pos === start) throw this.malformed();
  }

  /** Passes over a string, number, `true`, `false` or `null`; its text lies in [start, end). */
  scalar(): void {
    const first = this.peek();
    if (first === QUOTE) return this.string();
    const word = LITERALS.get(first);
    if (word === undefined) return void this.number();
    this.start = this.pos;
    for (const byte of word) {
      if (this.bytes[this.pos] !== byte) throw this.malformed();
      this.pos++;
    }
    this.end = this.pos;
  }

  /** Passes over any value of up to 1000 levels, without recursion. */
  skip(): void {
    const first = this.peek();
    if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return this.scalar();
    const closers: number[] = [];
    do {
      const bracket = this.peek();
      if (bracket !== OPEN_BRACE && bracket !== OPEN_BRACKET) this.scalar();
      else if (this.open(bracket)) {
        if (closers.length === DEPTH_MAX) throw this.#tooDeep();
        closers.push(bracket + 2);
        if (bracket === OPEN_BRACE) this.key();
        continue;
      }
      while (closers.length > 0 && !this.more(closers.at(-1) ?? 0)) closers.pop();
      if (closers.at(-1) === CLOSE_BRACE) this.key();
    } while (closers.length > 0);
  }

  /** Checks that nothing follows. */
  finish(): void {
    if (this.peek() !== -1) throw this.malformed();
  }

  #expect(byte: number): void {
    if (this.peek() !== byte) throw this.malformed();
    this.pos++;
  }

  #tooDeep(): AppError {
    return new AppError(
      "invalid_argument",
      `JSON nested deeper than ${DEPTH_MAX} levels at byte ${this.pos}`,
    );
  }

  malformed(at: number = this.pos): AppError {
    const where = at < this.bytes.length ? ` at byte ${at}` : `: it ends at byte ${this.bytes.length}`;
    return new AppError("invalid_argument", `malformed JSON${where}`);
  }
}

/** Writes a code point at `to`. Returns the end. */
function putUtf8(bytes: Uint8Array, to: number, code: number): number {
  let at = to;
  if (code < 0x80) bytes[at++] = code;
  else {
    if (code < 0x800) bytes[at++] = 0xc0 | (code >> 6);
    else {
      if (code < 0x10000) bytes[at++] = 0xe0 | (code >> 12);
      else {
        bytes[at++] = 0xf0 | (code >> 18);
        bytes[at++] = 0x80 | ((code >> 12) & 63);
      }
      bytes[at++] = 0x80 | ((code >> 6) & 63);
    }
    bytes[at++] = 0x80 | (code & 63);
  }
  return at;
}
