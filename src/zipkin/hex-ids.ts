// Ids in hex, as Zipkin writes them: one digit or more, short ones padded with zeros on the left.
import { hexDigit } from "../util/hex.ts";

const HEX = new Int8Array(256);
for (let code = 0; code < 256; code++) HEX[code] = hexDigit(code);

/**
 * Reads bytes [start, end) into `words`, 32 bits each, most significant first.
 * Returns false when they are none, have one that is no hex digit, or are more digits than fit.
 */
export function parseHexId(bytes: Uint8Array, start: number, end: number, words: Uint32Array): boolean {
  const length = end - start;
  if (length === 0 || length > 8 * words.length) return false;
  if (length % 8 === 0) return parseWords(bytes, start, length >>> 3, words);
  let wrong = 0;
  let at = end - 8 * words.length;
  for (let i = 0; i < words.length; i++) {
    let word = 0;
    for (const stop = at + 8; at < stop; at++) {
      const digit = at < start ? 0 : (HEX[bytes[at] ?? 0] ?? -1);
      wrong |= digit;
      word = (word << 4) | digit;
    }
    words[i] = word;
  }
  return wrong >= 0;
}

/** As `parseHexId`, of 8 times `count` digits at `start`: nearly all ids have 16 or 32. */
export function parseWords(bytes: Uint8Array, start: number, count: number, words: Uint32Array): boolean {
  const skipped = words.length - count;
  let wrong = 0;
  let at = start;
  for (let i = 0; i < skipped; i++) words[i] = 0;
  for (let i = skipped; i < words.length; i++) {
    let word = 0;
    for (const stop = at + 8; at < stop; at++) {
      const digit = HEX[bytes[at] ?? 0] ?? -1;
      wrong |= digit;
      word = (word << 4) | digit;
    }
    words[i] = word;
  }
  return wrong >= 0;
}

const encoder = new TextEncoder();

/** As `parseHexId`, of text. */
export function parseHexText(text: string, words: Uint32Array): boolean {
  const bytes = encoder.encode(text);
  return parseHexId(bytes, 0, bytes.length, words);
}

export function isZero(words: Uint32Array): boolean {
  let all = 0;
  for (let i = 0; i < words.length; i++) all |= words[i] ?? 0;
  return all === 0;
}

/** Sets to zero; a loop, since fill() is a call into the runtime. */
export function clearWords(words: Uint32Array): void {
  for (let i = 0; i < words.length; i++) words[i] = 0;
}

export function isSame(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
