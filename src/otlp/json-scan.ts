// Looking over JSON bytes without building anything: how much is in them, and where they go wrong.
import { hexDigit } from "../util/hex.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

// 1 for the bytes that begin a value in the parser's heap.
const IS_TOKEN = new Uint8Array(256);
for (const byte of [OPEN_BRACE, OPEN_BRACKET, COMMA]) IS_TOKEN[byte] = 1;

/**
 * Whether `{`, `[` and `,` outside of strings number more than `max`. The first pass counts those in strings too, which
 * is enough for nearly all bodies and runs without branches.
 */
export function hasMoreTokens(bytes: Uint8Array, max: number): boolean {
  if (bytes.length <= max) return false;
  let count = 0;
  for (let i = 0; i < bytes.length; i++) count += IS_TOKEN[bytes[i] ?? 0] ?? 0;
  return count > max && countTokens(bytes, max) > max;
}

/** Tokens outside of strings; stops one past `max`. */
function countTokens(bytes: Uint8Array, max: number): number {
  let count = 0;
  for (let i = 0; i < bytes.length && count <= max; i++) {
    const byte = bytes[i] ?? 0;
    if (byte !== QUOTE) {
      count += IS_TOKEN[byte] ?? 0;
      continue;
    }
    for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
  }
  return count;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/**
 * Finds where JSON ends to be JSON. JSON.parse does not always tell, and when it does it counts UTF-16 units.
 *
 *     document = value
 *     value    = object | array | string | number | "true" | "false" | "null"
 *     object   = "{" [ string ":" value { "," string ":" value } ] "}"
 *     array    = "[" [ value { "," value } ] "]"
 */
class ErrorFinder {
  readonly #bytes: Uint8Array;
  #pos = 0;
  /** Closing bytes of the objects and arrays around the position. */
  readonly #closers: number[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    // TextDecoder drops a byte order mark.
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.#pos = 3;
  }

  /** The offset of the first byte that cannot be, or of the end; -1 when all is well. */
  find(): number {
    do {
      if (!this.#value()) return this.#pos;
    } while (this.#closers.length > 0 || !this.#atEnd());
    return -1;
  }

  #space(): number {
    for (;;) {
      const byte = this.#bytes[this.#pos];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte ?? -1;
      this.#pos++;
    }
  }

  #atEnd(): boolean {
    return this.#space() === -1;
  }

  #take(byte: number): boolean {
    if (this.#space() !== byte) return false;
    this.#pos++;
    return true;
  }

  /** One value, or the opening of one, and what follows it up to the next value. */
  #value(): boolean {
    const first = this.#space();
    if (first === OPEN_BRACE) {
      this.#pos++;
      this.#closers.push(CLOSE_BRACE);
      if (this.#space() !== CLOSE_BRACE) return this.#key();
    } else if (first === OPEN_BRACKET) {
      this.#pos++;
      this.#closers.push(CLOSE_BRACKET);
      if (this.#space() !== CLOSE_BRACKET) return true;
    } else if (!this.#scalar(first)) {
      return false;
    }
    return this.#after();
  }

  /** Closes what ends here, then takes the comma (and key) before the next value. */
  #after(): boolean {
    for (;;) {
      const closer = this.#closers.at(-1);
      if (closer === undefined) return this.#atEnd();
      if (!this.#take(closer)) return this.#take(COMMA) && (closer === CLOSE_BRACKET || this.#key());
      this.#closers.pop();
    }
  }

  #key(): boolean {
    return this.#space() === QUOTE && this.#string() && this.#take(0x3a);
  }

  #scalar(first: number): boolean {
    switch (first) {
      case QUOTE:
        return this.#string();
      case 0x74:
        return this.#word("true");
      case 0x66:
        return this.#word("false");
      case 0x6e:
        return this.#word("null");
      default:
        return this.#number();
    }
  }

  #word(word: string): boolean {
    for (let i = 0; i < word.length; i++, this.#pos++) {
      if (this.#bytes[this.#pos] !== word.charCodeAt(i)) return false;
    }
    return true;
  }

  /** `-`, an integer without leading zeros, a fraction, an exponent. Stops at the byte that does not fit. */
  #number(): boolean {
    if (this.#bytes[this.#pos] === 0x2d) this.#pos++;
    if (this.#bytes[this.#pos] === 0x30) this.#pos++;
    else if (!this.#digits()) return false;
    if (this.#bytes[this.#pos] === 0x2e) {
      this.#pos++;
      if (!this.#digits()) return false;
    }
    if (((this.#bytes[this.#pos] ?? 0) | 0x20) !== 0x65) return true;
    this.#pos++;
    const sign = this.#bytes[this.#pos];
    if (sign === 0x2b || sign === 0x2d) this.#pos++;
    return this.#digits();
  }

  #digits(): boolean {
    const start = this.#pos;
    while (isDigit(this.#bytes[this.#pos] ?? 0)) this.#pos++;
    return this.#pos > start;
  }

  #string(): boolean {
    for (this.#pos++; this.#pos < this.#bytes.length; this.#pos++) {
      const byte = this.#bytes[this.#pos] ?? 0;
      if (byte < 0x20) return false;
      if (byte === QUOTE) {
        this.#pos++;
        return true;
      }
      if (byte === BACKSLASH && !this.#escape()) return false;
    }
    return false;
  }

  /** An escape at the backslash; stays on its last byte. */
  #escape(): boolean {
    const kind = String.fromCharCode(this.#bytes[++this.#pos] ?? 0);
    if ('"\\/bfnrt'.includes(kind)) return true;
    if (kind !== "u") return false;
    for (let i = 0; i < 4; i++) {
      if (hexDigit(this.#bytes[++this.#pos] ?? 0) < 0) return false;
    }
    return true;
  }
}

/** The byte at which `bytes` stop being JSON (their length when they end too early), or -1 when they are JSON. */
export function findJsonError(bytes: Uint8Array): number {
  return new ErrorFinder(bytes).find();
}
