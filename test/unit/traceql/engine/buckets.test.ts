import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entryTable } from "../../../../src/traceql/engine/conditions/entry-table.ts";
import { BucketCounts } from "../../../../src/traceql/engine/metrics/bucket-counts.ts";
import { LocalBuckets } from "../../../../src/traceql/engine/metrics/local-buckets.ts";
import { isAppError } from "../../../../src/util/errors.ts";
import { powerOfTwo, sketchBucket } from "../../../../src/traceql/engine/metrics/sketch.ts";

/** `cell/bucket` to count, in the order of the visit. */
function entriesOf(counts: BucketCounts): Map<string, number> {
  const entries = new Map<string, number>();
  counts.visit((cell, { buckets, counts: numbers, length }) => {
    for (let i = 0; i < length; i++) entries.set(`${cell}/${buckets[i]}`, numbers[i] ?? 0);
  });
  return entries;
}

const addition = fc.record({
  cell: fc.nat(200),
  bucket: fc.oneof(fc.integer({ min: -131_071, max: 131_071 }), fc.integer({ min: -70, max: 70 })),
  // To both sides of what a byte holds.
  count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 250, max: 260 })),
});

describe("counts by cell and bucket", () => {
  test("are the sums, by cell and bucket, and add up in parts", () => {
    fc.assert(
      fc.property(fc.array(addition, { maxLength: 300 }), fc.nat(300), (additions, cut) => {
        const wanted = new Map<string, number>();
        const all = new BucketCounts();
        const parts = [new BucketCounts(), new BucketCounts()];
        additions.forEach(({ cell, bucket, count }, i) => {
          const key = `${cell}/${bucket}`;
          wanted.set(key, (wanted.get(key) ?? 0) + count);
          all.add(cell, bucket, count);
          parts[i < cut ? 0 : 1]?.add(cell, bucket, count);
        });
        const joined = new BucketCounts();
        for (const part of parts) joined.addPart(structuredClone(part.part()), (cell) => cell);
        const found = entriesOf(all);
        expect(found).toEqual(wanted);
        expect([...entriesOf(joined)]).toEqual([...found]);
        const numbers = [...found.keys()].map((key) => key.split("/").map(Number));
        const sorted = numbers.toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0));
        expect(numbers).toEqual(sorted);
      }),
    );
  });

  test("87 series with 121 intervals of 150 buckets each are held; 300,000 chunks are not", () => {
    const counts = new BucketCounts();
    for (let cell = 0; cell < 87 * 121; cell++) {
      for (let i = 0; i < 150; i++) counts.add(cell, 66_000 + 4 * i, 3);
    }
    let total = 0;
    counts.visit((_, { length }) => (total += length));
    expect(total).toBe(87 * 121 * 150);
    const many = new BucketCounts();
    const fill = (count: number): void => {
      for (let cell = 0; cell < count; cell++) many.add(cell, 0, 1);
    };
    fill(250_000);
    expect(() => fill(300_000)).toThrow("too many series and intervals for this function");
  });

  test("whether they are too many depends on neither their order nor their parts", () => {
    // Room for chunks of bytes and of words: 64 and none; 64 and 64; 128 and 64.
    const maxBytes = fc.constantFrom(64 * (64 + 4 * 64) - 1, 64 * (64 + 4 * 64), 64 * (128 + 4 * 64));
    // So many that the last few decide.
    const many = fc.constantFrom(20, 64, 66, 128, 200).chain((cells) =>
      fc.array(
        fc.record({
          cell: fc.nat(cells - 1),
          bucket: fc.constantFrom(0, 1),
          count: fc.oneof(
            { weight: 40, arbitrary: fc.constant(1) },
            { weight: 1, arbitrary: fc.constant(256) },
          ),
        }),
        { minLength: 1, maxLength: 1000, size: "max" },
      ),
    );
    const outcomes = new Set<string>();
    const isTooMuch = (work: () => void): boolean => {
      try {
        work();
        return false;
      } catch (error) {
        if (isAppError(error) && error.kind === "too_large") return true;
        throw error;
      }
    };
    fc.assert(
      fc.property(many, fc.integer({ min: 1, max: 3 }), maxBytes, (additions, partCount, max) => {
        const addAll = (to: BucketCounts, own: typeof additions): BucketCounts => {
          for (const { cell, bucket, count } of own) to.add(cell, bucket, count);
          return to;
        };
        const alone = isTooMuch(() => addAll(new BucketCounts(max), additions));
        const byCount = additions.toSorted((a, b) => a.count - b.count);
        const largeLast = isTooMuch(() => addAll(new BucketCounts(max), byCount));
        const largeFirst = isTooMuch(() => addAll(new BucketCounts(max), byCount.toReversed()));
        const inParts = isTooMuch(() => {
          const joined = new BucketCounts(max);
          for (let part = 0; part < partCount; part++) {
            const own = additions.filter((_, i) => i % partCount === part);
            joined.addPart(addAll(new BucketCounts(max), own).part(), (cell) => cell);
          }
        });
        expect([largeLast, largeFirst, inParts]).toEqual([alone, alone, alone]);
        outcomes.add(`${max} ${alone}`);
      }),
      { numRuns: 400 },
    );
    expect(outcomes.size).toBe(6);
  });

  test("counted locally and added they are the same", () => {
    const value = fc.oneof(fc.double(), fc.double({ min: 0, max: 1e12 }), fc.constantFrom(0, -0, 1, -1));
    const row = fc.record({ interval: fc.integer({ min: -1, max: 3 }), code: fc.nat(5), value });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 200 }), fc.boolean(), (rows, isSketch) => {
        // Codes 4 and 5 have no room.
        const local = new LocalBuckets(isSketch, 4, 4);
        const found = new BucketCounts();
        local.count(
          {
            intervals: Int32Array.from(rows, ({ interval }) => interval),
            codes: Uint32Array.from(rows, ({ code }) => code),
            values: Float64Array.from(rows, (each) => each.value),
          },
          (code, interval, bucket) => found.add(4 * code + interval, bucket, 1),
        );
        local.visit((code, interval, place, counts) => found.addChunk(4 * code + interval, place, counts));
        const wanted = new BucketCounts();
        for (const { interval, code, value: number } of rows) {
          if (interval < 0 || !Number.isFinite(number) || (!isSketch && number < 2)) continue;
          wanted.add(4 * code + interval, isSketch ? sketchBucket(number) : powerOfTwo(number), 1);
        }
        expect([...entriesOf(found)]).toEqual([...entriesOf(wanted)]);
      }),
    );
  });
});

