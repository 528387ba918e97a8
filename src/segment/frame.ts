// One accepted batch as it lies in a segment: FORMAT.md is the contract.
import { AppError } from "../util/errors.ts";
import type { Codec } from "../util/codec.ts";
import { crc32, decompressView } from "../util/codec.ts";

const VERSION = 1;
/** With the sizes of the traces behind their hashes. */
const VERSION_WITH_SIZES = 2;
const FIXED_HEAD_BYTES = 40;
const FLAG_ANY_TRACE = 1;
/** Hashes kept in a head: 1 MiB, so that head and the first part of the body share a row. */
export const MAX_TRACE_HASHES = 262_144;
/** Traces whose sizes are kept as well: 1.5 MiB. */
export const MAX_SIZED_TRACES = 131_072;
const CODECS: readonly Codec[] = ["raw", "gzip", "zstd", "deflate"];

/** What the index needs of a frame. Byte counts are exact; times are ns since 1970. */
export interface FrameHead {
  readonly codec: Codec;
  readonly rawLength: number;
  readonly bodyLength: number;
  readonly bodyCrc: number;
  readonly spanCount: number;
  readonly minStartNs: bigint;
  readonly maxEndNs: bigint;
  /** Distinct trace hashes, ascending; undefined when the frame may hold any trace. */
  readonly traceHashes: Uint32Array | undefined;
  /** By trace, in the order of the hashes: bytes of its spans; then, again by trace, spans. Undefined: not known. */
  readonly traceSizes: Uint32Array | undefined;
  /** Bytes of the head itself. */
  readonly headLength: number;
}

export interface FrameContent {
  readonly codec: Codec;
  readonly body: Uint8Array;
  readonly rawLength: number;
  readonly spanCount: number;
  readonly minStartNs: bigint;
  readonly maxEndNs: bigint;
  readonly traceHashes: Uint32Array;
}

/** Makes the head of a frame. The result owns its buffer. */
export function encodeHead(content: FrameContent): Uint8Array {
  const anyTrace = content.traceHashes.length > MAX_TRACE_HASHES;
  const hashes = anyTrace ? new Uint32Array() : content.traceHashes;
  const head = new Uint8Array(FIXED_HEAD_BYTES + 4 * hashes.length);
  const view = new DataView(head.buffer);
  head[0] = VERSION;
  head[1] = CODECS.indexOf(content.codec);
  view.setUint16(2, anyTrace ? FLAG_ANY_TRACE : 0, true);
  view.setUint32(4, content.rawLength, true);
  view.setUint32(8, content.body.length, true);
  view.setUint32(12, crc32(content.body), true);
  view.setUint32(16, content.spanCount, true);
  view.setBigUint64(20, content.minStartNs, true);
  view.setBigUint64(28, content.maxEndNs, true);
  view.setUint32(36, hashes.length, true);
  for (let i = 0; i < hashes.length; i++) view.setUint32(FIXED_HEAD_BYTES + 4 * i, hashes[i] ?? 0, true);
  return head;
}

/**
 * The head with the sizes of its traces. The shard adds them: a shard of an older version, which a Worker may reach during
 * a deploy, would not know where such a head ends. As it is when they do not fit it or a row, or are there already.
 * @param sizes as `FrameHead.traceSizes`
 */
export function withTraceSizes(head: Uint8Array, sizes: Uint32Array): Uint8Array {
  if (head.length < FIXED_HEAD_BYTES) return head;
  const hashCount = new DataView(head.buffer, head.byteOffset).getUint32(36, true);
  if (head[0] !== VERSION || sizes.length !== 2 * hashCount || hashCount > MAX_SIZED_TRACES) return head;
  const out = new Uint8Array(head.length + 4 * sizes.length);
  out.set(head);
  out[0] = VERSION_WITH_SIZES;
  const view = new DataView(out.buffer);
  for (let i = 0; i < sizes.length; i++) view.setUint32(head.length + 4 * i, sizes[i] ?? 0, true);
  return out;
}

/**
 * Reads the head that begins at `offset`.
 * @throws AppError `corrupt`
 */
export function decodeHead(bytes: Uint8Array, offset = 0): FrameHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length - offset < FIXED_HEAD_BYTES) throw corrupt(`head cut short at byte ${offset}`);
  const codec = CODECS[view.getUint8(offset + 1)];
  const version = view.getUint8(offset);
  if ((version !== VERSION && version !== VERSION_WITH_SIZES) || codec === undefined)
    throw corrupt(`unknown head at byte ${offset}`);
  const hashCount = view.getUint32(offset + 36, true);
  const hashesEnd = offset + FIXED_HEAD_BYTES + 4 * hashCount;
  const headLength = FIXED_HEAD_BYTES + (version === VERSION ? 4 : 12) * hashCount;
  if (bytes.length - offset < headLength) throw corrupt(`${hashCount} traces cut short`);
  const anyTrace = (view.getUint16(offset + 2, true) & FLAG_ANY_TRACE) !== 0;
  return {
    codec,
    rawLength: view.getUint32(offset + 4, true),
    bodyLength: view.getUint32(offset + 8, true),
    bodyCrc: view.getUint32(offset + 12, true),
    spanCount: view.getUint32(offset + 16, true),
    minStartNs: view.getBigUint64(offset + 20, true),
    maxEndNs: view.getBigUint64(offset + 28, true),
    traceHashes: anyTrace ? undefined : readNumbers(view, offset + FIXED_HEAD_BYTES, hashCount),
    traceSizes: version === VERSION ? undefined : readNumbers(view, hashesEnd, 2 * hashCount),
    headLength,
  };
}

/** All heads of a row, in the order of their bodies. A continuation row has none. */
export function* decodeHeads(bytes: Uint8Array): Generator<FrameHead> {
  for (let offset = 0; offset < bytes.length;) {
    const head = decodeHead(bytes, offset);
    yield head;
    offset += head.headLength;
  }
}

/**
 * The TracesData of a frame. Maybe a view with a few bytes more behind it: 32 MiB of copies take 10 ms.
 * @param body the stored body, exactly
 * @throws AppError `corrupt` when it is not what was stored
 */
export function openBody(
  head: Pick<FrameHead, "codec" | "rawLength" | "bodyLength" | "bodyCrc">,
  body: Uint8Array,
): Uint8Array {
  if (body.length !== head.bodyLength) throw corrupt(`body has ${body.length} of ${head.bodyLength} bytes`);
  if (crc32(body) !== head.bodyCrc) throw corrupt("body does not match its checksum");
  const { codec, rawLength } = head;
  const raw = codec === "raw" ? body : decompressView(codec, body, rawLength, rawLength);
  if (raw.length !== rawLength) throw corrupt(`body inflates to ${raw.length} of ${rawLength} bytes`);
  return raw;
}

function readNumbers(view: DataView, offset: number, count: number): Uint32Array {
  const numbers = new Uint32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = view.getUint32(offset + 4 * i, true);
  return numbers;
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `segment frame: ${what}`);
}
