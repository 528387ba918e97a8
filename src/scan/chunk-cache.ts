// Column chunks as they are in the bucket, kept for the next query. Objects never change, so neither do they.

export class ChunkCache {
  readonly #maxBytes: number;
  /** Least recently used first. */
  readonly #chunks = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): Uint8Array | undefined {
    const bytes = this.#chunks.get(key);
    if (bytes === undefined) return undefined;
    this.#chunks.delete(key);
    this.#chunks.set(key, bytes);
    return bytes;
  }

  /** @param bytes own their buffer; one that is larger than a quarter of the cache is not kept */
  set(key: string, bytes: Uint8Array): void {
    if (this.#chunks.has(key) || bytes.length > this.#maxBytes / 4) return;
    this.#chunks.set(key, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, { length }] of this.#chunks) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#chunks.delete(oldest);
      this.#bytes -= length;
    }
  }
}
