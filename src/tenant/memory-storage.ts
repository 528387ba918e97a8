// Tenant storage in memory, for tests and simulation. It holds to the same contract as the SQL adapter.
import type { TenantRecord, TenantStorage } from "./storage.ts";

/** Keeps everything, so that a Tenant built anew on the same instance is one after an eviction. */
export class MemoryTenantStorage implements TenantStorage {
  alarm: number | null = null;
  #record: TenantRecord | undefined;

  load(): TenantRecord | undefined {
    return this.#record;
  }

  save(record: TenantRecord, alarmMs?: number): void {
    this.#record = structuredClone(record);
    if (alarmMs !== undefined) this.alarm = alarmMs;
  }

  setAlarm(atMs: number): void {
    this.alarm = atMs;
  }

  async clear(): Promise<void> {
    this.#record = undefined;
    this.alarm = null;
  }
}
