// The S3 adapter where it runs in production: the contract in workerd, and the whole Worker with its blocks in S3.
import { env, exports } from "cloudflare:workers";
import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import { shardName } from "../../src/store/keys.ts";
import { objectStoreFor } from "../../src/store/object-store-for.ts";
import { S3Store } from "../../src/store/s3-store.ts";
import { runObjectStoreContract } from "../contract/object-store.ts";
import { makeGenerator } from "../support/generator.ts";

const worker = (exports as unknown as { default: Fetcher }).default;
const bindings = env as unknown as Bindings & { readonly BLOCKS: R2Bucket; readonly S3_MISSING?: string };
if (bindings.S3_MISSING !== undefined) throw new Error(bindings.S3_MISSING);

runObjectStoreContract("S3Store in workerd", () => objectStoreFor(bindings));

test("Worker: with S3_ENDPOINT set, blocks are written to and read from there, and R2 stays empty", async () => {
  const store = objectStoreFor(bindings);
  expect(store).toBeInstanceOf(S3Store);
  const generator = makeGenerator({ seed: 7 });
  const sent = await worker.fetch("http://rubato/v1/traces", {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body: generator.batch(200),
  });
  expect(sent.status).toBe(200);
  const shard = bindings.TRACE_SHARD.getByName(shardName("single-tenant", 0));
  const report = await shard.tick(Date.now() + DEFAULT_LIMITS.flushAgeMs);
  expect(report).toMatchObject({ flushedBlocks: 1, flushedSpans: 200 });

  const keys: string[] = [];
  for await (const { key } of store.list("tenant=")) keys.push(key);
  expect(keys).toEqual([expect.stringMatching(/^tenant=single-tenant\/date=.*\.parquet$/)]);
  expect((await bindings.BLOCKS.list()).objects).toEqual([]);

  const [traceId = ""] = generator.traceIds();
  const found = await worker.fetch(`http://rubato/api/traces/${traceId}`);
  expect(found.status).toBe(200);
  expect(found.headers.get("rubato-sources")).toBe("live=0, blocks=1");
  await found.arrayBuffer();

  // An object that went missing is told, not hidden.
  await store.delete(keys);
  const gone = await worker.fetch(`http://rubato/api/traces/${traceId}`);
  expect(gone.status).toBe(500);
});
