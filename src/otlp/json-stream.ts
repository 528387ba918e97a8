// OTLP JSON -> protobuf in one pass over the bytes, for JSON in the form that exporters write. It builds no text and no
// objects, which is where JSON.parse spends its time. Anything else it leaves to json.ts, which also makes the errors.
import { isUtf8 } from "../util/utf8.ts";
import { hexDigit } from "../util/hex.ts";
import type { Field } from "./json-stream-fields.ts";
import { FIELDS } from "./json-stream-fields.ts";
import { MESSAGE } from "./schema.ts";
import { varintLength } from "./wire-writer.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;
const TRUE = new TextEncoder().encode("true");
const FALSE = new TextEncoder().encode("false");
const TWO_32 = 2 ** 32;
/** Digits of a number that two exact doubles hold: ten and nine. A uint64 may have one more; json.ts reads that. */
const MAX_DIGITS = 19;

/** Bytes of the UTF-8 character for a JSON escape's letter; 0 when there is none. */
const ESCAPES = new Uint8Array(256);
for (const [letter, value] of Object.entries({
  '"': 0x22,
  "\\": 0x5c,
  "/": 0x2f,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
})) {
  ESCAPES[letter.charCodeAt(0)] = value;
}

/** All methods return false, or -1, where the input is not in the expected form; the output is then thrown away. */
class Stream {
  readonly #in: Uint8Array;
  #at = 0;
  // A field takes fewer bytes in protobuf than in JSON; the room on top is for lengths that are not yet closed.
  readonly #out: Uint8Array;
  readonly #view: DataView;
  #pos = 0;
  readonly #maxValueDepth: number;
  // The integer last read.
  #low = 0;
  #high = 0;

  constructor(body: Uint8Array, maxValueDepth: number) {
    this.#in = body;
    this.#out = new Uint8Array(body.length + 16 * (maxValueDepth + 8));
    this.#view = new DataView(this.#out.buffer);
    this.#maxValueDepth = maxValueDepth;
  }

