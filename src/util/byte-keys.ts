// Names found by their bytes, without making a string of them.

const BUCKETS = 64;

interface Entry {
  readonly name: Uint8Array;
  readonly value: number;
}

function bucketOf(bytes: Uint8Array, start: number, end: number): number {
  return ((end - start) * 31 + (bytes[start] ?? 0) * 7 + (bytes[end - 1] ?? 0)) & (BUCKETS - 1);
}

/** Whether bytes [start, end) are `name`. */
export function isName(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}

/** Numbers (from 0) by name. */
export class ByteKeys {
  readonly #buckets: Entry[][] = Array.from({ length: BUCKETS }, () => []);
  #size = 0;

  constructor(names: Iterable<readonly [name: string, value: number]> = []) {
    const encoder = new TextEncoder();
    for (const [name, value] of names) {
      const bytes = encoder.encode(name);
      this.add(bytes, 0, bytes.length, value);
    }
  }

  get size(): number {
    return this.#size;
  }

  /** Adds the name in bytes [start, end), which is copied. */
  add(bytes: Uint8Array, start: number, end: number, value: number): void {
    this.#buckets[bucketOf(bytes, start, end)]?.push({ name: bytes.slice(start, end), value });
    this.#size++;
  }

  /** The number of the name in bytes [start, end), or -1. */
  of(bytes: Uint8Array, start: number, end: number): number {
    const bucket = this.#buckets[bucketOf(bytes, start, end)] ?? [];
    for (const entry of bucket) if (isName(bytes, start, end, entry.name)) return entry.value;
    return -1;
  }
}
