// Where a block's bytes come from.
import { AppError } from "../util/errors.ts";
import type { ByteRange } from "./meta.ts";

/** A block's bytes, wherever they are. */
export interface RangeSource {
  readonly byteLength: number;
  /** The bytes of a range that lies within the block. */
  read(range: ByteRange): Promise<Uint8Array>;
}

/** A block that is in memory. */
export function bytesSource(bytes: Uint8Array): RangeSource {
  return {
    byteLength: bytes.length,
    read: async ({ offset, length }) => bytes.subarray(offset, offset + length),
  };
}

/** Reads the range, of which a damaged file may say anything. @throws AppError `corrupt`; what the source throws */
export async function readRange(source: RangeSource, range: ByteRange): Promise<Uint8Array> {
  const { offset, length } = range;
  if (!(offset >= 0 && length >= 0 && offset + length <= source.byteLength)) {
    throw new AppError("corrupt", `block: range ${offset}+${length} of ${source.byteLength}`);
  }
  const bytes = await source.read(range);
  if (bytes.length !== length) {
    throw new AppError("corrupt", `block: ${bytes.length} bytes read instead of ${length}`);
  }
  return bytes;
}
