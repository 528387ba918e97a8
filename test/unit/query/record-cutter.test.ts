import { describe, expect, test } from "vitest";
import { RecordCutter } from "../../../src/query/record-cutter.ts";
import { concatBytes, equalBytes } from "../../../src/util/bytes.ts";
import { messageOf } from "../../../src/util/errors.ts";

/** A record of field 1 with `length` bytes, each `fill`. */
function record(length: number, fill: number): Uint8Array {
  const head = length < 128 ? [0x0a, length] : [0x0a, (length & 127) | 128, length >>> 7];
  return concatBytes([Uint8Array.from(head), new Uint8Array(length).fill(fill)]);
}

const RECORDS: readonly Uint8Array[] = [
  record(5, 1),
  record(0, 0),
  record(300, 2),
  Uint8Array.of(0x10, 0xff, 0xff, 0x01), // field 2, a varint
  Uint8Array.of(0x19, 1, 2, 3, 4, 5, 6, 7, 8), // field 3, fixed64
  record(127, 3),
  Uint8Array.of(0xa5, 0x01, 1, 2, 3, 4), // field 20, fixed32
  Uint8Array.of(0x0a, 0x82, 0x80, 0x00, 9, 9), // a padded length
  record(128, 4),
];
const BYTES = concatBytes(RECORDS);
/** Where a record ends. */
const ENDS = new Set(RECORDS.map((_, i) => concatBytes(RECORDS.slice(0, i + 1)).length));

function cut(chunks: readonly Uint8Array[]): Uint8Array[] {
  const cutter = new RecordCutter(1000);
  // Pieces are valid until the next call.
  const pieces = chunks.flatMap((chunk) => cutter.push(chunk).map((piece) => piece.slice()));
  cutter.end();
  return pieces;
}

/** What is wrong with the pieces: undefined when they are all of BYTES, each of whole records. */
function flawOf(pieces: readonly Uint8Array[]): string | undefined {
  if (!equalBytes(concatBytes(pieces), BYTES)) return "other bytes";
  let at = 0;
  for (const piece of pieces) {
    at += piece.length;
    if (piece.length === 0) return `empty piece at ${at}`;
    if (!ENDS.has(at)) return `piece ends at ${at}`;
  }
  return undefined;
}

describe("RecordCutter", () => {
  test("gives whole records at every pair of cuts", () => {
    for (let a = 0; a <= BYTES.length; a++) {
      for (let b = a; b <= BYTES.length; b += 7) {
        expect(flawOf(cut([BYTES.subarray(0, a), BYTES.subarray(a, b), BYTES.subarray(b)]))).toBe(undefined);
      }
    }
  });

  test("gives whole records at every chunk size", () => {
    for (let size = 1; size <= BYTES.length; size++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < BYTES.length; at += size) chunks.push(BYTES.slice(at, at + size));
      expect(flawOf(cut(chunks))).toBe(undefined);
    }
  });

  test("a chunk of whole records is passed on without copying", () => {
    const [piece] = new RecordCutter(1000).push(BYTES);
    expect(piece?.buffer).toBe(BYTES.buffer);
    expect(piece?.length).toBe(BYTES.length);
  });

  test("a record that ends the stream halfway is corrupt, wherever it is cut", () => {
    const refused: number[] = [];
    for (let length = 1; length < BYTES.length; length++) {
      try {
        cut([BYTES.subarray(0, length)]);
      } catch (error) {
        if (messageOf(error) === "live spans end in the middle of a record") refused.push(length);
      }
    }
    const inside = Array.from({ length: BYTES.length - 1 }, (_, i) => i + 1).filter((at) => !ENDS.has(at));
    expect(refused).toEqual(inside);
  });

  test("a record may be as long as the limit and no longer, before its bytes are there", () => {
    const fits = record(997, 1);
    expect(fits.length).toBe(1000);
    expect(cut([fits])).toEqual([fits]);
    const cutter = new RecordCutter(1000);
    expect(() => cutter.push(record(998, 1).subarray(0, 3))).toThrow(/claim a record of 1001 bytes/);
    const lying = Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f);
    expect(() => new RecordCutter(2 ** 25).push(lying)).toThrow(/claim a record of 4294967301 bytes/);
  });

  test.each([
    ["field number 0", [0x02, 1, 1]],
    ["a group", [0x0b, 1]],
    ["wire type 6", [0x0e, 1]],
    ["a tag without end", [0x8a, 0x80, 0x80, 0x80, 0x80, 0x80]],
    ["a length without end", [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80]],
  ])("%s is corrupt", (_, bytes) => {
    expect(() => new RecordCutter(1000).push(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ kind: "corrupt" }),
    );
  });
});
