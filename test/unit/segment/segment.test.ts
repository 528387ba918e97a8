import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  decodeHead,
  decodeHeads,
  encodeHead,
  MAX_SIZED_TRACES,
  MAX_TRACE_HASHES,
  openBody,
  withTraceSizes,
} from "../../../src/segment/frame.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
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

  test("head: with the sizes of its traces, alone and among others", () => {
    const { head } = frameOf(Uint8Array.of(1), [3, 9, 27]);
    const sizes = Uint32Array.of(100, 0xffffffff, 1, 2, 3, 4);
    const sized = withTraceSizes(head, sizes);
    expect(decodeHead(sized)).toEqual({
      ...decodeHead(head),
      traceSizes: sizes,
      headLength: head.length + 24,
    });
    const row = concatBytes([head, sized, head]);
    expect([...decodeHeads(row)].map(({ traceSizes }) => traceSizes)).toEqual([undefined, sizes, undefined]);
    expect(() => decodeHead(sized.subarray(0, sized.length - 1))).toThrow("3 traces cut short");
  });

  test("head: sizes that do not fit it, or no row, are left out", () => {
    const { head } = frameOf(Uint8Array.of(1), [3, 9]);
    expect(withTraceSizes(head, Uint32Array.of(1, 2, 3))).toBe(head);
    const sized = withTraceSizes(head, Uint32Array.of(1, 2, 3, 4));
    expect(withTraceSizes(sized, Uint32Array.of(1, 2, 3, 4))).toBe(sized);
    expect(withTraceSizes(Uint8Array.of(1), new Uint32Array())).toHaveLength(1);
    const many = (count: number) =>
      frameOf(
        new Uint8Array(),
        Array.from({ length: count }, (_, i) => i),
      ).head;
    const atLimit = withTraceSizes(many(MAX_SIZED_TRACES), new Uint32Array(2 * MAX_SIZED_TRACES));
    expect(decodeHead(atLimit).traceSizes).toHaveLength(2 * MAX_SIZED_TRACES);
    expect(atLimit.length).toBeLessThan(DEFAULT_LIMITS.maxRowBytes);
    const past = withTraceSizes(many(MAX_SIZED_TRACES + 1), new Uint32Array(2 * MAX_SIZED_TRACES + 2));
    expect(decodeHead(past).traceSizes).toBeUndefined();
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
  test("sizes: the sums over all frames that tell some, by trace", () => {
    const arbFrame = fc.uniqueArray(fc.tuple(fc.nat(60), fc.nat(1_000), fc.nat(50)), {
      selector: ([hash]) => hash,
      maxLength: 8,
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(arbFrame, fc.boolean()), { maxLength: 200 }), (frames) => {
        const index = new LiveIndex();
        const bytes = new Map<number, number>();
        const spans = new Map<number, number>();
        for (const [unsorted, isTold] of frames) {
          const traces = unsorted.toSorted(([a], [b]) => a - b);
          const { head } = frameOf(
            Uint8Array.of(0),
            traces.map(([hash]) => hash * 0x04030201),
          );
          const sizes = Uint32Array.from([
            ...traces.map(([, size]) => size),
            ...traces.map(([, , count]) => count),
          ]);
          index.add(decodeHead(isTold ? withTraceSizes(head, sizes) : head), 1, 0);
          for (const [hash, size, count] of traces) {
            bytes.set(hash, (bytes.get(hash) ?? 0) + (isTold ? size : 0));
            spans.set(hash, (spans.get(hash) ?? 0) + (isTold ? count : 0));
          }
        }
        expect(index.traceCount).toBe(bytes.size);
        for (let hash = 0; hash <= 60; hash++) {
          const stored = (hash * 0x04030201) >>> 0;
          expect([index.has(stored), index.bytesOf(stored), index.spansOf(stored)]).toEqual([
            bytes.has(hash),
            bytes.get(hash) ?? 0,
            spans.get(hash) ?? 0,
          ]);
        }
      }),
    );
  });

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
