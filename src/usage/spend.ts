// What was spent against what may be.
import { type SpendCap, type SpendSettings, type SpendVerdict, WARN_SHARE } from "../model/spend.ts";
import type { SpendReport } from "../store/tenant-rpc.ts";
import { monthOf } from "./bill.ts";
import { dayOf, dayStart } from "./usage-days.ts";

/** What all shards together have spent by the day of `nowMs`; a report of another day says nothing of this one. */
export function totalSpend(reports: Iterable<SpendReport>, nowMs: number): SpendReport {
  const day = dayOf(nowMs);
  const { first } = monthOf(day);
  let dayUsd = 0;
  let monthUsd = 0;
  for (const report of reports) {
    if (report.day === day) dayUsd += report.dayUsd;
    if (report.day >= first && report.day <= day) monthUsd += report.monthUsd;
  }
  return { day, dayUsd, monthUsd };
}

const SEVERITY = { ok: 0, warning: 1, capped: 2 } as const;

/** The worst of the limits; of two alike the month's, which holds longer. */
export function judgeSpend(cap: SpendCap, { day, dayUsd, monthUsd }: SpendReport): SpendVerdict {
  const verdicts: SpendVerdict[] = [];
  const judge = (
    period: "day" | "month",
    spentUsd: number,
    limitUsd: number | undefined,
    end: number,
  ): void => {
    if (limitUsd === undefined) return;
    const state = spentUsd >= limitUsd ? "capped" : spentUsd >= WARN_SHARE * limitUsd ? "warning" : "ok";
    verdicts.push({ state, period, spentUsd, limitUsd, untilMs: dayStart(end) });
  };
  judge("month", monthUsd, cap.monthUsd, monthOf(day).next);
  judge("day", dayUsd, cap.dayUsd, day + 1);
  const [first, ...rest] = verdicts;
  if (first === undefined) throw new Error("assertion failed: a cap has a limit");
  return rest.reduce((worst, one) => (SEVERITY[one.state] > SEVERITY[worst.state] ? one : worst), first);
}

/**
 * What holds now: within a period a verdict never becomes milder, unless the cap was changed. A Tenant object that was
 * restarted knows of some shards only.
 */
export function laterVerdict(
  before: SpendVerdict | undefined,
  now: SpendVerdict,
  nowMs: number,
): SpendVerdict {
  const holds = before !== undefined && nowMs < before.untilMs;
  return holds && SEVERITY[before.state] > SEVERITY[now.state] ? before : now;
}

/** Of the smallest limit, what all shards together spend at most before they tell of it. */
const REPORT_SHARE = 0.04;

/** Whether a shard is to report, having said `last` before. */
export function isReportDue(
  { cap, shards = 1 }: SpendSettings,
  last: SpendReport | undefined,
  now: SpendReport,
): boolean {
  const before = last?.day === now.day ? last.dayUsd : 0;
  const smallest = Math.min(cap.dayUsd ?? Infinity, cap.monthUsd ?? Infinity);
  return now.dayUsd - before >= (REPORT_SHARE * smallest) / shards;
}
