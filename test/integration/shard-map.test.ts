// The Worker's own copy of the shard map: requests of one isolate share a call, and the runtime ends requests.
import { exports } from "cloudflare:workers";
import { expect, test } from "vitest";
import { faults } from "./worker.ts";

const worker = (exports as unknown as { default: Fetcher }).default;

const lookup = (signal?: AbortSignal) =>
  worker.fetch("http://rubato/api/traces/1", signal === undefined ? {} : { signal });

// The first request of this file's isolate: nothing is known yet. One test, since the next would find a map.
test("the call for the map outlives the request that made it: others wait for it, too", async () => {
  let calls = 0;
  const { promise: asked, resolve: noteAsked } = Promise.withResolvers<void>();
  faults.beforeView = async () => {
    calls++;
    noteAsked();
    await scheduler.wait(300);
  };
  const client = new AbortController();
  const first = lookup(client.signal).then(
    ({ status }) => status,
    () => "aborted",
  );
  await asked;
  const others = Array.from({ length: 20 }, () => lookup());
  client.abort();
  const statuses = (await Promise.all(others)).map(({ status }) => status);
  expect(await first).toBe("aborted");
  // Were the call lost with its request, they would be answered 503 after three seconds.
  expect(new Set(statuses)).toEqual(new Set([404]));
  expect(calls).toBe(1);
});
