import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  decodeHead,
  decodeHeads,
  encodeHead,
  MAX_TRACE_HASHES,
  openBody,
} from "../../../src/segment/frame.ts";
import { LiveIndex } from "../../../src/segment/live-index.ts";
import { packRows, readBody } from "../../../src/segment/rows.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { isAppError } from "../../../src/util/errors.ts";

function frameOf(body: Uint8Array, traceHashes: number[] = [1, 7]) {
  const head = encodeHead({
    codec: "raw",
    body,
    rawLength: body.length,
    spanCount: 3,
    minStartNs: 5n,
    maxEndNs: 18_446_744_073_709_551_615n,
    traceHashes: Uint32Array.from(traceHashes),
  });
  return { head, body };
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("frame", () => {
  test("head: what goes in comes out", () => {
    const body = gzipSync("spans");
    const head = encodeHead({
      codec: "gzip",
      body,
      rawLength: 5,
      spanCount: 9,
      minStartNs: 1n,
      maxEndNs: 2n,
      traceHashes: Uint32Array.of(3, 0xffffffff),
    });
    expect(decodeHead(head)).toEqual({
      codec: "gzip",
      rawLength: 5,
      bodyLength: body.length,
      bodyCrc: decodeHead(head).bodyCrc,
      spanCount: 9,
      minStartNs: 1n,
      maxEndNs: 2n,
      traceHashes: Uint32Array.of(3, 0xffffffff),
      headLength: head.length,
    });
    expect(new TextDecoder().decode(openBody(decodeHead(head), body))).toBe("spans");
  });

  test("head: at the limit all hashes are kept, one past it none are and any trace matches", () => {
    const hashes = Array.from({ length: MAX_TRACE_HASHES }, (_, i) => i);
    expect(decodeHead(frameOf(new Uint8Array(), hashes).head).traceHashes).toHaveLength(MAX_TRACE_HASHES);
    const past = decodeHead(frameOf(new Uint8Array(), [...hashes, MAX_TRACE_HASHES]).head);
    expect(past.traceHashes).toBeUndefined();
    const index = new LiveIndex();
    index.add(past, 1, 0);
    expect(index.find(123_456_789)).toHaveLength(1);
  });

  test("body: a changed byte, a cut and a wrong length are corrupt", () => {
    const { head, body } = frameOf(Uint8Array.of(1, 2, 3, 4));
    const parsed = decodeHead(head);
    for (const bad of [Uint8Array.of(1, 2, 3, 5), Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3, 4, 0)]) {
      expect(() => openBody(parsed, bad)).toThrow(/segment frame: body/);
    }
    expect(() => openBody({ ...parsed, rawLength: 5 }, body)).toThrow(/inflates to 4 of 5/);
  });

  test("head: mutated bytes never throw anything but AppError", () => {
    const { head } = frameOf(Uint8Array.of(1, 2, 3));
    fc.assert(
      fc.property(fc.nat(head.length - 1), fc.nat(255), fc.nat(head.length), (at, value, length) => {
        const mutated = head.slice(0, length);
        if (at < mutated.length) mutated[at] = value;
        expect(thrownBy(() => [...decodeHeads(mutated)])).toSatisfy(
          (error) => error === undefined || isAppError(error),
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe("rows", () => {
  test("packing: frames come back whole whatever their sizes, no row is past the limit", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(700), { maxLength: 40 }),
        fc.integer({ min: 120, max: 900 }),
        (sizes, maxRow) => {
          const frames = sizes.map((size, i) => frameOf(new Uint8Array(size).fill(i + 1)));
          const { rows, places } = packRows(frames, maxRow);
          for (const row of rows) expect(row.head.length + row.body.length).toBeLessThanOrEqual(maxRow);
          frames.forEach((frame, i) => {
            const place = places[i]!;
            const bodies = rows.slice(place.row).map((row) => row.body);
            expect(readBody(bodies, place.offset, frame.body.length)).toEqual(frame.body);
          });
          expect(concatBytes(rows.map((row) => row.head))).toEqual(concatBytes(frames.map((f) => f.head)));
        },
      ),
    );
  });

  test("packing: many small frames share one row; exactly at the limit one row, one byte past it two", () => {
    const frames = Array.from({ length: 64 }, () => frameOf(new Uint8Array(100)));
    expect(packRows(frames, 1_900_000).rows).toHaveLength(1);
    const one = frameOf(new Uint8Array(1000));
    const size = one.head.length + one.body.length;
    expect(packRows([one], size).rows).toHaveLength(1);
    expect(packRows([one], size - 1).rows).toHaveLength(2);
  });
});

describe("live index", () => {
  test("find: agrees with a naive map, in order of arrival", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(40), { maxLength: 6 }), { maxLength: 300 }), (batches) => {
        const index = new LiveIndex();
        batches.forEach((hashes, i) => {
          const distinct = [...new Set(hashes)].sort((a, b) => a - b).map((h) => h * 0x01010101);
          index.add(decodeHead(frameOf(Uint8Array.of(i), distinct).head), i + 1, 0);
        });
        for (let hash = 0; hash <= 40; hash++) {
          const expected = batches.flatMap((hashes, i) => (hashes.includes(hash) ? [i + 1] : []));
          expect(index.find((hash * 0x01010101) >>> 0).map((frame) => frame.row)).toEqual(expected);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("find: a trace in every one of 70,000 frames costs no more to add than 70,000 traces", () => {
    const index = new LiveIndex();
    const head = decodeHead(frameOf(new Uint8Array(), [42]).head);
    for (let i = 0; i < 70_000; i++) index.add(head, i, 0);
    expect(index.find(42)).toHaveLength(70_000);
    expect(index.find(43)).toHaveLength(0);
  });
});
