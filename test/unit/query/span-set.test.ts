import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FreshIds, SpanSet } from "../../../src/query/span-set.ts";

describe("SpanSet", () => {
  test("is a set of (id, kind), whatever comes", () => {
    const half = fc.oneof(fc.nat(3), fc.constantFrom(0xffffffff, 0x80000000));
    const kind = fc.oneof(fc.integer({ min: -1, max: 7 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31) + 2));
    fc.assert(
      fc.property(fc.array(fc.tuple(half, half, kind), { maxLength: 60 }), (pairs) => {
        const set = new SpanSet();
        const model = new Set<string>();
        const ids = new Set<string>();
        for (const [high, low, k] of pairs) {
          const key = `${high} ${low} ${k}`;
          expect(set.has(high, low, k)).toBe(model.has(key));
          expect(set.hasId(high, low)).toBe(ids.has(`${high} ${low}`));
          expect(set.add(high, low, k)).toBe(!model.has(key));
          model.add(key);
          ids.add(`${high} ${low}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("keeps everything while it grows", () => {
    const set = new SpanSet();
    let added = 0;
    for (let i = 0; i < 50_000; i++) if (set.add(i % 7, i, i % 6)) added++;
    expect(added).toBe(50_000);
    for (let i = 0; i < 50_000; i++) if (set.add(i % 7, i, i % 6)) added++;
    expect(added).toBe(50_000);
    expect(set.hasId(0, 50_001)).toBe(false);
  });
});

test("FreshIds: gives what was set, 0 otherwise, full to its size", () => {
  for (const count of [1, 2, 3, 1000]) {
    const ids = new FreshIds(count);
    for (let i = 0; i < count; i++) ids.set(i & 3, i >>> 2, i + 1);
    for (let i = 0; i < count; i++) expect(ids.get(i & 3, i >>> 2)).toBe(i + 1);
    expect(ids.get(9, 9)).toBe(0);
  }
});
