import { describe, expect, test } from "vitest";
import { RateLimiter, rateSubjects } from "../../../src/model/rate-limiter.ts";

const LIMITS = { rateBytes: 1_000, burstBytes: 5_000, rateSpans: 10, burstSpans: 50 };
const [TENANT] = rateSubjects("acme", LIMITS);

/** A limiter of one subject or more, at a time that the test sets. */
function setUp(subjects = rateSubjects("acme", LIMITS), shares = 1) {
  const limiter = new RateLimiter();
  const time = { ms: 0 };
  const send = (bytes: number, spans: number) => {
    const refusal = limiter.check(subjects, { bytes, spans }, shares, time.ms);
    if (refusal === undefined) limiter.take(subjects, { bytes, spans }, time.ms);
    return refusal;
  };
  return { limiter, subjects, time, send };
}

describe("rates", () => {
  test("bytes: the burst passes, one byte more is 429 until it does, with Tempo's text", () => {
    const { send, time } = setUp();
    expect(send(5_000, 1)).toBeUndefined();
    expect(send(1, 1)).toEqual({
      kind: "rate_limited",
      message:
        "RATE_LIMITED: ingestion rate limit (local: 1000 bytes, global: 1000 bytes, burst: 5000 bytes) " +
        "exceeded while adding 1 bytes for user acme",
      retryAfterMs: 1,
    });
    time.ms = 1;
    expect(send(1, 1)).toBeUndefined();
    expect(send(2_000, 1)).toMatchObject({ retryAfterMs: 2_000 });
  });

  test("spans: likewise", () => {
    const { send } = setUp();
    expect(send(1, 50)).toBeUndefined();
    expect(send(1, 1)).toMatchObject({
      message:
        "RATE_LIMITED: ingestion rate limit (local: 10 spans, global: 10 spans, burst: 50 spans) " +
        "exceeded while adding 1 spans for user acme",
      retryAfterMs: 100,
    });
  });

  test("when several refuse, the one that lasts longest says until when", () => {
    const { send } = setUp();
    send(5_000, 50);
    expect(send(10, 20)).toMatchObject({ retryAfterMs: 2_000, message: expect.stringContaining("20 spans") });
    expect(send(4_000, 20)).toMatchObject({
      retryAfterMs: 4_000,
      message: expect.stringContaining("4000 bytes"),
    });
  });

  test("a batch of the burst passes some time, one of more never does", () => {
    const { send } = setUp();
    send(1, 1);
    expect(send(5_000, 1)).toMatchObject({ kind: "rate_limited" });
    expect(send(5_001, 1)).toEqual({
      kind: "too_large",
      message:
        "batch size (5001 bytes) exceeds ingestion limit (burst: 5000 bytes) for user acme: send smaller batches",
    });
    expect(send(1, 51)).toMatchObject({ kind: "too_large", message: expect.stringContaining("51 spans") });
  });

  test("a share: its part of rate and burst, but any batch that the whole burst allows", () => {
    const { send, time } = setUp(rateSubjects("acme", LIMITS), 10);
    expect(send(5_000, 1)).toBeUndefined();
    // At 100 bytes a second until only the share of the burst, 500, less this batch is left.
    expect(send(100, 1)).toMatchObject({
      retryAfterMs: 46_000,
      message: expect.stringContaining("local: 100 bytes, global: 1000 bytes, burst: 5000 bytes"),
    });
    time.ms = 46_000;
    expect(send(100, 1)).toBeUndefined();
  });

  test("a token has its own rates besides its tenant's, and neither is taken from when the other refuses", () => {
    const limiter = new RateLimiter();
    const token = (tokenId: string) =>
      rateSubjects("acme", LIMITS, { tokenId, limits: { rateBytes: 100, burstBytes: 1_000 } });
    const send = (subjects: ReturnType<typeof token>, bytes: number) => {
      const load = { bytes, spans: 1 };
      const refusal = limiter.check(subjects, load, 1, 0);
      if (refusal === undefined) limiter.take(subjects, load, 0);
      return refusal;
    };
    expect(send(token("a"), 1_000)).toBeUndefined();
    expect(send(token("a"), 1)).toMatchObject({
      message: expect.stringContaining("for token a of user acme"),
    });
    for (const id of ["b", "c", "d", "e"]) expect(send(token(id), 1_000)).toBeUndefined();
    expect(send(token("f"), 1)).toMatchObject({ message: expect.stringMatching(/for user acme$/) });
    // What was refused for the tenant's sake is not held against the token.
    expect(limiter.check(token("f").slice(1), { bytes: 1_000, spans: 1 }, 1, 0)).toBeUndefined();
  });

  test("a token without rates, or nobody's, counts for the tenant alone", () => {
    expect(rateSubjects("acme", LIMITS, { tokenId: "a" })).toEqual([TENANT]);
    expect(rateSubjects("acme", LIMITS)).toEqual([TENANT]);
  });

  test("what is given back passes again", () => {
    const { limiter, send, subjects } = setUp();
    send(5_000, 50);
    limiter.giveBack(subjects, { bytes: 5_000, spans: 50 });
    expect(send(5_000, 50)).toBeUndefined();
    limiter.giveBack(rateSubjects("nobody", LIMITS), { bytes: 1, spans: 1 });
  });

  test("memory: the buckets of the 1,000 that sent last are kept", () => {
    const limiter = new RateLimiter();
    const full = { bytes: 5_000, spans: 50 };
    const refused = (i: number) =>
      limiter.check(rateSubjects(`t${i}`, LIMITS), { bytes: 1, spans: 1 }, 1, 0) !== undefined;
    for (let i = 0; i < 1_000; i++) limiter.take(rateSubjects(`t${i}`, LIMITS), full, 0);
    expect(refused(0)).toBe(true);
    limiter.take(rateSubjects("t1000", LIMITS), full, 0);
    expect(refused(0)).toBe(true);
    expect(refused(2)).toBe(true);
    expect(refused(1)).toBe(false);
  });
});
