// What Cloudflare charges, in one dated table. Prices are those beyond what a plan includes.
import type { CounterName } from "./counters.ts";

/** When the prices were looked up. */
export const PRICES_DATE = "2026-11-01";

/** Gigabytes of memory that an object is charged for while it is active. */
const OBJECT_GB = 0.128;
/** A month of storage is charged by the hour. */
const MONTH_HOURS = 730;
const GB = 1e9;

export interface Price {
  /** What one unit is. */
  readonly unit: string;
  /** What of it was counted. */
  readonly counter: CounterName;
  /** Units of one count. */
  readonly unitsPerCount: number;
  /** USD of one unit. */
  readonly usd: number;
  /** Units a month that the plan of USD 5 includes, for the whole account. */
  readonly includedPerMonth: number;
}

/** https://developers.cloudflare.com/workers/platform/pricing/ and /r2/pricing/, Workers Paid and R2 Standard. */
export const PRICES = {
  workerRequests: price("request", "workerRequests", 0.3e-6, 10e6),
  workerCpu: { ...price("ms of CPU", "workerCpuUs", 0.02e-6, 30e6), unitsPerCount: 1e-3 },
  objectRequests: price("request", "objectRequests", 0.15e-6, 1e6),
  objectDuration: {
    ...price("GB-s", "objectMs", 12.5e-6, 400_000),
    unitsPerCount: OBJECT_GB / 1000,
  },
  rowsWritten: price("row", "rowsWritten", 1e-6, 50e6),
  rowsRead: price("row", "rowsRead", 0.001e-6, 25e9),
  sqliteStorage: {
    ...price("GB-month", "sqliteByteHours", 0.2, 5),
    unitsPerCount: 1 / (GB * MONTH_HOURS),
  },
  r2ClassA: price("operation", "r2ClassA", 4.5e-6, 1e6),
  r2ClassB: price("operation", "r2ClassB", 0.36e-6, 10e6),
  r2Storage: {
    ...price("GB-month", "r2ByteHours", 0.015, 10),
    unitsPerCount: 1 / (GB * MONTH_HOURS),
  },
} as const satisfies Readonly<Record<string, Price>>;

export type PriceName = keyof typeof PRICES;

export const PRICE_NAMES: readonly PriceName[] = Object.keys(PRICES).filter(isPriceName);

function isPriceName(name: string): name is PriceName {
  return name in PRICES;
}

function price(unit: string, counter: CounterName, usd: number, includedPerMonth: number): Price {
  return { unit, counter, unitsPerCount: 1, usd, includedPerMonth };
}
