// What a shard takes in of its tenant: the last word on the tenant's limits, which Workers look at ahead.
import { type BatchLoad, RateLimiter, type RateSubject, rateSubjects } from "../model/rate-limiter.ts";
import { type Limits, limitsOfTenant } from "../model/limits.ts";
import type { TenantLimitOverrides } from "../model/tenant-limits.ts";
import type { FrameHead } from "../segment/frame.ts";
import type { AppendBatch, AppendResult } from "../store/rpc.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Epochs, ParsedFrame } from "./epochs.ts";
import type { ShardStorage } from "./storage.ts";
import { judgeTraces } from "./trace-limits.ts";

/** What limits the appends: who sends, and what. */
export type SentBatch = Pick<AppendBatch, "caller" | "shardCount">;

const LIMITS = "limits";
/** More shards than there ever are: a sender's word is not taken for more. */
const MAX_SHARES = 1024;

interface AdmissionParts {
  readonly tenant: string;
  readonly storage: ShardStorage;
  readonly catalogue: Catalogue;
  readonly limits: Limits;
}

export class Admission {
  readonly #parts: AdmissionParts;
  readonly #rates = new RateLimiter();
  #overridesText: string | undefined;
  #limits: Limits;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#overridesText = parts.storage.setting(LIMITS);
    this.#limits = this.#resolve();
  }

  /** Replaces what was set for the tenant. To be made durable by the caller. */
  configure(overrides: TenantLimitOverrides = {}): void {
    const isEmpty = Object.keys(overrides).length === 0;
    const text = isEmpty ? undefined : JSON.stringify(overrides);
    if (text === this.#overridesText) return;
    this.#parts.catalogue.change({ settings: { [LIMITS]: text ?? null } });
    this.#overridesText = text;
    this.#limits = this.#resolve();
  }

  /** Takes the batch from the rates, or says what refuses it. */
  admit(batch: SentBatch, head: FrameHead, nowMs: number): AppendResult | undefined {
    const { maxBytesPerRequest, maxSpansPerRequest } = this.#limits.tenant;
    const load = loadOf(head);
    const { bytes, spans } = load;
    if (bytes > maxBytesPerRequest) return tooLarge(`${bytes} bytes`, `${maxBytesPerRequest}`);
    if (spans > maxSpansPerRequest) return tooLarge(`${spans} spans`, `${maxSpansPerRequest}`);
    const subjects = this.#subjects(batch);
    const refusal = this.#rates.check(subjects, load, sharesOf(batch), nowMs);
    if (refusal !== undefined) return { ok: false, ...refusal };
    this.#rates.take(subjects, load, nowMs);
    return undefined;
  }

  /** The batch was not stored after all. */
  giveBack(batch: SentBatch, head: FrameHead): void {
    this.#rates.giveBack(this.#subjects(batch), loadOf(head));
  }

  /** Which of the frames that are about to be committed are stored; by frame. */
  judge(frames: readonly ParsedFrame[], epochs: Epochs): readonly AppendResult[] {
    return judgeTraces(frames, epochs, this.#parts.tenant, this.#limits);
  }

  #subjects({ caller }: SentBatch): RateSubject[] {
    return rateSubjects(this.#parts.tenant, this.#limits.tenant, caller);
  }

  #resolve(): Limits {
    const text = this.#overridesText;
    const overrides: TenantLimitOverrides | undefined = text === undefined ? undefined : JSON.parse(text);
    return limitsOfTenant(this.#parts.limits, overrides);
  }
}

function loadOf({ rawLength, spanCount }: FrameHead): BatchLoad {
  return { bytes: rawLength, spans: spanCount };
}

/** Of the rates: how many shards have one each. */
export function sharesOf({ shardCount = 1 }: SentBatch): number {
  return Math.min(Math.max(1, Math.floor(shardCount)), MAX_SHARES);
}

function tooLarge(what: string, limit: string): AppendResult {
  const message = `the batch has ${what}, more than the ${limit} of one request: send fewer spans at a time`;
  return { ok: false, kind: "too_large", message };
}
