// What every TenantStorage promises. Each adapter runs this suite.
import { describe, expect, test } from "vitest";
import type { TokenRecord } from "../../src/model/token.ts";
import { AUDIT_ENTRIES, type TenantRecord, type TenantStorage } from "../../src/tenant/storage.ts";

/** A storage, and a second one on the same data: what an object finds after an eviction. */
export interface TenantStorageUnderTest {
  readonly storage: TenantStorage;
  readonly reopen: () => TenantStorage;
  readonly alarm: () => Promise<number | null>;
  /** Names of all tables. */
  readonly tables: () => string[];
}

const PLAIN: TenantRecord = {
  versions: [{ fromMs: 0, count: 1 }],
  shardCount: 1,
  retentionMs: undefined,
  limits: {},
  isRetentionUnsent: false,
  deletingSinceMs: undefined,
  version: 0,
  tokens: [],
  overrides: { version: 0, json: undefined },
  spend: undefined,
};

const token = (digit: string, more: Partial<TokenRecord> = {}): TokenRecord => ({
  id: digit.repeat(12),
  hash: digit.repeat(64),
  name: `token "${digit}"`,
  scopes: ["ingest"],
  tenants: [],
  origins: [],
  createdMs: 1_795_390_000_000,
  ...more,
});
const FIRST = token("b");
const SECOND = token("a", {
  scopes: ["read", "admin"],
  tenants: ["other", "*"],
  origins: ["https://example.com"],
  createdMs: 1_795_390_000_001,
  expiresMs: 1_795_400_000_000,
});

const FULL: TenantRecord = {
  versions: [
    { fromMs: 0, count: 1 },
    { fromMs: 1_795_392_090_000, count: 2 },
    { fromMs: 1_795_396_000_123, count: 64 },
  ],
  shardCount: 64,
  retentionMs: 10 * 366 * 86_400_000,
  limits: { rateBytes: 10_000_000_000, maxSearchMs: 3660 * 86_400_000, maxConcurrentQueries: 1 },
  isRetentionUnsent: true,
  deletingSinceMs: 1_795_399_000_001,
  version: 7,
  tokens: [FIRST, SECOND],
  overrides: { version: 3, json: '{"forwarders":["a quoted \\"one\\""]}' },
  spend: {
    cap: { dayUsd: 1.5, monthUsd: 30, action: "sample", keepShare: 0.25 },
    verdict: {
      state: "capped",
      period: "day",
      spentUsd: 1.51,
      limitUsd: 1.5,
      untilMs: 1_795_392_000_000,
    },
  },
};

// Far enough that no alarm goes off while a test runs.
const ALARM_MS = Date.now() + 86_400_000;

