// Ranges that lie near each other become one read: a request costs more than the bytes between them.
import type { ByteRange } from "../block/meta.ts";

/** At some 50 MB/s these arrive in the time that another request would take to begin. */
const GAP_BYTES = 512 * 1024;

/**
 * The reads that cover all `ranges`, ascending: gaps up to GAP_BYTES are read along, and wider ones, the narrowest first,
 * while there are more than `readsMax` reads.
 */
export function coalesce(ranges: readonly ByteRange[], readsMax: number): ByteRange[] {
  const reads: { offset: number; end: number }[] = [];
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const last = reads.at(-1);
    if (last !== undefined && offset - last.end <= GAP_BYTES) last.end = Math.max(last.end, offset + length);
    else reads.push({ offset, end: offset + length });
  }
  while (reads.length > readsMax) {
    let narrowest = 1;
    for (let i = 2; i < reads.length; i++) {
      if (gapBefore(reads, i) < gapBefore(reads, narrowest)) narrowest = i;
    }
    const [joined] = reads.splice(narrowest, 1);
    const before = reads[narrowest - 1];
    if (joined !== undefined && before !== undefined) before.end = joined.end;
  }
  return reads.map(({ offset, end }) => ({ offset, length: end - offset }));
}

function gapBefore(reads: readonly { offset: number; end: number }[], index: number): number {
  return (reads[index]?.offset ?? 0) - (reads[index - 1]?.end ?? 0);
}
