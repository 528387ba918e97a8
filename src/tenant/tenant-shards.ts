// From a tenant to the shards that its spans go to and come from.
import type { Limits } from "../model/limits.ts";
import { isCapped, sampleText, type SpendSettings, spendRefusal } from "../model/spend.ts";
import type { TenantLimitOverrides } from "../model/tenant-limits.ts";
import { shardName } from "../store/keys.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { ShardMapVersion, TenantView } from "../store/tenant-rpc.ts";
import { type BatchMeter, batchMeter } from "../usage/batch-meter.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import type { Clock } from "../util/clock.ts";
import { AppError } from "../util/errors.ts";
import { meteredShard, type WorkerShard } from "./metered-shard.ts";
import { readShards, relevantVersions, writeCount } from "./shard-map.ts";
import type { ShardMapCache } from "./shard-map-cache.ts";

/** The shards that a batch is spread over: `shardOfHash(traceHash, count)` says which trace goes where. */
export interface WriteShards {
  readonly count: number;
  /** What was set of the tenant's limits. */
  readonly limits?: TenantLimitOverrides | undefined;
  /** Absent: nobody counts. */
  readonly meter?: BatchMeter;
  /** At the spend cap: what is kept all the same. */
  readonly sample?: { readonly keepShare: number; readonly reason: string };
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
  readonly shardOf: (tenant: string, index: number) => WorkerShard;
  /** Absent: nobody counts. */
  readonly ledger?: UsageLedger;
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
    const { maps, clock, ledger } = this.#ports;
    const view = checked(tenant, await maps.forWriting(tenant));
    return {
      count: writeCount(view.versions, clock.now()),
      limits: view.limits,
      ...spendLimit(view.spend, clock.now()),
      ...(ledger && { meter: batchMeter(ledger, tenant) }),
      shard: (index) => this.#shard(tenant, index),
    };
  }

  async forReading(tenant: string, traceHash: number): Promise<readonly ReadShard[]> {
    const relevant = await this.#relevantVersions(tenant);
    return readShards(relevant, traceHash).map((index) => ({
      name: shardName(tenant, index),
      shard: this.#shard(tenant, index),
    }));
  }

  async forScanning(tenant: string): Promise<readonly ScanShard[]> {
    const counts = (await this.#relevantVersions(tenant)).map(({ count }) => count);
    // The shards of a count are those below it.
    return Array.from({ length: Math.max(...counts) }, (_, index) => ({
      name: shardName(tenant, index),
      shard: this.#shard(tenant, index),
    }));
  }

  async limitsOf(tenant: string): Promise<TenantLimitOverrides | undefined> {
    return (await this.#ports.maps.forReading(tenant)).limits;
  }

  #shard(tenant: string, index: number): WorkerShard {
    const { ledger, shardOf } = this.#ports;
    const shard = shardOf(tenant, index);
    return ledger === undefined ? shard : meteredShard(shard, ledger, { tenant, index });
  }

  async #relevantVersions(tenant: string): Promise<readonly ShardMapVersion[]> {
    const { maps, clock } = this.#ports;
    const view = checked(tenant, await maps.forReading(tenant));
    const retentionMs = view.retentionMs ?? this.#limits.blockRetentionMs;
    return relevantVersions(view.versions, clock.now(), retentionMs);
  }
}

/** @throws AppError `rate_limited` when nothing is kept */
function spendLimit(spend: SpendSettings | undefined, nowMs: number): Pick<WriteShards, "sample"> {
  if (spend === undefined || !isCapped(spend.verdict, nowMs)) return {};
  const { cap, verdict } = spend;
  if (cap.action === "sample") {
    return { sample: { keepShare: cap.keepShare, reason: sampleText(verdict, cap) } };
  }
  const { message, retryAfterMs } = spendRefusal(verdict, nowMs);
  throw new AppError("rate_limited", message, { retryAfterMs });
}

function checked(tenant: string, view: TenantView): TenantView {
  if (view.state === "active") return view;
  throw new AppError("not_found", `tenant "${tenant}" is being deleted`);
}
