// Values, each once, up to a number of them and of bytes: the first ones in order, whatever order they come in.

export interface DistinctLimits {
  readonly limit: number;
  /** Of the texts of all values together, as UTF-8. */
  readonly maxBytes: number;
}

/** Plain values. Parts add up, in any order, to the same values. */
export interface DistinctPart<T> {
  /** In the order of their keys. */
  readonly values: readonly T[];
  /** The first key that was left out because of a limit; undefined: none was. */
  readonly end: string | undefined;
}

/** What is known of a kind of values. */
export interface DistinctKind<T> {
  /** Tells values apart, and is their order. */
  readonly keyOf: (value: T) => string;
  /** What counts as its bytes. */
  readonly textOf: (value: T) => string;
}

const encoder = new TextEncoder();

export class Distinct<T> {
  readonly #kind: DistinctKind<T>;
  readonly #limits: DistinctLimits;
  readonly #found = new Map<string, { readonly value: T; readonly bytes: number }>();
  #bytes = 0;
  /** No key from here on fits: those before it are too many. */
  #end: string | undefined;

  constructor(kind: DistinctKind<T>, limits: DistinctLimits) {
    this.#kind = kind;
    this.#limits = limits;
  }

  add(value: T): void {
    const key = this.#kind.keyOf(value);
    if (this.#found.has(key) || (this.#end !== undefined && key >= this.#end)) return;
    const bytes = encoder.encode(this.#kind.textOf(value)).length;
    this.#found.set(key, { value, bytes });
    this.#bytes += bytes;
    // Now and then, so that sorting costs little.
    const { limit, maxBytes } = this.#limits;
    if (this.#found.size > 2 * limit || this.#bytes > 2 * maxBytes) this.#cut();
  }

  addPart({ values, end }: DistinctPart<T>): void {
    for (const value of values) this.add(value);
    if (end !== undefined && (this.#end === undefined || end < this.#end)) this.#end = end;
  }

  part(): DistinctPart<T> {
    const values = this.#cut();
    return { values, end: this.#end };
  }

  /** Leaves out what is beyond a limit, and all behind it. */
  #cut(): T[] {
    const values: T[] = [];
    let kept = 0;
    for (const [key, { value, bytes }] of [...this.#found].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const isBeyond =
        (this.#end !== undefined && key >= this.#end) ||
        values.length >= this.#limits.limit ||
        kept + bytes > this.#limits.maxBytes;
      if (isBeyond) {
        this.#end = this.#end === undefined || key < this.#end ? key : this.#end;
        this.#found.delete(key);
      } else {
        values.push(value);
        kept += bytes;
      }
    }
    this.#bytes = kept;
    return values;
  }
}