  run(): Uint8Array | undefined {
    if (this.#space() !== OPEN_BRACE || !this.#object(MESSAGE.tracesData, 0)) return undefined;
    const isWhole = this.#space() === 0 && this.#at === this.#in.length && this.#pos <= this.#out.length;
    return isWhole ? this.#out.slice(0, this.#pos) : undefined;
  }

  /** The next byte that is no white space, 0 at the end. */
  #space(): number {
    let byte = this.#at < this.#in.length ? (this.#in[this.#at] ?? 0) : 0;
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      this.#at++;
      byte = this.#at < this.#in.length ? (this.#in[this.#at] ?? 0) : 0;
    }
    return byte;
  }

  #take(byte: number): boolean {
    const at = this.#at;
    const isNext = at < this.#in.length && this.#in[at] === byte;
    if (!isNext && this.#space() !== byte) return false;
    this.#at++;
    return true;
  }

  /** Reads the object at hand as a message. A key that is unknown or comes twice is not for us. */
  #object(type: number, depth: number): boolean {
    if (!this.#take(OPEN_BRACE)) return false;
    if (this.#take(CLOSE_BRACE)) return true;
    const fields = FIELDS[type] ?? [];
    let seen = 0;
    let index = -1;
    do {
      index = this.#key(fields, index + 1);
      const field = fields[index];
      const isTwice = (seen & (1 << index)) !== 0 || (seen !== 0 && type === MESSAGE.anyValue);
      if (field === undefined || isTwice || !this.#take(COLON) || !this.#field(field, depth)) return false;
      seen |= 1 << index;
    } while (this.#take(COMMA));
    return this.#take(CLOSE_BRACE);
  }

  /** Reads a key and finds its field, first where it is when the keys come in our order. Returns its index or -1. */
  #key(fields: readonly Field[], guess: number): number {
    if (!this.#take(QUOTE)) return -1;
    for (let i = 0; i < fields.length; i++) {
      const index = guess + i < fields.length ? guess + i : guess + i - fields.length;
      const name = fields[index]?.name;
      if (name !== undefined && this.#isNext(name)) {
        this.#at += name.length;
        return index;
      }
    }
    return -1;
  }

  #isNext(name: Uint8Array): boolean {
    const start = this.#at;
    if (name.length > this.#in.length - start) return false;
    for (let i = 0; i < name.length; i++) if (this.#in[start + i] !== name[i]) return false;
    return true;
  }

  #field(field: Field, depth: number): boolean {
    switch (field.kind) {
      case "string":
        return this.#string(field);
      case "message":
        return this.#message(field, depth);
      case "list":
        return this.#list(field, depth);
      case "id":
        return this.#id(field);
      case "fixed64":
      case "fixed32":
      case "varint":
      case "int64":
        return this.#integer(field);
      case "bool":
        return this.#bool(field);
      case "double":
        return this.#double(field);
    }
  }

  #message(field: Field, depth: number): boolean {
    const levels = field.child === MESSAGE.anyValue ? depth + 1 : depth;
    if (levels > this.#maxValueDepth) return false;
    const room = field.child === MESSAGE.span ? 2 : field.child <= MESSAGE.scopeSpans ? 3 : 1;
    this.#tag(field.tag);
    this.#pos += room;
    const start = this.#pos;
    if (!this.#object(field.child, levels)) return false;
    this.#close(start, room);
    return true;
  }

  #list(field: Field, depth: number): boolean {
    if (!this.#take(OPEN_BRACKET)) return false;
    if (this.#take(CLOSE_BRACKET)) return true;
    do {
      if (!this.#message(field, depth)) return false;
    } while (this.#take(COMMA));
    return this.#take(CLOSE_BRACKET);
  }

  /** Copies the bytes of a string; they are UTF-8, see `streamToProtobuf`. */
  #string(field: Field): boolean {
    if (!this.#take(QUOTE)) return false;
    const input = this.#in;
    const out = this.#out;
    const tagAt = this.#pos;
    this.#tag(field.tag);
    this.#pos++;
    const start = this.#pos;
    let pos = start;
    let at = this.#at;
    for (;;) {
      if (at >= input.length) return false;
      const byte = input[at++] ?? 0;
      if (byte === QUOTE) break;
      if (byte < 0x20) return false;
      if (byte === BACKSLASH) {
        this.#at = at;
        this.#pos = pos;
        if (!this.#escape()) return false;
        at = this.#at;
        pos = this.#pos;
      } else {
        out[pos++] = byte;
      }
    }
    this.#at = at;
    this.#pos = pos;
    if (pos === start && !field.explicit) this.#pos = tagAt;
    else this.#close(start, 1);
    return true;
  }

  /** Writes the character of the escape whose backslash was read. Surrogates are for json.ts. */
  #escape(): boolean {
    if (this.#in.length - this.#at < 5) return false;
    const letter = this.#in[this.#at++] ?? 0;
    const simple = ESCAPES[letter] ?? 0;
    if (simple !== 0) {
      this.#out[this.#pos++] = simple;
      return true;
    }
    if (letter !== 0x75) return false;
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const digit = hexDigit(this.#in[this.#at++] ?? 0);
      if (digit < 0) return false;
      code = (code << 4) | digit;
    }
    if (code >= 0xd800 && code < 0xe000) return false;
    if (code < 0x80) this.#out[this.#pos++] = code;
    else if (code < 0x800) {
      this.#out[this.#pos++] = 0xc0 | (code >> 6);
      this.#out[this.#pos++] = 0x80 | (code & 63);
    } else {
      this.#out[this.#pos++] = 0xe0 | (code >> 12);
      this.#out[this.#pos++] = 0x80 | ((code >> 6) & 63);
      this.#out[this.#pos++] = 0x80 | (code & 63);
    }
    return true;
  }

  #id(field: Field): boolean {
    if (!this.#take(QUOTE)) return false;
    const input = this.#in;
    const tagAt = this.#pos;
    this.#tag(field.tag);
    this.#pos++;
    const start = this.#pos;
    let at = this.#at;
    for (;;) {
      if (input.length - at < 2) return false;
      const first = input[at++] ?? 0;
      if (first === QUOTE) break;
      const high = hexDigit(first);
      const low = hexDigit(input[at++] ?? 0);
      if ((high | low) < 0) return false;
      this.#out[this.#pos++] = (high << 4) | low;
    }
    this.#at = at;
    if (this.#pos === start) this.#pos = tagAt;
    else this.#close(start, 1);
    return true;
  }

  #integer(field: Field): boolean {
    const isQuoted = this.#take(QUOTE);
    const isNegative = this.#in[this.#at] === MINUS;
    if (isNegative) {
      if (field.kind !== "int64") return false;
      this.#at++;
    }
    if (!this.#digits(isQuoted)) return false;
    if (isQuoted && this.#in[this.#at++] !== QUOTE) return false;
    if (field.kind === "int64") {
      if (this.#high > 0x7fffffff) return false;
      if (isNegative) this.#negate();
      this.#tag(field.tag);
      this.#varint64();
      return true;
    }
    if (this.#low === 0 && this.#high === 0) return true;
    this.#tag(field.tag);
    if (field.kind === "fixed64") {
      this.#view.setUint32(this.#pos, this.#low, true);
      this.#view.setUint32(this.#pos + 4, this.#high, true);
      this.#pos += 8;
      return true;
    }
    // Enums are signed: a larger one than any that is known is left to json.ts as well.
    if (this.#high !== 0 || this.#low > 0x7fffffff) return false;
    if (field.kind === "varint") {
      this.#varint64();
    } else {
      this.#view.setUint32(this.#pos, this.#low, true);
      this.#pos += 4;
    }
    return true;
  }

  /** Reads decimal digits into `#low` and `#high`. */
  #digits(isQuoted: boolean): boolean {
    const input = this.#in;
    const start = this.#at;
    let end = start;
    while (end < input.length && isDigit(input[end] ?? 0)) end++;
    this.#at = end;
    return isInteger(input, start, end, isQuoted) && this.#decimal(start, end);
  }

  #decimal(start: number, end: number): boolean {
    const input = this.#in;
    let upper = 0;
    let lower = 0;
    for (let at = start; at < end; at++) {
      const digit = (input[at] ?? 0) - 48;
      if (end - at > 9) upper = upper * 10 + digit;
      else lower = lower * 10 + digit;
    }
    this.#low = lower;
    this.#high = 0;
    if (upper === 0) return true;
    // As in json-values.ts: products below 2^53.
    const product = Math.floor(upper / 65536) * 1e9;
    const low = (product % 65536) * 65536 + (upper % 65536) * 1e9 + lower;
    this.#low = low % TWO_32;
    this.#high = Math.floor(product / 65536) + Math.floor(low / TWO_32);
    return true;
  }

  #negate(): void {
    this.#low = -this.#low >>> 0;
    this.#high = (~this.#high + (this.#low === 0 ? 1 : 0)) >>> 0;
  }

  #double(field: Field): boolean {
    this.#space();
    let text = "";
    for (; this.#at < this.#in.length; this.#at++) {
      const byte = this.#in[this.#at] ?? 0;
      if (!isDigit(byte) && !isFraction(byte) && byte !== MINUS && byte !== 0x2b) break;
      text += String.fromCharCode(byte);
      if (text.length > 32) return false;
    }
    if (!NUMBER.test(text)) return false;
    this.#tag(field.tag);
    this.#view.setFloat64(this.#pos, Number(text), true);
    this.#pos += 8;
    return true;
  }

  #bool(field: Field): boolean {
    const isTrue = this.#space() === TRUE[0];
    const word = isTrue ? TRUE : FALSE;
    if (!this.#isNext(word)) return false;
    this.#at += word.length;
    this.#tag(field.tag);
    this.#out[this.#pos++] = isTrue ? 1 : 0;
    return true;
  }

  #tag(tag: number): void {
    if (tag > 127) this.#out[this.#pos++] = (tag & 127) | 128;
    this.#out[this.#pos++] = tag > 127 ? tag >>> 7 : tag;
  }

  #varint64(): void {
    let low = this.#low;
    let high = this.#high;
    while (high > 0 || low > 127) {
      this.#out[this.#pos++] = (low & 127) | 128;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#out[this.#pos++] = low;
  }

  /** Writes the length of what began at `start` into the `room` before it, which moves it when the room does not fit. */
  #close(start: number, room: number): void {
    const length = this.#pos - start;
    const needed = length < 128 ? 1 : varintLength(length);
    if (needed !== room) this.#out.copyWithin(start - room + needed, start, this.#pos);
    this.#pos += needed - room;
    let at = start - room;
    let rest = length;
    for (; rest > 127; rest >>>= 7) this.#out[at++] = (rest & 127) | 128;
    this.#out[at] = rest;
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Whether the digits are an integer that is read here: in quotes any, without what JSON.parse reads exactly. */
function isInteger(input: Uint8Array, start: number, end: number, isQuoted: boolean): boolean {
  const count = end - start;
  if (isQuoted) return count > 0 && count <= MAX_DIGITS;
  if (count > 1 && input[start] === 0x30) return false;
  return count > 0 && count <= 15 && !isFraction(input[end] ?? 0);
}

/** Whether a number goes on with a fraction or an exponent: `.`, `e`, `E`. */
function isFraction(byte: number): boolean {
  return byte === 0x2e || (byte | 0x20) === 0x65;
}

/**
 * Converts `body` as `jsonToProtobuf` does, or returns undefined, which says nothing about it: it may be malformed, too
 * deep, or merely in a form that few senders use (snake_case, enum names, null, base64, unknown fields, keys that come
 * twice). What it returns is what json.ts would return. The result owns its buffer.
 */
export function streamToProtobuf(body: Uint8Array, maxValueDepth: number): Uint8Array | undefined {
  return isUtf8(body) ? new Stream(body, maxValueDepth).run() : undefined;
}
