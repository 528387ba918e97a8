// Bounded compression by the runtime's native codecs. See RATIONALE.md for why not streams or fflate.
import {
  constants,
  crc32 as zlibCrc32,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { concatBytes, exactBytes, freeBytes, leanBytes } from "./bytes.ts";
import { AppError, messageOf } from "./errors.ts";

/** How bytes are compressed. `deflate` is HTTP's: a zlib stream, or, as some clients send it, a bare one. */
export type Codec = "raw" | "gzip" | "zstd" | "deflate";

// A zstd frame may ask for a window of 2 GiB before its first byte; 8 MiB is what RFC 9659 grants HTTP.
const ZSTD_WINDOW_LOG_MAX = 23;

// workerd's decoders take output room in steps of 40 KiB and refuse when the next step would pass maxOutputLength, even
// if the output itself would not: with this much more, whatever fits the limit inflates. The limit is checked after.
const OUTPUT_SLACK_BYTES = 64 * 1024;

/**
 * Output up to here is inflated in one step when its length is known: in node's steps of 16 KiB, which are joined in the
 * end, a page of 256 KiB takes 1.2 to 1.5 times as long. Bounded, because stored bytes may claim any length.
 */
const ONE_STEP_BYTES_MAX = 1024 * 1024;
/** Room that is left shows that the output has ended. */
const ONE_STEP_SLACK_BYTES = 64;

function isZlibHeader(bytes: Uint8Array): boolean {
  const cmf = bytes[0] ?? 0;
  return (cmf & 0x0f) === 8 && ((cmf << 8) | (bytes[1] ?? 0)) % 31 === 0;
}

/** What an inflating function may take. */
interface OutputRoom {
  readonly maxOutputLength: number;
  readonly chunkSize?: number;
}

function zstdFrames(bytes: Uint8Array, room: OutputRoom): Uint8Array {
  return zstdDecompressSync(bytes, {
    ...room,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
  });
}

/**
 * workerd (1.20261102) takes an output that exactly fills its buffer, of 40 KiB times a power of two, for one cut
 * short. One more frame of one byte makes it not fill it; behind a stream that is really cut short, its magic number
 * is read as a block that ends past the input, so that is an error still.
 */
function inflateZstd(bytes: Uint8Array, room: OutputRoom): Uint8Array {
  try {
    return zstdFrames(bytes, room);
  } catch (error) {
    if (error instanceof RangeError || bytes.length === 0) throw error;
    const padded = zstdFrames(concatBytes([bytes, compressZstd(new Uint8Array(1), 1)]), room);
    return padded.subarray(0, -1);
  }
}

function inflate(codec: Exclude<Codec, "raw">, bytes: Uint8Array, room: OutputRoom): Uint8Array {
  switch (codec) {
    case "gzip":
      return gunzipSync(bytes, room);
    case "zstd":
      return inflateZstd(bytes, room);
    case "deflate":
      return isZlibHeader(bytes) ? inflateSync(bytes, room) : inflateRawSync(bytes, room);
  }
}

/** Undefined when it is not known to fit one step, or is not what was expected: steps then tell. */
function inflateAtOnce(
  codec: Exclude<Codec, "raw">,
  bytes: Uint8Array,
  { maxOutputLength, expectedBytes }: { readonly maxOutputLength: number; readonly expectedBytes: number },
): Uint8Array | undefined {
  if (expectedBytes > ONE_STEP_BYTES_MAX) return undefined;
  const chunkSize = expectedBytes + ONE_STEP_SLACK_BYTES;
  const inflated = inflate(codec, bytes, { maxOutputLength, chunkSize });
  return inflated.length === expectedBytes ? inflated : undefined;
}

/**
 * As `decompress`, but the result may be a view with a few bytes more behind it: where it is only read, a copy would take
 * an eighth of the time.
 */
export function decompressView(
  codec: Exclude<Codec, "raw">,
  bytes: Uint8Array,
  maxBytes: number,
  expectedBytes: number,
): Uint8Array {
  return guarded(codec, maxBytes, () => {
    const room = { maxOutputLength: maxBytes + OUTPUT_SLACK_BYTES };
    const inflated = inflateAtOnce(codec, bytes, { ...room, expectedBytes }) ?? inflate(codec, bytes, room);
    return leanBytes(new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length));
  });
}

/**
 * Inflates `bytes` to at most `maxBytes`. Checks the codec's own checksum.
 * @param expectedBytes what it should come to, if that is known: then it is faster
 * @returns an array that owns its buffer (`bytes` itself when raw)
 * @throws AppError `too_large` past `maxBytes`, `invalid_argument` when the stream is malformed or cut short
 */
export function decompress(
  codec: Codec,
  bytes: Uint8Array,
  maxBytes: number,
  expectedBytes: number = Infinity,
): Uint8Array {
  if (codec === "raw") {
    if (bytes.length > maxBytes) throw new AppError("too_large", `${bytes.length} bytes exceed ${maxBytes}`);
    return bytes;
  }
  return exactBytes(decompressView(codec, bytes, maxBytes, expectedBytes));
}

/** @throws AppError for what `work` throws, or when it gives more than `maxBytes` */
function guarded(codec: Codec, maxBytes: number, work: () => Uint8Array): Uint8Array {
  try {
    const inflated = work();
    if (inflated.length > maxBytes) throw new RangeError("past the limit, within the slack");
    return inflated;
  } catch (error) {
    if (error instanceof RangeError) {
      throw new AppError("too_large", `${codec} body inflates to more than ${maxBytes} bytes`, {
        cause: error,
      });
    }
    throw new AppError("invalid_argument", `malformed ${codec} body: ${messageOf(error)}`, { cause: error });
  }
}

// Input from which the compressed form might pass 40 KiB: zstd adds at most 1/256 and a few bytes.
const ZSTD_ONE_STEP_BYTES = 40_000;

// The header of a block of no bytes (a raw one) that is its frame's last. RFC 8878, 3.1.1.2.
const ZSTD_LAST_BLOCK = Uint8Array.of(1, 0, 0);

/**
 * Compresses with zstd at `level` (1-19). The result owns its buffer.
 *
 * workerd (1.20261102) fails with "Unexpected end of file" when what ends a frame does not fit its first 40 KiB of output.
 * So a longer input is only flushed, which it does well at any length, and the frame ended by hand.
 */
export function compressZstd(bytes: Uint8Array, level: number): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  if (bytes.length <= ZSTD_ONE_STEP_BYTES) return exactBytes(zstdCompressSync(bytes, { params }));
  const flushed = zstdCompressSync(bytes, { params, finishFlush: constants.ZSTD_e_flush });
  const ended = concatBytes([flushed, ZSTD_LAST_BLOCK]);
  freeBytes(flushed);
  return ended;
}

/** CRC-32 (polynomial 0x04C11DB7, as in gzip and Parquet) of `bytes`, unsigned. */
export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes) >>> 0;
}
