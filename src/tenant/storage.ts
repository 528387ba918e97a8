// What a tenant needs of its durable storage. Adapters: durable-objects/tenant-sql.ts, memory-storage.ts.
import type { ShardMapVersion } from "../store/tenant-rpc.ts";

/** All that is kept of a tenant. */
export interface TenantRecord {
  /** By time, ascending; one at least. */
  readonly versions: readonly ShardMapVersion[];
  /** The greatest count there ever was. */
  readonly shardCount: number;
  /** Milliseconds that spans are kept; undefined: the installation's default. */
  readonly retentionMs: number | undefined;
  /** Some shard may not know of `retentionMs` yet. */
  readonly isRetentionUnsent: boolean;
  /** When the deletion began, in ms; undefined: it is not being deleted. */
  readonly deletingSinceMs: number | undefined;
}

/** Synchronous but for `clear` and the alarm, as SQLite in a Durable Object is. */
export interface TenantStorage {
  /** Undefined when nothing was ever saved, or all was cleared; then nothing is stored, no table either. */
  load(): TenantRecord | undefined;
  /** Replaces the record and sets the alarm, in one transaction. @param alarmMs undefined leaves the alarm as it is */
  save(record: TenantRecord, alarmMs?: number): void;
  setAlarm(atMs: number): void;
  /** Removes everything, the alarm too. */
  clear(): Promise<void>;
}
