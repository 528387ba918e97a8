// The admin API: who may use it, what it answers, what it says when something is wrong.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Authenticator } from "../../../src/access/authenticator.ts";
import { createApp } from "../../../src/http/app.ts";
import type { AdminPorts } from "../../../src/http/deps.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { RebuildProgress } from "../../../src/store/compactor-rpc.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { ShardStats } from "../../../src/store/rpc.ts";
import type { TenantRpc } from "../../../src/store/tenant-rpc.ts";
import { MemoryTenantStorage } from "../../../src/tenant/memory-storage.ts";
import { FIRST_VERSIONS } from "../../../src/tenant/shard-map.ts";
import { Tenant } from "../../../src/tenant/tenant.ts";
import { NOW_MS, oneShard } from "../../support/fake-shard.ts";
import { FakeDirectory, tenantRpc } from "../../support/tenant-rpc.ts";

const TOKEN = "s3cret-admin-token";
const STATS: ShardStats = {
  liveSpans: 1,
  liveBytes: 2,
  epochs: 3,
  blocks: 4,
  rowsWritten: 5,
  rowsRead: 6,
  appends: 7,
  failedReads: 8,
};
const PROGRESS: RebuildProgress = { dateMs: 0, adopted: 3, damaged: 1, done: false };

const NO_TOKENS = {
  forReading: async () => ({ state: "active", versions: FIRST_VERSIONS, shardCount: 1 }) as const,
  youngerThan: async () => ({ state: "active", versions: FIRST_VERSIONS, shardCount: 1 }) as const,
};

function setUp(ports: Partial<AdminPorts> = {}, token: string | undefined = TOKEN) {
  const tenants = new Map<string, Tenant>();
  const rebuilt: string[] = [];
  /** By shard, the retention that it was told. */
  const configured = new Map<string, number | undefined>();
  const failing = new Set<string>();
  const clock = { ms: NOW_MS, now: () => clock.ms };
  const tenantOf = (name: string): TenantRpc => {
    const tenant =
      tenants.get(name) ??
      new Tenant(name, DEFAULT_LIMITS, {
        storage: new MemoryTenantStorage(),
        objects: new MemoryStore(),
        clock,
        shardOf: () => ({ configure: async () => {}, destroy: async () => ({ done: true }) }),
        removeName: async () => {},
        endCompaction: async () => {},
      });
    tenants.set(name, tenant);
    return tenantRpc(tenant);
  };
  const check = (name: string): void => {
    if (failing.has(name)) throw new Error("out of reach");
  };
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock,
    objects: new MemoryStore(),
    shards: oneShard({}),
    authenticator: new Authenticator(
      { mode: "open", isMultitenant: false, adminToken: token || undefined },
      { views: NO_TOKENS, names: { has: async () => true }, clock },
    ),
    admin: {
      tenantOf,
      access: { mode: "open", isMultitenant: false },
      directory: () => new FakeDirectory(),
      forget: () => {},
      shardOf: (tenant, index) => ({
        stats: async () => {
          check(`${tenant}/${index}`);
          return STATS;
        },
        configure: async ({ retentionMs }) => {
          check(`${tenant}/${index}`);
          configured.set(`${tenant}/${index}`, retentionMs);
        },
      }),
      compactorOf: (tenant, index) => ({
        rebuild: async () => {
          check(`${tenant}/${index}`);
          rebuilt.push(`${tenant}/${index}`);
        },
        rebuildProgress: async () => (index === 0 ? undefined : PROGRESS),
      }),
      ...ports,
    },
  });
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    authorization: string | undefined = `Bearer ${TOKEN}`,
  ) => {
    const response = await app.request(`/api/admin${path}`, {
      method,
      headers: authorization === undefined ? {} : { authorization },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after"),
      challenge: response.headers.get("www-authenticate"),
      body: await response.json<Record<string, unknown>>(),
    };
  };
  return { app, call, clock, tenants, rebuilt, configured, failing };
}

beforeEach(() => void vi.spyOn(console, "log").mockReturnValue());

