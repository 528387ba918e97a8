// Frames into rows of bounded size, and back.
import { assert } from "../util/assert.ts";
import { concatBytes } from "../util/bytes.ts";

export interface Frame {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export interface SegmentRow {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  /** Counts that go along (FORMAT.md, "Usage"). */
  readonly usage?: Uint8Array;
}

/** Where a frame's body begins: row as an index into the packed rows, offset in that row's body. */
export interface FramePlace {
  readonly row: number;
  readonly offset: number;
}

export interface PackedRows {
  readonly rows: readonly SegmentRow[];
  /** One place a frame, in the frames' order. */
  readonly places: readonly FramePlace[];
}

const NO_BYTES = new Uint8Array();

/** Packs frames, in order, into as few rows of at most `maxRowBytes` as their order allows. */
export function packRows(frames: readonly Frame[], maxRowBytes: number): PackedRows {
  const rows: SegmentRow[] = [];
  const places: FramePlace[] = [];
  let open: Frame[] = [];
  let openBytes = 0;
  let openBodyBytes = 0;
  const close = (): void => {
    if (open.length === 0) return;
    rows.push({ head: joined(open.map((f) => f.head)), body: joined(open.map((f) => f.body)) });
    open = [];
    openBytes = 0;
    openBodyBytes = 0;
  };
  for (const frame of frames) {
    const bytes = frame.head.length + frame.body.length;
    if (openBytes + bytes > maxRowBytes) close();
    places.push({ row: rows.length, offset: openBodyBytes });
    if (bytes > maxRowBytes) {
      rows.push(...splitFrame(frame, maxRowBytes));
      continue;
    }
    open.push(frame);
    openBytes += bytes;
    openBodyBytes += frame.body.length;
  }
  close();
  return { rows, places };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : concatBytes(parts);
}

function splitFrame(frame: Frame, maxRowBytes: number): SegmentRow[] {
  assert(frame.head.length < maxRowBytes, "a head fits a row");
  const rows: SegmentRow[] = [];
  let head = frame.head;
  for (let at = 0; at < frame.body.length;) {
    const end = Math.min(frame.body.length, at + maxRowBytes - head.length);
    rows.push({ head, body: frame.body.subarray(at, end) });
    head = NO_BYTES;
    at = end;
  }
  return rows;
}

/**
 * The body of `length` bytes that begins at `offset` of the first of `rows`, going on over as many as it takes.
 * Shorter than `length` when the rows end first. A body within one row is a view of it.
 */
export function readBody(rows: Iterable<Uint8Array>, offset: number, length: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let missing = length;
  let start = offset;
  for (const row of rows) {
    const part = row.subarray(start, start + missing);
    parts.push(part);
    missing -= part.length;
    start = 0;
    if (missing === 0) break;
  }
  return joined(parts);
}
