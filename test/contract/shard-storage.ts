// What every ShardStorage promises (src/shard/storage.ts). Runs against memory in node and SQLite in workerd.
import { describe, expect, test } from "vitest";
import { NO_CHANGE, retentionStart, type ShardStorage } from "../../src/shard/storage.ts";
import type { BlockTail, CatalogueBlock } from "../../src/store/catalogue.ts";
import type { ShardJob } from "../../src/store/rpc.ts";

const DAY_MS = 86_400_000;
const ARRIVED = Date.UTC(2026, 10, 23);

/** Hands out a storage that is empty, and what opens it again as a restart does. */
export type WithStorage = (
  use: (storage: ShardStorage, reopen: () => ShardStorage) => Promise<void>,
) => Promise<void>;

export function blockOf(id: number, overrides: Partial<CatalogueBlock> = {}): CatalogueBlock {
  return {
    id,
    key: `tenant=t/date=2026-11-23/shard=00/${String(id).padStart(16, "0")}.parquet`,
    etag: `etag-${id}`,
    byteLength: 1000 + id,
    spanCount: 10,
    traceCount: 5,
    rawBytes: 4000,
    minStartSeconds: ARRIVED / 1000 - 60,
    maxEndSeconds: ARRIVED / 1000,
    version: 2,
    arrivedMs: ARRIVED,
    ...overrides,
  };
}

/** Bytes that tell their place, so that a part in the wrong one is noticed. */
function bytesOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >>> 8)) & 0xff);
}

function tailOf(seed: number, filterBytes = 100, indexBytes = 50, resourceBytes = 30): BlockTail {
  return {
    filter: bytesOf(filterBytes, seed),
    traceIndex: bytesOf(indexBytes, seed + 1),
    resources: bytesOf(resourceBytes, seed + 2),
  };
}

const retired = (id: number, deleteAtMs: number) => ({ id, key: blockOf(id).key, deleteAtMs });

const INDEX_JOB: ShardJob = { kind: "index", id: 900, bits: 16, blocks: [] };

export function describeShardStorage(name: string, withStorage: WithStorage): void {
  describe(`shard storage: ${name}`, () => {
    epochs(withStorage);
    blocks(withStorage);
    groups(withStorage);
    usage(withStorage);
    rest(withStorage);
  });
}

function usage(withStorage: WithStorage): void {
  const day = (number: number, seed: number) => ({
    day: number,
    savedMs: 1000 * number,
    usage: bytesOf(50, seed),
  });

  test("usage: rows carry it, with or without; heads give it back", () =>
    withStorage(async (storage, reopen) => {
      const row = { head: bytesOf(4, 1), body: bytesOf(9, 2) };
      const carried = bytesOf(30, 3);
      storage.appendRows(10, 1, [row, { ...row, usage: carried }], true);
      storage.appendRows(10, 3, [row], false);
      for (const open of [storage, reopen()]) {
        open.epochs();
        expect([...open.heads(10)]).toEqual([
          { row: 1, head: row.head },
          { row: 2, head: row.head, usage: carried },
          { row: 3, head: row.head },
        ]);
        expect([...open.bodies(10, 1)]).toEqual([row.body, row.body, row.body]);
      }
      // It costs nothing: a row is a row.
      expect(storage.rowsWritten()).toBe(2 + 3);
    }));

  test("usage: days are saved with a block or alone, replaced, and forgotten when 400 newer ones are over", () =>
    withStorage(async (storage, reopen) => {
      storage.appendRows(10, 1, [{ head: bytesOf(1, 1), body: bytesOf(1, 1) }], true);
      storage.commitBlock(10, blockOf(10), tailOf(10), [day(100, 1), day(101, 2)]);
      const before = storage.rowsWritten();
      storage.saveUsage([day(101, 3), day(102, 4)]);
      expect(storage.rowsWritten() - before).toBe(2);
      for (const open of [storage, reopen()]) {
        expect(open.epochs()).toEqual([]);
        expect(open.usageRows(0, 1000)).toEqual([day(100, 1), day(101, 3), day(102, 4)]);
        expect(open.usageRows(101, 101)).toEqual([day(101, 3)]);
        expect(open.newestUsage(2)).toEqual([day(101, 3), day(102, 4)]);
      }
      storage.saveUsage([day(500, 5)]);
      expect(storage.usageRows(0, 1000).map((row) => row.day)).toEqual([100, 101, 102, 500]);
      storage.saveUsage([day(502, 6)]);
      expect(
        reopen()
          .usageRows(0, 1000)
          .map((row) => row.day),
      ).toEqual([102, 500, 502]);
    }));

  test("usage: bytes of blocks, whatever comes and goes", () =>
    withStorage(async (storage, reopen) => {
      const expectBytes = (bytes: number) => {
        for (const open of [storage, reopen()]) expect(open.storedBytes().blocks).toBe(bytes);
      };
      expectBytes(0);
      storage.commitBlock(1, blockOf(1), tailOf(1));
      storage.commitBlock(1, blockOf(1), tailOf(1));
      expectBytes(1001);
      storage.commitBlock(2, blockOf(2), tailOf(2));
      expectBytes(2003);
      index(storage, 0, [2]);
      expectBytes(2003);
      storage.change({ ...NO_CHANGE, remove: [1, 2], add: [{ block: blockOf(3), tail: tailOf(3) }] });
      expectBytes(1003);
      storage.change({ ...NO_CHANGE, remove: [3, 4] });
      expectBytes(0);
    }));
}

