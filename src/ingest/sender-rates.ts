// The rates of a tenant and its tokens as this isolate sees them: it refuses ahead, and cheaply, what its own share of the
// traffic alone exceeds. The last word is the shards', which see all of it.
import { type BatchLoad, RateLimiter, type RateSubject, rateSubjects } from "../model/rate-limiter.ts";
import type { TenantLimits } from "../model/tenant-limits.ts";
import type { AppendCaller } from "../store/rpc.ts";
import type { Clock } from "../util/clock.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { type Rate, TokenBucket } from "../util/token-bucket.ts";

/** One request's way past the rates. */
export interface SenderRates {
  /**
   * Before anything of the body is looked at: refuses when the least batch is too much, and a sender whose batches were
   * looked at in vain too often.
   * @throws AppError `rate_limited` with `retryAfterMs`
   */
  enter(): void;
  /**
   * Refuses what is certain to be too much. Takes nothing.
   * @throws AppError `rate_limited` with `retryAfterMs`, `too_large`
   */
  check(atLeast: BatchLoad): void;
  /** Takes the load. @throws as `check` */
  take(load: BatchLoad): void;
  /** Undoes `take`: the batch was not stored, for this reason. */
  giveBack(load: BatchLoad, reason: unknown): void;
}

/** The load of a batch of which nothing is known. */
const SOMETHING: BatchLoad = { bytes: 1, spans: 1 };
/**
 * Batches of a sender that may be inflated and looked through only to be refused: ten at once, then ten a second. The level
 * of a bucket stands a batch below its burst most of the time, where how large a batch is decides whether it passes: without
 * this each one over the limit would cost as much CPU as one that is stored.
 */
const VAIN_LOOKS: Rate = { perSecond: 10, burst: 10 };
/** A batch of so many inflated bytes counts for one more: some 3 ms of CPU. */
const LOOK_BYTES = 1024 * 1024;
/** Senders that are remembered; of one some 500 bytes. One that is pushed out begins anew. */
const MAX_SENDERS = 1_000;

interface VainLooks {
  readonly bucket: TokenBucket;
  /** What the last one was refused with. */
  message: string;
}

/** Buckets of an isolate; they live as long as it does. */
export class IsolateRates {
  readonly #limiter = new RateLimiter();
  readonly #clock: Clock;
  /** Of senders that were refused; the one refused last comes last. */
  readonly #vain = new Map<string, VainLooks>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(tenant: string, limits: TenantLimits, caller?: AppendCaller): SenderRates {
    const subjects = rateSubjects(tenant, limits, caller);
    // Each token for itself: a browser key, which is no secret, must not keep the others out.
    const sender = `${tenant}/${caller?.tokenId ?? ""}`;
    const check = (load: BatchLoad): void => {
      const refusal = this.#refusal(subjects, load);
      if (refusal === undefined) return;
      this.#lookedInVain(sender, load, refusal);
      throw refusal;
    };
    return {
      enter: () => {
        const refusal = this.#refusal(subjects, SOMETHING) ?? this.#held(sender);
        if (refusal !== undefined) throw refusal;
      },
      check,
      take: (load) => {
        check(load);
        this.#limiter.take(subjects, load, this.#clock.now());
      },
      giveBack: (load, reason) => {
        this.#limiter.giveBack(subjects, load);
        if (isAppError(reason)) this.#lookedInVain(sender, load, reason);
      },
    };
  }

  #refusal(subjects: readonly RateSubject[], load: BatchLoad): AppError | undefined {
    const refusal = this.#limiter.check(subjects, load, 1, this.#clock.now());
    if (refusal === undefined) return undefined;
    const { kind, message } = refusal;
    return new AppError(kind, message, kind === "too_large" ? {} : { retryAfterMs: refusal.retryAfterMs });
  }

  #held(sender: string): AppError | undefined {
    const vain = this.#vain.get(sender);
    const retryAfterMs = vain?.bucket.waitMs(1, VAIN_LOOKS, this.#clock.now()) ?? 0;
    if (vain === undefined || retryAfterMs === 0) return undefined;
    return new AppError("rate_limited", vain.message, { retryAfterMs });
  }

  /** What never passes, or finds a shard out of reach, is no sign of a sender that goes on over its limit. */
  #lookedInVain(sender: string, { bytes }: BatchLoad, { kind, message }: AppError): void {
    if (kind !== "rate_limited") return;
    const now = this.#clock.now();
    const vain = this.#vain.get(sender) ?? { bucket: new TokenBucket(now), message };
    vain.message = message;
    vain.bucket.waitMs(1, VAIN_LOOKS, now);
    vain.bucket.take(1 + Math.floor(bytes / LOOK_BYTES));
    this.#vain.delete(sender);
    this.#vain.set(sender, vain);
    if (this.#vain.size <= MAX_SENDERS) return;
    const [oldest = sender] = this.#vain.keys();
    this.#vain.delete(oldest);
  }
}