describe("admin API: the token", () => {
  test.each([
    ["none", ""],
    ["another one", "Bearer wrong"],
    ["a part of it", `Bearer ${TOKEN.slice(0, -1)}`],
    ["it and more", `Bearer ${TOKEN}x`],
    ["another scheme", `Digest ${TOKEN}`],
    ["as user, not as password", `Basic ${btoa(`${TOKEN}:`)}`],
    ["two", `Bearer ${TOKEN} ${TOKEN}`],
    ["empty", "Bearer "],
  ])("%s: 401, on every route and method, also those that do not exist", async (_, authorization) => {
    const { call, tenants } = setUp();
    for (const [method, path] of [
      ["GET", "/tenants/acme"],
      ["PUT", "/tenants/acme/shards"],
      ["DELETE", "/tenants/acme"],
      ["POST", "/tenants/acme/rebuild-catalogue"],
      ["GET", "/nothing"],
    ] as const) {
      const { status, challenge, body } = await call(method, path, undefined, authorization);
      expect([status, challenge, body["error"]]).toEqual([
        401,
        "Bearer",
        { kind: "unauthenticated", message: expect.stringMatching(/token/) },
      ]);
    }
    expect(tenants.size).toBe(0);
  });

  test("without a secret the API is closed and says how to open it", async () => {
    const { call } = setUp({}, "");
    expect(await call("GET", "/tenants/acme")).toMatchObject({
      status: 503,
      body: { error: { message: expect.stringContaining("npx wrangler secret put ADMIN_TOKEN") } },
    });
  });

  test("the other routes do not ask for it", async () => {
    const { app } = setUp({}, "");
    expect((await app.request("/ready")).status).toBe(200);
  });
});

describe("admin API: a tenant", () => {
  test("one nobody set anything for", async () => {
    expect(await setUp().call("GET", "/tenants/acme")).toMatchObject({
      status: 200,
      body: {
        tenant: "acme",
        state: "active",
        shards: 1,
        shardMap: [{ from: "1970-01-01T00:00:00.000Z", shards: 1 }],
        retentionHours: 336,
        retentionIsDefault: true,
        stats: [{ shard: 0, ...STATS }],
      },
    });
  });

  test("more shards: the map says from when; stats of each, and of one that is out of reach that", async () => {
    const { call, clock, failing } = setUp();
    expect(await call("PUT", "/tenants/acme/shards", { count: 4 })).toMatchObject({
      status: 200,
      body: { shards: 1, shardMap: [{ shards: 1 }, { from: "2026-11-23T00:01:30.000Z", shards: 4 }] },
    });
    clock.ms += 90_000;
    failing.add("acme/2");
    const { body } = await call("GET", "/tenants/acme");
    expect(body["shards"]).toBe(4);
    expect(body["stats"]).toEqual([
      { shard: 0, ...STATS },
      { shard: 1, ...STATS, rebuild: PROGRESS },
      { shard: 2, error: "shard is not reachable" },
      { shard: 3, ...STATS, rebuild: PROGRESS },
    ]);
  });

  test("a change while another is under way: 429 with the time that is left", async () => {
    const { call } = setUp();
    await call("PUT", "/tenants/acme/shards", { count: 2 });
    expect(await call("PUT", "/tenants/acme/shards", { count: 4 })).toMatchObject({
      status: 429,
      retryAfter: "90",
      body: { error: { kind: "rate_limited" } },
    });
  });

  test("retention in hours, and back to the default", async () => {
    const { call } = setUp();
    expect(await call("PUT", "/tenants/acme/retention", { hours: 1.5 })).toMatchObject({
      status: 200,
      body: { retentionHours: 1.5, retentionIsDefault: false },
    });
    expect(await call("PUT", "/tenants/acme/retention", { hours: null })).toMatchObject({
      body: { retentionHours: 336, retentionIsDefault: true },
    });
  });

  test.each([
    ["shards", { count: 3 }, /power of 2 from 1 to 64, not 3/],
    ["shards", { count: "2" }, /^count must be a number$/],
    ["shards", {}, /^count must be a number$/],
    ["shards", [2], /^the body is no JSON object$/],
    ["shards", "{count: 2}", /^the body is no JSON: /],
    ["shards", "", /^the body is no JSON: /],
    ["retention", { hours: 0.5 }, /at least an hour/],
    ["retention", { hours: -1 }, /at least/],
    ["retention", { hours: 87_841 }, /at most 3660 days/],
    ["retention", { hour: 1 }, /^hours must be a number$/],
  ])("PUT %s %j: 400 that says what is wrong", async (what, body, message) => {
    expect(await setUp().call("PUT", `/tenants/acme/${what}`, body)).toMatchObject({
      status: 400,
      body: { error: { kind: "invalid_argument", message: expect.stringMatching(message) } },
    });
  });

  test("rebuild-catalogue begins at every shard, and says where it could not", async () => {
    const { call, clock, rebuilt, configured, failing } = setUp();
    await call("PUT", "/tenants/acme/shards", { count: 2 });
    await call("PUT", "/tenants/acme/retention", { hours: 50 });
    clock.ms += 90_000;
    expect(await call("POST", "/tenants/acme/rebuild-catalogue")).toMatchObject({
      status: 202,
      body: { tenant: "acme", shards: 2 },
    });
    expect(rebuilt).toEqual(["acme/0", "acme/1"]);
    expect([...configured]).toEqual(rebuilt.map((shard) => [shard, 50 * 3_600_000]));
    failing.add("acme/1");
    expect(await call("POST", "/tenants/acme/rebuild-catalogue")).toMatchObject({
      status: 503,
      body: { error: { message: "could not begin at shard 1; the others have begun, begin again" } },
    });
  });

  test("deletion: 202, again too; nothing can be changed meanwhile and no shard is woken", async () => {
    const { call, rebuilt } = setUp();
    for (let i = 0; i < 2; i++) {
      expect(await call("DELETE", "/tenants/acme")).toMatchObject({
        status: 202,
        body: { state: "deleting" },
      });
    }
    expect(await call("GET", "/tenants/acme")).toMatchObject({ body: { state: "deleting", stats: [] } });
    for (const [method, path, body] of [
      ["PUT", "shards", { count: 2 }],
      ["PUT", "retention", { hours: 2 }],
      ["POST", "rebuild-catalogue", undefined],
    ] as const) {
      expect(await call(method, `/tenants/acme/${path}`, body)).toMatchObject({ status: 404 });
    }
    expect(rebuilt).toEqual([]);
  });
});

