// Counts: bounded, merged, encoded; what they cost.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { billOf, monthBill, usdPerBillionSpans } from "../../../src/usage/bill.ts";
import { COUNTER_NUMBERS, COUNTERS, type CounterName } from "../../../src/usage/counters.ts";
import { Meter } from "../../../src/usage/meter.ts";
import { PRICE_NAMES, PRICES } from "../../../src/usage/prices.ts";
import {
  dayOf,
  dayStart,
  dayText,
  decodeUsage,
  encodeUsage,
  UsageDays,
} from "../../../src/usage/usage-days.ts";

const DAY = dayOf(Date.UTC(2026, 10, 30));

interface Count {
  readonly day: number;
  readonly name: CounterName;
  readonly labels: readonly string[];
  readonly value: number;
}

const label = fc.oneof(fc.constantFrom("a", "b", "checkout", "400", ""), fc.string({ unit: "grapheme" }));
const count = fc.constantFrom(...COUNTER_NUMBERS).chain((name) =>
  fc.record({
    day: fc.integer({ min: DAY, max: DAY + 2 }),
    name: fc.constant(name),
    labels: fc.array(label, {
      minLength: COUNTERS[name].labels.length,
      maxLength: COUNTERS[name].labels.length,
    }),
    value: fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 45 })),
  }),
);

function usageOf(counts: readonly Count[]): UsageDays {
  const usage = new UsageDays();
  for (const { day, name, labels, value } of counts) usage.on(day).add(name, value, ...labels);
  return usage;
}

/** Days, names, labels and values, in an order of their own. */
function flat(usage: UsageDays): string[] {
  return usage.days
    .flatMap((day) => [...usage.on(day).all()].map(([name, series]) => JSON.stringify([day, name, series])))
    .sort();
}

