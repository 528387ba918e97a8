import { expect, test } from "vitest";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import { runObjectStoreContract } from "../../contract/object-store.ts";

runObjectStoreContract("MemoryStore", () => new MemoryStore());

test("MemoryStore: a range is not one chunk, so that readers meet pieces", async () => {
  const store = new MemoryStore();
  const { etag } = await store.put("k", new Uint8Array(200_000));
  const lengths: number[] = [];
  for await (const chunk of await store.getRange("k", { offset: 0, length: 200_000 }, etag)) {
    lengths.push(chunk.length);
  }
  expect(lengths.length).toBeGreaterThan(1);
  expect(lengths.reduce((a, b) => a + b)).toBe(200_000);
});
