// The rates at which spans come in, of tenants and of tokens. The Worker asks it ahead, the shard with the last word.
import { type Rate, TokenBucket } from "../util/token-bucket.ts";
import type { TokenLimits } from "./tenant-limits.ts";

/** Whose rate it is. */
export interface RateSubject {
  /** Of its buckets. */
  readonly key: string;
  /** For the text: `user acme`, `token 7f3a of user acme`. */
  readonly name: string;
  /** Those of all shares together. What is absent is not limited. */
  readonly limits: TokenLimits;
}

/** A tenant, and its token if that has rates of its own. */
export function rateSubjects(
  tenant: string,
  limits: TokenLimits,
  token: { readonly tokenId?: string; readonly limits?: TokenLimits } = {},
): RateSubject[] {
  const name = `user ${tenant}`;
  const subject = { key: tenant, name, limits };
  if (token.tokenId === undefined || token.limits === undefined) return [subject];
  const { tokenId } = token;
  return [
    subject,
    { key: `${tenant}/${tokenId}`, name: `token ${tokenId} of ${name}`, limits: token.limits },
  ];
}

/** Inflated OTLP bytes, and spans. */
export interface BatchLoad {
  readonly bytes: number;
  readonly spans: number;
}

/** `too_large`: it never passes. */
export type RateRefusal =
  | { readonly kind: "rate_limited"; readonly message: string; readonly retryAfterMs: number }
  | { readonly kind: "too_large"; readonly message: string };

interface Buckets {
  readonly bytes: TokenBucket;
  readonly spans: TokenBucket;
}

type Unit = keyof Buckets;

const UNITS: readonly Unit[] = ["bytes", "spans"];
/** Tenants or tokens whose buckets are in memory. One that is pushed out begins with an empty bucket. */
const MAX_SUBJECTS = 1_000;

function rateOf({ limits }: RateSubject, unit: Unit): Rate {
  const [perSecond, burst] =
    unit === "bytes" ? [limits.rateBytes, limits.burstBytes] : [limits.rateSpans, limits.burstSpans];
  // A rate alone allows one second of it at once.
  return { perSecond: perSecond ?? Infinity, burst: burst ?? perSecond ?? Infinity };
}

/** Buckets of the subjects that were seen last. */
export class RateLimiter {
  readonly #buckets = new Map<string, Buckets>();

  /**
   * Which subject refuses a batch, and until when; undefined: none. Takes nothing.
   * @param shares by how many places each rate and burst is divided: here holds one share of them
   */
  check(
    subjects: readonly RateSubject[],
    load: BatchLoad,
    shares: number,
    nowMs: number,
  ): RateRefusal | undefined {
    let worst: (RateRefusal & { readonly kind: "rate_limited" }) | undefined;
    for (const subject of subjects) {
      const buckets = this.#of(subject.key, nowMs);
      for (const unit of UNITS) {
        const refusal = refusalOf(subject, unit, { buckets, amount: load[unit], shares, nowMs });
        if (refusal?.kind === "too_large") return refusal;
        if (refusal !== undefined && refusal.retryAfterMs > (worst?.retryAfterMs ?? 0)) worst = refusal;
      }
    }
    return worst;
  }

  /** Takes the load of a batch that was checked in the same turn from all subjects. */
  take(subjects: readonly RateSubject[], load: BatchLoad, nowMs: number): void {
    for (const { key } of subjects) {
      const buckets = this.#of(key, nowMs);
      for (const unit of UNITS) buckets[unit].take(load[unit]);
    }
  }

  /** Undoes a `take`: the batch was not stored after all. */
  giveBack(subjects: readonly RateSubject[], load: BatchLoad): void {
    for (const { key } of subjects) {
      const buckets = this.#buckets.get(key);
      for (const unit of UNITS) buckets?.[unit].giveBack(load[unit]);
    }
  }

  #of(key: string, nowMs: number): Buckets {
    const known = this.#buckets.get(key);
    const buckets = known ?? { bytes: new TokenBucket(nowMs), spans: new TokenBucket(nowMs) };
    if (known !== undefined) this.#buckets.delete(key);
    this.#buckets.set(key, buckets);
    if (this.#buckets.size > MAX_SUBJECTS) {
      const [oldest = key] = this.#buckets.keys();
      this.#buckets.delete(oldest);
    }
    return buckets;
  }
}

interface Asked {
  readonly buckets: Buckets;
  readonly amount: number;
  readonly shares: number;
  readonly nowMs: number;
}

/** Texts begin as Tempo's, for those who look for them. */
function refusalOf(subject: RateSubject, unit: Unit, asked: Asked): RateRefusal | undefined {
  const { buckets, amount, shares, nowMs } = asked;
  const { perSecond, burst } = rateOf(subject, unit);
  if (perSecond === Infinity && burst === Infinity) return undefined;
  if (amount > burst) {
    const what = `batch size (${amount} ${unit}) exceeds ingestion limit (burst: ${burst} ${unit})`;
    return { kind: "too_large", message: `${what} for ${subject.name}: send smaller batches` };
  }
  const share = { perSecond: perSecond / shares, burst: burst / shares };
  const retryAfterMs = buckets[unit].waitMs(amount, share, nowMs);
  if (retryAfterMs === 0) return undefined;
  const local = `local: ${Math.round(share.perSecond)} ${unit}, global: ${perSecond} ${unit}`;
  const limit = `ingestion rate limit (${local}, burst: ${burst} ${unit})`;
  const message = `RATE_LIMITED: ${limit} exceeded while adding ${amount} ${unit} for ${subject.name}`;
  return { kind: "rate_limited", message, retryAfterMs };
}
