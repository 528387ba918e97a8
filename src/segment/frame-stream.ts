// Frames of an epoch on their way from the shard to whoever scans them: stored bodies, each behind a head of fixed size.
//
// | field      | type            |                                        |
// | ---------- | --------------- | -------------------------------------- |
// | codec      | u32             | index into CODECS                      |
// | row        | u32             | of the epoch, in which the body begins |
// | rawLength  | u32             | bytes of the inflated body             |
// | bodyLength | u32             | bytes of the body                      |
// | bodyCrc    | u32             | CRC-32 of the body                     |
// | body       | bodyLength x u8 |                                        |
import { leanBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";
import type { FrameRef } from "./live-index.ts";

const CODECS: readonly Codec[] = ["raw", "gzip", "zstd", "deflate"];
const HEAD_BYTES = 20;
/** Bytes of a piece of the stream at most. */
const PIECE_BYTES = 1024 * 1024;

/** A frame as it is stored. */
export interface StoredFrame {
  readonly ref: Omit<FrameRef, "offset">;
  readonly body: Uint8Array;
}

/** The frame's bytes in pieces of bounded size, each in a buffer of its own. */
export function* frameBytes({ ref, body }: StoredFrame): Generator<Uint8Array> {
  const head = Uint32Array.of(CODECS.indexOf(ref.codec), ref.row, ref.rawLength, ref.bodyLength, ref.bodyCrc);
  let first: Uint8Array | undefined = new Uint8Array(head.buffer);
  for (let at = 0; at < body.length || first !== undefined;) {
    const end = Math.min(body.length, at + PIECE_BYTES);
    const before: number = first?.length ?? 0;
    const piece = new Uint8Array(before + end - at);
    if (first !== undefined) piece.set(first);
    piece.set(body.subarray(at, end), before);
    yield piece;
    first = undefined;
    at = end;
  }
}

/**
 * The frames of a stream of such bytes, cut anywhere. Each body owns its buffer, but for a few bytes around it.
 * @param maxBodyBytes of a stored body and of an inflated one
 * @throws AppError `corrupt`, also when the stream ends within a frame; what the stream fails with
 */
export async function* readFrames(
  chunks: AsyncIterable<Uint8Array>,
  maxBodyBytes: number,
): AsyncGenerator<StoredFrame> {
  const head = new Uint8Array(HEAD_BYTES);
  let headLength = 0;
  let ref: StoredFrame["ref"] | undefined;
  let body: Uint8Array = new Uint8Array(0);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      if (ref === undefined) {
        const part = chunk.subarray(at, at + HEAD_BYTES - headLength);
        head.set(part, headLength);
        headLength += part.length;
        at += part.length;
        if (headLength < HEAD_BYTES) continue;
        ref = readHead(head, maxBodyBytes);
        // Mostly a piece is one frame: it need not be copied.
        if (chunk.length - at >= ref.bodyLength) {
          const end = at + ref.bodyLength;
          yield { ref, body: leanBytes(chunk.subarray(at, end)) };
          at = end;
          ref = undefined;
          headLength = 0;
          continue;
        }
        body = new Uint8Array(ref.bodyLength);
        filled = 0;
      }
      const part = chunk.subarray(at, at + body.length - filled);
      body.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < body.length) continue;
      yield { ref, body };
      ref = undefined;
      headLength = 0;
    }
  }
  if (ref !== undefined || headLength > 0) throw corrupt("the stream ends within a frame");
}

function readHead(bytes: Uint8Array, maxBodyBytes: number): StoredFrame["ref"] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const codec = CODECS[view.getUint32(0, true)];
  const [row, rawLength, bodyLength, bodyCrc] = [4, 8, 12, 16].map((at) => view.getUint32(at, true));
  if (codec === undefined || row === undefined || rawLength === undefined || bodyLength === undefined) {
    throw corrupt("unknown codec");
  }
  if (rawLength > maxBodyBytes || bodyLength > maxBodyBytes || bodyLength === 0) {
    throw corrupt(`a body of ${bodyLength} bytes, ${rawLength} inflated`);
  }
  return { codec, row, rawLength, bodyLength, bodyCrc: bodyCrc ?? 0 };
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `segment frames: ${what}`);
}
