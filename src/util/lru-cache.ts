// Values that can be had again, kept while they are used, up to a number of bytes.

/** Keeps the values that were used last. */
export class LruCache<T> {
  readonly maxBytes: number;
  readonly #sizeOf: (value: T) => number;
  readonly #largest: number;
  /** Least recently used first. */
  readonly #values = new Map<string, T>();
  #bytes = 0;

  /**
   * @param sizeOf bytes of a value; it does not change while the value is kept
   * @param largest bytes of a value that is kept at all: a larger one would push out too many
   */
  constructor(maxBytes: number, sizeOf: (value: T) => number, largest: number = maxBytes / 4) {
    this.maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
    this.#largest = largest;
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

  /** Whether there is a value, which is not used by that. */
  has(key: string): boolean {
    return this.#values.has(key);
  }

  set(key: string, value: T): void {
    this.delete(key);
    const size = this.#sizeOf(value);
    if (size > this.#largest) return;
    this.#values.set(key, value);
    this.#bytes += size;
    this.makeRoom(0);
  }

  /** Drops the values that were used least recently until `bytes` more would fit, or nothing is left. */
  makeRoom(bytes: number): void {
    for (const oldest of this.#values.keys()) {
      if (this.#bytes + bytes <= this.maxBytes) break;
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
