// Sums of the reference evaluator, against what is known of IEEE 754.
import fc from "fast-check";
import { expect, test } from "vitest";
import { sumOfNumbers, sumOfScalars } from "../../support/oracle/values.ts";

const double = fc.double({ noNaN: true, noDefaultInfinity: true });

test("two doubles: their addition, which is rounded once", () => {
  fc.assert(
    fc.property(double, double, (a, b) => {
      expect(sumOfNumbers([a, b]) === a + b).toBe(true);
    }),
    { numRuns: 5000 },
  );
});

test("what cancels out leaves nothing behind", () => {
  fc.assert(
    fc.property(double, fc.array(double, { maxLength: 5 }), (kept, others) => {
      expect(sumOfNumbers([...others, kept, ...others.map((each) => -each)]) === kept).toBe(true);
    }),
  );
  expect(sumOfNumbers(Array.from({ length: 10 }, () => 0.1))).toBe(1);
  expect(sumOfNumbers([1e300, 1, -1e300])).toBe(1);
  expect(sumOfNumbers([Number.MAX_VALUE, Number.MAX_VALUE, -Number.MAX_VALUE])).toBe(Number.MAX_VALUE);
});

test("whole numbers stay whole within 64 bits", () => {
  const ints = (...values: bigint[]) => values.map((value) => ({ type: "int", value }) as const);
  expect(sumOfScalars(ints(2n ** 62n, 2n ** 62n, -1n))).toEqual({ type: "int", value: 2n ** 63n - 1n });
  expect(sumOfScalars(ints(2n ** 62n, 2n ** 62n))).toEqual({ type: "float", value: 2 ** 63 });
  expect(sumOfScalars([...ints(2n ** 53n + 1n), { type: "float", value: -0.5 }])).toEqual({
    type: "float",
    value: 2 ** 53,
  });
});
