import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { R2Store } from "../../src/store/r2-store.ts";
import { runObjectStoreContract } from "../contract/object-store.ts";

const { BLOCKS } = env as unknown as { readonly BLOCKS: R2Bucket };

runObjectStoreContract("R2Store", () => new R2Store(BLOCKS));

test("R2Store: a range is read in buffers of tens of kilobytes, not in the default 4 KiB", async () => {
  const store = new R2Store(BLOCKS);
  const { etag } = await store.put("chunks", new Uint8Array(1_000_000));
  let chunks = 0;
  for await (const chunk of await store.getRange("chunks", { offset: 0, length: 1_000_000 }, etag)) {
    expect(chunk.length).toBeGreaterThan(0);
    chunks++;
  }
  expect(chunks).toBeLessThan(150);
});
