// What the routes are given by the composition root: settings as data, the outside as ports.
import type { Authenticator } from "../access/authenticator.ts";
import type { Caller } from "../access/caller.ts";
import type { AccessSettings } from "../model/config.ts";
import type { InsightReporter } from "../insight/reporter.ts";
import type { Limits } from "../model/limits.ts";
import type { CompactorRpc } from "../store/compactor-rpc.ts";
import type { DirectoryRpc } from "../store/directory-rpc.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { ScannerRpc } from "../store/scanner-rpc.ts";
import type { TenantRpc, TenantView } from "../store/tenant-rpc.ts";
import type { ShardMapCache } from "../tenant/shard-map-cache.ts";
import type { ShardDirectory } from "../tenant/tenant-shards.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import type { Clock } from "../util/clock.ts";
import type { RequestReport } from "./request-report.ts";

/** What the admin API reaches. */
export interface AdminPorts {
  readonly tenantOf: (tenant: string) => TenantRpc;
  readonly shardOf: (tenant: string, index: number) => Pick<TraceShardRpc, "configure" | "stats">;
  readonly compactorOf: (tenant: string, index: number) => Pick<CompactorRpc, "rebuild" | "rebuildProgress">;
  readonly directory: () => DirectoryRpc;
  readonly access: Pick<AccessSettings, "isMultitenant" | "mode">;
  /** The isolate asks for the tenant, and for the list of all, anew: it has changed them. */
  readonly forget: (tenant: string) => void;
}

/** Where what tenants have used is found. */
export interface UsagePorts {
  /** @throws AppError `unavailable` */
  readonly viewOf: (tenant: string) => Promise<TenantView>;
  readonly shardOf: (tenant: string, index: number) => Pick<TraceShardRpc, "usage">;
  /** Of all tenants. */
  readonly tenantNames: () => Promise<readonly string[]>;
}

/** What the doctor and `/metrics` reach: they look into the objects of the whole installation. */
export interface InspectPorts {
  readonly tenantOf: (tenant: string) => Pick<TenantRpc, "view" | "insight">;
  readonly shardOf: (tenant: string, index: number) => Pick<TraceShardRpc, "counts" | "probe" | "probed">;
  readonly directory: () => Pick<DirectoryRpc, "list" | "insight">;
  /** What is set for a tenant, as the isolate knows it. */
  readonly views: Pick<ShardMapCache, "forReading">;
}

export interface AppDeps {
  readonly limits: Limits;
  readonly clock: Clock;
  /** Origins whose pages may send spans; absent or `*` is all. */
  readonly corsAllowedOrigins?: readonly string[];
  readonly objects: ObjectStore;
  /** Where a tenant's spans go to and come from. */
  readonly shards: ShardDirectory;
  /** Who a request is from; absent: anybody, for the one tenant. */
  readonly authenticator?: Pick<Authenticator, "caller">;
  /** What is counted of tenants in this isolate; absent: nothing is. */
  readonly ledger?: UsageLedger;
  /** Absent: nobody is told what was used. */
  readonly usage?: UsagePorts;
  /** Who is told what became of requests; absent: nobody. */
  readonly insight?: InsightReporter;
  /** Absent: there is neither doctor nor `/metrics`. */
  readonly inspect?: InspectPorts;
  /** Lets time pass; absent: nobody is kept waiting. */
  readonly wait?: (ms: number) => Promise<unknown>;
  /** The scan pool; absent: there is none, and the Worker looks into all blocks by itself. */
  readonly scannerOf?: (name: string) => ScannerRpc;
  /** Absent: there is no admin API. */
  readonly admin?: AdminPorts;
}

/** What the middleware tells the routes, and they tell it. */
export interface AppEnv {
  readonly Variables: {
    caller: Caller;
    report: RequestReport;
    /** Of a query: what holds for its tenants. */
    limits: Limits;
  };
}