describe("admin API: names and paths", () => {
  test.each([
    ["a%2Fb", "unsupported character '/'"],
    ["a%20b", "unsupported character ' '"],
    ["%C3%A9", "unsupported character"],
    ["a%7Cb", "unsupported character '|'"],
    ["x".repeat(151), "max 150 characters"],
    ["%2E%2E%2Fx", "unsupported character '/'"],
  ])("tenant %s: 400", async (name, message) => {
    const { call, tenants } = setUp();
    expect(await call("GET", `/tenants/${name}`)).toMatchObject({
      status: 400,
      body: { error: { kind: "invalid_argument", message: expect.stringContaining(message) } },
    });
    expect(tenants.size).toBe(0);
  });

  test("a name of all the characters that are allowed, and of 150", async () => {
    const { call } = setUp();
    for (const name of ["aZ09!-_.*'()", "x".repeat(150)]) {
      expect(await call("GET", `/tenants/${encodeURIComponent(name)}`)).toMatchObject({
        body: { tenant: name },
      });
    }
  });

  test.each([
    ["GET", "/"],
    ["GET", "/tenant"],
    ["PUT", "/tenants"],
    ["POST", "/tenants/acme"],
    ["PUT", "/tenants/acme/limits"],
  ])("%s %s does not exist: 404 as JSON", async (method, path) => {
    expect(await setUp().call(method, path)).toMatchObject({
      status: 404,
      body: { error: { kind: "not_found", message: `there is no ${method} /api/admin${path}` } },
    });
  });

  test("an object out of reach is 503, not a bug", async () => {
    const { call } = setUp({
      tenantOf: () => ({ view: () => Promise.reject(new Error("secret")) }) as unknown as TenantRpc,
    });
    expect(await call("GET", "/tenants/acme")).toMatchObject({
      status: 503,
      body: { error: { message: "the tenant's object is not reachable" } },
    });
  });
});
