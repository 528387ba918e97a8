// Values that can be had again, kept while they are used, up to a number of bytes.

/** Keeps the values that were used last. */
export class LruCache<T> {
  readonly #maxBytes: number;
  readonly #sizeOf: (value: T) => number;
  /** Least recently used first. */
  readonly #values = new Map<string, T>();
  #bytes = 0;

  /** @param sizeOf bytes of a value; it does not change while the value is kept */
  constructor(maxBytes: number, sizeOf: (value: T) => number) {
    this.#maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
  }

  get byteLength(): number {
    return this.#bytes;
  }

  get(key: string): T | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  /** A value that is larger than a quarter of the cache is not kept: it would push out too many. */
  set(key: string, value: T): void {
    this.delete(key);
    const size = this.#sizeOf(value);
    if (size > this.#maxBytes / 4) return;
    this.#values.set(key, value);
    this.#bytes += size;
    for (const oldest of this.#values.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#bytes -= this.#sizeOf(value);
  }
}