describe("meter", () => {
  test("every counter has one number, and none is lost", () => {
    expect([...COUNTER_NUMBERS].sort()).toEqual(Object.keys(COUNTERS).sort());
    // Stored bytes have these numbers.
    expect(COUNTER_NUMBERS.slice(0, 4)).toEqual([
      "workerRequests",
      "workerCpuUs",
      "objectRequests",
      "objectMs",
    ]);
    expect(COUNTER_NUMBERS.indexOf("spans")).toBe(11);
    expect(COUNTER_NUMBERS.indexOf("routeBucket")).toBe(23);
  });

  test("sums and greatest values, also of what is taken back", () => {
    const meter = new Meter();
    meter.add("spans", 5);
    meter.add("spans", 7);
    meter.add("spans", -12);
    expect(meter.isEmpty).toBe(true);
    meter.add("tokenLastUsedMs", 50, "t");
    meter.add("tokenLastUsedMs", 40, "t");
    expect(meter.get("tokenLastUsedMs", "t")).toBe(50);
    meter.add("rowsRead", 1.6);
    expect(meter.get("rowsRead")).toBe(2);
    expect(() => meter.add("spans", 1, "label")).toThrow("0 labels");
  });

  test("labels: as many as the limit are told apart, one more is other", () => {
    const meter = new Meter();
    const { maxSeries } = COUNTERS.serviceSpans;
    for (let i = 0; i < maxSeries - 1; i++) meter.add("serviceSpans", 1, `service-${i}`);
    expect(meter.series("serviceSpans")).toHaveLength(maxSeries - 1);
    expect(meter.get("serviceSpans", "other")).toBe(0);
    meter.add("serviceSpans", 3, "one-more");
    meter.add("serviceSpans", 4, "and-another");
    meter.add("serviceSpans", 1, "service-0");
    expect(meter.series("serviceSpans")).toHaveLength(maxSeries);
    expect(meter.get("serviceSpans", "other")).toBe(7);
    expect(meter.get("serviceSpans", "service-0")).toBe(2);
  });

  test("labels: 120 characters are kept", () => {
    const meter = new Meter();
    meter.add("serviceSpans", 1, "x".repeat(120));
    meter.add("serviceSpans", 1, "x".repeat(121));
    expect(meter.series("serviceSpans")).toEqual([{ labels: ["x".repeat(120)], value: 2 }]);
  });

  test("any counts come back from their bytes", () => {
    fc.assert(
      fc.property(fc.array(count, { maxLength: 60 }), (counts) => {
        const usage = usageOf(counts);
        expect(flat(decodeUsage(encodeUsage(usage)))).toEqual(flat(usage));
      }),
      { numRuns: 300 },
    );
  });

  test("however counts are parted, handed over and merged, the sum is the same", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(count, fc.nat({ max: 3 })), { maxLength: 60 }), (counts) => {
        const parts = [0, 1, 2, 3].map((part) =>
          usageOf(counts.flatMap(([one, at]) => (at === part ? [one] : []))),
        );
        const merged = new UsageDays();
        for (const part of parts) merged.merge(decodeUsage(encodeUsage(part)));
        expect(flat(merged)).toEqual(flat(usageOf(counts.map(([one]) => one))));
        const rest = merged.take();
        expect(merged.isEmpty).toBe(true);
        expect(rest.days.length).toBeLessThanOrEqual(3);
      }),
      { numRuns: 300 },
    );
  });

  test("bytes of a later version: what is unknown is passed over, the rest is read", () => {
    const usage = usageOf([{ day: DAY, name: "spans", labels: [], value: 9 }]);
    const bytes = encodeUsage(usage);
    // version, days, day (3 bytes), series; a series of counter 100 with one label before the known one
    const at = bytes.length - 3;
    const later = [...bytes.slice(0, at - 1), 2, 100, 1, 1, 65, 4, ...bytes.slice(at)];
    expect(flat(decodeUsage(Uint8Array.from(later)))).toEqual(flat(usage));
  });

  test("bytes cut short anywhere, or of another kind, are corrupt", () => {
    const bytes = encodeUsage(usageOf([{ day: DAY, name: "serviceSpans", labels: ["shop"], value: 300 }]));
    for (let end = 0; end < bytes.length; end++) {
      expect(() => decodeUsage(bytes.subarray(0, end))).toThrow(/^usage: /);
    }
    expect(() => decodeUsage(Uint8Array.of(2, 0))).toThrow("usage: unknown version");
  });

  test("one commit's counts take few bytes", () => {
    const usage = usageOf([
      { day: DAY, name: "spans", labels: [], value: 512 },
      { day: DAY, name: "spanBytes", labels: [], value: 238_000 },
      { day: DAY, name: "rowsWritten", labels: [], value: 1 },
      { day: DAY, name: "objectRequests", labels: [], value: 1 },
      { day: DAY, name: "workerRequests", labels: [], value: 1 },
      { day: DAY, name: "workerCpuUs", labels: [], value: 480 },
      { day: DAY, name: "serviceSpans", labels: ["checkout"], value: 512 },
      { day: DAY, name: "serviceBytes", labels: ["checkout"], value: 238_000 },
    ]);
    expect(encodeUsage(usage).length).toBeLessThan(64);
  });
});

