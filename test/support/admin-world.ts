// The admin API over tenants in this process, with the authenticator that a deployed Worker has.
import { createApp } from "../../src/http/app.ts";
import type { AdminPorts } from "../../src/http/deps.ts";
import type { AccessSettings } from "../../src/model/config.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ShardStats } from "../../src/store/rpc.ts";
import { dayOf, encodeUsage, UsageDays } from "../../src/usage/usage-days.ts";
import { AccessWorld, ADMIN_TOKEN } from "./access-world.ts";
import { oneShard } from "./fake-shard.ts";
import { tenantRpc } from "./tenant-rpc.ts";

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

/** Something of everything that an answer about usage tells. */
function someUsage(nowMs: number): UsageDays {
  const usage = new UsageDays();
  const day = usage.on(dayOf(nowMs));
  for (const name of [
    "spans",
    "spanBytes",
    "bytesIn",
    "workerRequests",
    "rowsWritten",
    "r2ClassA",
  ] as const) {
    day.add(name, 1_000);
  }
  day.add("refusedSpans", 3, "rate_limited");
  day.add("serviceSpans", 900, "shop");
  day.add("serviceBytes", 90_000, "shop");
  for (const name of ["tokenRequests", "tokenSpans", "tokenBytes"] as const) day.add(name, 5, "3f2a9c01b7de");
  day.add("tokenLastUsedMs", nowMs, "3f2a9c01b7de");
  return usage;
}

/** One isolate, by default of a deployed installation with several tenants. */
export function adminWorld(settings: Partial<AccessSettings> = {}, ports: Partial<AdminPorts> = {}) {
  const world = new AccessWorld();
  const access: AccessSettings = {
    mode: "tokens",
    isMultitenant: true,
    adminToken: ADMIN_TOKEN,
    ...settings,
  };
  /** An isolate of its own: its caches know nothing of what others change. */
  const isolate = () => {
    const { views, names, authenticator } = world.isolate(access);
    const app = createApp({
      limits: DEFAULT_LIMITS,
      clock: world.clock,
      objects: new MemoryStore(),
      shards: oneShard({}),
      authenticator,
      usage: {
        viewOf: (name) => views.forReading(name),
        shardOf: () => ({ usage: async () => encodeUsage(someUsage(world.nowMs)) }),
        tenantNames: () => world.directory.list(),
      },
      admin: {
        access,
        tenantOf: (name) => tenantRpc(world.tenant(name)),
        directory: () => world.directory,
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
  return { world, call, isolate, makeToken };
}
