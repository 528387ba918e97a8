// What a tenant may cost, and what happens when it does.
import { AppError } from "../util/errors.ts";

/** What the operator sets for a tenant; one of the two limits at least. Times are UTC. */
export interface SpendCap {
  readonly dayUsd?: number | undefined;
  readonly monthUsd?: number | undefined;
  /**
   * At the cap: `reject` refuses spans until the day or month is over; `sample` keeps traces with an error in their batch,
   * and `keepShare` of the others.
   */
  readonly action: "reject" | "sample";
  /** From 0 to 1. */
  readonly keepShare: number;
}

/** Of a limit, what is warned of. */
export const WARN_SHARE = 0.8;
const MAX_USD = 1e6;
export const DEFAULT_KEEP_SHARE = 0.1;

export interface SpendVerdict {
  readonly state: "ok" | "warning" | "capped";
  /** Which limit it is about: of several the one that holds longest. */
  readonly period: "day" | "month";
  readonly spentUsd: number;
  readonly limitUsd: number;
  /** The end of the period, in ms: then it is void. */
  readonly untilMs: number;
}

/** What Workers and shards are told. */
export interface SpendSettings {
  readonly cap: SpendCap;
  /** Undefined: nothing is known of what was spent. */
  readonly verdict?: SpendVerdict | undefined;
  /** Shards that share the cap. Default 1. */
  readonly shards?: number;
}

function bad(what: string): AppError {
  return new AppError("invalid_argument", `spend cap: ${what}`);
}

/** @throws AppError `invalid_argument` that says what is wrong */
export function checkSpendCap(cap: SpendCap): SpendCap {
  const { dayUsd, monthUsd, action, keepShare } = cap;
  if (dayUsd === undefined && monthUsd === undefined) throw bad("dayUsd, monthUsd or both must be given");
  for (const usd of [dayUsd, monthUsd]) {
    if (usd !== undefined && !(usd > 0 && usd <= MAX_USD)) {
      throw bad(`a limit must be above 0 and at most ${MAX_USD} USD, not ${usd}`);
    }
  }
  if (action !== "reject" && action !== "sample") throw bad('action must be "reject" or "sample"');
  if (!(keepShare >= 0 && keepShare <= 1)) throw bad(`keepShare must be from 0 to 1, not ${keepShare}`);
  return {
    ...(dayUsd !== undefined && { dayUsd }),
    ...(monthUsd !== undefined && { monthUsd }),
    action,
    keepShare,
  };
}

/** Whether spans are refused or sampled at `nowMs`. */
export function isCapped(verdict: SpendVerdict | undefined, nowMs: number): verdict is SpendVerdict {
  return verdict?.state === "capped" && nowMs < verdict.untilMs;
}

function usdText(usd: number): string {
  return `USD ${usd < 1 ? usd.toPrecision(3) : usd.toFixed(2)}`;
}

/** Clients come back this often at least: the cap may be raised. */
const RETRY_MAX_MS = 3_600_000;

/** Why spans are refused. */
export function spendRefusal(
  { period, spentUsd, limitUsd, untilMs }: SpendVerdict,
  nowMs: number,
): { readonly message: string; readonly retryAfterMs: number } {
  const until = new Date(untilMs).toISOString();
  return {
    message: `the tenant has spent ${usdText(spentUsd)} of its cap of ${usdText(limitUsd)} a ${period}: no spans are taken until ${until}`,
    retryAfterMs: Math.min(RETRY_MAX_MS, Math.max(1_000, untilMs - nowMs)),
  };
}

/** Why some spans are left out. */
export function sampleText({ period, limitUsd }: SpendVerdict, { keepShare }: SpendCap): string {
  const share = `${Math.round(keepShare * 1000) / 10} %`;
  return `left out by the spend cap of ${usdText(limitUsd)} a ${period}, which keeps traces with errors and ${share} of the others`;
}
