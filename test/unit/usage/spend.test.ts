// The spend cap: at each threshold and one past it, told before it happens, and what is kept of the spans then.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkSpendCap,
  isCapped,
  sampleText,
  type SpendCap,
  spendRefusal,
  type SpendVerdict,
} from "../../../src/model/spend.ts";
import { isReportDue, judgeSpend, laterVerdict, totalSpend } from "../../../src/usage/spend.ts";
import { dayOf, dayStart } from "../../../src/usage/usage-days.ts";

const DAY = dayOf(Date.UTC(2026, 10, 29));
const NOON = dayStart(DAY) + 43_200_000;
const END_OF_DAY = Date.UTC(2026, 10, 30);
const END_OF_MONTH = Date.UTC(2026, 11, 1);
const CAP: SpendCap = { dayUsd: 10, monthUsd: 100, action: "reject", keepShare: 0.1 };

const judge = (dayUsd: number, monthUsd: number, cap = CAP) =>
  judgeSpend(cap, { day: DAY, dayUsd, monthUsd });

describe("judge", () => {
  test.each([
    ["below 80 % of the day", 7.99, 20, "ok", "month"],
    ["at 80 % of the day", 8, 20, "warning", "day"],
    ["just below the day's limit", 9.99, 20, "warning", "day"],
    ["at the day's limit", 10, 20, "capped", "day"],
    ["one past the day's limit", 10.01, 20, "capped", "day"],
    ["below 80 % of the month", 1, 79.99, "ok", "month"],
    ["at 80 % of the month", 1, 80, "warning", "month"],
    ["at the month's limit", 1, 100, "capped", "month"],
    ["both limits: the month's holds longer", 10, 100, "capped", "month"],
    ["warned of the month, capped by the day", 10, 80, "capped", "day"],
  ] as const)("%s", (_, dayUsd, monthUsd, state, period) => {
    const verdict = judge(dayUsd, monthUsd);
    expect(verdict).toMatchObject({ state, period });
    expect(verdict.untilMs).toBe(period === "day" ? END_OF_DAY : END_OF_MONTH);
    expect(verdict.limitUsd).toBe(period === "day" ? 10 : 100);
  });

  test("one limit alone", () => {
    expect(judge(1000, 1000, { ...CAP, dayUsd: undefined })).toMatchObject({
      period: "month",
      state: "capped",
    });
    expect(judge(10, 1000, { ...CAP, monthUsd: undefined })).toMatchObject({
      period: "day",
      state: "capped",
    });
  });

  test("all shards together; what was said yesterday counts for the month only, last month's not at all", () => {
    const reports = [
      { day: DAY, dayUsd: 1, monthUsd: 5 },
      { day: DAY, dayUsd: 2, monthUsd: 6 },
      { day: DAY - 1, dayUsd: 4, monthUsd: 7 },
      { day: DAY - 29, dayUsd: 8, monthUsd: 90 },
    ];
    expect(totalSpend(reports, NOON)).toEqual({ day: DAY, dayUsd: 3, monthUsd: 18 });
    expect(totalSpend(reports, END_OF_MONTH)).toEqual({ day: DAY + 2, dayUsd: 0, monthUsd: 0 });
  });

  test("within its period a verdict never becomes milder; when it is over it does", () => {
    const capped = judge(10, 20);
    const ok = judge(1, 20);
    expect(laterVerdict(capped, ok, NOON)).toBe(capped);
    expect(laterVerdict(capped, ok, END_OF_DAY)).toBe(ok);
    expect(laterVerdict(ok, capped, NOON)).toBe(capped);
    expect(laterVerdict(undefined, ok, NOON)).toBe(ok);
    expect(isCapped(capped, END_OF_DAY - 1)).toBe(true);
    expect(isCapped(capped, END_OF_DAY)).toBe(false);
    expect(isCapped(judge(8, 20), NOON)).toBe(false);
    expect(isCapped(undefined, NOON)).toBe(false);
  });

  test("shards report when all of them together have spent 4 % more, so that no more than that is overshot", () => {
    const at = (dayUsd: number, day = DAY) => ({ day, dayUsd, monthUsd: dayUsd });
    expect(isReportDue({ cap: CAP }, undefined, at(0.39))).toBe(false);
    expect(isReportDue({ cap: CAP }, undefined, at(0.4))).toBe(true);
    expect(isReportDue({ cap: CAP }, at(5), at(5.39))).toBe(false);
    expect(isReportDue({ cap: CAP }, at(5), at(5.4))).toBe(true);
    expect(isReportDue({ cap: CAP, shards: 4 }, at(5), at(5.11))).toBe(true);
    expect(isReportDue({ cap: CAP }, at(5, DAY - 1), at(0.4))).toBe(true);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
        (shards, steps) => {
          // Whatever each shard spends, what has not been told of is less than 4 % in all.
          const told = Array.from({ length: shards }, () => at(0));
          const now = Array.from({ length: shards }, () => at(0));
          steps.forEach((usd, i) => {
            const shard = i % shards;
            now[shard] = at((now[shard]?.dayUsd ?? 0) + usd);
            if (isReportDue({ cap: CAP, shards }, told[shard], now[shard])) told[shard] = now[shard];
          });
          const untold = totalSpend(now, NOON).dayUsd - totalSpend(told, NOON).dayUsd;
          expect(untold).toBeLessThan(0.4 + 1e-9);
        },
      ),
    );
  });
});

describe("cap", () => {
  test("what may be set", () => {
    expect(checkSpendCap(CAP)).toEqual(CAP);
    const bad = (cap: Partial<SpendCap>) => () => checkSpendCap({ ...CAP, ...cap });
    expect(bad({ dayUsd: undefined, monthUsd: undefined })).toThrow("dayUsd, monthUsd or both");
    expect(bad({ dayUsd: 0 })).toThrow("above 0");
    expect(bad({ dayUsd: Number.NaN })).toThrow("above 0");
    expect(checkSpendCap({ ...CAP, monthUsd: 1e6 }).monthUsd).toBe(1e6);
    expect(bad({ monthUsd: 1e6 + 1 })).toThrow("at most 1000000");
    expect(bad({ keepShare: 1.01 })).toThrow("keepShare");
    expect(bad({ keepShare: -0.01 })).toThrow("keepShare");
    expect(checkSpendCap({ ...CAP, keepShare: 0 }).keepShare).toBe(0);
    expect(bad({ action: "drop" as "reject" })).toThrow("action");
  });

  test("texts name what was spent, the limit, and until when; clients come back within the hour", () => {
    const verdict: SpendVerdict = { ...judge(10, 20), spentUsd: 10.004 };
    expect(spendRefusal(verdict, NOON)).toEqual({
      message:
        "the tenant has spent USD 10.00 of its cap of USD 10.00 a day: no spans are taken until 2026-11-30T00:00:00.000Z",
      retryAfterMs: 3_600_000,
    });
    expect(spendRefusal(verdict, END_OF_DAY - 90_000).retryAfterMs).toBe(90_000);
    expect(spendRefusal({ ...verdict, spentUsd: 0.01234, limitUsd: 0.01 }, NOON).message).toContain(
      "USD 0.0123 of its cap of USD 0.0100 a day",
    );
    expect(sampleText(verdict, { ...CAP, keepShare: 0.125 })).toBe(
      "left out by the spend cap of USD 10.00 a day, which keeps traces with errors and 12.5 % of the others",
    );
  });
});
