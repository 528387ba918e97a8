// What a tenant needs of its durable storage. Adapters: durable-objects/tenant-sql.ts, memory-storage.ts.
import type { SpendSettings } from "../model/spend.ts";
import type { TenantLimitOverrides } from "../model/tenant-limits.ts";
import type { TokenRecord } from "../model/token.ts";
import type { AuditEntry, ShardMapVersion, SpendReport, StoredOverrides } from "../store/tenant-rpc.ts";

/** All that is kept of a tenant. */
export interface TenantRecord {
  /** By time, ascending; one at least. */
  readonly versions: readonly ShardMapVersion[];
  /** The greatest count there ever was. */
  readonly shardCount: number;
  /** Milliseconds that spans are kept; undefined: the installation's default. */
  readonly retentionMs: number | undefined;
  readonly limits: TenantLimitOverrides;
  /** Some shard may not know of `retentionMs` or `limits` yet. */
  readonly isRetentionUnsent: boolean;
  /** When the deletion began, in ms; undefined: it is not being deleted. */
  readonly deletingSinceMs: number | undefined;
  /** Changes made by people so far. */
  readonly version: number;
  readonly tokens: readonly TokenRecord[];
  readonly overrides: StoredOverrides;
  /** Undefined: there is no cap. */
  readonly spend: SpendSettings | undefined;
}

export const NO_OVERRIDES: StoredOverrides = { version: 0, json: undefined };

/** What a record is saved with, in one transaction. */
export interface SavedWith {
  /** Undefined leaves the alarm as it is. */
  readonly alarmMs?: number | undefined;
  /** A line for the audit log, which keeps the newest AUDIT_ENTRIES. */
  readonly audit?: Omit<AuditEntry, "id"> | undefined;
}

export const AUDIT_ENTRIES = 10_000;

/** Synchronous but for `clear` and the alarm, as SQLite in a Durable Object is. */
export interface TenantStorage {
  /** Undefined when nothing was ever saved, or all was cleared; then nothing is stored, no table either. */
  load(): TenantRecord | undefined;
  /** Replaces the record. */
  save(record: TenantRecord, more?: SavedWith): void;
  /** Entries with ids below `before`, the newest first, `limit` at most. */
  audit(limit: number, before?: number): readonly AuditEntry[];
  /** What a shard reported last; kept beside the record. */
  saveSpend(shard: number, report: SpendReport): void;
  spendReports(): ReadonlyMap<number, SpendReport>;
  setAlarm(atMs: number): void;
  /** Removes everything, the alarm too. */
  clear(): Promise<void>;
}
