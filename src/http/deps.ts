// What the routes are given by the composition root: settings as data, the outside as ports.
import type { Limits } from "../model/limits.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { ShardDirectory } from "../tenant/tenant-shards.ts";
import type { Clock } from "../util/clock.ts";

export interface AppDeps {
  readonly limits: Limits;
  readonly clock: Clock;
  /** Origins whose pages may send spans; absent or `*` is all. */
  readonly corsAllowedOrigins?: readonly string[];
  readonly objects: ObjectStore;
  /** Where a tenant's spans go to and come from. */
  readonly shards: ShardDirectory;
}
