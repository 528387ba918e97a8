// Who gets through to the routes, and how each part of the HTTP surface says no.
import { fromBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../../src/http/app.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import { AccessWorld, ADMIN_TOKEN } from "../../support/access-world.ts";
import { STATS } from "../../support/admin-world.ts";
import { oneShard } from "../../support/fake-shard.ts";
import { tenantRpc } from "../../support/tenant-rpc.ts";

beforeEach(() => {
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "warn").mockReturnValue();
});

/** An app whose shards remember which tenants were written to and read. */
function setUp(settings: Parameters<AccessWorld["isolate"]>[0] = {}) {
  const world = new AccessWorld();
  const { authenticator } = world.isolate(settings);
  const reached: string[] = [];
  const shards = oneShard({});
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock: world.clock,
    objects: new MemoryStore(),
    authenticator,
    shards: {
      forWriting: (tenant) => {
        reached.push(`write ${tenant}`);
        return shards.forWriting(tenant);
      },
      forReading: (tenant, hash) => {
        reached.push(`read ${tenant}`);
        return shards.forReading(tenant, hash);
      },
      forScanning: (tenant) => {
        reached.push(`scan ${tenant}`);
        return shards.forScanning(tenant);
      },
      limitsOf: (tenant) => shards.limitsOf(tenant),
    },
    admin: {
      tenantOf: (tenant) => tenantRpc(world.tenant(tenant)),
      shardOf: () => ({ stats: async () => STATS, configure: async () => {} }),
      compactorOf: () => ({ rebuild: async () => {}, rebuildProgress: async () => undefined }),
      directory: () => world.directory,
      access: { mode: "tokens", isMultitenant: true, ...settings },
      forget: () => {},
    },
  });
  return { world, app, reached };
}

const TRACE = "/api/traces/0af7651916cd43dd8448eb211c80319c";
const GRPC = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const ALL_ROUTES: readonly [string, string][] = [
  ["POST", "/v1/traces"],
  ["GET", "/v1/traces"],
  ["POST", "/api/v1/spans"],
  ["POST", "/api/v2/spans"],
  ["POST", "/api/traces"],
  ["GET", TRACE],
  ["GET", TRACE.replace("/api/", "/api/v2/")],
  ["POST", "/api/v2/traces/diff"],
  ["GET", "/api/search"],
  ["GET", "/api/search/tags"],
  ["GET", "/api/v2/search/tags"],
  ["GET", "/api/search/tag/x/values"],
  ["GET", "/api/v2/search/tag/.x/values"],
  ["GET", "/api/metrics/query"],
  ["GET", "/api/metrics/query_range"],
  ["GET", "/api/echo"],
  ["GET", "/api/status/buildinfo"],
  ["GET", "/status"],
  ["GET", "/api/admin/tenants/acme"],
  ["DELETE", "/api/admin/tenants/acme"],
  ["GET", "/"],
  ["GET", "/nothing"],
  ["GET", "/api/admin"],
  ["GET", "//api/search"],
  ["POST", "//v1//traces"],
  ["DELETE", "//api/admin/tenants/acme"],
  ["DELETE", "/api///admin/tenants/acme"],
  ["GET", "/ready/"],
  ["GET", "/READY"],
];

