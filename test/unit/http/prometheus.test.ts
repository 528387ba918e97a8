import { beforeEach, describe, expect, test, vi } from "vitest";
import { MAX_TENANTS_A_SCRAPE } from "../../../src/http/routes/prometheus.ts";
import { ADMIN_TOKEN } from "../../support/access-world.ts";
import { parseExposition } from "../../support/exposition.ts";
import { InsightWorld } from "../../support/insight-world.ts";

let world: InsightWorld;

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  world = new InsightWorld();
});

async function scrape(
  token: string | undefined,
  query = "",
  headers: Readonly<Record<string, string>> = {},
  app = world.app(),
) {
  const response = await app.request(`/metrics${query}`, {
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
  const text = await response.text();
  const samples = response.status === 200 ? parseExposition(text) : [];
  const valueOf = (name: string): number | undefined => samples.find((sample) => sample.name === name)?.value;
  const tenants = [...new Set(samples.flatMap(({ labels }) => labels["tenant"] ?? []))].sort();
  return { status: response.status, text, tenants, valueOf };
}

describe("who sees what", () => {
  beforeEach(async () => {
    for (const tenant of ["acme", "berry", "cherry"]) await world.token(tenant);
  });

  test("the operator, and a token for all tenants, all", async () => {
    const star = (await world.token("acme", { scopes: ["metrics"], tenants: ["*"] })).text;
    const all = ["acme", "berry", "cherry", "single-tenant"];
    expect((await scrape(ADMIN_TOKEN)).tenants).toEqual(all);
    expect((await scrape(star)).tenants).toEqual(all);
    expect((await scrape(ADMIN_TOKEN, "", { "x-scope-orgid": "berry" })).tenants).toEqual(["berry"]);
    expect((await scrape(star, "", { "x-scope-orgid": "berry|cherry" })).tenants).toEqual([
      "berry",
      "cherry",
    ]);
  });

  test("a tenant's token its own, and those that it lists", async () => {
    const own = (await world.token("acme", { scopes: ["metrics"] })).text;
    const two = (await world.token("berry", { scopes: ["metrics"], tenants: ["cherry"] })).text;
    expect((await scrape(own)).tenants).toEqual(["acme"]);
    expect((await scrape(two)).tenants).toEqual(["berry", "cherry"]);
    expect((await scrape(two, "", { "x-scope-orgid": "cherry" })).tenants).toEqual(["cherry"]);
    expect((await scrape(own, "", { "x-scope-orgid": "berry" })).status).toBe(403);
  });

  test("what a token lists and nobody made, or was deleted, is left out, and none of its objects asked", async () => {
    const more = (await world.token("acme", { scopes: ["metrics"], tenants: ["berry", "nobody"] })).text;
    expect((await scrape(more)).tenants).toEqual(["acme", "berry"]);
    await world.directory.remove("berry");
    world.asked.length = 0;
    expect((await scrape(more)).tenants).toEqual(["acme"]);
    expect(new Set(world.asked)).toEqual(new Set(["acme"]));
  });

  test("others nothing", async () => {
    const reader = (await world.token("acme", { scopes: ["read", "ingest", "admin"] })).text;
    expect((await scrape(reader)).status).toBe(403);
    expect((await scrape(undefined)).status).toBe(401);
  });

  test("an open installation anybody, all", async () => {
    const app = world.app({ mode: "open" });
    expect((await scrape(undefined, "", {}, app)).tenants).toEqual([
      "acme",
      "berry",
      "cherry",
      "single-tenant",
    ]);
    expect((await scrape(undefined, "", { "x-scope-orgid": "acme" }, app)).tenants).toEqual(["acme"]);
  });

  test("requests that were refused before a tenant was known: those who see all", async () => {
    const own = (await world.token("acme", { scopes: ["metrics"] })).text;
    await scrape(undefined);
    await world.later.pass(0);
    expect((await scrape(ADMIN_TOKEN)).valueOf("rubato_refused_requests_total")).toBe(1);
    expect((await scrape(own)).text).not.toContain("rubato_refused_requests_total");
    world.evict();
    expect((await scrape(ADMIN_TOKEN)).valueOf("rubato_refused_requests_total")).toBe(1);
  });
});

describe("bounds", () => {
  const names = Array.from({ length: MAX_TENANTS_A_SCRAPE + 50 }, (_, i) => `tenant-${i}`);

  test("an answer has so many tenants, and says how many it left out", async () => {
    for (const name of names) world.directory.names.add(name);
    const { tenants, valueOf } = await scrape(ADMIN_TOKEN);
    expect(tenants).toHaveLength(MAX_TENANTS_A_SCRAPE);
    expect(valueOf("rubato_metrics_left_out_tenants")).toBe(51);
    expect(valueOf("rubato_tenants")).toBe(names.length + 1);
  });

  test("pages have all, each once", async () => {
    for (const name of names) world.directory.names.add(name);
    const pages = await Promise.all([1, 2, 3].map((page) => scrape(ADMIN_TOKEN, `?page=${page}&pages=3`)));
    expect(pages.map(({ valueOf }) => valueOf("rubato_metrics_left_out_tenants"))).toEqual([0, 0, 0]);
    expect(pages.flatMap(({ tenants }) => tenants).sort()).toEqual([...names, "single-tenant"].sort());
  });

  test.each(["?page=0", "?page=2", "?page=x", "?pages=1001", "?page=3&pages=2"])("%s: 400", async (query) => {
    expect((await scrape(ADMIN_TOKEN, query)).status).toBe(400);
  });

  test("shards of one answer are bounded too", async () => {
    for (const name of names.slice(0, 10)) {
      world.directory.names.add(name);
      world.tenant(name).setShardCount(64);
    }
    const { tenants, valueOf } = await scrape(ADMIN_TOKEN);
    // Six of 64 shards, and the one of the tenant that is always there.
    expect(tenants).toHaveLength(7);
    expect(valueOf("rubato_metrics_left_out_tenants")).toBe(4);
  });

  test("a tenant of which a shard is out of reach is left out whole", async () => {
    for (const name of ["acme", "berry"]) world.directory.names.add(name);
    world.tenant("acme").setShardCount(2);
    world.countsFailure = "acme/1";
    const { tenants, valueOf } = await scrape(ADMIN_TOKEN);
    expect(tenants).toEqual(["berry", "single-tenant"]);
    expect(valueOf("rubato_metrics_failed_tenants")).toBe(1);
  });
});
