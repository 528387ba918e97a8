// What every TenantStorage promises. Each adapter runs this suite.
import { describe, expect, test } from "vitest";
import type { TenantRecord, TenantStorage } from "../../src/tenant/storage.ts";

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
  isRetentionUnsent: false,
  deletingSinceMs: undefined,
};

const FULL: TenantRecord = {
  versions: [
    { fromMs: 0, count: 1 },
    { fromMs: 1_795_392_090_000, count: 2 },
    { fromMs: 1_795_396_000_123, count: 64 },
  ],
  shardCount: 64,
  retentionMs: 10 * 366 * 86_400_000,
  isRetentionUnsent: true,
  deletingSinceMs: 1_795_399_000_001,
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
        storage.save(FULL, ALARM_MS);
        storage.save(PLAIN);
        expect(reopen().load()).toEqual(PLAIN);
      }));

    test("the alarm is set with the record, alone, and stays when a record comes without", () =>
      run(async ({ storage, alarm }) => {
        storage.save(PLAIN);
        expect(await alarm()).toBeNull();
        storage.save(FULL, ALARM_MS);
        expect(await alarm()).toBe(ALARM_MS);
        storage.save(PLAIN);
        expect(await alarm()).toBe(ALARM_MS);
        storage.setAlarm(ALARM_MS + 1);
        expect(await alarm()).toBe(ALARM_MS + 1);
      }));

    test("clear leaves nothing, and the storage can be used again", () =>
      run(async ({ storage, reopen, alarm, tables }) => {
        storage.save(FULL, ALARM_MS);
        await storage.clear();
        expect(storage.load()).toBeUndefined();
        expect(reopen().load()).toBeUndefined();
        expect(await alarm()).toBeNull();
        expect(tables()).toEqual([]);
        storage.save(PLAIN);
        expect(reopen().load()).toEqual(PLAIN);
      }));
  });
}
