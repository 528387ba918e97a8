// Every object key of the bucket, in one place: hive-partitioned, so that a glob from outside finds the blocks.
import { assert } from "../util/assert.ts";

/** Name of a block: the epoch (its opening time in ms) as 16 digits, so that keys sort by time. */
export function blockId(epoch: number): string {
  return String(epoch).padStart(16, "0");
}

/** Every object of a tenant begins with it. */
export function tenantPrefix(tenant: string): string {
  return `tenant=${tenant}/`;
}

/** Whose object has this key; undefined when it is no tenant's. */
export function tenantOfKey(key: string): string | undefined {
  return /^tenant=([^/]+)\//.exec(key)?.[1];
}

/** Every block of a shard that arrived on the date of `ms` (UTC) begins with it. */
export function datePrefix(tenant: string, shard: number, ms: number): string {
  const date = new Date(ms).toISOString().slice(0, 10);
  return `${tenantPrefix(tenant)}date=${date}/shard=${String(shard).padStart(2, "0")}/`;
}

/**
 * Key of a block: of the epoch that it is flushed from, or of the job that merges it. A retried flush or job has the same
 * key: the date is the epoch's or that of the newest merged, not the clock's.
 */
export function blockKey(tenant: string, shard: number, id: number, arrivedMs = id): string {
  return `${datePrefix(tenant, shard, arrivedMs)}${blockId(id)}.parquet`;
}

/** What a block's key says; undefined when it is no block's key. */
export function parseBlockKey(key: string): { tenant: string; shard: number; id: number } | undefined {
  const match = /^tenant=([^/]+)\/date=\d{4}-\d\d-\d\d\/shard=(\d{2,4})\/(\d{16})\.parquet$/.exec(key);
  if (match === null) return undefined;
  const [, tenant = "", shard = "", id = ""] = match;
  return { tenant, shard: Number(shard), id: Number(id) };
}

/** Name of the TraceShard object of a tenant's shard. Tenant ids hold no `/`. */
export function shardName(tenant: string, shard: number): string {
  return `${tenant}/${shard}`;
}

/** Name of a Scanner object of a tenant. */
export function scannerName(tenant: string, scanner: number): string {
  return `${tenant}/scan-${scanner}`;
}

/** Whose Scanner has this name. */
export function tenantOfScanner(name: string): string {
  const [, tenant = ""] = /^([^/]+)\/scan-\d+$/.exec(name) ?? [];
  assert(tenant !== "", "a scanner's name is <tenant>/scan-<number>");
  return tenant;
}

/** The inverse of `shardName`. */
export function parseShardName(name: string): { tenant: string; shard: number } {
  const [, tenant = "", digits = ""] = /^([^/]+)\/(\d{1,4})$/.exec(name) ?? [];
  assert(tenant !== "", "a shard's name is <tenant>/<number>");
  return { tenant, shard: Number(digits) };
}
