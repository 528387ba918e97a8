// The outside of a shard.
import type { ObjectStore } from "../store/object-store.ts";
import type { ShardLoad, SpendReport } from "../store/tenant-rpc.ts";
import type { Clock } from "../util/clock.ts";
import type { RowCounts, ShardStorage } from "./storage.ts";

export interface ShardPorts {
  readonly storage: ShardStorage;
  /** What it took to open the storage. */
  readonly openingRows?: RowCounts | undefined;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  /** Lets calls that wait run, then goes on. */
  readonly pause: () => Promise<void>;
  readonly sleep: (ms: number) => Promise<void>;
  /** Makes the compactor ask for jobs, if it does not do so already. */
  readonly wakeCompactor: () => Promise<void>;
  /** Tells the tenant that this shard is too busy. */
  readonly requestGrowth: (load: ShardLoad) => Promise<void>;
  /** Tells the tenant what this shard has cost. */
  readonly reportSpend: (report: SpendReport) => Promise<void>;
}
