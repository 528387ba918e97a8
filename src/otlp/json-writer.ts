// JSON text as bytes: strings are copied from UTF-8 to UTF-8 without becoming JavaScript strings.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Bytes of the buffer between flushes; a larger one is given back by `take`. */
const IDLE_BYTES = 128 * 1024;

// A string is written in steps of this many source bytes, so that the room for its worst case (each byte a
// `\u0000`, six bytes) is never asked for a whole 16 MiB attribute at once.
const STRING_STEP = 4096;
const MAX_ESCAPE = 6;

/** 0: as it is. 1: a UTF-8 lead byte. Otherwise the character after the backslash, `u` for `\u00XX`. */
const ESCAPES: Uint8Array = buildEscapes();
const HEX_DIGITS = ascii("0123456789abcdef");
const BASE64_DIGITS = ascii("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const LEAD = 1;
const UNICODE_ESCAPE = 0x75;

/** The bytes of ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function buildEscapes(): Uint8Array {
  const escapes = new Uint8Array(256);
  escapes.fill(0x75, 0, 0x20);
  escapes.fill(1, 0x80);
  for (const [char, letter] of ["\bb", "\tt", "\nn", "\ff", "\rr", '""', "\\\\"]) {
    escapes[(char ?? "").charCodeAt(0)] = (letter ?? "").charCodeAt(0);
  }
  return escapes;
}

/**
 * Length of the well-formed UTF-8 sequence whose lead byte (at least 0x80) is at `at`; or, negative, the length of the
 * ill-formed part that one U+FFFD stands for, cut as the WHATWG decoder cuts it.
 */
export function sequenceLength(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // Only the first continuation byte has narrower bounds: no overlong forms, no surrogates, nothing past U+10FFFF.
  let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    const byte = at + i < end ? (bytes[at + i] ?? 0) : 0;
    if (byte < low || byte > high) return -i;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

/** Bytes that grow. What was written stays until `take`. */
export class JsonWriter {
  #bytes = new Uint8Array(IDLE_BYTES);
  #length = 0;

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.#length;
  }

  /** What was written since the last call, in a buffer of its own. The writer starts anew. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.slice(0, this.#length);
    this.clear();
    return taken;
  }

  /** The first `length` bytes are what was written, until the next write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Starts anew. */
  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > 2 * IDLE_BYTES) this.#bytes = new Uint8Array(IDLE_BYTES);
  }

  #need(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, needed));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  /** Finished JSON text; short, such as a name. */
  text(text: Uint8Array): void {
    this.#need(text.length);
    const out = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) out[at++] = text[i] ?? 0;
    this.#length = at;
  }

  byte(value: number): void {
    this.#need(1);
    this.#bytes[this.#length++] = value;
  }

  /** Ends a list or an object: `close` takes the place of the comma after the last member, if there is one. */
  close(close: number): void {
    const comma = this.#length > 0 && this.#bytes[this.#length - 1] === 0x2c;
    if (comma) this.#bytes[this.#length - 1] = close;
    else this.byte(close);
  }

  /** Goes on with the object that was closed last, which has a member: a comma takes the place of its end. */
  reopen(): void {
    this.#bytes[this.#length - 1] = 0x2c;
  }

  /** The UTF-8 text [start, end) of `bytes` as a JSON string; each ill-formed part becomes U+FFFD. */
  string(bytes: Uint8Array, start: number, end: number): void {
    this.byte(QUOTE);
    let pos = start;
    while (pos < end) pos = this.#stringPart(bytes, pos, Math.min(end, pos + STRING_STEP), end);
    this.byte(QUOTE);
  }

  /** Writes the characters that begin in [start, stop); the last may go on up to `end`. */
  #stringPart(bytes: Uint8Array, start: number, stop: number, end: number): number {
    this.#need(MAX_ESCAPE * (stop - start) + MAX_ESCAPE);
    const out = this.#bytes;
    let at = this.#length;
    let pos = start;
    while (pos < stop) {
      const byte = bytes[pos] ?? 0;
      const escape = ESCAPES[byte] ?? 0;
      if (escape === 0) {
        out[at++] = byte;
        pos++;
      } else if (escape === LEAD) {
        const length = sequenceLength(bytes, pos, end);
        if (length > 0) {
          for (let i = 0; i < length; i++) out[at++] = bytes[pos + i] ?? 0;
          pos += length;
        } else {
          out[at++] = 0xef;
          out[at++] = 0xbf;
          out[at++] = 0xbd;
          pos -= length;
        }
      } else {
        at = writeEscape(out, at, byte, escape);
        pos++;
      }
    }
    this.#length = at;
    return pos;
  }

  /** The bytes [start, end) as a JSON string in padded standard base64. */
  base64(bytes: Uint8Array, start: number, end: number): void {
    this.#need(4 * Math.ceil((end - start) / 3) + 2);
    const out = this.#bytes;
    let at = this.#length;
    out[at++] = QUOTE;
    for (let pos = start; pos < end; pos += 3) {
      const left = end - pos;
      const group =
        ((bytes[pos] ?? 0) << 16) |
        (left > 1 ? (bytes[pos + 1] ?? 0) << 8 : 0) |
        (left > 2 ? (bytes[pos + 2] ?? 0) : 0);
      out[at++] = BASE64_DIGITS[group >>> 18] ?? 0;
      out[at++] = BASE64_DIGITS[(group >>> 12) & 63] ?? 0;
      out[at++] = left > 1 ? (BASE64_DIGITS[(group >>> 6) & 63] ?? 0) : 0x3d;
      out[at++] = left > 2 ? (BASE64_DIGITS[group & 63] ?? 0) : 0x3d;
    }
    out[at++] = QUOTE;
    this.#length = at;
  }

  /** The unsigned 64-bit number high * 2^32 + low as a JSON string, which is what 64-bit numbers are in JSON. */
  uint64(high: number, low: number): void {
    this.byte(QUOTE);
    this.#decimal64(high, low);
    this.byte(QUOTE);
  }

  /** The same bits as a two's complement number. */
  int64(high: number, low: number): void {
    this.byte(QUOTE);
    if (high >>> 31 === 1) {
      this.byte(0x2d);
      const negatedLow = -low >>> 0;
      this.#decimal64((~high + (negatedLow === 0 ? 1 : 0)) >>> 0, negatedLow);
    } else this.#decimal64(high, low);
    this.byte(QUOTE);
  }

  /** Long division by 10^9 in steps of 16 bits: the remainder times 2^16 stays below 2^53. */
  #decimal64(high: number, low: number): void {
    let quotient = 0;
    let rest = 0;
    for (const limb of [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff]) {
      const part = rest * 65_536 + limb;
      const digit = Math.floor(part / 1e9);
      quotient = quotient * 65_536 + digit;
      rest = part - digit * 1e9;
    }
    if (quotient === 0) return this.number(rest);
    this.number(quotient);
    this.#need(9);
    for (let i = 8; i >= 0; i--) {
      this.#bytes[this.#length + i] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#length += 9;
  }

  /** A number below 2^53 without fraction, or any finite double; the shortest text that reads back the same. */
  number(value: number): void {
    const text = Object.is(value, -0) ? "-0" : String(value);
    this.#need(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length++] = text.charCodeAt(i);
  }

  /** A double; those that JSON has no number for as strings. */
  double(value: number): void {
    if (Number.isFinite(value)) return this.number(value);
    this.byte(QUOTE);
    this.number(value);
    this.byte(QUOTE);
  }
}

function writeEscape(out: Uint8Array, start: number, byte: number, escape: number): number {
  let at = start;
  out[at++] = BACKSLASH;
  out[at++] = escape;
  if (escape !== UNICODE_ESCAPE) return at;
  out[at++] = 0x30;
  out[at++] = 0x30;
  out[at++] = HEX_DIGITS[byte >>> 4] ?? 0;
  out[at++] = HEX_DIGITS[byte & 15] ?? 0;
  return at;
}
