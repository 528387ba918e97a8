// Several tenants of a running server: what is whose, and queries over more than one, from the buffers and from blocks.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LATE_FLUSH } from "../support/expect-trace.ts";
import { pathOf, type PlainSpan, spansData } from "../support/query-app.ts";
import { type TestServers, testServers } from "../support/server.ts";

let servers: TestServers;
let url: string;
const START_MS = Date.now();
const MODE = { ACCESS: "open", MULTITENANCY: "on" };

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start({ ...LATE_FLUSH, ...MODE }));
});
afterAll(() => servers.end());

const SHARED = "0af7651916cd43dd8448eb211c80319c";
const ONLY_A = "1af7651916cd43dd8448eb211c80319c";

const span = (traceId: string, spanId: string, service: string): PlainSpan => ({
  traceId,
  spanId: spanId.padStart(16, "0"),
  name: `of ${service}`,
  durationMs: 5,
  resource: { "service.name": service },
});

async function send(tenant: string, spans: readonly PlainSpan[]): Promise<number> {
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    body: spansData(spans, START_MS) as BodyInit,
    headers: { "content-type": "application/x-protobuf", "x-scope-orgid": tenant },
  });
  return response.status;
}

async function ask(tenant: string, path: string, params: Record<string, string | number> = {}) {
  const response = await fetch(url + pathOf(path, params), { headers: { "x-scope-orgid": tenant } });
  const text = await response.text();
  return { status: response.status, text, json: (): unknown => JSON.parse(text) };
}

async function sources(tenant: string): Promise<string> {
  const response = await fetch(`${url}/api/v2/traces/${SHARED}`, { headers: { "x-scope-orgid": tenant } });
  await response.text();
  return response.headers.get("rubato-sources") ?? "";
}

/** Names of the spans of a trace. */
async function names(tenant: string, traceId: string): Promise<string[]> {
  const { text } = await ask(tenant, `/api/v2/traces/${traceId}`);
  return Array.from(text.matchAll(/"name":"(of \w+)"/g), ([, name = ""]) => name).sort();
}

async function found(tenant: string): Promise<string[]> {
  const { json } = await ask(tenant, "/api/search", { q: "{}" });
  return (json() as { traces: { traceID: string }[] }).traces
    .map(({ traceID }) => traceID.padStart(32, "0"))
    .sort();
}

async function services(tenant: string): Promise<string[]> {
  const { json } = await ask(tenant, "/api/v2/search/tag/resource.service.name/values");
  return (json() as { tagValues: { value: string }[] }).tagValues.map(({ value }) => value).sort();
}

async function count(tenant: string): Promise<number> {
  const { json } = await ask(tenant, "/api/metrics/query", { q: "{} | count_over_time()" });
  return (json() as { series?: { value: number }[] }).series?.[0]?.value ?? 0;
}

async function expectAll(): Promise<void> {
  expect(await names("a", SHARED)).toEqual(["of apple"]);
  expect(await names("b", SHARED)).toEqual(["of berry"]);
  expect(await names("a|b", SHARED)).toEqual(["of apple", "of berry"]);
  expect(await names("b", ONLY_A)).toEqual([]);
  expect((await ask("b", `/api/traces/${ONLY_A}`)).status).toBe(404);
  expect((await ask("b|c", `/api/traces/${ONLY_A}`)).status).toBe(404);
  expect((await ask("b|a", `/api/traces/${ONLY_A}`)).status).toBe(200);
  expect(await found("a")).toEqual([SHARED, ONLY_A]);
  expect(await found("b")).toEqual([SHARED]);
  expect(await found("b|a|b")).toEqual([SHARED, ONLY_A]);
  expect(await found("nobody")).toEqual([]);
  expect([await services("a"), await services("b"), await services("a|b")]).toEqual([
    ["apple"],
    ["berry"],
    ["apple", "berry"],
  ]);
  expect([await count("a"), await count("b"), await count("a|b"), await count("c")]).toEqual([2, 1, 3, 0]);
}

describe("tenants", () => {
  test("each has what it was sent; a query over both has all of it", async () => {
    expect(await send("a", [span(SHARED, "1", "apple"), span(ONLY_A, "2", "apple")])).toBe(200);
    expect(await send("b", [span(SHARED, "3", "berry")])).toBe(200);
    await expectAll();
  });

  test("the same from blocks", async () => {
    ({ url } = await servers.restart({ FLUSH_AGE_SECONDS: "0.1", ...MODE }));
    for (const tenant of ["a", "b"]) {
      // What is sent again is found once, and makes the shard look for what is due.
      expect(
        await send(tenant, [span(SHARED, tenant === "a" ? "1" : "3", tenant === "a" ? "apple" : "berry")]),
      ).toBe(200);
      await expect.poll(() => sources(tenant), { timeout: 20_000 }).toMatch(/^live=0, blocks=[12]$/);
    }
    await expectAll();
  });

  test("a request must name its tenant, one that sends spans a single one", async () => {
    expect(await send("a|b", [span(SHARED, "4", "apple")])).toBe(400);
    expect(await send("", [span(SHARED, "4", "apple")])).toBe(401);
    expect(await ask("", "/api/search")).toMatchObject({ status: 401, text: "no org id\n" });
    expect(await ask("a||b", "/api/search")).toMatchObject({ status: 400, text: "no org id\n" });
    expect((await ask("a/../b", "/api/search")).status).toBe(400);
  });
});
