// The admin API over tenants in this process, with the authenticator that a deployed Worker has.
import { Authenticator } from "../../src/access/authenticator.ts";
import { createApp } from "../../src/http/app.ts";
import type { AdminPorts } from "../../src/http/deps.ts";
import type { AccessSettings } from "../../src/model/config.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { RebuildProgress } from "../../src/store/compactor-rpc.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ShardStats } from "../../src/store/rpc.ts";
import type { TenantRpc } from "../../src/store/tenant-rpc.ts";
import { MemoryTenantStorage } from "../../src/tenant/memory-storage.ts";
import { ShardMapCache } from "../../src/tenant/shard-map-cache.ts";
import { TenantNames } from "../../src/tenant/tenant-names.ts";
import { Tenant } from "../../src/tenant/tenant.ts";
import { NOW_MS, oneShard } from "./fake-shard.ts";
import { FakeDirectory, tenantRpc } from "./tenant-rpc.ts";

export const ADMIN_TOKEN = "s3cret-admin-token";
export const STATS: ShardStats = {
  liveSpans: 1,
  liveBytes: 2,
  epochs: 3,
  blocks: 4,
  rowsWritten: 5,
  rowsRead: 6,
  appends: 7,
  failedReads: 8,
};
export const PROGRESS: RebuildProgress = { dateMs: 0, adopted: 3, damaged: 1, done: false };

export interface Called {
  readonly status: number;
  readonly headers: Headers;
  readonly etag: string | null;
  readonly text: string;
  /** The text as JSON; empty when it is none. */
  readonly body: Record<string, unknown>;
}

export interface CallOptions {
  /** A text is sent as it is. */
  readonly body?: unknown;
  /** null sends none; the default is the operator's. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One isolate, by default of a deployed installation with several tenants. */
export function adminWorld(settings: Partial<AccessSettings> = {}, ports: Partial<AdminPorts> = {}) {
  const access: AccessSettings = {
    mode: "tokens",
    isMultitenant: true,
    adminToken: ADMIN_TOKEN,
    ...settings,
  };
  const tenants = new Map<string, Tenant>();
  const directory = new FakeDirectory();
  const clock = { ms: NOW_MS, now: () => clock.ms };
  const tenant = (name: string): Tenant => {
    const known =
      tenants.get(name) ??
      new Tenant(name, DEFAULT_LIMITS, {
        storage: new MemoryTenantStorage(),
        objects: new MemoryStore(),
        clock,
        shardOf: () => ({ configure: async () => {}, destroy: async () => ({ done: true }) }),
        removeName: () => directory.remove(name),
        endCompaction: async () => {},
      });
    tenants.set(name, known);
    return known;
  };
  const tenantOf = (name: string): TenantRpc => tenantRpc(tenant(name));
  /** An isolate of its own: its caches know nothing of what others change. */
  const isolate = () => {
    const keepAlive = (call: Promise<unknown>): void => void call.catch(() => {});
    const views = new ShardMapCache(DEFAULT_LIMITS, {
      fetch: (name) => tenantOf(name).view(),
      clock,
      keepAlive,
    });
    const names = new TenantNames({ fetch: () => directory.list(), clock, keepAlive });
    const app = createApp({
      limits: DEFAULT_LIMITS,
      clock,
      objects: new MemoryStore(),
      shards: oneShard({}),
      authenticator: new Authenticator(access, { views, names, clock }),
      admin: {
        access,
        tenantOf,
        directory: () => directory,
        forget: (name) => {
          views.forget(name);
          names.forget();
        },
        shardOf: () => ({ stats: async () => STATS, configure: async () => {} }),
        compactorOf: () => ({ rebuild: async () => {}, rebuildProgress: async () => undefined }),
        ...ports,
      },
    });
    return async (method: string, path: string, options: CallOptions = {}): Promise<Called> => {
      const { body, token = ADMIN_TOKEN, headers } = options;
      const response = await app.request(path, {
        method,
        headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        etag: response.headers.get("etag"),
        text,
        body: response.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : {},
      };
    };
  };
  const call = isolate();
  /** Makes a token as the operator and gives its text. */
  const makeToken = async (name: string, request: object): Promise<string> => {
    const made = await call("POST", `/api/admin/tenants/${name}/tokens`, {
      body: { name: "test", ...request },
    });
    if (made.status !== 201) throw new Error(made.text);
    return String(made.body["token"]);
  };
  return { call, isolate, clock, tenants, tenant, directory, makeToken };
}
