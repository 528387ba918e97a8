// Cuts a stream of protobuf records where they end, whatever the chunks.
import { freeBytes } from "../util/bytes.ts";
import { AppError } from "../util/errors.ts";

const LENGTH_TYPE = 2;

// A tag and a length take at most 5 bytes each, any other value at most 10.
const MAX_HEAD_BYTES = 15;

/** Bytes of the varint at `at`, 0 when it goes on past the end, -1 when it has more than `max` bytes. */
function varintEnd(bytes: Uint8Array, at: number, max: number): number {
  for (let i = 0; i < max; i++) {
    if (at + i >= bytes.length) return 0;
    if ((bytes[at + i] ?? 0) < 128) return i + 1;
  }
  return -1;
}

/** The varint of `length` (at most 5) bytes at `at`, as an unsigned number that may exceed 32 bits. */
function varintValue(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 128 + ((bytes[at + i] ?? 0) & 127);
  return value;
}

/** Bytes of a tag and the varint after it; 0 when the varint goes on past the end. */
function lengthWith(tagBytes: number, valueBytes: number): number {
  if (valueBytes < 0) throw new AppError("corrupt", "live spans are no protobuf");
  return valueBytes === 0 ? 0 : tagBytes + valueBytes;
}

/** Feed it the chunks in their order; it gives pieces that each hold whole records. */
export class RecordCutter {
  readonly #maxRecordBytes: number;
  // The record that the last chunk left unfinished: its room (of its full length as soon as that is known).
  #pending = new Uint8Array(MAX_HEAD_BYTES);
  #pendingLength = 0;
  #handedOut: Uint8Array | undefined;

  /** @param maxRecordBytes a record that claims to be longer is a lie: no memory is given for it */
  constructor(maxRecordBytes: number) {
    this.#maxRecordBytes = maxRecordBytes;
  }

  /**
   * The whole records that end in `chunk`: at most two pieces, one for the record begun before and one view of the chunk.
   * They are valid until the next call.
   * @throws AppError `corrupt` when a record is longer than allowed or not protobuf
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#handedOut !== undefined) freeBytes(this.#handedOut);
    this.#handedOut = undefined;
    const pieces: Uint8Array[] = [];
    let pos = 0;
    if (this.#pendingLength > 0) {
      pos = this.#fill(chunk);
      if (this.#pendingLength < this.#pending.length) return pieces;
      pieces.push((this.#handedOut = this.#pending));
      this.#pending = new Uint8Array(MAX_HEAD_BYTES);
      this.#pendingLength = 0;
    }
    const start = pos;
    for (;;) {
      const length = this.#recordLength(chunk, pos);
      if (length === 0 || length > chunk.length - pos) break;
      pos += length;
    }
    if (pos > start) pieces.push(chunk.subarray(start, pos));
    if (pos < chunk.length) this.#keep(chunk.subarray(pos));
    return pieces;
  }

  /** @throws AppError `corrupt` when the stream ended inside a record */
  end(): void {
    if (this.#pendingLength > 0) throw new AppError("corrupt", "live spans end in the middle of a record");
  }

  /** Begins a pending record with `rest`, which does not hold all of it. */
  #keep(rest: Uint8Array): void {
    const length = this.#recordLength(rest, 0);
    this.#pending = new Uint8Array(length === 0 ? MAX_HEAD_BYTES : length);
    this.#pending.set(rest);
    this.#pendingLength = rest.length;
  }

  /** Moves bytes from `chunk` to the pending record until it is whole or the chunk is used up. Returns how many. */
  #fill(chunk: Uint8Array): number {
    let pos = 0;
    while (pos < chunk.length && this.#recordLength(this.#head(), 0) === 0) {
      this.#pending[this.#pendingLength++] = chunk[pos++] ?? 0;
    }
    const length = this.#recordLength(this.#head(), 0);
    if (length === 0) return pos;
    if (this.#pending.length !== length) {
      const whole = new Uint8Array(length);
      whole.set(this.#head());
      this.#pending = whole;
    }
    const part = chunk.subarray(pos, pos + length - this.#pendingLength);
    this.#pending.set(part, this.#pendingLength);
    this.#pendingLength += part.length;
    return pos + part.length;
  }

  #head(): Uint8Array {
    return this.#pending.subarray(0, this.#pendingLength);
  }

  /** Bytes of the record at `at` with its tag, or 0 when too few are there to tell. */
  #recordLength(bytes: Uint8Array, at: number): number {
    const tagBytes = varintEnd(bytes, at, 5);
    if (tagBytes === 0) return 0;
    const tag = tagBytes < 0 ? 0 : varintValue(bytes, at, tagBytes);
    const value = at + tagBytes;
    switch (tag < 8 ? -1 : tag % 8) {
      case 0:
        return lengthWith(tagBytes, varintEnd(bytes, value, 10));
      case 1:
        return tagBytes + 8;
      case LENGTH_TYPE: {
        const lengthBytes = varintEnd(bytes, value, 5);
        const length = lengthWith(tagBytes, lengthBytes);
        return length === 0 ? 0 : this.#checked(length + varintValue(bytes, value, lengthBytes));
      }
      case 5:
        return tagBytes + 4;
      default:
        throw new AppError("corrupt", "live spans are no protobuf");
    }
  }

  #checked(length: number): number {
    if (length <= this.#maxRecordBytes) return length;
    throw new AppError("corrupt", `live spans claim a record of ${length} bytes`);
  }
}
