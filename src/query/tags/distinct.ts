// Texts, each once, up to a number of them and of bytes.

export interface DistinctLimits {
  readonly limit: number;
  /** Of all texts together, as UTF-8. */
  readonly maxBytes: number;
}

const encoder = new TextEncoder();

/** Texts with what they stand for. What is beyond a limit is left out. */
export class Distinct<T> {
  readonly #limits: DistinctLimits;
  readonly #found = new Map<string, T>();
  #bytes = 0;
  #isTruncated = false;

  constructor(limits: DistinctLimits) {
    this.#limits = limits;
  }

  get isTruncated(): boolean {
    return this.#isTruncated;
  }

  /** In the order of their keys. */
  values(): T[] {
    return [...this.#found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
  }

  /**
   * @param key tells values apart
   * @param text what counts as its bytes
   * @returns false when nothing more fits
   */
  add(key: string, text: string, value: T): boolean {
    if (this.#isTruncated) return false;
    if (this.#found.has(key)) return true;
    const bytes = encoder.encode(text).length;
    if (this.#found.size >= this.#limits.limit || this.#bytes + bytes > this.#limits.maxBytes) {
      this.#isTruncated = true;
      return false;
    }
    this.#bytes += bytes;
    this.#found.set(key, value);
    return true;
  }
}
