import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenBucket } from "../../../src/util/token-bucket.ts";

const RATE = { perSecond: 100, burst: 1_000 };

describe("token bucket", () => {
  test("exactly the burst passes at once, one more waits for it to flow off", () => {
    const bucket = new TokenBucket(0);
    expect(bucket.waitMs(1_000, RATE, 0)).toBe(0);
    bucket.take(1_000);
    expect(bucket.waitMs(1, RATE, 0)).toBe(10);
    expect(bucket.waitMs(1, RATE, 9)).toBe(1);
    expect(bucket.waitMs(1, RATE, 10)).toBe(0);
    expect(bucket.waitMs(2, RATE, 10)).toBe(10);
    // When it is full again it is not fuller than that.
    expect(bucket.waitMs(1_000, RATE, 1e9)).toBe(0);
    bucket.take(1_000);
    expect(bucket.waitMs(1, RATE, 1e9)).toBe(10);
  });

  test("more than the burst passes an empty bucket, and is paid for afterwards", () => {
    const bucket = new TokenBucket(0);
    bucket.take(1);
    expect(bucket.waitMs(5_000, RATE, 0)).toBe(10);
    expect(bucket.waitMs(5_000, RATE, 10)).toBe(0);
    bucket.take(5_000);
    expect(bucket.waitMs(1, RATE, 10)).toBe(40_010);
  });

  test("what is given back may be taken again", () => {
    const bucket = new TokenBucket(0);
    bucket.take(1_000);
    bucket.giveBack(400);
    expect(bucket.waitMs(400, RATE, 0)).toBe(0);
    expect(bucket.waitMs(401, RATE, 0)).toBe(10);
    bucket.giveBack(5_000);
    expect(bucket.waitMs(1_000, RATE, 0)).toBe(0);
    expect(bucket.waitMs(1_001, RATE, 0)).toBe(0);
  });

  test("a clock that goes back: nothing flows off for the time that is there twice, nor waits for it", () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(1_000);
    expect(bucket.waitMs(1, RATE, 0)).toBe(10);
    expect(bucket.waitMs(1, RATE, 10)).toBe(0);
  });

  test("never more than rate and burst allow, whatever is asked for and whenever", () => {
    const asked = fc.array(fc.record({ amount: fc.nat(1_500), afterMs: fc.nat(5_000) }), { maxLength: 60 });
    fc.assert(
      fc.property(asked, (requests) => {
        const bucket = new TokenBucket(0);
        let nowMs = 0;
        let taken = 0;
        let largest = 0;
        for (const { amount, afterMs } of requests) {
          nowMs += afterMs;
          const waitMs = bucket.waitMs(amount, RATE, nowMs);
          // It passes when it was told to, and not a millisecond before.
          const early = bucket.waitMs(amount, RATE, nowMs + Math.max(0, waitMs - 1));
          expect(early > 0).toBe(waitMs > 0);
          nowMs += waitMs;
          expect(bucket.waitMs(amount, RATE, nowMs)).toBe(0);
          bucket.take(amount);
          taken += amount;
          largest = Math.max(largest, amount);
          expect(taken).toBeLessThanOrEqual(
            (nowMs * RATE.perSecond) / 1000 + Math.max(RATE.burst, largest) + 1e-3 * requests.length,
          );
        }
      }),
    );
  });
});
