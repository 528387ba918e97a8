// What every ObjectStore promises. Each adapter runs this suite.
import { describe, expect, test } from "vitest";
import type { ObjectStore, StoredObject } from "../../src/store/object-store.ts";
import { concatBytes } from "../../src/util/bytes.ts";

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

    test.each([
      [0, 11],
      [9, 2],
      [10, 1],
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
      for (const key of ["b/2", "a", "b/10", "b/1", "b", "c"]) {
        await store.put(`contract/list/${key}`, pattern(key.length));
      }
      const found = await listed(store, "contract/list/b/");
      expect(found.map(({ key }) => key)).toEqual([
        "contract/list/b/1",
        "contract/list/b/10",
        "contract/list/b/2",
      ]);
      expect(found.map(({ byteLength }) => byteLength)).toEqual([3, 4, 3]);
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
  });
}
