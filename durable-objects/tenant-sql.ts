// Tenant storage over a Durable Object's SQLite. Every statement of the tenant stands here.
import { TENANT_MIGRATIONS } from "../migrations/index.ts";
import { TENANT_LIMIT_FIELDS } from "../src/model/tenant-limits.ts";
import type { TokenRecord } from "../src/model/token.ts";
import type { AuditEntry, StoredOverrides } from "../src/store/tenant-rpc.ts";
import {
  AUDIT_ENTRIES,
  NO_OVERRIDES,
  type SavedWith,
  type TenantRecord,
  type TenantStorage,
} from "../src/tenant/storage.ts";
import { migrate } from "./migrate.ts";

/** Of a setting's name, before that of the limit. */
const LIMIT_PREFIX = "limit_";

export class TenantSql implements TenantStorage {
  readonly #storage: DurableObjectStorage;
  /** As they are stored; undefined: nobody has looked yet. */
  #tokens: readonly TokenRecord[] | undefined;
  #overrides: StoredOverrides | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  load(): TenantRecord | undefined {
    if (!this.#hasTables) return undefined;
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
      limits: Object.fromEntries(
        TENANT_LIMIT_FIELDS.flatMap((field) => {
          const value = settings.get(LIMIT_PREFIX + field);
          return value === undefined ? [] : [[field, value]];
        }),
      ),
      isRetentionUnsent: settings.has("retention_unsent"),
      deletingSinceMs: settings.get("deleting_since_ms"),
      version: settings.get("version") ?? 0,
      tokens: this.#loadTokens(),
      overrides: this.#loadOverrides(),
    };
  }

  save(record: TenantRecord, { alarmMs, audit }: SavedWith = {}): void {
    migrate(this.#storage, TENANT_MIGRATIONS);
    const settings: readonly [string, number | undefined][] = [
      ["shard_count", record.shardCount],
      ["retention_ms", record.retentionMs],
      ...TENANT_LIMIT_FIELDS.map((field): [string, number | undefined] => [
        LIMIT_PREFIX + field,
        record.limits[field],
      ]),
      ["retention_unsent", record.isRetentionUnsent ? 1 : undefined],
      ["deleting_since_ms", record.deletingSinceMs],
      ["version", record.version === 0 ? undefined : record.version],
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
      this.#saveTokens(record.tokens);
      this.#saveOverrides(record.overrides);
      if (audit !== undefined) this.#addAudit(audit);
    });
    if (alarmMs !== undefined) this.setAlarm(alarmMs);
  }

  audit(limit: number, before = Number.MAX_SAFE_INTEGER): readonly AuditEntry[] {
    if (!this.#hasTables) return [];
    migrate(this.#storage, TENANT_MIGRATIONS);
    return this.#storage.sql
      .exec<{ id: number; at_ms: number; actor: string; action: string; detail: string }>(
        "SELECT id, at_ms, actor, action, detail FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
        before,
        limit,
      )
      .toArray()
      .map(({ id, at_ms: atMs, actor, action, detail }) => ({ id, atMs, actor, action, detail }));
  }

  setAlarm(atMs: number): void {
    // Part of this turn's commit, as the rows are: a failure breaks the object, which then starts anew from storage.
    void this.#storage.setAlarm(atMs);
  }

  async clear(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
    this.#tokens = undefined;
    this.#overrides = undefined;
  }

  /** Tables come with the first change: an object that was only asked leaves nothing behind. */
  get #hasTables(): boolean {
    return (
      this.#storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'schema_migration'").toArray()
        .length > 0
    );
  }

  #loadTokens(): readonly TokenRecord[] {
    const tokens = this.#storage.sql
      .exec<{ record: string }>("SELECT record FROM token")
      .toArray()
      .map(({ record }): TokenRecord => JSON.parse(record))
      .sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
    this.#tokens = tokens;
    return tokens;
  }

  /** Writes what differs: each row counts on the bill. */
  #saveTokens(tokens: readonly TokenRecord[]): void {
    const stored = this.#tokens ?? this.#loadTokens();
    if (tokens === stored) return;
    const before = new Set(stored.map(({ hash }) => hash));
    const after = new Set(tokens.map(({ hash }) => hash));
    for (const hash of before) {
      if (!after.has(hash)) this.#storage.sql.exec("DELETE FROM token WHERE hash = ?", hash);
    }
    for (const token of tokens) {
      if (before.has(token.hash)) continue;
      this.#storage.sql.exec(
        "INSERT INTO token (hash, record) VALUES (?, ?)",
        token.hash,
        JSON.stringify(token),
      );
    }
    this.#tokens = tokens;
  }

  #loadOverrides(): StoredOverrides {
    const [row] = this.#storage.sql
      .exec<{ value: string }>("SELECT value FROM document WHERE name = 'overrides'")
      .toArray();
    const overrides: StoredOverrides = { ...NO_OVERRIDES, ...(row && JSON.parse(row.value)) };
    this.#overrides = overrides;
    return overrides;
  }

  #saveOverrides(overrides: StoredOverrides): void {
    const stored = this.#overrides ?? this.#loadOverrides();
    if (overrides.version === stored.version) return;
    this.#storage.sql.exec(
      "INSERT OR REPLACE INTO document (name, value) VALUES ('overrides', ?)",
      JSON.stringify(overrides),
    );
    this.#overrides = overrides;
  }

  #addAudit({ atMs, actor, action, detail }: Omit<AuditEntry, "id">): void {
    this.#storage.sql.exec(
      "INSERT INTO audit (id, at_ms, actor, action, detail) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM audit), ?, ?, ?, ?)",
      atMs,
      actor,
      action,
      detail,
    );
    this.#storage.sql.exec("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", AUDIT_ENTRIES);
  }
}
