// The rates of a tenant and its tokens as this isolate sees them: it refuses ahead, and cheaply, what its own share of the
// traffic alone exceeds. The last word is the shards', which see all of it.
import { type BatchLoad, RateLimiter, type RateSubject, rateSubjects } from "../model/rate-limiter.ts";
import type { TenantLimits } from "../model/tenant-limits.ts";
import type { AppendCaller } from "../store/rpc.ts";
import type { Clock } from "../util/clock.ts";
import { AppError } from "../util/errors.ts";

/** One request's way past the rates. */
export interface SenderRates {
  /**
   * Refuses what is certain to be too much. Takes nothing.
   * @throws AppError `rate_limited` with `retryAfterMs`, `too_large`
   */
  check(atLeast: BatchLoad): void;
  /** Takes the load. @throws as `check` */
  take(load: BatchLoad): void;
  /** Undoes `take`: the batch was not stored. */
  giveBack(load: BatchLoad): void;
}

/** Buckets of an isolate; they live as long as it does. */
export class IsolateRates {
  readonly #limiter = new RateLimiter();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(tenant: string, limits: TenantLimits, caller?: AppendCaller): SenderRates {
    const subjects = rateSubjects(tenant, limits, caller);
    return {
      check: (load) => this.#check(subjects, load),
      take: (load) => {
        this.#check(subjects, load);
        this.#limiter.take(subjects, load, this.#clock.now());
      },
      giveBack: (load) => this.#limiter.giveBack(subjects, load),
    };
  }

  #check(subjects: readonly RateSubject[], load: BatchLoad): void {
    const refusal = this.#limiter.check(subjects, load, 1, this.#clock.now());
    if (refusal === undefined) return;
    const { kind, message } = refusal;
    throw new AppError(kind, message, kind === "too_large" ? {} : { retryAfterMs: refusal.retryAfterMs });
  }
}
