// Bytes that are read in place, with what reads four of them at once.

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

const MULTIPLIER = 0x9e3779b1 | 0;

/**
 * A body and a view of it. Loops over text take 32 bits at a time where they can: byte by byte, copying a text of 20
 * bytes takes twice as long. Always of this class, never of its shape: readers of several shapes are slower.
 */
export class ByteSource {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** @param bytes neither copied nor changed by this */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes [start, end) as text. What is not UTF-8 becomes U+FFFD. */
  text(start: number, end: number): string {
    return start === end ? "" : decoder.decode(this.bytes.subarray(start, end));
  }

  /** Whether the `length` bytes at `a` are those at `b`. */
  isSame(a: number, b: number, length: number): boolean {
    const { bytes, view } = this;
    let done = 0;
    for (; done <= length - 4; done += 4) {
      if (view.getInt32(a + done) !== view.getInt32(b + done)) return false;
    }
    for (; done < length; done++) if (bytes[a + done] !== bytes[b + done]) return false;
    return true;
  }

  /** A hash of bytes [start, end) and their number, continuing `seed`. Not for what must not be forged. */
  hash(start: number, end: number, seed: number): number {
    const { bytes, view } = this;
    let hash = Math.imul(seed ^ (end - start), MULTIPLIER);
    let at = start;
    for (; at <= end - 4; at += 4)
      hash = Math.imul((hash << 5) ^ (hash >>> 15) ^ view.getInt32(at), MULTIPLIER);
    for (; at < end; at++) hash = Math.imul((hash << 5) ^ (hash >>> 15) ^ (bytes[at] ?? 0), MULTIPLIER);
    return hash;
  }
}
