// What every ObjectStore promises. Each adapter runs this suite.
import { describe, expect, test } from "vitest";
import type { ObjectStore, StoredObject } from "../../src/store/object-store.ts";
import { PART_BYTES_MIN } from "../../src/store/part-lengths.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import type { AppError } from "../../src/util/errors.ts";

function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function read(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

async function listed(store: ObjectStore, prefix: string): Promise<StoredObject[]> {
  const found: StoredObject[] = [];
  for await (const object of store.list(prefix)) found.push(object);
  return found;
}

/** @param make gives a store for one test; the suite's keys begin with `contract/`, each test its own. */
export function runObjectStoreContract(name: string, make: () => ObjectStore): void {
  describe(`${name}: ObjectStore`, () => {
    test("gives back the bytes of any range inside the object", async () => {
      const store = make();
      const bytes = pattern(300_000);
      const object = await store.put("contract/ranges", bytes);
      expect(object.key).toBe("contract/ranges");
      expect(object.byteLength).toBe(300_000);
      for (const [offset, length] of [
        [0, 300_000],
        [0, 1],
        [299_999, 1],
        [65_535, 2],
        [1000, 200_000],
      ] as const) {
        const part = await read(await store.getRange("contract/ranges", { offset, length }, object.etag));
        expect(part.length).toBe(length);
        expect(part).toEqual(bytes.subarray(offset, offset + length));
      }
    });

    test("the stored bytes are a copy", async () => {
      const store = make();
      const bytes = pattern(100);
      const { etag } = await store.put("contract/copy", bytes);
      bytes.fill(0);
      const part = await read(await store.getRange("contract/copy", { offset: 0, length: 100 }, etag));
      expect(part).toEqual(pattern(100));
      part.fill(1);
      expect(await read(await store.getRange("contract/copy", { offset: 0, length: 100 }, etag))).toEqual(
        pattern(100),
      );
    });

    test("stores a view without what surrounds it", async () => {
      const store = make();
      const whole = pattern(1000);
      const object = await store.put("contract/view", whole.subarray(100, 110));
      expect(object.byteLength).toBe(10);
      const part = await read(await store.getRange("contract/view", { offset: 0, length: 10 }, object.etag));
      expect(part).toEqual(whole.slice(100, 110));
    });

    test("an absent object is not_found", async () => {
      const range = { offset: 0, length: 1 };
      await expect(make().getRange("contract/absent", range, "0123")).rejects.toMatchObject({
        name: "AppError",
        kind: "not_found",
      });
    });

    test("an object replaced by other bytes is corrupt for the old etag, fresh for the new", async () => {
      const store = make();
      const range = { offset: 0, length: 10 };
      const before = await store.put("contract/replaced", pattern(10, 1));
      const after = await store.put("contract/replaced", pattern(10, 2));
      expect(after.etag).not.toBe(before.etag);
      await expect(store.getRange("contract/replaced", range, before.etag)).rejects.toMatchObject({
        kind: "corrupt",
      });
      expect(await read(await store.getRange("contract/replaced", range, after.etag))).toEqual(
        pattern(10, 2),
      );
    });

    test("storing the same bytes again keeps the etag: a repeated flush breaks no reader", async () => {
      const store = make();
      const before = await store.put("contract/same", pattern(10));
      const after = await store.put("contract/same", pattern(10));
      expect(after.etag).toBe(before.etag);
    });

    // Not from 10 on: there R2's simulator answers 500 instead of its range error.
    test.each([
      [0, 11],
      [9, 2],
      [11, 1],
      [500, 5],
    ])("a range from %i of %i bytes past the end of 10 is corrupt", async (offset, length) => {
      const store = make();
      const { etag } = await store.put("contract/short", pattern(10));
      const attempt = async (): Promise<Uint8Array> =>
        read(await store.getRange("contract/short", { offset, length }, etag));
      await expect(attempt()).rejects.toMatchObject({ kind: "corrupt" });
    });

    test("a reader may give up halfway", async () => {
      const store = make();
      const { etag } = await store.put("contract/cancel", pattern(500_000));
      const stream = await store.getRange("contract/cancel", { offset: 0, length: 500_000 }, etag);
      const reader = stream.getReader();
      const first = await reader.read();
      expect(first.done).toBe(false);
      await reader.cancel("enough");
      const again = await store.getRange("contract/cancel", { offset: 1, length: 2 }, etag);
      expect(await read(again)).toEqual(pattern(500_000).slice(1, 3));
    });

    test("a range serves a reader that brings its own buffer", async () => {
      const store = make();
      const bytes = pattern(200_000);
      const { etag } = await store.put("contract/byob", bytes);
      const stream = await store.getRange("contract/byob", { offset: 0, length: 200_000 }, etag);
      const reader = stream.getReader({ mode: "byob" });
      const parts: Uint8Array[] = [];
      for (;;) {
        const chunk = await reader.read(new Uint8Array(50_000));
        if (chunk.value !== undefined) parts.push(chunk.value);
        if (chunk.done) break;
      }
      expect(concatBytes(parts)).toEqual(bytes);
    });

    test("delete removes the named objects only, absent ones are no error", async () => {
      const store = make();
      await store.put("contract/delete/a", pattern(1));
      const b = await store.put("contract/delete/b", pattern(1));
      await store.delete(["contract/delete/a", "contract/delete/none"]);
      await store.delete([]);
      expect(await listed(store, "contract/delete/")).toEqual([b]);
      await expect(
        store.getRange("contract/delete/a", { offset: 0, length: 1 }, b.etag),
      ).rejects.toMatchObject({ kind: "not_found" });
    });

    test("list gives exactly the keys with the prefix, ascending", async () => {
      const store = make();
      // No key is also the folder of another: stores that keep files refuse it.
      for (const key of ["b/2", "a", "b/10", "b/1", "b-", "bc"]) {
        await store.put(`contract/list/${key}`, pattern(key.length));
      }
      const found = await listed(store, "contract/list/b/");
      expect(found.map(({ key }) => key)).toEqual([
        "contract/list/b/1",
        "contract/list/b/10",
        "contract/list/b/2",
      ]);
      expect(found.map(({ byteLength }) => byteLength)).toEqual([3, 4, 3]);
      expect((await listed(store, "contract/list/b")).map(({ key }) => key)).toEqual([
        "contract/list/b-",
        "contract/list/b/1",
        "contract/list/b/10",
        "contract/list/b/2",
        "contract/list/bc",
      ]);
      expect(await listed(store, "contract/list/x")).toEqual([]);
    });

    test("list and delete go past 1,000 objects", { timeout: 60_000 }, async () => {
      const store = make();
      const keys = Array.from({ length: 1005 }, (_, i) => `contract/many/${String(i).padStart(4, "0")}`);
      for (const key of keys) await store.put(key, pattern(1));
      expect((await listed(store, "contract/many/")).map(({ key }) => key)).toEqual(keys);
      await store.delete(keys);
      expect(await listed(store, "contract/many/")).toEqual([]);
    });

    test("keys may hold what addresses and XML do not", async () => {
      const store = make();
      const keys = [
        "a+b c",
        "percent%20%2F",
        "quotes'\"`",
        "xml<&>]]>",
        "brackets()*!~[]{}",
        "é\u4e2d\u{1f680}",
        "q?#;=@:,$",
      ];
      const bytes = pattern(20);
      for (const key of keys) {
        const { etag } = await store.put(`contract/odd/${key}`, bytes);
        const part = await read(await store.getRange(`contract/odd/${key}`, { offset: 1, length: 3 }, etag));
        expect(part).toEqual(bytes.slice(1, 4));
      }
      const found = (await listed(store, "contract/odd/")).map(({ key }) => key);
      expect(found).toEqual(keys.map((key) => `contract/odd/${key}`).sort());
      await store.delete(found);
      expect(await listed(store, "contract/odd/")).toEqual([]);
    });

    test("putIf absent stores once", async () => {
      const store = make();
      const first = await store.putIf("contract/if/absent", pattern(10, 1), { absent: true });
      expect(first).toMatchObject({ key: "contract/if/absent", byteLength: 10 });
      expect(await store.putIf("contract/if/absent", pattern(10, 2), { absent: true })).toBeUndefined();
      expect(await listed(store, "contract/if/absent")).toEqual([first]);
    });

    test("putIf etag replaces that object and no other", async () => {
      const store = make();
      const { etag } = await store.put("contract/if/etag", pattern(10, 1));
      const second = await store.putIf("contract/if/etag", pattern(11, 2), { etag });
      expect(second?.byteLength).toBe(11);
      expect(await store.putIf("contract/if/etag", pattern(12, 3), { etag })).toBeUndefined();
      expect(await listed(store, "contract/if/etag")).toEqual([second]);
      expect(await store.putIf("contract/if/none", pattern(1), { etag })).toBeUndefined();
      expect(await listed(store, "contract/if/none")).toEqual([]);
    });

    test("putIf absent: of several at once, one wins", async () => {
      const store = make();
      const attempts = Array.from({ length: 5 }, (_, i) =>
        store.putIf("contract/if/race", pattern(1000, i + 1), { absent: true }),
      );
      const ends = await Promise.allSettled(attempts);
      const won = ends.flatMap((end) => (end.status === "fulfilled" && end.value ? [end.value] : []));
      // A store may tell losers that they disturb each other: they know nothing then, but have not won.
      const kinds = ends.flatMap((end) => (end.status === "rejected" ? [(end.reason as AppError).kind] : []));
      expect(kinds.filter((kind) => kind !== "unavailable")).toEqual([]);
      expect(won).toHaveLength(1);
      expect(await listed(store, "contract/if/race")).toEqual(won);
    });

    test("an upload appears whole when it is completed", { timeout: 60_000 }, async () => {
      const store = make();
      const key = "contract/upload/whole";
      const bytes = pattern(2 * PART_BYTES_MIN + 1000);
      const upload = await store.startUpload(key);
      const part = new Uint8Array(PART_BYTES_MIN);
      for (const offset of [0, PART_BYTES_MIN]) {
        // The same buffer for each part, as a writer would.
        part.set(bytes.subarray(offset, offset + PART_BYTES_MIN));
        await upload.addPart(part);
      }
      await upload.addPart(bytes.subarray(2 * PART_BYTES_MIN));
      await expect(store.getRange(key, { offset: 0, length: 1 }, "0123")).rejects.toMatchObject({
        kind: "not_found",
      });
      expect(await listed(store, key)).toEqual([]);
      const object = await upload.complete();
      expect(object).toMatchObject({ key, byteLength: bytes.length });
      expect(await listed(store, key)).toEqual([object]);
      for (const [offset, length] of [
        [PART_BYTES_MIN - 100, 200],
        [2 * PART_BYTES_MIN - 1, 1001],
      ] as const) {
        const range = await read(await store.getRange(key, { offset, length }, object.etag));
        expect(range).toEqual(bytes.slice(offset, offset + length));
      }
      await upload.abort();
      expect(await listed(store, key)).toEqual([object]);
    });

    test("an upload of one short part replaces what was there", async () => {
      const store = make();
      const key = "contract/upload/short";
      const before = await store.put(key, pattern(10, 1));
      const upload = await store.startUpload(key);
      await upload.addPart(pattern(10, 2));
      const after = await upload.complete();
      const range = { offset: 0, length: 10 };
      await expect(store.getRange(key, range, before.etag)).rejects.toMatchObject({ kind: "corrupt" });
      expect(await read(await store.getRange(key, range, after.etag))).toEqual(pattern(10, 2));
    });

    test("an aborted upload leaves nothing, and may be aborted again", async () => {
      const store = make();
      const upload = await store.startUpload("contract/upload/aborted");
      await upload.addPart(pattern(PART_BYTES_MIN));
      await upload.abort();
      await upload.abort();
      expect(await listed(store, "contract/upload/aborted")).toEqual([]);
      const empty = await store.startUpload("contract/upload/aborted");
      await empty.abort();
    });

    test("an upload refuses as a bug what R2 would refuse at its end", async () => {
      const store = make();
      const bug = /^assertion failed/;
      const upload = await store.startUpload("contract/upload/rules");
      await expect(upload.complete()).rejects.toThrow(bug);
      await expect(upload.addPart(new Uint8Array(0))).rejects.toThrow(bug);
      await upload.addPart(pattern(PART_BYTES_MIN));
      await expect(upload.addPart(pattern(PART_BYTES_MIN + 1))).rejects.toThrow(bug);
      await upload.addPart(pattern(PART_BYTES_MIN - 1));
      await expect(upload.addPart(pattern(PART_BYTES_MIN))).rejects.toThrow(bug);
      await upload.abort();
      await expect(upload.addPart(pattern(1))).rejects.toThrow(bug);
    });
  });
}
