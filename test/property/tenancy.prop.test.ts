// Whatever a request brings: what it is answered holds nothing of a tenant that its token may not read.
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { formatToken, SCOPES, type Scope, type TokenRequest } from "../../src/model/token.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ObjectStore } from "../../src/store/object-store.ts";
import { ADMIN_TOKEN, AccessWorld, CHANGE } from "../support/access-world.ts";
import { oneShard } from "../support/fake-shard.ts";
import { pathOf, spansData } from "../support/query-app.ts";
import { ScanWorld } from "../support/scan-world.ts";
import { START_MS } from "../support/shard-world.ts";
import { tenantRpc } from "../support/tenant-rpc.ts";

const TENANTS = ["acme", "acme2", "a.b", "other_rbt_acme"] as const;
/** In what every span of a tenant says of itself, and in nothing else. */
const MARKS = ["kiwi", "mango", "papaya", "quince"] as const;
/** A trace that every tenant has spans of, and one that nobody has. */
const COMMON = "0af7651916cd43dd8448eb211c80319c";
const NOBODYS = "5555555555555555555555555555aaaa";
const traceOf = (i: number) => String(i + 1).repeat(32);
/** The number of spans of each tenant: no sum of some is another's. */
const sizeOf = (i: number) => 2 ** i + 1;

interface Made {
  readonly home: string;
  readonly text: string;
  readonly request: TokenRequest;
  /** It was revoked, or has expired. */
  readonly isDead: boolean;
}

const START_SECONDS = START_MS / 1000;
const RANGE = { start: START_SECONDS - 60, end: START_SECONDS + 60 };

async function tenantWorld(i: number): Promise<ScanWorld> {
  const world = new ScanWorld(i);
  world.tenant = TENANTS[i] ?? "";
  const mark = MARKS[i] ?? "";
  const spans = Array.from({ length: sizeOf(i) }, (_, n) => ({
    traceId: n === 0 ? COMMON : traceOf(i),
    spanId: `${i}${n}`.padStart(16, "0"),
    name: `name-${mark}`,
    status: { code: 2, message: `status-${mark}` } as const,
    attributes: { [`key.${mark}`]: `value-${mark}`, shared: `shared-${mark}` },
    resource: { "service.name": `service-${mark}` },
  }));
  // Half of it in a block, the rest in the buffer.
  await world.appendBatch(spansData(spans.slice(0, 1)));
  world.clock.ms += world.limits.flushAgeMs;
  await world.tick();
  await world.appendBatch(spansData(spans.slice(1)));
  return world;
}

function storeOf(worlds: readonly ScanWorld[]): ObjectStore {
  const store = new MemoryStore();
  store.getRange = (key, range, etag) => {
    const world = worlds.find(({ tenant }) => key.startsWith(`tenant=${tenant}/`));
    if (world === undefined) throw new Error(`whose is ${key}?`);
    return world.objects.getRange(key, range, etag);
  };
  return store;
}

const TOKENS: readonly (Pick<TokenRequest, "scopes" | "tenants"> &
  Partial<TokenRequest> & { dead?: "revoked" | "expired" })[] = [
  { scopes: ["read"], tenants: [] },
  { scopes: ["read", "ingest"], tenants: [TENANTS[1]] },
  { scopes: ["read"], tenants: [TENANTS[2], "nobody"] },
  { scopes: ["ingest"], tenants: ["*"] },
  { scopes: ["admin", "metrics"], tenants: [] },
  { scopes: ["read"], tenants: ["*"], dead: "revoked" },
  { scopes: ["read"], tenants: ["*"], dead: "expired" },
  { scopes: ["ingest"], tenants: [], origins: ["https://shop.example"] },
];

async function installation() {
  const access = new AccessWorld();
  access.nowMs = START_MS;
  const worlds = await Promise.all(TENANTS.map((_, i) => tenantWorld(i)));
  const made: Made[] = [];
  for (const home of TENANTS) {
    for (const { dead, ...given } of TOKENS) {
      const expiresMs = dead === "expired" ? START_MS + 1 : undefined;
      const request = { name: "test", origins: [], ...given, expiresMs };
      const { text, record } = await access.token(home, request);
      if (dead === "revoked") access.tenant(home).revokeToken(record.id, CHANGE);
      made.push({ home, text, request, isDead: dead !== undefined });
    }
  }
  access.nowMs += 1_000;
  const worldOf = (tenant: string): ScanWorld | undefined => worlds.find((world) => world.tenant === tenant);
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock: access.clock,
    objects: storeOf(worlds),
    authenticator: access.isolate().authenticator,
    shards: {
      ...oneShard({}),
      forReading: async (tenant) => {
        const world = worldOf(tenant);
        if (world === undefined) return [];
        const { name, shard } = world.scanned;
        return [{ name, shard: { ...shard, findTrace: async (...args) => world.shard.findTrace(...args) } }];
      },
      forScanning: async (tenant) => {
        const world = worldOf(tenant);
        return world === undefined ? [] : [world.scanned];
      },
    },
    admin: {
      tenantOf: (tenant) => tenantRpc(access.tenant(tenant)),
      shardOf: () => Promise.reject(new Error("unused")) as never,
      compactorOf: () => Promise.reject(new Error("unused")) as never,
      directory: () => access.directory,
      forget: () => {},
    },
  });
  return { app, made };
}

/** What the issue says, written anew: the tenants that the request may read, none when it is to be refused. */
function mayRead(
  token: Made | undefined,
  named: readonly string[] | undefined,
  scope: Scope,
): readonly string[] {
  if (token === undefined || token.isDead || !token.request.scopes.includes(scope)) return [];
  const own = [token.home, ...token.request.tenants];
  const asked = named ?? [token.home];
  if (asked.some((tenant) => !own.includes(tenant) && !own.includes("*"))) return [];
  return asked.every((tenant) => TENANTS.some((known) => known === tenant)) ? asked : [];
}

