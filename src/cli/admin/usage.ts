// What tenants have used and cost, as lines; and the cap on it, from options.
import { UsageError } from "./client.ts";
import { tableLines } from "./table.ts";

interface Charge {
  readonly units: number;
  readonly unit: string;
  readonly usd: number;
}

interface TenantUsage {
  readonly tenant: string;
  readonly usd: number;
  readonly units: Readonly<Record<string, Charge>>;
  readonly spans: number;
  readonly usdPer1e9Spans: number | null;
  readonly monthToDate: { readonly usd: number };
  readonly forecast: { readonly usd: number };
  readonly spendCap: {
    readonly dayUsd: number | null;
    readonly monthUsd: number | null;
    readonly state: string;
    readonly todayUsd: number;
    readonly atTheCap: string;
  } | null;
}

export interface UsageAnswer {
  readonly from: string;
  readonly to: string;
  readonly tenants: readonly TenantUsage[];
}

/** Of each tenant a paragraph, and what was billed of what. */
export function usageLines({ from, to, tenants }: UsageAnswer): string[] {
  return tenants.flatMap((usage, i) => [
    ...(i === 0 ? [] : [""]),
    `${usage.tenant}, ${from} to ${to}: ${usage.usd} USD, ${usage.spans} spans${perSpans(usage.usdPer1e9Spans)}`,
    `  month to date ${usage.monthToDate.usd} USD, forecast ${usage.forecast.usd} USD`,
    ...capLines(usage.spendCap),
    ...tableLines([
      ["what", "units", "unit", "USD"],
      ...Object.entries(usage.units).map(([name, { units, unit, usd }]) => [
        name,
        String(units),
        unit,
        String(usd),
      ]),
    ]).map((line) => `  ${line}`),
  ]);
}

function perSpans(usd: number | null): string {
  return usd === null ? "" : `, ${usd} USD per 10^9 spans`;
}

function capLines(cap: TenantUsage["spendCap"]): string[] {
  if (cap === null) return [];
  const limits = [
    ...(cap.dayUsd === null ? [] : [`${cap.dayUsd} USD a day`]),
    ...(cap.monthUsd === null ? [] : [`${cap.monthUsd} USD a month`]),
  ];
  return [
    `  spend cap ${limits.join(", ")}: ${cap.state}, today ${cap.todayUsd} USD`,
    `  at the cap ${cap.atTheCap}`,
  ];
}

export interface CapOptions {
  readonly day?: string | undefined;
  readonly month?: string | undefined;
  readonly "at-cap"?: string | undefined;
  readonly keep?: string | undefined;
}

/** The body of a change. @param argument `none` takes the cap away */
export function capOf(argument: string | undefined, options: CapOptions): object {
  if (argument === "none") return { dayUsd: null, monthUsd: null };
  const { day, month, keep, "at-cap": action } = options;
  if (day === undefined && month === undefined) {
    throw new UsageError('--day <USD> or --month <USD> is missing; "none" takes the cap away');
  }
  return {
    dayUsd: day === undefined ? null : Number(day),
    monthUsd: month === undefined ? null : Number(month),
    ...(action === undefined ? {} : { action }),
    ...(keep === undefined ? {} : { keepShare: Number(keep) }),
  };
}
