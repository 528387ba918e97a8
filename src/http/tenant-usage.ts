// What a tenant has used, put together from its shards.
import { PLATFORM } from "../model/limits.ts";
import { shardName } from "../store/keys.ts";
import type { TenantView } from "../store/tenant-rpc.ts";
import { FORECAST_DAYS, monthOf } from "../usage/bill.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import { dayOf, decodeUsage, UsageDays } from "../usage/usage-days.ts";
import { AppError } from "../util/errors.ts";
import { settleAll } from "../util/parallel.ts";
import type { TenantUsage, UsageRange } from "./answers/usage-answer.ts";
import type { UsagePorts } from "./deps.ts";

/** Days since 1970, both included. */
export interface DayRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The days of all shards, with what this isolate has counted itself; none of a tenant that is being deleted.
 * @throws AppError `unavailable` when a shard cannot be reached
 */
export async function tenantUsage(
  tenant: string,
  { state, shardCount }: Pick<TenantView, "state" | "shardCount">,
  { from, to }: DayRange,
  {
    ports,
    ledger,
  }: { readonly ports: Pick<UsagePorts, "shardOf">; readonly ledger: UsageLedger | undefined },
): Promise<UsageDays> {
  const usage = new UsageDays();
  if (state !== "active") return usage;
  const shards = Array.from({ length: shardCount }, (_, index) => index);
  const parts = await settleAll(shards, PLATFORM.connections, async (index) => {
    const shard = ports.shardOf(tenant, index);
    if (ledger === undefined) return shard.usage(from, to);
    return ledger.carryAll(tenant, shardName(tenant, index), (deltas) => shard.usage(from, to, deltas));
  });
  for (const part of parts) {
    if (part.status === "rejected") {
      throw new AppError("unavailable", `a shard of tenant "${tenant}" is not reachable`, {
        retryAfterMs: 1_000,
        cause: part.reason,
      });
    }
    usage.merge(decodeUsage(part.value));
  }
  return usage;
}

const MAX_DAYS = 400;

/** `2026-11-30`, in days since 1970. */
function readDay(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new AppError("invalid_argument", `${name} must be a date (UTC) like 2026-11-30, not "${text}"`);
  }
  return dayOf(ms);
}

/** From the first of the month to today, if nothing is said. @throws AppError `invalid_argument` */
export function readUsageRange(
  { from: first, to: last }: { readonly from?: string | undefined; readonly to?: string | undefined },
  nowMs: number,
): UsageRange {
  const today = dayOf(nowMs);
  const to = readDay("to", last, today);
  const from = readDay("from", first, Math.min(to, monthOf(today).first));
  if (from > to) throw new AppError("invalid_argument", "from is later than to");
  if (to - from >= MAX_DAYS)
    throw new AppError("invalid_argument", `the range is longer than ${MAX_DAYS} days`);
  return { from, to, nowMs };
}

/** What an answer about the range is made from: the month to date and what the forecast rests on are in it, too. */
export async function usageOf(
  tenant: string,
  range: UsageRange,
  ports: UsagePorts,
  ledger: UsageLedger | undefined,
): Promise<TenantUsage> {
  const view = await ports.viewOf(tenant);
  const today = dayOf(range.nowMs);
  const from = Math.min(range.from, monthOf(today).first, today - FORECAST_DAYS);
  const days = { from, to: Math.max(range.to, today) };
  const usage = await tenantUsage(tenant, view, days, { ports, ledger });
  return { tenant, usage, spend: view.spend, tokenNames: namesOf(view) };
}

function namesOf({ tokens = [] }: TenantView): ReadonlyMap<string, string> {
  return new Map(tokens.map(({ id, name }) => [id, name]));
}
