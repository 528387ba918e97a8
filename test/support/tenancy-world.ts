// An installation of several tenants with spans and tokens, random requests to it, and what they may be answered.
import fc from "fast-check";
import { expect } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { InsightReporter } from "../../src/insight/reporter.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { formatToken, type Scope, SCOPES, type TokenRequest } from "../../src/model/token.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { InsightRpc } from "../../src/store/insight-rpc.ts";
import type { ObjectStore } from "../../src/store/object-store.ts";
import { UsageLedger } from "../../src/usage/ledger.ts";
import { AccessWorld, CHANGE } from "./access-world.ts";
import { STATS } from "./admin-world.ts";
import { oneShard } from "./fake-shard.ts";
import { pathOf, spansData } from "./query-app.ts";
import { ScanWorld } from "./scan-world.ts";
import { START_MS } from "./shard-world.ts";
import { memoryBook, tenantRpc } from "./tenant-rpc.ts";

export const TENANTS = ["acme", "acme2", "a.b", "other_rbt_acme"] as const;
/** In what every span of a tenant says of itself, and in nothing else. */
export const MARKS = ["kiwi", "mango", "papaya", "quince"] as const;
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
export const RANGE = { start: START_SECONDS - 60, end: START_SECONDS + 60 };

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
  { scopes: ["read", "admin", "metrics"], tenants: [TENANTS[3], "nobody"] },
  { scopes: ["metrics"], tenants: ["*"] },
  { scopes: ["read"], tenants: ["*"], dead: "revoked" },
  { scopes: ["read"], tenants: ["*"], dead: "expired" },
  { scopes: ["ingest"], tenants: [], origins: ["https://shop.example"] },
];

export interface Installation {
  readonly app: ReturnType<typeof createApp>;
  readonly made: readonly Made[];
}

const markOf = (tenant: string): string => MARKS[TENANTS.findIndex((known) => known === tenant)] ?? "";

/** What was noted and set of each tenant bears its mark, too. */
async function markTenant(access: AccessWorld, ledger: UsageLedger, tenant: string): Promise<InsightRpc> {
  const mark = markOf(tenant);
  ledger.meter(tenant).add("serviceSpans", 1, `service-${mark}`);
  access
    .tenant(tenant)
    .setOverrides(JSON.stringify({ forwarders: [`forwarder-${mark}`] }), { actor: "test", ifVersion: 0 });
  const book = memoryBook();
  const batch = { protocol: "otlp/http json", spans: 1, bodyBytes: 1, userAgent: `agent-${mark}` };
  await book.note({ refused: [], accepted: [{ ...batch, atMs: START_MS }], batches: undefined });
  return book;
}

/** What looks into the objects: usage, the doctor, `/metrics`. */
async function insidePorts(access: AccessWorld, worldOf: (tenant: string) => ScanWorld | undefined) {
  const ledger = new UsageLedger(access.clock, "test");
  const books = new Map<string, InsightRpc>();
  for (const tenant of TENANTS) books.set(tenant, await markTenant(access, ledger, tenant));
  const rpcOf = (tenant: string) => tenantRpc(access.tenant(tenant), books.get(tenant));
  const shardOf = (tenant: string) => {
    const world = worldOf(tenant);
    if (world === undefined) throw new Error(`a shard of ${tenant} was asked`);
    return world.shard;
  };
  const insight = new InsightReporter({
    send: async (tenant, note) => {
      await (tenant === undefined ? access.directory : books.get(tenant))?.note(note);
    },
    clock: access.clock,
    keepAlive: () => undefined,
    sleep: () => new Promise(() => {}),
  });
  return {
    ledger,
    insight,
    usage: {
      viewOf: (tenant: string) => rpcOf(tenant).view(),
      shardOf: (tenant: string) => ({
        usage: async (...args: Parameters<ScanWorld["shard"]["usage"]>) => shardOf(tenant).usage(...args),
      }),
      tenantNames: () => access.directory.list(),
    },
    inspect: {
      views: access.isolate().views,
      tenantOf: rpcOf,
      shardOf: (tenant: string) => ({
        counts: async () => shardOf(tenant).insight.counts(access.nowMs),
        probe: (mark: string) => shardOf(tenant).insight.probe(mark),
        probed: async () => shardOf(tenant).insight.probed(),
      }),
      directory: () => access.directory,
    },
  };
}

export async function installation(): Promise<Installation> {
  const access = new AccessWorld();
  access.nowMs = START_MS;
  const worlds = await Promise.all(TENANTS.map((_, i) => tenantWorld(i)));
  const made: Made[] = [];
  for (const home of TENANTS) {
    for (const { dead, ...given } of TOKENS) {
      const expiresMs = dead === "expired" ? START_MS + 1 : undefined;
      const request = { name: `token-${markOf(home)}`, origins: [], ...given, expiresMs };
      const { text, record } = await access.token(home, request);
      if (dead === "revoked") access.tenant(home).revokeToken(record.id, CHANGE);
      made.push({ home, text, request, isDead: dead !== undefined });
    }
  }
  access.nowMs += 1_000;
  const worldOf = (tenant: string): ScanWorld | undefined => worlds.find((world) => world.tenant === tenant);
  const app = createApp({
    ...(await insidePorts(access, worldOf)),
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
      shardOf: () => ({ stats: async () => STATS, configure: async () => {} }),
      compactorOf: () => ({ rebuild: async () => {}, rebuildProgress: async () => undefined }),
      directory: () => access.directory,
      access: { mode: "tokens", isMultitenant: true },
      forget: () => {},
    },
  });
  return { app, made };
}

