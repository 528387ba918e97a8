// Where the parts of a trace wait, compressed, until it is known how the answer begins.
import { freeBytes } from "../util/bytes.ts";
import { type Codec, compressZstd, decompress } from "../util/codec.ts";

// Level 1 takes 1.5 ms a megabyte and a fifth of the bytes; higher levels gain little on span bytes.
const ZSTD_LEVEL = 1;

/** Below this a part is kept as it is: the gain is not worth the codec's set-up. */
export const COMPRESS_BYTES = 64 * 1024;

interface Part {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
  readonly rawLength: number;
}

export class Spool {
  readonly #maxBytes: number;
  readonly #parts: (Part | undefined)[] = [];
  #bytes = 0;

  /** @param maxBytes bytes that may be held, compressed as they are */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** Keeps a copy of `bytes`; false, and nothing kept, when there is no room. */
  push(bytes: Uint8Array, codec: "raw" | "zstd"): boolean {
    const kept = codec === "zstd" ? compressZstd(bytes, ZSTD_LEVEL) : bytes.slice();
    if (this.#bytes + kept.length > this.#maxBytes) return false;
    this.#bytes += kept.length;
    this.#parts.push({ codec, bytes: kept, rawLength: bytes.length });
    return true;
  }

  /**
   * The parts in their order, inflated one at a time: each is gone when the next is asked for.
   * @param release lets go of each part as it is handed out: the last reading
   */
  *read(release: boolean): Generator<Uint8Array> {
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index];
      if (part === undefined) continue;
      const inflated = decompress(part.codec, part.bytes, part.rawLength);
      if (release) {
        this.#parts[index] = undefined;
        if (inflated !== part.bytes) freeBytes(part.bytes);
      }
      yield inflated;
      if (release || inflated !== part.bytes) freeBytes(inflated);
    }
  }
}
