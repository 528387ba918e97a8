// Frame of the private parts of a block's tail: what it is, how long, whether intact. See FORMAT.md, "Parts".
import { concatBytes } from "../util/bytes.ts";
import { compressZstd, crc32 } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";
import { inflate } from "./page.ts";

export const PART = { traceIndex: 1, resources: 2, filter: 3, attributes: 4 } as const;
export type PartKind = (typeof PART)[keyof typeof PART];

/** Only the trace index has a second version, for several row groups. */
export type PartVersion = 1 | 2;
const VERSION_MAX: Readonly<Record<PartKind, PartVersion>> = {
  [PART.traceIndex]: 2,
  [PART.resources]: 1,
  [PART.filter]: 1,
  [PART.attributes]: 1,
};
const STORED = 0;
const ZSTD = 1;
export const PART_HEADER_BYTES = 12;

/** Inflated bytes of a part that a reader accepts. */
const PART_BYTES_MAX = 64 * 1024 * 1024;
// Parts are small and kept for long: the most that zstd gives at little cost.
const PART_ZSTD_LEVEL = 9;

/** Frames `body`. The result owns its buffer. */
export function encodePart(
  kind: PartKind,
  body: Uint8Array,
  compression: "none" | "zstd",
  version: PartVersion = 1,
): Uint8Array {
  const stored = compression === "zstd" ? compressZstd(body, PART_ZSTD_LEVEL) : body;
  const header = new Uint8Array(PART_HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set([kind, version, compression === "zstd" ? ZSTD : STORED]);
  view.setUint32(4, body.length, true);
  view.setUint32(8, crc32(stored), true);
  return concatBytes([header, stored]);
}

/** Checks the kind. Returns the version. @throws AppError `corrupt`, also for a version that is not known */
export function checkPartKind(part: Uint8Array, kind: PartKind): PartVersion {
  const version = part[1];
  const isKnown = version === 1 || (version === 2 && VERSION_MAX[kind] === 2);
  if (part.length < PART_HEADER_BYTES || part[0] !== kind || !isKnown) {
    throw new AppError("corrupt", `block part: not of kind ${kind}, version ${VERSION_MAX[kind]} at most`);
  }
  return version;
}

/**
 * The body of a part, its checksum verified; a view of `part` when it is stored as it is.
 * @throws AppError `corrupt`
 */
export function decodePart(kind: PartKind, part: Uint8Array): Uint8Array {
  checkPartKind(part, kind);
  const view = new DataView(part.buffer, part.byteOffset, part.length);
  const length = view.getUint32(4, true);
  const stored = part.subarray(PART_HEADER_BYTES);
  if (length > PART_BYTES_MAX) throw new AppError("corrupt", `block part: claims ${length} bytes`);
  if (crc32(stored) !== view.getUint32(8, true)) throw new AppError("corrupt", "block part: wrong checksum");
  if ((part[2] !== STORED && part[2] !== ZSTD) || part[3] !== 0) {
    throw new AppError("corrupt", "block part: compression");
  }
  const body = part[2] === ZSTD ? inflate(stored, length) : stored;
  if (body.length !== length) throw new AppError("corrupt", "block part: wrong length");
  return body;
}
