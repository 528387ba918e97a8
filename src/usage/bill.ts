// From counts to money: units, USD, the month so far and what it will come to.
import type { Meter } from "./meter.ts";
import { PRICE_NAMES, type PriceName, PRICES } from "./prices.ts";
import { dayOf, dayStart, type UsageDays } from "./usage-days.ts";

/** Whole days before today whose mean the forecast goes by. */
export const FORECAST_DAYS = 7;

export interface Charge {
  /** In the unit of the price. */
  readonly units: number;
  readonly usd: number;
}

export interface Bill {
  readonly charges: Readonly<Record<PriceName, Charge>>;
  readonly usd: number;
}

/** What the counts cost, as if nothing were included: that is the account's, which has other tenants too. */
export function billOf(...meters: readonly Meter[]): Bill {
  const charge = (name: PriceName): Charge => {
    const { counter, unitsPerCount, usd } = PRICES[name];
    const count = meters.reduce((sum, meter) => sum + meter.get(counter), 0);
    return { units: count * unitsPerCount, usd: count * unitsPerCount * usd };
  };
  const charges: Record<PriceName, Charge> = {
    workerRequests: charge("workerRequests"),
    workerCpu: charge("workerCpu"),
    objectRequests: charge("objectRequests"),
    objectDuration: charge("objectDuration"),
    rowsWritten: charge("rowsWritten"),
    rowsRead: charge("rowsRead"),
    sqliteStorage: charge("sqliteStorage"),
    r2ClassA: charge("r2ClassA"),
    r2ClassB: charge("r2ClassB"),
    r2Storage: charge("r2Storage"),
  };
  return { charges, usd: PRICE_NAMES.reduce((sum, name) => sum + charges[name].usd, 0) };
}

/** The first day of the month (UTC) of a day, and the first of the next. */
export function monthOf(day: number): { readonly first: number; readonly next: number } {
  const date = new Date(dayStart(day));
  const at = (month: number): number => dayOf(Date.UTC(date.getUTCFullYear(), month, 1));
  return { first: at(date.getUTCMonth()), next: at(date.getUTCMonth() + 1) };
}

export interface MonthBill {
  /** USD from the first of the month (UTC) to now. */
  readonly usd: number;
  /** USD that the whole month will come to. */
  readonly forecastUsd: number;
}

/**
 * The month of `nowMs`. The rest of it is taken to cost what the last whole days did on average, seven at most and no more
 * than there are; on a tenant's first day, what that day comes to at its pace so far.
 */
export function monthBill(usage: UsageDays, nowMs: number): MonthBill {
  const today = dayOf(nowMs);
  const { first, next } = monthOf(today);
  const usdOf = (day: number): number => billOf(usage.on(day)).usd;
  const days = usage.days;
  const usd = days.filter((day) => day >= first && day <= today).reduce((sum, day) => sum + usdOf(day), 0);
  const begun = days.find((day) => !usage.on(day).isEmpty) ?? today;
  const whole = Math.min(FORECAST_DAYS, today - begun);
  const isOver = (nowMs - dayStart(today)) / (dayStart(1) - dayStart(0));
  const perDay =
    whole > 0
      ? days.filter((day) => day >= today - whole && day < today).reduce((sum, day) => sum + usdOf(day), 0) /
        whole
      : usdOf(today) / Math.max(isOver, 1 / 24);
  return { usd, forecastUsd: usd + perDay * (next - today - isOver) };
}

/** USD for 10^9 spans; undefined when there was none. */
export function usdPerBillionSpans(usd: number, spans: number): number | undefined {
  return spans > 0 ? (usd / spans) * 1e9 : undefined;
}
