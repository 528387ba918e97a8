// Bytes that grow, reused from page to page.

/** A buffer larger than this is given back once it is empty, so that one huge span does not stay in memory. */
const KEEP_BYTES = 1024 * 1024;

export class ByteBuffer {
  /** The first `length` bytes count. Replaced when it grows. */
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;
  readonly #initialBytes: number;

  constructor(initialBytes = 256) {
    this.#initialBytes = initialBytes;
    this.bytes = new Uint8Array(initialBytes);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Appends `source` from `start` to `end`. */
  append(source: Uint8Array, start: number, end: number): void {
    this.reserve(end - start);
    const out = this.bytes;
    let at = this.length;
    // A view for `set` costs as much as copying some 64 bytes one by one.
    if (end - start > 64) out.set(source.subarray(start, end), at);
    else for (let i = start; i < end; i++) out[at++] = source[i] ?? 0;
    this.length += end - start;
  }

  appendByte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** Appends an unsigned 32-bit number, little-endian. */
  appendUint32(value: number): void {
    this.reserve(4);
    const out = this.bytes;
    const at = this.length;
    out[at] = value;
    out[at + 1] = value >>> 8;
    out[at + 2] = value >>> 16;
    out[at + 3] = value >>> 24;
    this.length = at + 4;
  }

  /** What was written, as a view that the next change may overwrite. */
  view(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length > Math.max(KEEP_BYTES, this.#initialBytes)) {
      this.bytes = new Uint8Array(this.#initialBytes);
    }
  }
}

/** `array` with room for `length` elements at least, doubled. */
export function grownUint32(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  if (length <= array.length) return array;
  const grown = new Uint32Array(Math.max(length, 2 * array.length));
  grown.set(array);
  return grown;
}

/** Copies 8 bytes as two words, little-endian. No number passes between calls: half of them would be objects. */
export function copyWords(bytes: Uint8Array, from: number, out: Uint32Array, to: number): void {
  let at = from;
  for (let word = to; word < to + 2; word++, at += 4) {
    out[word] =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
  }
}

/** The word at `at`, little-endian. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}