describe("closed", () => {
  test.each(ALL_ROUTES)(
    "%s %s: without a token 401, with a wrong one 401, nothing is reached",
    async (method, path) => {
      const { app, reached, world } = setUp();
      for (const headers of [{}, { authorization: `Bearer rbt_acme_${"0".repeat(40)}` }]) {
        const response = await app.request(path, { method, headers });
        expect([response.status, response.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
        expect(await response.text()).not.toContain("acme");
      }
      expect([reached, world.asked]).toEqual([[], []]);
    },
  );

  test.each(ALL_ROUTES)("%s %s: without an admin secret 503 that says what to do", async (method, path) => {
    const { app } = setUp({ adminToken: undefined });
    const response = await app.request(path, { method });
    expect(response.status).toBe(503);
    expect(await response.text()).toContain("npx wrangler secret put ADMIN_TOKEN");
  });

  test("so is every route that the app has, by any method", async () => {
    const { app } = setUp();
    const paths = new Set(app.routes.map(({ path }) => path.replaceAll(/:\w+|\*/g, "x")));
    expect(paths.size).toBeGreaterThan(20);
    for (const path of paths) {
      if (path === "/ready" || path === GRPC) continue;
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"]) {
        expect([path, (await app.request(path, { method })).status]).toEqual([path, 401]);
      }
    }
  });

  test("every answer has the security headers: refusals, preflights, what is not there, errors", async () => {
    const { app, world } = setUp();
    const { text } = await world.token("acme", { scopes: ["read"] });
    const authorization = `Bearer ${text}`;
    for (const [method, path, headers] of [
      ["GET", "/ready", {}],
      ["GET", "/api/search", {}],
      ["GET", "/api/search", { authorization }],
      ["GET", "/api/search?limit=-1", { authorization }],
      ["GET", TRACE, { authorization }],
      ["GET", "/nothing", { authorization }],
      ["POST", "/v1/traces", {}],
      ["OPTIONS", "/v1/traces", { origin: "https://a.example", "access-control-request-method": "POST" }],
      ["POST", GRPC, {}],
      ["GET", "/api/admin/nothing", {}],
    ] as const) {
      const { headers: told } = await app.request(path, { method, headers });
      expect(Object.fromEntries(told)).toMatchObject({
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "strict-transport-security": "max-age=31536000",
      });
    }
  });

  test("health is public in every mode", async () => {
    for (const settings of [{}, { adminToken: undefined }]) {
      const { app } = setUp(settings);
      expect((await app.request("/ready")).status).toBe(200);
    }
  });

  test("a preflight needs no token, what follows does, and a page can read the refusal", async () => {
    const { app } = setUp();
    const origin = "https://shop.example";
    const preflight = await app.request("/v1/traces", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    const refused = await app.request("/v1/traces", { method: "POST", headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, "*"]);
  });
});

test("slashes more do not lead around a scope", async () => {
  const { app, world, reached } = setUp();
  const { text } = await world.token("acme", { scopes: ["read"] });
  const headers = { authorization: `Bearer ${text}` };
  for (const [method, path] of [
    ["DELETE", "//api/admin/tenants/acme"],
    ["DELETE", "/api//admin/tenants/acme"],
    ["POST", "/v1//traces"],
  ] as const) {
    expect([path, (await app.request(path, { method, headers })).status]).toEqual([path, 403]);
  }
  expect(reached).toEqual([]);
  expect((await app.request("//api//search", { headers })).status).toBe(200);
});

describe("how it says no", () => {
  test("OTLP in its encoding", async () => {
    const { app, world } = setUp();
    const { text } = await world.token("acme", { scopes: ["read"] });
    const post = (type: string) =>
      app.request("/v1/traces", {
        method: "POST",
        headers: { authorization: `Bearer ${text}`, "content-type": type },
        body: "{}",
      });
    const json = await post("application/json");
    expect([json.status, await json.json()]).toEqual([
      403,
      { code: 7, message: "this token lacks the scope ingest; it has read" },
    ]);
    const binary = await post("application/x-protobuf");
    const status = fromBinary(StatusSchema, new Uint8Array(await binary.arrayBuffer()));
    expect([binary.status, status.code]).toEqual([403, 7]);
  });

  test("gRPC-Web in its trailers, HTTP's status stays 200", async () => {
    const { app } = setUp();
    const response = await app.request(GRPC, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: new Uint8Array(5),
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("grpc-status:16");
  });

  test("the admin API in JSON, queries in a line", async () => {
    const { app } = setUp();
    const admin = await app.request("/api/admin/tenants/acme");
    expect(await admin.json()).toMatchObject({ error: { kind: "unauthenticated" } });
    expect(await (await app.request("/api/search")).text()).toMatch(/^a token is needed: .*\n$/);
  });
});

describe("for whom", () => {
  const SPANS = JSON.stringify({
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              {
                traceId: "0af7651916cd43dd8448eb211c80319c",
                spanId: "b7ad6b7169203331",
                name: "x",
                startTimeUnixNano: "1",
                endTimeUnixNano: "2",
              },
            ],
          },
        ],
      },
    ],
  });

  test("spans go to the token's tenant, or to the one the header names", async () => {
    const { app, world, reached } = setUp();
    const { text } = await world.token("acme", { tenants: ["other"] });
    await world.token("other");
    const send = async (headers: Record<string, string>) => {
      const all = { authorization: `Bearer ${text}`, "content-type": "application/json", ...headers };
      return (await app.request("/v1/traces", { method: "POST", headers: all, body: SPANS })).status;
    };
    expect(await send({})).toBe(200);
    expect(await send({ "x-scope-orgid": "other" })).toBe(200);
    expect(await send({ "x-scope-orgid": "acme|other" })).toBe(400);
    expect(await send({ "x-scope-orgid": "third" })).toBe(403);
    expect(reached).toEqual(["write acme", "write other"]);
  });

  test("queries are over all tenants that the header names", async () => {
    const { app, world, reached } = setUp();
    const { text } = await world.token("acme", { tenants: ["b"], scopes: ["read"] });
    await world.token("b");
    const headers = { authorization: `Bearer ${text}`, "x-scope-orgid": "b|acme" };
    for (const path of [TRACE, "/api/search?q={}", "/api/v2/search/tags", "/api/metrics/query?q={}|rate()"]) {
      await app.request(path, { headers });
    }
    const scanned = ["scan acme", "scan b"];
    expect(reached).toEqual(["read acme", "read b", ...scanned, ...scanned, ...scanned]);
  });

  test("the operator must say for whom he reads", async () => {
    const { app } = setUp();
    const response = await app.request("/api/search", {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect([response.status, await response.text()]).toEqual([401, "no org id\n"]);
  });

  test("a token with the scope admin does not change what is the operator's", async () => {
    const { app, world } = setUp();
    const { text } = await world.token("acme", { scopes: ["admin"] });
    const headers = { authorization: `Bearer ${text}` };
    const response = await app.request("/api/admin/tenants/acme", { method: "DELETE", headers });
    expect(response.status).toBe(403);
    expect(world.tenant("acme").view().state).toBe("active");
  });
});
