// Sets of rows: a byte for each row, 1 or 0. Bytes are written without reading first and combine four at a time.

/** Its length is the number of rows, rounded up to a multiple of 4; bytes behind the rows are 0. */
export type Mask = Uint8Array<ArrayBuffer>;

export function emptyMask(rowCount: number): Mask {
  return new Uint8Array((rowCount + 3) & ~3);
}

export function fullMask(rowCount: number): Mask {
  return emptyMask(rowCount).fill(1, 0, rowCount);
}

function words(mask: Mask): Uint32Array {
  return new Uint32Array(mask.buffer);
}

/** `target &= other`. */
export function intersect(target: Mask, other: Mask): Mask {
  const to = words(target);
  const from = words(other);
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) & (from[i] ?? 0);
  return target;
}

/** `target |= other`. */
export function unite(target: Mask, other: Mask): Mask {
  const to = words(target);
  const from = words(other);
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) | (from[i] ?? 0);
  return target;
}

/** `target &= ~other`. */
export function subtract(target: Mask, other: Mask): Mask {
  const to = words(target);
  const from = words(other);
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) & ~(from[i] ?? 0);
  return target;
}

/** Whether the mask has no row in [start, end). */
export function isEmpty(mask: Uint8Array, start = 0, end = mask.length): boolean {
  return !mask.subarray(start, end).includes(1);
}

/** Number of rows in [start, end). */
export function countRows(mask: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let row = start; row < end; row++) count += mask[row] ?? 0;
  return count;
}

/** Rows looked at one by one before a native search: where rows are dense, calls cost more than they save. */
const NEAR = 16;

/** The first row of the mask at or behind `from`; -1 when there is none. */
export function nextRow(mask: Uint8Array, from: number): number {
  const near = Math.min(from + NEAR, mask.length);
  for (let row = from; row < near; row++) if (mask[row] === 1) return row;
  return near === mask.length ? -1 : mask.indexOf(1, near);
}