describe("bill", () => {
  test("each unit by its price, computed by hand", () => {
    const meter = new Meter();
    meter.add("workerRequests", 2_000_000); // 0.60
    meter.add("workerCpuUs", 3_000_000_000); // 3 M ms: 0.06
    meter.add("objectRequests", 4_000_000); // 0.60
    meter.add("objectMs", 1_000_000_000); // 1,000,000 s x 0.128 GB: 1.60
    meter.add("rowsWritten", 5_000_000); // 5.00
    meter.add("rowsRead", 1_000_000_000); // 1.00
    meter.add("r2ClassA", 100_000); // 0.45
    meter.add("r2ClassB", 1_000_000); // 0.36
    meter.add("sqliteByteHours", 730 * 10e9); // 10 GB a month: 2.00
    meter.add("r2ByteHours", 730 * 100e9); // 100 GB a month: 1.50
    const { charges, usd } = billOf(meter);
    const expected = {
      workerRequests: [2e6, 0.6],
      workerCpu: [3e6, 0.06],
      objectRequests: [4e6, 0.6],
      objectDuration: [128_000, 1.6],
      rowsWritten: [5e6, 5],
      rowsRead: [1e9, 1],
      sqliteStorage: [10, 2],
      r2ClassA: [1e5, 0.45],
      r2ClassB: [1e6, 0.36],
      r2Storage: [100, 1.5],
    } as const;
    expect(Object.keys(charges).sort()).toEqual(PRICE_NAMES.toSorted());
    for (const name of PRICE_NAMES) {
      expect(charges[name].units).toBeCloseTo(expected[name][0], 6);
      expect(charges[name].usd).toBeCloseTo(expected[name][1], 9);
    }
    expect(usd).toBeCloseTo(13.17, 9);
    expect(PRICES.rowsWritten.includedPerMonth).toBe(50_000_000);
  });

  test("10^9 spans: by the measured operations of 512 spans a batch it is what the bench computed", () => {
    // test/bench/RESULTS.md: one client, 1.025 rows a batch, 465 bytes a span, blocks of 32 MiB
    const batches = 1e9 / 512;
    const blocks = (1e9 * 465) / (32 * 1024 * 1024);
    const meter = new Meter();
    meter.add("workerRequests", batches);
    meter.add("objectRequests", batches + blocks);
    meter.add("rowsWritten", 1.025 * batches + blocks);
    meter.add("r2ClassA", blocks);
    meter.add("spans", 1e9);
    const { usd } = billOf(meter);
    expect(usd).toBeCloseTo(0.586 + 0.295 + 2.016 + 0.062, 2);
    expect(usdPerBillionSpans(usd, meter.get("spans"))).toBeCloseTo(usd, 9);
    expect(usdPerBillionSpans(usd, 0)).toBeUndefined();
  });

  /** Days that cost so many USD, the last of them today. */
  function days(...usd: readonly number[]): UsageDays {
    const usage = new UsageDays();
    usd.forEach((one, i) => usage.on(DAY - usd.length + 1 + i).add("rowsWritten", one * 1e6));
    return usage;
  }

  test("month to date and forecast: the rest of the month goes on like the last seven whole days", () => {
    expect(dayText(DAY)).toBe("2026-11-30");
    // The last day of November, at noon: half a day is left.
    const noon = dayStart(DAY) + 43_200_000;
    const bill = monthBill(days(100, 1, 2, 3, 4, 5, 6, 7, 10), noon);
    expect(bill.usd).toBeCloseTo(138, 9);
    expect(bill.forecastUsd).toBeCloseTo(138 + 0.5 * 4, 9);
  });

  test("month to date begins with the month; the forecast may look at days before it", () => {
    const first = dayOf(Date.UTC(2026, 11, 1));
    const usage = new UsageDays();
    usage.on(first - 1).add("rowsWritten", 6e6);
    usage.on(first - 2).add("rowsWritten", 4e6);
    usage.on(first).add("rowsWritten", 1e6);
    const bill = monthBill(usage, dayStart(first) + 86_400_000 / 4);
    expect(bill.usd).toBeCloseTo(1, 9);
    expect(bill.forecastUsd).toBeCloseTo(1 + 30.75 * 5, 9);
  });

  test("a tenant's first day: its pace so far, an hour's at least", () => {
    const sixth = dayStart(DAY) + 86_400_000 / 6;
    expect(monthBill(days(2), sixth).forecastUsd).toBeCloseTo(2 + 12 * (5 / 6), 9);
    expect(monthBill(days(2), dayStart(DAY) + 1).forecastUsd).toBeCloseTo(2 + 48, 4);
    expect(monthBill(new UsageDays(), sixth)).toEqual({ usd: 0, forecastUsd: 0 });
  });
});
