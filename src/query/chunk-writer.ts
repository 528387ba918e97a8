// Collects output into chunks that are handed over without copying.

/** Bytes from which a chunk is handed over. */
export const CHUNK_BYTES = 64 * 1024;

// Between two looks at the length at most one chunk's worth is copied, and a few tags and lengths.
const BUFFER_BYTES = 2 * CHUNK_BYTES + 1024;

/** Writes protobuf. The caller takes the chunk whenever `length` reaches CHUNK_BYTES. */
export class ChunkWriter {
  #bytes = new Uint8Array(BUFFER_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written since the last call; the buffer is the caller's. */
  take(): Uint8Array<ArrayBuffer> {
    const chunk = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(BUFFER_BYTES);
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

  /** Copies [start, end), at most CHUNK_BYTES. */
  copy(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes.set(bytes.subarray(start, end), this.#length);
    this.#length += end - start;
  }
}
