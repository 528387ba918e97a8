// Tenant storage over a Durable Object's SQLite. Every statement of the tenant stands here.
import { TENANT_MIGRATIONS } from "../migrations/index.ts";
import type { TenantRecord, TenantStorage } from "../src/tenant/storage.ts";
import { migrate } from "./migrate.ts";

export class TenantSql implements TenantStorage {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  load(): TenantRecord | undefined {
    // Tables come with the first change: an object that was only asked leaves nothing behind.
    const tables = this.#storage.sql
      .exec("SELECT name FROM sqlite_master WHERE name = 'schema_migration'")
      .toArray();
    if (tables.length === 0) return undefined;
    migrate(this.#storage, TENANT_MIGRATIONS);
    const versions = this.#storage.sql
      .exec<{ from_ms: number; count: number }>("SELECT from_ms, count FROM shard_map ORDER BY from_ms")
      .toArray()
      .map(({ from_ms: fromMs, count }) => ({ fromMs, count }));
    if (versions.length === 0) return undefined;
    const settings = new Map(
      this.#storage.sql
        .exec<{ name: string; value: number }>("SELECT name, value FROM setting")
        .toArray()
        .map(({ name, value }) => [name, value]),
    );
    return {
      versions,
      shardCount: settings.get("shard_count") ?? 1,
      retentionMs: settings.get("retention_ms"),
      isRetentionUnsent: settings.has("retention_unsent"),
      deletingSinceMs: settings.get("deleting_since_ms"),
    };
  }

  save(record: TenantRecord, alarmMs?: number): void {
    migrate(this.#storage, TENANT_MIGRATIONS);
    const settings: readonly [string, number | undefined][] = [
      ["shard_count", record.shardCount],
      ["retention_ms", record.retentionMs],
      ["retention_unsent", record.isRetentionUnsent ? 1 : undefined],
      ["deleting_since_ms", record.deletingSinceMs],
    ];
    this.#storage.transactionSync(() => {
      this.#storage.sql.exec("DELETE FROM shard_map");
      for (const { fromMs, count } of record.versions) {
        this.#storage.sql.exec("INSERT INTO shard_map (from_ms, count) VALUES (?, ?)", fromMs, count);
      }
      this.#storage.sql.exec("DELETE FROM setting");
      for (const [name, value] of settings) {
        if (value === undefined) continue;
        this.#storage.sql.exec("INSERT INTO setting (name, value) VALUES (?, ?)", name, value);
      }
    });
    if (alarmMs !== undefined) this.setAlarm(alarmMs);
  }

  setAlarm(atMs: number): void {
    // Part of this turn's commit, as the rows are: a failure breaks the object, which then starts anew from storage.
    void this.#storage.setAlarm(atMs);
  }

  async clear(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
  }
}
