// What tenants have used, in units and USD, as JSON.
import type { SpendSettings } from "../../model/spend.ts";
import { isCapped, WARN_SHARE } from "../../model/spend.ts";
import { type Bill, billOf, FORECAST_DAYS, monthBill, usdPerBillionSpans } from "../../usage/bill.ts";
import { OTHER } from "../../usage/counters.ts";
import { Meter } from "../../usage/meter.ts";
import { PRICE_NAMES, PRICES, PRICES_DATE } from "../../usage/prices.ts";
import { dayOf, dayText, type UsageDays } from "../../usage/usage-days.ts";

/** Services that are shown, by spans and again by bytes. */
const TOP = 20;

export interface TenantUsage {
  readonly tenant: string;
  /** Of the range, of the month so far, and of the days that the forecast goes by. */
  readonly usage: UsageDays;
  readonly spend: SpendSettings | undefined;
  /** Names of tokens by id. */
  readonly tokenNames: ReadonlyMap<string, string>;
}

/** Days since 1970 (UTC), both included. */
export interface UsageRange {
  readonly from: number;
  readonly to: number;
  readonly nowMs: number;
}

/** Six digits behind the point: a row is a millionth of a dollar. */
function usd(amount: number): number {
  return Math.round(amount * 1e6) / 1e6;
}

export function usageJson(tenants: readonly TenantUsage[], range: UsageRange): object {
  return {
    from: dayText(range.from),
    to: dayText(range.to),
    priceTable: priceTable(),
    tenants: tenants.map((tenant) => tenantJson(tenant, range)),
  };
}

/** Allowances are the account's: they are shown, not taken off. */
function priceTable(): object {
  return {
    date: PRICES_DATE,
    note: "beyond what the plan includes, which is for the whole account and not taken off here",
    prices: Object.fromEntries(
      PRICE_NAMES.map((name) => {
        const { unit, usd: price, includedPerMonth } = PRICES[name];
        return [name, { unit, usdPerMillion: usd(price * 1e6), includedPerMonth }];
      }),
    ),
  };
}

function tenantJson({ tenant, usage, spend, tokenNames }: TenantUsage, range: UsageRange): object {
  const days = usage.days.filter((day) => day >= range.from && day <= range.to);
  const sum = new Meter();
  for (const day of days) sum.merge(usage.on(day));
  const bill = billOf(sum);
  const month = monthBill(usage, range.nowMs);
  const spans = sum.get("spans");
  const perBillion = usdPerBillionSpans(bill.usd, spans);
  return {
    tenant,
    usd: usd(bill.usd),
    units: unitsJson(bill),
    spans,
    spanBytes: sum.get("spanBytes"),
    bytesIn: sum.get("bytesIn"),
    refusedSpans: Object.fromEntries(
      sum.series("refusedSpans").map(({ labels, value }) => [labels[0], value]),
    ),
    usdPer1e9Spans: perBillion === undefined ? null : usd(perBillion),
    monthToDate: { usd: usd(month.usd) },
    forecast: {
      usd: usd(month.forecastUsd),
      how: `the rest of the month costs what the last ${FORECAST_DAYS} whole days did on average, or as many as there are`,
    },
    spendCap: spend === undefined ? null : spendJson(spend, usage, range.nowMs),
    topServices: topServices(sum),
    tokens: tokensJson(sum, tokenNames),
    days: days.map((day) => dayJson(day, usage.on(day))),
  };
}

function unitsJson({ charges }: Bill): object {
  return Object.fromEntries(
    PRICE_NAMES.map((name) => {
      const { units, usd: amount } = charges[name];
      return [name, { units: Math.round(units * 1e6) / 1e6, unit: PRICES[name].unit, usd: usd(amount) }];
    }),
  );
}

function dayJson(day: number, meter: Meter): object {
  return { day: dayText(day), usd: usd(billOf(meter).usd), spans: meter.get("spans") };
}

/** What holds now, and what will happen: before it does. */
function spendJson({ cap, verdict }: SpendSettings, usage: UsageDays, nowMs: number): object {
  const holds = verdict !== undefined && nowMs < verdict.untilMs;
  const today = billOf(usage.on(dayOf(nowMs))).usd;
  return {
    dayUsd: cap.dayUsd ?? null,
    monthUsd: cap.monthUsd ?? null,
    action: cap.action,
    keepShare: cap.action === "sample" ? cap.keepShare : null,
    warnAt: WARN_SHARE,
    state: holds ? verdict.state : "ok",
    until: isCapped(verdict, nowMs) ? new Date(verdict.untilMs).toISOString() : null,
    todayUsd: usd(today),
    monthToDateUsd: usd(monthBill(usage, nowMs).usd),
    atTheCap:
      cap.action === "reject"
        ? "spans are refused with 429 until the day or month (UTC) is over; queries go on, and are counted"
        : `traces with an error in their batch and ${cap.keepShare * 100} % of the others are stored, the rest is refused and told by partial_success; queries go on, and are counted`,
  };
}

interface Service {
  readonly service: string;
  readonly spans: number;
  readonly bytes: number;
}

function topServices(sum: Meter): {
  readonly bySpans: readonly Service[];
  readonly byBytes: readonly Service[];
} {
  const services = sum.series("serviceSpans").map(({ labels: [service = OTHER], value }) => ({
    service,
    spans: value,
    bytes: sum.get("serviceBytes", service),
  }));
  return {
    bySpans: services.toSorted((a, b) => b.spans - a.spans).slice(0, TOP),
    byBytes: services.toSorted((a, b) => b.bytes - a.bytes).slice(0, TOP),
  };
}

function tokensJson(sum: Meter, names: ReadonlyMap<string, string>): readonly object[] {
  const ids = new Set(
    [...sum.series("tokenRequests"), ...sum.series("tokenSpans")].map(({ labels: [id = OTHER] }) => id),
  );
  return [...ids].map((id) => ({
    id,
    name: names.get(id) ?? null,
    requests: sum.get("tokenRequests", id),
    spans: sum.get("tokenSpans", id),
    bytes: sum.get("tokenBytes", id),
    lastUsed: new Date(sum.get("tokenLastUsedMs", id)).toISOString(),
  }));
}
