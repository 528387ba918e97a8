// Every object key of the bucket, in one place: hive-partitioned, so that a glob from outside finds the blocks.
import { assert } from "../util/assert.ts";

/** Name of a block: the epoch (its opening time in ms) as 16 digits, so that keys sort by time. */
export function blockId(epoch: number): string {
  return String(epoch).padStart(16, "0");
}

/**
 * Key of the block that a shard's epoch is flushed to. A retried flush has the same key: the date is the
 * epoch's, not the clock's.
 */
export function blockKey(tenant: string, shard: number, epoch: number): string {
  const date = new Date(epoch).toISOString().slice(0, 10);
  return `tenant=${tenant}/date=${date}/shard=${String(shard).padStart(2, "0")}/${blockId(epoch)}.parquet`;
}

/** Name of the TraceShard object of a tenant's shard. Tenant ids hold no `/`. */
export function shardName(tenant: string, shard: number): string {
  return `${tenant}/${shard}`;
}

/** The inverse of `shardName`. */
export function parseShardName(name: string): { tenant: string; shard: number } {
  const [, tenant = "", digits = ""] = /^([^/]+)\/(\d{1,4})$/.exec(name) ?? [];
  assert(tenant !== "", "a shard's name is <tenant>/<number>");
  return { tenant, shard: Number(digits) };
}
