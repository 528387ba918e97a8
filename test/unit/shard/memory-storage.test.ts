import { describe, expect, test } from "vitest";
import { MemoryShardStorage } from "../../../src/shard/memory-storage.ts";
import { NO_CHANGE } from "../../../src/shard/storage.ts";
import { blockOf, describeShardStorage } from "../../contract/shard-storage.ts";

describeShardStorage("memory", (use) => {
  const storage = new MemoryShardStorage();
  return use(storage, () => storage);
});

describe("copy", () => {
  test("goes its own way", () => {
    const storage = new MemoryShardStorage();
    const tail = { filter: new Uint8Array(1), traceIndex: new Uint8Array(1), resources: new Uint8Array(1) };
    storage.commitBlock(1, blockOf(1), tail);
    storage.appendRows(2, 1, [{ head: new Uint8Array(1), body: new Uint8Array(1) }], true);
    const copy = storage.copy();
    storage.change({ ...NO_CHANGE, remove: [1] });
    storage.appendRows(2, 2, [{ head: new Uint8Array(1), body: new Uint8Array(1) }], false);
    expect(copy.youngBlocks()).toEqual([blockOf(1)]);
    expect([...copy.heads(2)]).toHaveLength(1);
  });
});