/** @param run calls back with a storage of its own for each test */
export function runTenantStorageContract(
  name: string,
  run: (body: (under: TenantStorageUnderTest) => Promise<void>) => Promise<void>,
): void {
  describe(`${name}: TenantStorage`, () => {
    test("nothing saved: nothing is loaded, and no table is made by looking", () =>
      run(async ({ storage, tables }) => {
        expect(storage.load()).toBeUndefined();
        expect(tables()).toEqual([]);
      }));

    test("what shards report is kept beside the record, and goes with everything", () =>
      run(async ({ storage, reopen }) => {
        storage.save(PLAIN);
        expect(storage.spendReports()).toEqual(new Map());
        storage.saveSpend(3, { day: 20_787, dayUsd: 0.1, monthUsd: 2.5 });
        storage.saveSpend(0, { day: 20_787, dayUsd: 0.2, monthUsd: 0.25 });
        storage.saveSpend(3, { day: 20_788, dayUsd: 0, monthUsd: 2.75 });
        for (const open of [storage, reopen()]) {
          expect(open.spendReports()).toEqual(
            new Map([
              [0, { day: 20_787, dayUsd: 0.2, monthUsd: 0.25 }],
              [3, { day: 20_788, dayUsd: 0, monthUsd: 2.75 }],
            ]),
          );
        }
        await storage.clear();
        expect(reopen().spendReports()).toEqual(new Map());
      }));

    test("a cap that was set may be taken away", () =>
      run(async ({ storage, reopen }) => {
        storage.save(FULL);
        storage.save({ ...FULL, spend: undefined });
        expect(reopen().load()?.spend).toBeUndefined();
      }));

    test.each([
      ["defaults", PLAIN],
      ["everything set", FULL],
    ])("a record comes back whole, at once and after an eviction: %s", (_, record) =>
      run(async ({ storage, reopen }) => {
        storage.save(record);
        expect(storage.load()).toEqual(record);
        expect(reopen().load()).toEqual(record);
      }),
    );

    test("a record replaces the one before: what it does not set is gone", () =>
      run(async ({ storage, reopen }) => {
        storage.save(FULL, { alarmMs: ALARM_MS });
        storage.save(PLAIN);
        expect(reopen().load()).toEqual(PLAIN);
      }));

    test("the alarm is set with the record, alone, and stays when a record comes without", () =>
      run(async ({ storage, alarm }) => {
        storage.save(PLAIN);
        expect(await alarm()).toBeNull();
        storage.save(FULL, { alarmMs: ALARM_MS });
        expect(await alarm()).toBe(ALARM_MS);
        storage.save(PLAIN);
        expect(await alarm()).toBe(ALARM_MS);
        storage.setAlarm(ALARM_MS + 1);
        expect(await alarm()).toBe(ALARM_MS + 1);
      }));

    test("tokens come and go one by one, oldest first", () =>
      run(async ({ storage, reopen }) => {
        storage.save({ ...PLAIN, tokens: [SECOND] });
        storage.save({ ...PLAIN, tokens: [FIRST, SECOND] });
        expect(reopen().load()?.tokens).toEqual([FIRST, SECOND]);
        const again = reopen();
        const { tokens = [] } = again.load() ?? {};
        again.save({ ...PLAIN, tokens: tokens.filter(({ id }) => id !== FIRST.id) });
        expect(again.load()?.tokens).toEqual([SECOND]);
        expect(reopen().load()?.tokens).toEqual([SECOND]);
      }));

    test("the audit log is told the newest first, in pages, and keeps so many lines", () =>
      run(async ({ storage, reopen }) => {
        expect(storage.audit(10)).toEqual([]);
        const line = (n: number) => ({ atMs: n, actor: "operator", action: "set shards", detail: `${n}` });
        for (let n = 1; n <= AUDIT_ENTRIES + 1; n++) storage.save(PLAIN, { audit: line(n) });
        const newest = reopen().audit(2);
        expect(newest).toEqual([
          { id: AUDIT_ENTRIES + 1, ...line(AUDIT_ENTRIES + 1) },
          { id: AUDIT_ENTRIES, ...line(AUDIT_ENTRIES) },
        ]);
        expect(storage.audit(1, AUDIT_ENTRIES)).toMatchObject([{ id: AUDIT_ENTRIES - 1 }]);
        const all = storage.audit(2 * AUDIT_ENTRIES);
        expect([all.length, all.at(-1)?.id]).toEqual([AUDIT_ENTRIES, 2]);
      }));

    test("clear leaves nothing, and the storage can be used again", () =>
      run(async ({ storage, reopen, alarm, tables }) => {
        storage.save(FULL, { alarmMs: ALARM_MS });
        storage.save(FULL, { audit: { atMs: 1, actor: "operator", action: "x", detail: "" } });
        await storage.clear();
        expect(storage.audit(1)).toEqual([]);
        expect(storage.load()).toBeUndefined();
        expect(reopen().load()).toBeUndefined();
        expect(await alarm()).toBeNull();
        expect(tables()).toEqual([]);
        storage.save(PLAIN);
        expect(reopen().load()).toEqual(PLAIN);
      }));
  });
}
