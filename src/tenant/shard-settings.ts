// What a tenant's shards are told of it.
import type { ShardSettings } from "../store/rpc.ts";
import type { TenantView } from "../store/tenant-rpc.ts";

/** All that shards keep: they replace what they were told before. */
export function shardSettings({
  retentionMs,
  limits,
  spend,
  shardCount,
}: Pick<TenantView, "retentionMs" | "limits" | "spend" | "shardCount">): ShardSettings {
  return { retentionMs, limits, spend: spend && { ...spend, shards: shardCount } };
}