function epochs(withStorage: WithStorage): void {
  test("epochs: rows come back in order, from any row on, and go with the block", () =>
    withStorage(async (storage, reopen) => {
      const row = (n: number) => ({ head: bytesOf(n, n), body: bytesOf(2 * n, n + 1) });
      storage.appendRows(20, 1, [row(1)], true);
      storage.appendRows(10, 1, [row(1), row(2)], true);
      storage.appendRows(10, 3, [row(3)], false);
      for (const open of [storage, reopen()]) {
        expect(open.epochs()).toEqual([10, 20]);
        expect([...open.heads(10)]).toEqual([1, 2, 3].map((n) => ({ row: n, head: bytesOf(n, n) })));
        expect([...open.bodies(10, 2)]).toEqual([row(2).body, row(3).body]);
      }
      storage.commitBlock(10, blockOf(10), tailOf(10));
      storage.commitBlock(10, blockOf(10), tailOf(10));
      expect(storage.epochs()).toEqual([20]);
      expect(storage.youngBlocks()).toEqual([blockOf(10)]);
    }));

  test("rows written: one a row, two a table, one a block, none for the dropped table", () =>
    withStorage(async (storage) => {
      const row = { head: bytesOf(1, 1), body: bytesOf(1, 1) };
      storage.appendRows(10, 1, [row, row], true);
      expect(storage.rowsWritten()).toBe(4);
      storage.commitBlock(10, blockOf(10), tailOf(10));
      expect(storage.rowsWritten()).toBe(5);
    }));
}

