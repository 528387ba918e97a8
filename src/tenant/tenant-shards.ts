// From a tenant to the shards that its spans go to and come from.
import type { Limits } from "../model/limits.ts";
import type { TenantLimitOverrides } from "../model/tenant-limits.ts";
import { shardName } from "../store/keys.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { ShardMapVersion, TenantView } from "../store/tenant-rpc.ts";
import type { Clock } from "../util/clock.ts";
import { AppError } from "../util/errors.ts";
import { readShards, relevantVersions, writeCount } from "./shard-map.ts";
import type { ShardMapCache } from "./shard-map-cache.ts";

/** The shards that a batch is spread over: `shardOfHash(traceHash, count)` says which trace goes where. */
export interface WriteShards {
  readonly count: number;
  /** What was set of the tenant's limits. */
  readonly limits?: TenantLimitOverrides | undefined;
  shard(index: number): Pick<TraceShardRpc, "append">;
}

/** A shard as a lookup of a trace asks it, by its name. */
export interface ReadShard {
  readonly name: string;
  readonly shard: Pick<TraceShardRpc, "findTrace" | "noteFailedReads">;
}

/** A shard as a query over many spans asks it. */
export interface ScanShard {
  readonly name: string;
  readonly shard: Pick<
    TraceShardRpc,
    "snapshot" | "readSegments" | "findBeyond" | "findTrace" | "noteFailedReads"
  >;
}

/** All throw AppError `unavailable` while the tenant's map is not to be had, `not_found` while it is being deleted. */
export interface ShardDirectory {
  forWriting(tenant: string): Promise<WriteShards>;
  /** Every shard that may hold spans of a trace with this hash, at most seven, those written to now first. */
  forReading(tenant: string, traceHash: number): Promise<readonly ReadShard[]>;
  /** Every shard that may hold spans of the tenant. */
  forScanning(tenant: string): Promise<readonly ScanShard[]>;
  /** What was set of the tenant's limits. */
  limitsOf(tenant: string): Promise<TenantLimitOverrides | undefined>;
}

export interface TenantShardsPorts {
  readonly maps: ShardMapCache;
  readonly clock: Clock;
  readonly shardOf: (tenant: string, index: number) => TraceShardRpc;
}

/** The directory over the tenants' shard maps. */
export class TenantShards implements ShardDirectory {
  readonly #limits: Limits;
  readonly #ports: TenantShardsPorts;

  constructor(limits: Limits, ports: TenantShardsPorts) {
    this.#limits = limits;
    this.#ports = ports;
  }

  async forWriting(tenant: string): Promise<WriteShards> {
    const { maps, clock, shardOf } = this.#ports;
    const view = checked(tenant, await maps.forWriting(tenant));
    return {
      count: writeCount(view.versions, clock.now()),
      limits: view.limits,
      shard: (index) => shardOf(tenant, index),
    };
  }

  async forReading(tenant: string, traceHash: number): Promise<readonly ReadShard[]> {
    const { shardOf } = this.#ports;
    const relevant = await this.#relevantVersions(tenant);
    return readShards(relevant, traceHash).map((index) => ({
      name: shardName(tenant, index),
      shard: shardOf(tenant, index),
    }));
  }

  async forScanning(tenant: string): Promise<readonly ScanShard[]> {
    const { shardOf } = this.#ports;
    const counts = (await this.#relevantVersions(tenant)).map(({ count }) => count);
    // The shards of a count are those below it.
    return Array.from({ length: Math.max(...counts) }, (_, index) => ({
      name: shardName(tenant, index),
      shard: shardOf(tenant, index),
    }));
  }

  async limitsOf(tenant: string): Promise<TenantLimitOverrides | undefined> {
    return (await this.#ports.maps.forReading(tenant)).limits;
  }

  async #relevantVersions(tenant: string): Promise<readonly ShardMapVersion[]> {
    const { maps, clock } = this.#ports;
    const view = checked(tenant, await maps.forReading(tenant));
    const retentionMs = view.retentionMs ?? this.#limits.blockRetentionMs;
    return relevantVersions(view.versions, clock.now(), retentionMs);
  }
}

function checked(tenant: string, view: TenantView): TenantView {
  if (view.state === "active") return view;
  throw new AppError("not_found", `tenant "${tenant}" is being deleted`);
}
