// Unsigned 64-bit numbers as two words: a bigint per span would cost more than the rest of its row.
import type { Bounds } from "./parquet-metadata.ts";

export interface Words {
  low: number;
  high: number;
}

function isLess(a: Words, b: Words): boolean {
  return a.high < b.high || (a.high === b.high && a.low < b.low);
}

/** `out` = a - b, or 0 when b is greater. */
export function subtract(a: Words, b: Words, out: Words): void {
  if (isLess(a, b)) {
    out.low = 0;
    out.high = 0;
    return;
  }
  const high = a.high - b.high - (a.low < b.low ? 1 : 0);
  out.low = (a.low - b.low) >>> 0;
  out.high = high;
}

/** `out` = `value`, at most 2^63 - 1: columns are signed. */
export function clampSigned(value: Words, out: Words): void {
  const isOver = value.high > 0x7fff_ffff;
  out.low = isOver ? 0xffff_ffff : value.low;
  out.high = isOver ? 0x7fff_ffff : value.high;
}

export function toBigInt({ low, high }: Words): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

function encoded({ low, high }: Words): Uint8Array {
  return new Uint8Array(Uint32Array.of(low, high).buffer);
}

/** Smallest and greatest of the numbers added. */
export class TimeBounds {
  readonly min: Words = { low: 0xffff_ffff, high: 0xffff_ffff };
  readonly max: Words = { low: 0, high: 0 };

  add(value: Words): void {
    if (isLess(value, this.min)) {
      this.min.low = value.low;
      this.min.high = value.high;
    }
    this.addMax(value);
  }

  /** Adds a number that counts for the greatest only. */
  addMax(value: Words): void {
    if (!isLess(this.max, value)) return;
    this.max.low = value.low;
    this.max.high = value.high;
  }

  /** As Parquet's PLAIN INT64. */
  encoded(): Bounds {
    return { min: encoded(this.min), max: encoded(this.max) };
  }
}
