// A shard as a Worker calls it: what the isolate has counted of the tenant goes along with calls that are made anyway.
import { shardName } from "../store/keys.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { UsageLedger } from "../usage/ledger.ts";

/** What Workers ask of a shard. */
export type WorkerShard = Pick<
  TraceShardRpc,
  "append" | "findTrace" | "findBeyond" | "snapshot" | "readSegments" | "noteFailedReads"
>;

export function meteredShard(
  shard: WorkerShard,
  ledger: UsageLedger,
  { tenant, index }: { readonly tenant: string; readonly index: number },
): WorkerShard {
  const name = shardName(tenant, index);
  return {
    append: (batch) => ledger.carry(tenant, name, (usage) => shard.append({ ...batch, usage })),
    findTrace: (traceId, range) =>
      ledger.carry(tenant, name, (usage) => shard.findTrace(traceId, range, usage)),
    findBeyond: (traceIds, range) => shard.findBeyond(traceIds, range),
    snapshot: (range) => ledger.carry(tenant, name, (usage) => shard.snapshot(range, usage)),
    readSegments: (epoch, fromRow) => shard.readSegments(epoch, fromRow),
    noteFailedReads: (count) => shard.noteFailedReads(count),
  };
}
