import { describe, expect, test } from "vitest";
import { compareBytes, concatBytes, equalBytes, exactBytes, leanBytes } from "../../../src/util/bytes.ts";
import { mix32, traceHash } from "../../../src/util/hash.ts";

describe("bytes", () => {
  test("exactBytes: a view is copied, an exact array is not, a Buffer becomes a Uint8Array", () => {
    const whole = Uint8Array.of(1, 2, 3, 4);
    expect(exactBytes(whole)).toBe(whole);
    const view = exactBytes(whole.subarray(1, 3));
    expect(view).toEqual(Uint8Array.of(2, 3));
    expect(view.buffer.byteLength).toBe(2);
    for (const buffer of [Buffer.from("pooled"), Buffer.allocUnsafeSlow(6)]) {
      const exact = exactBytes(buffer);
      expect(exact.constructor).toBe(Uint8Array);
      expect(exact.buffer.byteLength).toBe(6);
    }
  });

  test("leanBytes: a view of nearly all of its buffer is not copied, of less it is", () => {
    const whole = new Uint8Array(100).map((_, i) => i);
    const behindHead = whole.subarray(5);
    expect(leanBytes(behindHead)).toBe(behindHead);
    const part = leanBytes(whole.subarray(30, 60 - 30 + 5));
    expect(part).toEqual(Uint8Array.of(30, 31, 32, 33, 34));
    expect(part.buffer.byteLength).toBe(5);
    expect(leanBytes(Buffer.from("pooled")).constructor).toBe(Uint8Array);
  });

  test("compare, equal and concat", () => {
    expect(compareBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBeLessThan(0);
    expect(compareBytes(Uint8Array.of(255), Uint8Array.of(1, 3))).toBeGreaterThan(0);
    expect(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBeLessThan(0);
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1))).toBe(true);
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBe(false);
    expect(concatBytes([Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3)])).toEqual(
      Uint8Array.of(1, 2, 3),
    );
  });
});

describe("trace hash", () => {
  const spread = (ids: Uint8Array[]) => {
    const counts = Array.from({ length: 16 }, () => 0);
    for (const id of ids) counts[traceHash(id) % 16]! += 1;
    return counts;
  };

  test.each([
    ["the last byte only", (i: number) => Uint8Array.from([...new Uint8Array(14), i >> 8, i & 255])],
    ["the first bytes only", (i: number) => Uint8Array.from([i >> 8, i & 255, ...new Uint8Array(14)])],
    [
      "a 64-bit id",
      (i: number) =>
        new Uint8Array(
          new BigUint64Array([0n, (BigInt(i) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn]).buffer,
        ),
    ],
  ])("ids that differ in %s spread over shards", (_, make) => {
    const counts = spread(Array.from({ length: 16_000 }, (__, i) => make(i)));
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });

  test("is fixed for ever: it is stored", () => {
    expect(traceHash(Uint8Array.from({ length: 16 }, (_, i) => i))).toBe(3_851_142_693);
    expect(mix32(1)).toBe(0x514e28b7);
  });
});