function blocks(withStorage: WithStorage): void {
  test("young blocks: all fields and parts come back, also of a tail larger than a row", () =>
    withStorage(async (storage, reopen) => {
      const sizes = [
        [0, 0, 0],
        [100, 50, 30],
        [2_000_000, 50, 30],
        [1_895_904, 1, 0],
        [10, 2_500_000, 2_500_000],
      ] as const;
      sizes.forEach((size, i) => {
        const block = blockOf(i + 1, { version: 1 + (i % 2), arrivedMs: ARRIVED + i });
        storage.commitBlock(i + 1, block, tailOf(i, ...size));
      });
      for (const open of [storage, reopen()]) {
        sizes.forEach((size, i) => {
          const { filter, ...tail } = tailOf(i, ...size);
          expect(open.block(i + 1)).toEqual(blockOf(i + 1, { version: 1 + (i % 2), arrivedMs: ARRIVED + i }));
          expect(Buffer.compare(open.filter(i + 1), filter)).toBe(0);
          expect(Buffer.compare(open.lookupTail(i + 1).traceIndex, tail.traceIndex)).toBe(0);
          expect(Buffer.compare(open.lookupTail(i + 1).resources, tail.resources)).toBe(0);
        });
        expect(open.youngBlocks().map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
      }
      expect(storage.block(6)).toBeUndefined();
      expect(() => storage.filter(6)).toThrow("block 6");
      expect(() => storage.lookupTail(6)).toThrow("block 6");
    }));

  test("a block that is replaced by a smaller one leaves no parts of the old behind", () =>
    withStorage(async (storage) => {
      storage.commitBlock(1, blockOf(1), tailOf(1, 4_000_000));
      storage.change({ ...NO_CHANGE, remove: [1] });
      expect(storage.block(1)).toBeUndefined();
      storage.change({ ...NO_CHANGE, add: [{ block: blockOf(1), tail: tailOf(2, 2_000_000) }] });
      expect(storage.filter(1)).toHaveLength(2_000_000);
      expect(Buffer.compare(storage.lookupTail(1).resources, tailOf(2).resources)).toBe(0);
    }));

  test("blocks by time: both ends belong to the range, young and indexed ones alike", () =>
    withStorage(async (storage) => {
      const times = (id: number, minStartSeconds: number, maxEndSeconds: number) =>
        storage.commitBlock(id, blockOf(id, { minStartSeconds, maxEndSeconds }), tailOf(id));
      times(1, 100, 200);
      times(2, 200, 300);
      times(3, 301, 400);
      index(storage, 0, [2]);
      const ids = (startSeconds?: number, endSeconds?: number) =>
        storage.blocksBetween({ startSeconds, endSeconds }).map(({ id }) => id);
      expect(ids()).toEqual([1, 2, 3]);
      expect(ids(200, 300)).toEqual([1, 2]);
      expect(ids(201, 300)).toEqual([2]);
      expect(ids(300)).toEqual([2, 3]);
      expect(ids(undefined, 199)).toEqual([1]);
      expect(ids(401)).toEqual([]);
    }));

  test("retention: late spans count from their arrival, those of the future a day at most", () =>
    withStorage(async (storage) => {
      expect(storage.firstEnd()).toBeUndefined();
      const seconds = ARRIVED / 1000;
      const ends = [seconds - 30 * 86_400, seconds + 600, seconds + 30 * 86_400];
      ends.forEach((maxEndSeconds, i) => {
        const block = blockOf(i + 1, { maxEndSeconds });
        storage.commitBlock(i + 1, block, tailOf(i));
        expect(retentionStart(block)).toBe(ARRIVED + ([0, 600_000, DAY_MS][i] ?? 0));
      });
      index(storage, 0, [2]);
      expect(storage.firstEnd()).toBe(ARRIVED);
      const ended = (ms: number, limit = 9) => storage.blocksEndedBefore(ms, limit).map(({ id }) => id);
      expect(ended(ARRIVED)).toEqual([]);
      expect(ended(ARRIVED + 1)).toEqual([1]);
      expect(ended(ARRIVED + 600_001)).toEqual([1, 2]);
      expect(ended(ARRIVED + DAY_MS)).toEqual([1, 2]);
      expect(ended(ARRIVED + DAY_MS + 1)).toEqual([1, 2, 3]);
      expect(ended(ARRIVED + DAY_MS + 1, 2)).toEqual([1, 2]);
      storage.change({ ...NO_CHANGE, remove: [1] });
      expect(storage.firstEnd()).toBe(ARRIVED + 600_000);
    }));
}

/** Puts young blocks into a group, with three buckets. */
function index(storage: ShardStorage, slot: number, members: readonly number[], id = 500 + slot): void {
  const filters = [0, 1, 2].map((bucket) => bytesOf(20 + bucket, slot));
  storage.change({
    ...NO_CHANGE,
    groups: [{ slot, id, bits: 16, members }],
    rows: { slot, blocks: members.filter((member) => member !== 0), filters },
  });
}

function groups(withStorage: WithStorage): void {
  test("groups: blocks keep all but their filter; a bucket's rows come by slot", () =>
    withStorage(async (storage, reopen) => {
      for (const id of [1, 2, 3]) storage.commitBlock(id, blockOf(id), tailOf(id, 10, 2_000_000, 1_900_000));
      index(storage, 7, [2, 0, 1]);
      index(storage, 0, [3]);
      for (const open of [storage, reopen()]) {
        expect(open.youngBlocks()).toEqual([]);
        expect(open.filterGroups()).toEqual([
          { slot: 0, id: 500, bits: 16, members: [3] },
          { slot: 7, id: 507, bits: 16, members: [2, 0, 1] },
        ]);
        expect([...open.filterRows(1)]).toEqual([
          { slot: 0, filter: bytesOf(21, 0) },
          { slot: 7, filter: bytesOf(21, 7) },
        ]);
        expect([...open.filterRows(3)]).toEqual([]);
        expect(open.block(2)).toEqual(blockOf(2));
        const { traceIndex, resources } = tailOf(2, 10, 2_000_000, 1_900_000);
        expect(Buffer.compare(open.lookupTail(2).traceIndex, traceIndex)).toBe(0);
        expect(Buffer.compare(open.lookupTail(2).resources, resources)).toBe(0);
        expect(() => open.filter(2)).toThrow("block 2");
      }
    }));

  test("groups: a slot without members is free, and its next group replaces the rows", () =>
    withStorage(async (storage) => {
      for (const id of [1, 2, 3]) storage.commitBlock(id, blockOf(id), tailOf(id));
      index(storage, 0, [1, 2]);
      storage.change({
        ...NO_CHANGE,
        remove: [1, 2],
        groups: [{ slot: 0, id: 500, bits: 16, members: [0, 0] }],
      });
      expect(storage.filterGroups()).toEqual([]);
      expect(storage.block(1)).toBeUndefined();
      const before = storage.rowsWritten();
      index(storage, 0, [3], 600);
      expect(storage.filterGroups()).toEqual([{ slot: 0, id: 600, bits: 16, members: [3] }]);
      expect([...storage.filterRows(2)]).toHaveLength(1);
      // Three rows of filters, the group, and the block's move.
      expect(storage.rowsWritten() - before).toBeLessThanOrEqual(3 + 1 + 3);
    }));

  test("a change is whole or not at all", () =>
    withStorage(async (storage) => {
      storage.commitBlock(1, blockOf(1), tailOf(1));
      expect(() =>
        storage.change({
          ...NO_CHANGE,
          rows: { slot: 0, blocks: [1, 99], filters: [bytesOf(1, 1)] },
          retire: [retired(1, 5)],
        }),
      ).toThrow("block 99");
      expect(storage.youngBlocks()).toHaveLength(1);
      expect(storage.filter(1)).toHaveLength(100);
      expect([...storage.filterRows(0)]).toEqual([]);
      expect(storage.isRetired(1)).toBe(false);
    }));
}

function rest(withStorage: WithStorage): void {
  test("retired objects: due ones first, forgotten when asked to", () =>
    withStorage(async (storage, reopen) => {
      expect(storage.firstRetired()).toBeUndefined();
      storage.change({ ...NO_CHANGE, retire: [retired(1, 300), retired(2, 100), retired(3, 100)] });
      for (const open of [storage, reopen()]) {
        expect(open.firstRetired()).toBe(100);
        expect(open.retiredBefore(99, 9)).toEqual([]);
        expect(open.retiredBefore(100, 9)).toEqual([retired(2, 100), retired(3, 100)]);
        expect(open.retiredBefore(300, 2)).toEqual([retired(2, 100), retired(3, 100)]);
        expect([1, 4].map((id) => open.isRetired(id))).toEqual([true, false]);
      }
      storage.change({ ...NO_CHANGE, forget: [2, 3] });
      expect(storage.retiredBefore(999, 9)).toEqual([retired(1, 300)]);
    }));

  test("job and settings: the last one written, until it is removed", () =>
    withStorage(async (storage, reopen) => {
      expect(storage.job()).toBeUndefined();
      expect(storage.setting("a")).toBeUndefined();
      storage.change({ ...NO_CHANGE, job: { ...INDEX_JOB, id: 800 }, settings: { a: "1", b: "2" } });
      storage.change({ ...NO_CHANGE, job: INDEX_JOB, settings: { a: "3" } });
      storage.change(NO_CHANGE);
      for (const open of [storage, reopen()]) {
        expect(open.job()).toEqual(INDEX_JOB);
        expect([open.setting("a"), open.setting("b")]).toEqual(["3", "2"]);
      }
      storage.change({ ...NO_CHANGE, job: null, settings: { a: null } });
      expect(storage.job()).toBeUndefined();
      expect([storage.setting("a"), storage.setting("b")]).toEqual([undefined, "2"]);
    }));

  test("the last id never decreases, whatever is removed", () =>
    withStorage(async (storage, reopen) => {
      const last = () => reopen().lastId();
      expect(storage.lastId()).toBe(0);
      storage.commitBlock(10, blockOf(10), tailOf(1));
      expect(last()).toBe(10);
      storage.change({ ...NO_CHANGE, job: { ...INDEX_JOB, id: 20 } });
      expect(last()).toBe(20);
      storage.change({ ...NO_CHANGE, job: null });
      expect(last()).toBe(20);
      storage.change({ ...NO_CHANGE, retire: [retired(30, 1)] });
      storage.change({ ...NO_CHANGE, remove: [10], forget: [30] });
      expect(last()).toBe(30);
      expect(storage.lastId()).toBe(30);
      storage.commitBlock(40, blockOf(40), tailOf(1));
      index(storage, 0, [40]);
      expect(last()).toBe(40);
      storage.change({ ...NO_CHANGE, remove: [40] });
      expect(last()).toBe(40);
    }));

  test("bytes that come back are the caller's", () =>
    withStorage(async (storage) => {
      const tail = tailOf(1);
      storage.commitBlock(1, blockOf(1), tail);
      tail.filter.fill(0);
      storage.filter(1).fill(1);
      expect(storage.filter(1)).toEqual(tailOf(1).filter);
    }));

  test("deleteAll: nothing is left, not even the alarm", () =>
    withStorage(async (storage) => {
      storage.appendRows(10, 1, [{ head: bytesOf(1, 1), body: bytesOf(1, 1) }], true);
      storage.commitBlock(5, blockOf(5), tailOf(1));
      storage.setAlarm(Date.UTC(2100, 0, 1));
      await storage.deleteAll();
      expect(await storage.getAlarm()).toBeNull();
      expect(storage.epochs()).toEqual([]);
    }));
}
