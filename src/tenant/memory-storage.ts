// Tenant storage in memory, for tests and simulation. It holds to the same contract as the SQL adapter.
import type { AuditEntry, SpendReport } from "../store/tenant-rpc.ts";
import { AUDIT_ENTRIES, type SavedWith, type TenantRecord, type TenantStorage } from "./storage.ts";

/** Keeps everything, so that a Tenant built anew on the same instance is one after an eviction. */
export class MemoryTenantStorage implements TenantStorage {
  alarm: number | null = null;
  #record: TenantRecord | undefined;
  /** Oldest first. */
  #audit: AuditEntry[] = [];
  readonly #spent = new Map<number, SpendReport>();

  load(): TenantRecord | undefined {
    return this.#record;
  }

  save(record: TenantRecord, { alarmMs, audit }: SavedWith = {}): void {
    this.#record = structuredClone(record);
    if (audit !== undefined) {
      this.#audit = [...this.#audit, { ...audit, id: (this.#audit.at(-1)?.id ?? 0) + 1 }].slice(
        -AUDIT_ENTRIES,
      );
    }
    if (alarmMs !== undefined) this.alarm = alarmMs;
  }

  audit(limit: number, before = Number.POSITIVE_INFINITY): readonly AuditEntry[] {
    return this.#audit
      .filter(({ id }) => id < before)
      .toReversed()
      .slice(0, limit);
  }

  saveSpend(shard: number, report: SpendReport): void {
    this.#spent.set(shard, report);
  }

  spendReports(): ReadonlyMap<number, SpendReport> {
    return new Map(this.#spent);
  }

  setAlarm(atMs: number): void {
    this.alarm = atMs;
  }

  async clear(): Promise<void> {
    this.#record = undefined;
    this.#audit = [];
    this.#spent.clear();
    this.alarm = null;
  }
}
