// Scalars of protobuf's JSON mapping: integers of 64 bits, enum names, base64.

/** The 64-bit result of `parseInteger`, as unsigned halves. Reused: read it before the next call. */
export interface Halves {
  low: number;
  high: number;
}

const TWO_32 = 2 ** 32;
const BILLION = 1_000_000_000;
const MAX_DIGITS = 20;

/**
 * Reads a JSON number or a string of decimal digits as a 64-bit integer into `out`, exactly (a string beyond 2^53 too).
 * Returns false when it is neither, has a fraction or is out of range.
 */
export function parseInteger(value: unknown, signed: boolean, out: Halves): boolean {
  if (typeof value === "string") return parseDecimal(value, signed, out);
  if (typeof value !== "number" || !Number.isInteger(value)) return false;
  if (signed ? value < -(2 ** 63) || value >= 2 ** 63 : value < 0 || value >= 2 ** 64) return false;
  const high = Math.floor(value / TWO_32);
  out.high = high >>> 0;
  out.low = value - high * TWO_32;
  return true;
}

function parseDecimal(text: string, signed: boolean, out: Halves): boolean {
  const negative = signed && text.charCodeAt(0) === 45;
  if (!parseDigits(text, negative ? 1 : 0, out)) return false;
  if (!signed) return true;
  if (negative) negate(out);
  // The sign bit says what the text said, or the magnitude was too large. There is no negative zero.
  return out.high > 0x7fffffff === negative || (out.high === 0 && out.low === 0);
}

/** Reads the decimal digits from `from` on as an unsigned 64-bit integer. */
function parseDigits(text: string, from: number, out: Halves): boolean {
  let start = from;
  while (start < text.length - 1 && text.charCodeAt(start) === 48) start++;
  const length = text.length - start;
  if (length === 0 || length > MAX_DIGITS) return false;
  // Two exact doubles, all but the last nine digits and those: a bigint would cost several times more.
  const split = text.length - 9;
  let upper = 0;
  let lower = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return false;
    if (i < split) upper = upper * 10 + digit;
    else lower = lower * 10 + digit;
  }
  // upper * 10^9 + lower, with upper in two parts so that each product stays below 2^53.
  const product = Math.floor(upper / 65536) * BILLION;
  const low = (product % 65536) * 65536 + (upper % 65536) * BILLION + lower;
  out.low = low % TWO_32;
  out.high = Math.floor(product / 65536) + Math.floor(low / TWO_32);
  return out.high < TWO_32;
}

function negate(out: Halves): void {
  out.low = -out.low >>> 0;
  out.high = (~out.high + (out.low === 0 ? 1 : 0)) >>> 0;
}

/** Reads a double: a JSON number, "NaN", "Infinity", "-Infinity" or a decimal in a string; undefined when it is none. */
export function parseDouble(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return undefined;
  switch (value) {
    case "NaN":
      return Number.NaN;
    case "Infinity":
      return Number.POSITIVE_INFINITY;
    case "-Infinity":
      return Number.NEGATIVE_INFINITY;
    default: {
      if (!/^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(value)) return undefined;
      const number = Number(value);
      return Number.isFinite(number) ? number : undefined;
    }
  }
}

const BASE64 = new Uint8Array(128).fill(255);
for (const alphabet of ["+/", "-_"]) {
  const digits = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${alphabet}`;
  for (let i = 0; i < digits.length; i++) BASE64[digits.charCodeAt(i)] = i;
}

/** Characters of `text` without up to two `=` at its end. */
export function base64Digits(text: string): number {
  if (text.endsWith("==")) return text.length - 2;
  return text.endsWith("=") ? text.length - 1 : text.length;
}

/** Bytes that so many base64 digits hold, or -1 when there can be no such number of digits. */
export function base64Length(digits: number): number {
  return digits % 4 === 1 ? -1 : Math.floor((digits * 3) / 4);
}

/** Decodes the first `digits` characters, standard or URL-safe, into `out`. Returns false when one is no digit. */
export function decodeBase64(text: string, digits: number, out: Uint8Array): boolean {
  let bits = 0;
  let bitCount = 0;
  let pos = 0;
  for (let i = 0; i < digits; i++) {
    const code = text.charCodeAt(i);
    const digit = code < 128 ? (BASE64[code] ?? 255) : 255;
    if (digit === 255) return false;
    bits = ((bits << 6) | digit) & 0xffffff;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      out[pos++] = bits >>> bitCount;
    }
  }
  return true;
}
