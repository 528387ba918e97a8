// Collects output into chunks that are handed over without copying.

/** Bytes from which a chunk is handed over. */
export const CHUNK_BYTES = 64 * 1024;

// A chunk that is nearly full still takes tags and lengths: a few bytes per message that is opened.
const SLACK_BYTES = 256;

/** Writes protobuf. The caller takes the chunk when `room` is used up, before it copies more. */
export class ChunkWriter {
  #bytes = new Uint8Array(CHUNK_BYTES + SLACK_BYTES);
  #length = 0;

  /** Bytes that may be copied before the next `take`; 0 or less when the chunk is full. */
  get room(): number {
    return CHUNK_BYTES - this.#length;
  }

  get length(): number {
    return this.#length;
  }

  /** What was written since the last call; the buffer is the caller's. */
  take(): Uint8Array<ArrayBuffer> {
    const chunk = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(CHUNK_BYTES + SLACK_BYTES);
    this.#length = 0;
    return chunk;
  }

  byte(value: number): void {
    this.#bytes[this.#length++] = value;
  }

  varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** Copies [start, end), at most `room` bytes. */
  copy(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes.set(bytes.subarray(start, end), this.#length);
    this.#length += end - start;
  }
}
