// Protobuf's wire format, written into one growing buffer.
import { assert } from "../util/assert.ts";
import type { ByteSource } from "../util/byte-source.ts";
import { AppError } from "../util/errors.ts";
import { hexDigit } from "../util/hex.ts";
import { ANY_VALUE, KEY_VALUE, LENGTH, tagOf } from "./wire.ts";

// Above this, the call of encodeInto (62 ns) costs less than a loop over the characters (2 ns each).
const LOOP_CHARS = 32;
const MAX_VARINT_BYTES = 10;
const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const STRING_VALUE_TAG = tagOf(ANY_VALUE.stringValue, LENGTH);
/** Characters of key and value up to which all lengths of a string attribute take one byte. */
const SHORT_ATTRIBUTE_CHARS = 121;

/** The bit of each of four bytes that ASCII does not have. */
const NOT_ASCII = 0x80808080 | 0;

/** The values of ASCII hex digits; 256 for other characters. */
const HEX = Uint16Array.from({ length: 128 }, (_, code) => hexDigit(code) & 0x10f);

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

  readonly #maxBytes: number;

  /**
   * @param room bytes to begin with, or a buffer to write into, whose contents do not matter
   * @param maxBytes more is an AppError `too_large`: a body of lists of nothing grows eightfold
   */
  constructor(room: number | Uint8Array, maxBytes: number = Number.POSITIVE_INFINITY) {
    this.#bytes = typeof room === "number" ? new Uint8Array(room) : room;
    assert(this.#bytes.length > 0, "a writer has room to double");
    this.#maxBytes = maxBytes;
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  }

  /** The buffer, for another writer. This one may not be used afterwards. */
  release(): Uint8Array {
    return this.#bytes;
  }

  /** What was written, in a buffer of its own. */
  take(): Uint8Array {
    return this.#bytes.slice(0, this.#pos);
  }

  /** What was written, without a copy when it fills the buffer exactly. Nothing may be written afterwards. */
  takeAll(): Uint8Array {
    return this.#pos === this.#bytes.length ? this.#bytes : this.take();
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#pos;
  }

  /** Forgets what was written behind `length`, which an earlier `length` gave. */
  rewind(length: number): void {
    assert(length <= this.#pos, "rewind goes back");
    this.#pos = length;
  }

  /** What was written in [start, end), as a view that the next write may leave behind. */
  view(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, Math.min(end, this.#pos));
  }

  /** Writes `tag` and leaves `room` bytes for the length. Returns where the body begins, for `close`. */
  open(tag: number, room: number): number {
    this.#need(2 + room);
    this.#tag(tag);
    this.#pos += room;
    return this.#pos;
  }

  /** The tag and length of a message whose body is written next. */
  head(tag: number, length: number): void {
    // No more than it takes, so that a buffer of the exact size is never grown.
    this.#need((tag > 127 ? 2 : 1) + varintLength(length));
    this.#tag(tag);
    this.#putVarint(this.#pos, length);
    this.#pos += varintLength(length);
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

  /**
   * A string field of the UTF-8 in `source` [start, end). Bytes that are not UTF-8 become U+FFFD.
   * ASCII is copied and checked in one loop: decoding to a string and encoding again would cost five times as much.
   */
  text(tag: number, source: ByteSource, start: number, end: number): void {
    const length = end - start;
    this.#need(7 + length);
    const before = this.#pos;
    this.#tag(tag);
    this.#putVarint(this.#pos, length);
    this.#pos += varintLength(length);
    if ((this.#copy(source, start, end) & NOT_ASCII) === 0) return;
    this.#pos = before;
    this.string(tag, source.text(start, end));
  }

  /** Copies [start, end) of `source`, for which there is room. Returns all of it ORed, in 32 bits. */
  #copy({ bytes, view }: ByteSource, start: number, end: number): number {
    let pos = this.#pos;
    let all = 0;
    this.#pos = pos + end - start;
    if (end - start < 4) {
      const out = this.#bytes;
      for (let at = start; at < end; at++) {
        const byte = bytes[at] ?? 0;
        all |= byte;
        out[pos++] = byte;
      }
      return all;
    }
    const out = this.#view;
    const last = end - 4;
    for (let at = start; at < last; at += 4) {
      const word = view.getInt32(at, true);
      all |= word;
      out.setInt32(pos, word, true);
      pos += 4;
    }
    // The last four once more rather than the rest one by one.
    const word = view.getInt32(last, true);
    out.setInt32(this.#pos - 4, word, true);
    return all | word;
  }

  /** A bytes field of `bytes` [start, end). */
  blob(tag: number, bytes: Uint8Array, start: number, end: number): void {
    this.bytes(tag, end - start).set(bytes.subarray(start, end));
  }

  /** A bytes field of the first `count` of `words`, 32 bits each, most significant byte first: an id. */
  words(tag: number, words: Uint32Array, count: number): void {
    this.#need(3 + 4 * count);
    this.#tag(tag);
    this.#bytes[this.#pos++] = 4 * count;
    for (let i = 0; i < count; i++) {
      this.#view.setUint32(this.#pos, words[i] ?? 0);
      this.#pos += 4;
    }
  }

  /** Fields that were written elsewhere, as they are. */
  raw(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.#bytes.set(bytes, this.#pos);
    this.#pos += bytes.length;
  }

  /**
   * A KeyValue field whose value is a string. Nearly all fit into one pass without a length to correct, at half the
   * time of `open`, `string` and `close`.
   */
  stringAttribute(tag: number, key: string, value: string): void {
    const length = key.length + value.length;
    if (tag < 128 && length <= SHORT_ATTRIBUTE_CHARS) {
      this.#need(8 + length);
      if (this.#shortAttribute(tag, key, value)) return;
    }
    const room = varintLength(length + 6);
    const body = this.open(tag, room);
    this.string(KEY_TAG, key);
    const valueRoom = varintLength(value.length + 2);
    const inner = this.open(VALUE_TAG, valueRoom);
    this.string(STRING_VALUE_TAG, value);
    this.close(inner, valueRoom);
    this.close(body, room);
  }

  /** As `stringAttribute`, of UTF-8 in `source`: `offsets` has start and end of the key, then of the value, from `at` on. */
  textAttribute(tag: number, source: ByteSource, offsets: Int32Array, at: number): void {
    const keyStart = offsets[at] ?? 0;
    const keyEnd = offsets[at + 1] ?? 0;
    const valueStart = offsets[at + 2] ?? 0;
    const valueEnd = offsets[at + 3] ?? 0;
    const length = keyEnd - keyStart + valueEnd - valueStart;
    if (tag < 128 && length <= SHORT_ATTRIBUTE_CHARS) {
      this.#need(8 + length);
      const start = this.#pos;
      this.#shortHead(tag, keyEnd - keyStart, length);
      const key = this.#copy(source, keyStart, keyEnd);
      this.#shortValue(valueEnd - valueStart);
      if (((key | this.#copy(source, valueStart, valueEnd)) & NOT_ASCII) === 0) return;
      this.#pos = start;
    }
    const room = varintLength(length + 6);
    const body = this.open(tag, room);
    this.text(KEY_TAG, source, keyStart, keyEnd);
    const inner = this.open(VALUE_TAG, room);
    this.text(STRING_VALUE_TAG, source, valueStart, valueEnd);
    this.close(inner, room);
    this.close(body, room);
  }

  /** As `textAttribute`, with a key that has a source of its own. */
  namedAttribute(tag: number, key: ByteSource, source: ByteSource, value: readonly [number, number]): void {
    const keyLength = key.bytes.length;
    const valueLength = value[1] - value[0];
    const length = keyLength + valueLength;
    if (tag < 128 && length <= SHORT_ATTRIBUTE_CHARS) {
      this.#need(8 + length);
      const start = this.#pos;
      this.#shortHead(tag, keyLength, length);
      this.#copy(key, 0, keyLength);
      this.#shortValue(valueLength);
      if ((this.#copy(source, value[0], value[1]) & NOT_ASCII) === 0) return;
      this.#pos = start;
    }
    const room = varintLength(length + 6);
    const body = this.open(tag, room);
    this.text(KEY_TAG, key, 0, keyLength);
    const inner = this.open(VALUE_TAG, room);
    this.text(STRING_VALUE_TAG, source, value[0], value[1]);
    this.close(inner, room);
    this.close(body, room);
  }

  /** What stands before the key of an attribute whose lengths take one byte each. */
  #shortHead(tag: number, keyLength: number, length: number): void {
    const out = this.#bytes;
    const pos = this.#pos;
    out[pos] = tag;
    out[pos + 1] = length + 6;
    out[pos + 2] = KEY_TAG;
    out[pos + 3] = keyLength;
    this.#pos = pos + 4;
  }

  /** What stands between its key and its value. */
  #shortValue(valueLength: number): void {
    const out = this.#bytes;
    const pos = this.#pos;
    out[pos] = VALUE_TAG;
    out[pos + 1] = valueLength + 2;
    out[pos + 2] = STRING_VALUE_TAG;
    out[pos + 3] = valueLength;
    this.#pos = pos + 4;
  }

  /** Writes the attribute when all of it is ASCII; otherwise nothing. */
  #shortAttribute(tag: number, key: string, value: string): boolean {
    const bytes = this.#bytes;
    const keyLength = key.length;
    const valueLength = value.length;
    let pos = this.#pos;
    bytes[pos++] = tag;
    bytes[pos++] = keyLength + valueLength + 6;
    bytes[pos++] = KEY_TAG;
    bytes[pos++] = keyLength;
    let all = 0;
    for (let i = 0; i < keyLength; i++) {
      const code = key.charCodeAt(i);
      all |= code;
      bytes[pos++] = code;
    }
    bytes[pos++] = VALUE_TAG;
    bytes[pos++] = valueLength + 2;
    bytes[pos++] = STRING_VALUE_TAG;
    bytes[pos++] = valueLength;
    for (let i = 0; i < valueLength; i++) {
      const code = value.charCodeAt(i);
      all |= code;
      bytes[pos++] = code;
    }
    if (all > 127) return false;
    this.#pos = pos;
    return true;
  }

  /** A bytes field of the value of `text`. Returns false when it is not pairs of hex digits of either case. */
  hex(tag: number, text: string): boolean {
    const length = text.length >>> 1;
    if (text.length !== 2 * length) return false;
    this.#need(7 + length);
    this.#tag(tag);
    this.#putVarint(this.#pos, length);
    this.#pos += varintLength(length);
    const bytes = this.#bytes;
    let pos = this.#pos;
    let wrong = 0;
    for (let i = 0; i < text.length; i += 2) {
      const high = text.charCodeAt(i);
      const low = text.charCodeAt(i + 1);
      const byte = ((HEX[high & 127] ?? 0) << 4) | (HEX[low & 127] ?? 0);
      wrong |= byte | ((high | low) & 0xff80);
      bytes[pos++] = byte;
    }
    this.#pos = pos;
    return wrong < 256;
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
    const needed = this.#pos + count;
    if (needed > this.#maxBytes) throw new AppError("too_large", `more than ${this.#maxBytes} bytes as OTLP`);
    const grown = new Uint8Array(Math.max(needed, Math.min(2 * this.#bytes.length, this.#maxBytes)));
    grown.set(this.#bytes.subarray(0, this.#pos));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
