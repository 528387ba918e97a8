// What the routes are given by the composition root: settings as data, the outside as ports.
import type { Limits } from "../model/limits.ts";
import type { CompactorRpc } from "../store/compactor-rpc.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { TenantRpc } from "../store/tenant-rpc.ts";
import type { ShardDirectory } from "../tenant/tenant-shards.ts";
import type { Clock } from "../util/clock.ts";

/** What the admin API reaches. */
export interface AdminPorts {
  /** The secret that opens it; undefined: it is closed. */
  readonly token: string | undefined;
  readonly tenantOf: (tenant: string) => TenantRpc;
  readonly shardOf: (tenant: string, index: number) => Pick<TraceShardRpc, "configure" | "stats">;
  readonly compactorOf: (tenant: string, index: number) => Pick<CompactorRpc, "rebuild" | "rebuildProgress">;
}

export interface AppDeps {
  readonly limits: Limits;
  readonly clock: Clock;
  /** Origins whose pages may send spans; absent or `*` is all. */
  readonly corsAllowedOrigins?: readonly string[];
  readonly objects: ObjectStore;
  /** Where a tenant's spans go to and come from. */
  readonly shards: ShardDirectory;
  /** Absent: there is no admin API. */
  readonly admin?: AdminPorts;
}