const tenantName = fc.constantFrom(
  ...TENANTS,
  "nobody",
  "Acme",
  "acme/../acme2",
  "..",
  "acme%7Cacme2",
  "x".repeat(151),
);
const orgIds = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.array(tenantName, { minLength: 1, maxLength: 3 }) },
);

const COUNT = pathOf("/api/metrics/query", { q: "{} | count_over_time()", ...RANGE });
const PATHS = [
  pathOf("/api/search", { q: "{}", limit: 100, ...RANGE }),
  pathOf("/api/search", { tags: "shared=shared-kiwi", ...RANGE }),
  pathOf("/api/search", { q: '{ resource.service.name =~ ".*" } | select(.shared)', ...RANGE }),
  pathOf("/api/search/tags", RANGE),
  pathOf("/api/v2/search/tags", RANGE),
  pathOf("/api/search/tag/service.name/values", RANGE),
  pathOf("/api/v2/search/tag/.shared/values", RANGE),
  pathOf("/api/v2/search/tag/name/values", RANGE),
  pathOf("/api/metrics/query_range", { q: "{} | rate() by (.shared)", ...RANGE, step: "10s" }),
  COUNT,
  "/api/admin/tenants/acme",
  "/api/admin/tenants/nobody",
  "/status",
];
const path = fc.oneof(
  fc.constantFrom(...PATHS),
  fc
    .tuple(
      fc.constantFrom("/api/traces/", "/api/v2/traces/"),
      fc.constantFrom(COMMON, NOBODYS, ...TENANTS.map((_, i) => traceOf(i))),
    )
    .map(([prefix, id]) => prefix + id),
);
const accept = fc.constantFrom("application/json", "application/protobuf", "application/vnd.grafana.llm");

let world: Awaited<ReturnType<typeof installation>>;

beforeAll(async () => {
  vi.spyOn(console, "log").mockReturnValue();
  world = await installation();
});

beforeEach(() => {
  vi.spyOn(console, "warn").mockReturnValue();
  vi.spyOn(console, "log").mockReturnValue();
});

type Sent = { readonly path: string; readonly headers: Readonly<Record<string, string>> };

async function ask({ path: asked, headers }: Sent) {
  const response = await world.app.request(`http://rubato.test${asked}`, { headers });
  const body = Buffer.from(await response.arrayBuffer()).toString("latin1");
  const told = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return { status: response.status, body, told };
}

describe("tenants", () => {
  test("no answer holds what is another's: names, values, ids, counts; a trace of another's is as one of nobody", async () => {
    let whole = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.record({ token: fc.nat(4 * TOKENS.length + 3), orgs: orgIds, path, accept, how: fc.nat(2) }),
        async ({ token: index, orgs, path: asked, accept: form, how }) => {
          const token = world.made[index];
          const text = token?.text ?? formatToken(TENANTS[index % 4] ?? "", new Uint8Array(20));
          const headers = {
            accept: form,
            ...[
              { authorization: `Bearer ${text}` },
              { authorization: `Basic ${btoa(`grafana:${text}`)}` },
              { "x-api-key": text },
            ][how],
            ...(orgs !== undefined && { "x-scope-orgid": orgs.join("|") }),
          };
          const scope = asked.startsWith("/api/admin/") ? "admin" : "read";
          const allowed = new Set(mayRead(token, orgs, scope));
          const { status, body, told } = await ask({ path: asked, headers });
          for (const [i, tenant] of TENANTS.entries()) {
            if (allowed.has(tenant)) continue;
            expect(body + told).not.toContain(MARKS[i]);
            if (!asked.includes(traceOf(i))) expect(body).not.toContain(traceOf(i));
          }
          if (allowed.size === 0) {
            refused++;
            expect([400, 401, 403, 404]).toContain(status);
          }
          const [id] = /[1-4]{32}/.exec(asked) ?? [];
          const owner = TENANTS.find((_, i) => traceOf(i) === id);
          if (id !== undefined && !allowed.has(owner ?? "")) {
            const none = await ask({ path: asked.replace(id, NOBODYS), headers });
            expect({ status, body, told }).toEqual(none);
          }
          if (allowed.size > 0 && status === 200) whole++;
          if (allowed.size > 0 && asked === COUNT) {
            const sum = TENANTS.reduce(
              (total, tenant, i) => total + (allowed.has(tenant) ? sizeOf(i) : 0),
              0,
            );
            expect(JSON.parse(body)).toMatchObject({ series: [{ value: sum }] });
          }
          if (allowed.size > 0 && asked === PATHS[0] && form === "application/json") {
            for (const [i, tenant] of TENANTS.entries()) {
              if (allowed.has(tenant)) expect(body).toContain(traceOf(i));
            }
          }
        },
      ),
      { numRuns: 1_500 },
    );
    // It is no proof when nobody is let in, or nobody kept out.
    expect(whole).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(100);
  });

  test("the operator reads whom he names, and nobody else", async () => {
    for (const [i, tenant] of TENANTS.entries()) {
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "x-scope-orgid": tenant };
      const { status, body } = await ask({ path: pathOf("/api/v2/search/tag/name/values", RANGE), headers });
      expect(status).toBe(200);
      for (const [j, mark] of MARKS.entries()) expect(body.includes(mark)).toBe(i === j);
    }
  });

  test("scopes are those of the model", () => {
    expect(new Set(world.made.flatMap(({ request }) => request.scopes))).toEqual(new Set(SCOPES));
  });
});