test("ints are compared with bounds up to the ends of 64 bits", () => {
  const edge = fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 0n, 2n ** 53n, -(2n ** 53n), 2n ** 32n);
  const int = fc
    .tuple(edge, fc.bigInt({ min: -3n, max: 3n }))
    .map(([base, offset]) => BigInt.asIntN(64, base + offset));
  const op = fc.constantFrom("=", "!=", "<", "<=", ">", ">=");
  fc.assert(
    fc.property(fc.array(int, { maxLength: 20 }), int, op, (ints, bound, operator) => {
      const bytes = new Uint8Array(BigInt64Array.from(ints).buffer);
      const values = { kind: "fixed", count: ints.length, bytes, width: 8 } as const;
      const states = { missing: 0, fails: 1, holds: 2 };
      const predicate = { test: () => false, bound: { op: operator, value: bound } };
      const holds = {
        "=": (a: bigint) => a === bound,
        "!=": (a: bigint) => a !== bound,
        "<": (a: bigint) => a < bound,
        "<=": (a: bigint) => a <= bound,
        ">": (a: bigint) => a > bound,
        ">=": (a: bigint) => a >= bound,
      }[operator];
      const wanted = ints.map((each) => (holds(each) ? 2 : 1));
      expect([...entryTable({ kind: "int" }, values, predicate, states)]).toEqual(wanted);
    }),
  );
});
