import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addExactly,
  roundedSum,
  type SumParts,
  wholeSum,
} from "../../../../src/traceql/engine/columns/exact-sum.ts";
import { compareText } from "../../../../src/traceql/engine/columns/value.ts";
import {
  bucketMiddle,
  NO_BUCKET,
  powerOfTwo,
  sketchBucket,
} from "../../../../src/traceql/engine/metrics/sketch.ts";
import { sumOfNumbers } from "../../../support/oracle/values.ts";
import { findSplitTraces, findTrace } from "../../../../src/traceql/engine/tables/trace-ids.ts";

function sumOf(terms: readonly number[]): SumParts {
  const parts: SumParts = [];
  for (const term of terms) addExactly(parts, term);
  return parts;
}

const moderate = fc.double({ min: -1e100, max: 1e100, noNaN: true });

describe("exact sums", () => {
  test("the order of terms does not matter", () => {
    fc.assert(
      fc.property(fc.array(moderate, { maxLength: 20 }), (terms) => {
        expect(roundedSum(sumOf(terms.toReversed()))).toBe(roundedSum(sumOf(terms)));
      }),
    );
  });

  test("whole numbers add up as bigints do", () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeInteger()), (terms) => {
        const wanted = terms.reduce((sum, term) => sum + BigInt(term), 0n);
        expect(wholeSum(sumOf(terms))).toBe(wanted);
        expect(roundedSum(sumOf(terms)) + 0).toBe(Number(wanted));
      }),
    );
  });

  test("of any doubles the nearest to the sum", () => {
    const any = fc.double({ min: -1e300, max: 1e300, noNaN: true });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 10 }), fc.boolean(), (terms, isDoubled) => {
        const all = isDoubled ? [...terms, ...terms.map((term) => -term / 3)] : terms;
        expect(roundedSum(sumOf(all)) + 0).toBe(sumOfNumbers(all) + 0);
      }),
    );
  });

  test("beyond the range of doubles a sum is infinite, and stays so", () => {
    expect(roundedSum(sumOf([1.7e308, 1.7e308]))).toBe(Infinity);
    expect(roundedSum(sumOf([-1.7e308, 0.1, 1e292, -1.7e308, 5]))).toBe(-Infinity);
  });

  test("what plain addition loses", () => {
    expect(roundedSum(sumOf([1e16, 1, -1e16]))).toBe(1);
    expect(roundedSum(sumOf([0.1, 0.2, 0.3, -0.6]))).toBeCloseTo(2.7755575615628914e-17, 30);
  });
});

describe("buckets", () => {
  const finite = fc.double({ min: -1e300, max: 1e300, noNaN: true });

  test("the middle of a bucket is within 1 % of its numbers", () => {
    fc.assert(
      fc.property(finite, (value) => {
        const error = Math.abs(bucketMiddle(sketchBucket(value)) - value);
        expect(error).toBeLessThanOrEqual(Math.abs(value) * 0.01 + 1e-300);
      }),
    );
  });

  test("buckets are in the order of the numbers", () => {
    fc.assert(
      fc.property(finite, finite, (a, b) => {
        const order = Math.sign(sketchBucket(a) - sketchBucket(b));
        expect([0, Math.sign(a - b)]).toContain(order);
      }),
    );
  });

  test("the least power of two", () => {
    expect([0, 1.9, 2, 2.1, 4, 5, 1024].map((value) => powerOfTwo(value))).toEqual([
      NO_BUCKET,
      NO_BUCKET,
      1,
      2,
      2,
      3,
      10,
    ]);
    expect([1n, 2n, 3n, 2n ** 60n, 2n ** 60n + 1n].map((value) => powerOfTwo(value))).toEqual([
      NO_BUCKET,
      1,
      2,
      60,
      61,
    ]);
    expect([Infinity, Number.NaN, -8].map((value) => powerOfTwo(value))).toContain(NO_BUCKET);
  });
});

test("text is compared by UTF-8 bytes", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 3 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareText(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
    }),
  );
});

describe("split traces", () => {
  // Few first bytes, and ids that begin alike.
  const id = fc
    .tuple(fc.constantFrom("00", "7f", "ff"), fc.integer({ min: 0, max: 30 }))
    .map(([first, last]) => first + last.toString(16).padStart(30, "0"));
  const lists = fc.array(
    fc.uniqueArray(id, { maxLength: 20 }).map((ids) => ids.sort()),
    { maxLength: 5 },
  );

  test("are those of two lists or more", () => {
    fc.assert(
      fc.property(lists, (all) => {
        const bytes = all.map((ids) => new Uint8Array(Buffer.from(ids.join(""), "hex")));
        const { ids, flags } = findSplitTraces(bytes);
        const isSplit = (one: string): boolean => all.filter((own) => own.includes(one)).length > 1;
        const wanted = [...new Set(all.flat().filter(isSplit))].sort();
        expect(Buffer.from(ids).toString("hex")).toBe(wanted.join(""));
        all.forEach((own, i) => {
          expect(own.filter((_, trace) => flags[i]?.[trace] === 1)).toEqual(own.filter(isSplit));
        });
      }),
    );
  });

  test("an id is found, or is not there", () => {
    const ids = new Uint8Array(
      Buffer.from(["00", "01", "ff"].map((byte) => byte.repeat(16)).join(""), "hex"),
    );
    expect(["00", "01", "02", "ff"].map((byte) => findTrace(ids, byte.repeat(16)))).toEqual([0, 1, -1, 2]);
  });
});