/** What the issue says, written anew: the tenants that the request may read, none when it is to be refused. */
function mayRead(
  token: Made | undefined,
  named: readonly string[] | undefined,
  scopes: readonly Scope[],
): readonly string[] {
  if (token === undefined || token.isDead) return [];
  if (!scopes.some((scope) => token.request.scopes.includes(scope))) return [];
  const own = new Set([token.home, ...token.request.tenants]);
  const asked = named ?? [token.home];
  if (asked.some((tenant) => !own.has(tenant) && !own.has("*"))) return [];
  return asked.every((tenant) => TENANTS.some((known) => known === tenant)) ? asked : [];
}

const READ: readonly Scope[] = ["read"];
/** By the beginning of a path the scopes of which a token needs one. */
const SCOPES_OF: readonly (readonly [string, readonly Scope[]])[] = [
  ["/api/admin/", ["admin"]],
  ["/api/doctor", ["admin"]],
  ["/api/usage", ["read", "admin"]],
  ["/metrics", ["metrics"]],
  ["/api/openapi.json", SCOPES],
];

/** Whose the answer may be, by the path, what it names of tenants, and the header. */
function allowedOf(token: Made | undefined, { orgs, path: asked }: Request): readonly string[] {
  const [, scopes = READ] = SCOPES_OF.find(([prefix]) => asked.startsWith(prefix)) ?? [];
  const allowed = mayRead(token, orgs, scopes);
  const [, named] = /[?&]tenant=([^&]*)/.exec(asked) ?? [];
  if (allowed.length > 0 && named !== undefined) return mayRead(token, [named], scopes);
  // Whoever scrapes without naming a tenant gets all of the token's.
  if (allowed.length === 0 || !asked.startsWith("/metrics") || orgs !== undefined) return allowed;
  return TENANTS.filter((tenant) => mayRead(token, [tenant], scopes).length > 0);
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
  "/api/usage",
  ...[...TENANTS, "nobody", "all"].map((tenant) => `/api/usage?tenant=${tenant}`),
  "/api/doctor",
  ...[TENANTS[1], "nobody"].map((tenant) => `/api/doctor?tenant=${tenant}`),
  "/metrics",
  "/metrics?page=1&pages=1",
  "/api/overrides",
  "/api/openapi.json",
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

export const anyRequest: fc.Arbitrary<Request> = fc.record({
  token: fc.nat(4 * TOKENS.length + 3),
  orgs: orgIds,
  path,
  accept,
  how: fc.nat(2),
});

export type Sent = { readonly path: string; readonly headers: Readonly<Record<string, string>> };

export async function ask({ app }: Installation, { path: asked, headers }: Sent) {
  const response = await app.request(`http://rubato.test${asked}`, { headers });
  const body = Buffer.from(await response.arrayBuffer()).toString("latin1");
  const told = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return { status: response.status, body, told };
}

export interface Request {
  readonly token: number;
  readonly orgs: readonly string[] | undefined;
  readonly path: string;
  readonly accept: string;
  /** Which of the ways to send a token. */
  readonly how: number;
}

function sentOf(
  made: readonly Made[],
  { token: index, orgs, path: asked, accept: form, how }: Request,
): Sent {
  const guess = formatToken(TENANTS[index % 4] ?? "", new Uint8Array(20));
  const text = made[index]?.text ?? guess;
  const credentials = [
    { authorization: `Bearer ${text}` },
    { authorization: `Basic ${btoa(`grafana:${text}`)}` },
    { "x-api-key": text },
  ][how];
  const named = orgs === undefined ? {} : { "x-scope-orgid": orgs.join("|") };
  return { path: asked, headers: { accept: form, ...credentials, ...named } };
}

/** Asks, and says whether it was answered with what the caller may read, or refused. */
export async function check(world: Installation, request: Request): Promise<"whole" | "refused" | "other"> {
  const { path: asked, accept: form } = request;
  const allowed = new Set(allowedOf(world.made[request.token], request));
  const sent = sentOf(world.made, request);
  const answer = await ask(world, sent);
  const { status, body, told } = answer;
  for (const [i, tenant] of TENANTS.entries()) {
    if (allowed.has(tenant)) continue;
    expect(body + told).not.toContain(MARKS[i]);
    if (!asked.includes(traceOf(i))) expect(body).not.toContain(traceOf(i));
    // A refusal says which tenant the request named; `acme` stands for one in the description of the API.
    if (status === 200 && asked !== "/api/openapi.json") expect(body).not.toContain(`"${tenant}"`);
  }
  const [id] = /[1-4]{32}/.exec(asked) ?? [];
  const owner = TENANTS.find((_, i) => traceOf(i) === id);
  if (id !== undefined && !allowed.has(owner ?? "")) {
    expect(answer).toEqual(await ask(world, { ...sent, path: asked.replace(id, NOBODYS) }));
  }
  if (allowed.size === 0) {
    expect([400, 401, 403, 404]).toContain(status);
    return "refused";
  }
  expectWhole(asked, form, { allowed, body });
  return status === 200 ? "whole" : "other";
}

/** All of what may be read is in the answer. */
function expectWhole(
  asked: string,
  form: string,
  { allowed, body }: { readonly allowed: ReadonlySet<string>; readonly body: string },
): void {
  if (asked === COUNT) {
    const sum = TENANTS.reduce((total, tenant, i) => total + (allowed.has(tenant) ? sizeOf(i) : 0), 0);
    expect(JSON.parse(body)).toMatchObject({ series: [{ value: sum }] });
  }
  if (asked === PATHS[0] && form === "application/json") {
    for (const tenant of allowed)
      expect(body).toContain(traceOf(TENANTS.findIndex((known) => known === tenant)));
  }
}
