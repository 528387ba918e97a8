// Protobuf's wire format, written into one growing buffer.
import { assert } from "../util/assert.ts";
import { hexDigit } from "../util/hex.ts";

// Above this, encodeInto's call costs less than a loop over the characters (measured: equal at about 60).
const LOOP_CHARS = 60;
const MAX_VARINT_BYTES = 10;

/** Bytes of `value` (unsigned 32 bit) as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 127; rest >>>= 7) length++;
  return length;
}

/**
 * Writes fields one after the other. A message is opened with room for its length and closed when the length is known;
 * when the room was wrong the body moves. Tags are below 2^14.
 */
export class WireWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #pos = 0;
  readonly #encoder = new TextEncoder();

  constructor(capacity: number) {
    assert(capacity > 0, "a writer has room to double");
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What was written, in a buffer of its own. */
  take(): Uint8Array {
    return this.#bytes.slice(0, this.#pos);
  }

  /** Writes `tag` and leaves `room` bytes for the length. Returns where the body begins, for `close`. */
  open(tag: number, room: number): number {
    this.#need(2 + room);
    this.#tag(tag);
    this.#pos += room;
    return this.#pos;
  }

  /** Writes the length of the message whose body began at `start`. */
  close(start: number, room: number): void {
    const length = this.#pos - start;
    if (room === 1 && length < 128) {
      this.#bytes[start - 1] = length;
      return;
    }
    const needed = varintLength(length);
    if (needed !== room) {
      this.#need(needed);
      const moved = start - room + needed;
      this.#bytes.copyWithin(moved, start, this.#pos);
      this.#pos = moved + length;
    }
    this.#putVarint(start - room, length);
  }

  /** A varint field of 64 bits, given as unsigned halves. */
  varint64(tag: number, low: number, high: number): void {
    this.#need(2 + MAX_VARINT_BYTES);
    this.#tag(tag);
    let lowRest = low >>> 0;
    let highRest = high >>> 0;
    while (highRest > 0 || lowRest > 127) {
      this.#bytes[this.#pos++] = (lowRest & 127) | 128;
      lowRest = ((lowRest >>> 7) | (highRest << 25)) >>> 0;
      highRest >>>= 7;
    }
    this.#bytes[this.#pos++] = lowRest;
  }

  fixed32(tag: number, value: number): void {
    this.#need(6);
    this.#tag(tag);
    this.#view.setUint32(this.#pos, value, true);
    this.#pos += 4;
  }

  fixed64(tag: number, low: number, high: number): void {
    this.#need(10);
    this.#tag(tag);
    this.#view.setUint32(this.#pos, low, true);
    this.#view.setUint32(this.#pos + 4, high, true);
    this.#pos += 8;
  }

  double(tag: number, value: number): void {
    this.#need(10);
    this.#tag(tag);
    this.#view.setFloat64(this.#pos, value, true);
    this.#pos += 8;
  }

  /** A string field. Lone surrogates become U+FFFD. */
  string(tag: number, text: string): void {
    const length = text.length;
    this.#need(7 + 3 * length);
    this.#tag(tag);
    if (length <= LOOP_CHARS && this.#ascii(text)) return;
    // Right when the text is ASCII.
    const room = varintLength(length);
    this.#pos += room;
    const start = this.#pos;
    this.#pos += this.#encoder.encodeInto(text, this.#bytes.subarray(start)).written;
    this.close(start, room);
  }

  /** A bytes field of the value of `text`. Returns false when it is not pairs of hex digits of either case. */
  hex(tag: number, text: string): boolean {
    const length = text.length >>> 1;
    if (text.length !== 2 * length) return false;
    this.#need(7 + length);
    this.#tag(tag);
    this.#putVarint(this.#pos, length);
    this.#pos += varintLength(length);
    let wrong = 0;
    for (let i = 0; i < text.length; i += 2) {
      const high = hexDigit(text.charCodeAt(i));
      const low = hexDigit(text.charCodeAt(i + 1));
      wrong |= high | low;
      this.#bytes[this.#pos++] = (high << 4) | low;
    }
    return wrong >= 0;
  }

  /** A bytes field of `length` zeros, to be filled through the returned view before the next write. */
  bytes(tag: number, length: number): Uint8Array {
    this.#need(7 + length);
    this.#tag(tag);
    this.#putVarint(this.#pos, length);
    this.#pos += varintLength(length) + length;
    return this.#bytes.subarray(this.#pos - length, this.#pos);
  }

  /** Writes length and text when all of it is ASCII; otherwise nothing. */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const start = this.#pos + 1;
    const length = text.length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) return false;
      bytes[start + i] = code;
    }
    bytes[start - 1] = length;
    this.#pos = start + length;
    return true;
  }

  #tag(tag: number): void {
    if (tag > 127) {
      this.#bytes[this.#pos++] = (tag & 127) | 128;
      this.#bytes[this.#pos++] = tag >>> 7;
    } else {
      this.#bytes[this.#pos++] = tag;
    }
  }

  #putVarint(at: number, value: number): void {
    let pos = at;
    let rest = value;
    for (; rest > 127; rest >>>= 7) this.#bytes[pos++] = (rest & 127) | 128;
    this.#bytes[pos] = rest;
  }

  #need(count: number): void {
    if (this.#pos + count > this.#bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#pos + count));
    grown.set(this.#bytes.subarray(0, this.#pos));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
