// A rate with bursts: what was taken flows off at the rate, and no more than the burst may stand in the bucket.

export interface Rate {
  /** Amount a second that flows off. */
  readonly perSecond: number;
  /** Amount that may stand in the bucket. */
  readonly burst: number;
}

/** What a level may be off by, after sums of fractions: nobody waits a millisecond for it. */
const ROUNDING = 1e-4;

/**
 * One bucket. Its rate is given with each call, so that it may change. An amount above the burst passes an empty bucket and
 * then stands in it for longer: the average holds, and of a rate that is divided no share is too small for a single batch.
 */
export class TokenBucket {
  #level = 0;
  #lastMs: number;

  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  /** Milliseconds until `amount` passes, 0 when it does now. Takes nothing. */
  waitMs(amount: number, { perSecond, burst }: Rate, nowMs: number): number {
    this.#flow(perSecond, nowMs);
    const excess = this.#level + Math.min(amount, burst) - burst - ROUNDING;
    return excess <= 0 ? 0 : Math.ceil((excess * 1000) / perSecond);
  }

  take(amount: number): void {
    this.#level += amount;
  }

  /** Undoes `take`. */
  giveBack(amount: number): void {
    this.#level = Math.max(0, this.#level - amount);
  }

  /** A clock that goes back starts anew from there: nothing flows off twice, and nothing waits for it to come back. */
  #flow(perSecond: number, nowMs: number): void {
    const passedMs = nowMs - this.#lastMs;
    if (passedMs > 0) this.#level = Math.max(0, this.#level - (passedMs * perSecond) / 1000);
    this.#lastMs = nowMs;
  }
}
