// Bytes that can be loaded again, kept up to a bound.

/** Keeps the values that were used last, by id. Their bytes together never pass the bound for long: one may. */
export class ByteCache<T> {
  readonly #maxBytes: number;
  readonly #sizeOf: (value: T) => number;
  readonly #values = new Map<number, T>();
  #bytes = 0;

  constructor(maxBytes: number, sizeOf: (value: T) => number) {
    this.#maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
  }

  get(id: number, load: () => T): T {
    const kept = this.#values.get(id);
    if (kept === undefined) {
      const value = load();
      this.set(id, value);
      return value;
    }
    this.#values.delete(id);
    this.#values.set(id, kept);
    return kept;
  }

  set(id: number, value: T): void {
    this.delete(id);
    this.#values.set(id, value);
    this.#bytes += this.#sizeOf(value);
    for (const oldest of this.#values.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === id) break;
      this.delete(oldest);
    }
  }

  delete(id: number): void {
    const value = this.#values.get(id);
    if (value === undefined) return;
    this.#values.delete(id);
    this.#bytes -= this.#sizeOf(value);
  }
}
