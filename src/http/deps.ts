// What the routes are given by the composition root: settings as data, the outside as ports.
import type { Limits } from "../model/limits.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { Clock } from "../util/clock.ts";

export interface AppDeps {
  readonly limits: Limits;
  readonly clock: Clock;
  /** Origins whose pages may send spans; absent or `*` is all. */
  readonly corsAllowedOrigins?: readonly string[];
  readonly objects: ObjectStore;
  /** The shard that holds `tenant`'s trace with this hash (util/hash.ts `traceHash`). */
  readonly shardOf: (tenant: string, traceHash: number) => TraceShardRpc;
}
