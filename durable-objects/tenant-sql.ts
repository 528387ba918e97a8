// Tenant storage over a Durable Object's SQLite. Every statement of the tenant stands here.
import { TENANT_MIGRATIONS } from "../migrations/index.ts";
import type { SpendSettings } from "../src/model/spend.ts";
import { TENANT_LIMIT_FIELDS } from "../src/model/tenant-limits.ts";
import type { TokenRecord } from "../src/model/token.ts";
import type { AuditEntry, SpendReport, StoredOverrides } from "../src/store/tenant-rpc.ts";
import {
  AUDIT_ENTRIES,
  NO_OVERRIDES,
  type SavedWith,
  type TenantRecord,
  type TenantStorage,
} from "../src/tenant/storage.ts";
import { CountedSql } from "./counted-sql.ts";
import { migrate } from "./migrate.ts";

/** Of a setting's name, before that of the limit. */
const LIMIT_PREFIX = "limit_";

export class TenantSql implements TenantStorage {
  readonly #storage: DurableObjectStorage;
  readonly #sql: CountedSql;
  /** As they are stored; undefined: nobody has looked yet. */
  #tokens: readonly TokenRecord[] | undefined;
  #overrides: StoredOverrides | undefined;
  /** As it is stored. */
  #spend: string | undefined;

  /** @param sql of the same storage: counts */
  constructor(storage: DurableObjectStorage, sql: CountedSql = new CountedSql(storage)) {
    this.#storage = storage;
    this.#sql = sql;
  }

  load(): TenantRecord | undefined {
    if (!this.#hasTables) return undefined;
    this.#migrate();
    const versions = this.#sql
      .read<{ from_ms: number; count: number }>("SELECT from_ms, count FROM shard_map ORDER BY from_ms")
      .map(({ from_ms: fromMs, count }) => ({ fromMs, count }));
    if (versions.length === 0) return undefined;
    const settings = new Map(
      this.#sql
        .read<{ name: string; value: number }>("SELECT name, value FROM setting")
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
      spend: this.#loadSpend(),
    };
  }

  save(record: TenantRecord, { alarmMs, audit }: SavedWith = {}): void {
    this.#migrate();
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
      this.#sql.write("DELETE FROM shard_map");
      for (const { fromMs, count } of record.versions) {
        this.#sql.write("INSERT INTO shard_map (from_ms, count) VALUES (?, ?)", fromMs, count);
      }
      this.#sql.write("DELETE FROM setting");
      for (const [name, value] of settings) {
        if (value === undefined) continue;
        this.#sql.write("INSERT INTO setting (name, value) VALUES (?, ?)", name, value);
      }
      this.#saveTokens(record.tokens);
      this.#saveOverrides(record.overrides);
      this.#saveSpend(record.spend);
      if (audit !== undefined) this.#addAudit(audit);
    });
    if (alarmMs !== undefined) this.setAlarm(alarmMs);
  }

  audit(limit: number, before = Number.MAX_SAFE_INTEGER): readonly AuditEntry[] {
    if (!this.#hasTables) return [];
    this.#migrate();
    return this.#sql
      .read<{ id: number; at_ms: number; actor: string; action: string; detail: string }>(
        "SELECT id, at_ms, actor, action, detail FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
        before,
        limit,
      )
      .map(({ id, at_ms: atMs, actor, action, detail }) => ({ id, atMs, actor, action, detail }));
  }

  saveSpend(shard: number, { day, dayUsd, monthUsd }: SpendReport): void {
    this.#migrate();
    this.#sql.write(
      "INSERT OR REPLACE INTO spend_report (shard, day, day_usd, month_usd) VALUES (?, ?, ?, ?)",
      shard,
      day,
      dayUsd,
      monthUsd,
    );
  }

  spendReports(): ReadonlyMap<number, SpendReport> {
    if (!this.#hasTables) return new Map();
    this.#migrate();
    return new Map(
      this.#sql
        .read<{ shard: number; day: number; day_usd: number; month_usd: number }>(
          "SELECT shard, day, day_usd, month_usd FROM spend_report",
        )
        .map(({ shard, day, day_usd: dayUsd, month_usd: monthUsd }) => [shard, { day, dayUsd, monthUsd }]),
    );
  }

  setAlarm(atMs: number): void {
    // Part of this turn's commit, as the rows are: a failure breaks the object, which then starts anew from storage.
    this.#sql.noteAlarm();
    void this.#storage.setAlarm(atMs);
  }

  async clear(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
    this.#tokens = undefined;
    this.#overrides = undefined;
    this.#spend = undefined;
  }

  #migrate(): void {
    this.#sql.add(migrate(this.#storage, TENANT_MIGRATIONS));
  }

  /** Tables come with the first change: an object that was only asked leaves nothing behind. */
  get #hasTables(): boolean {
    return this.#sql.read("SELECT name FROM sqlite_master WHERE name = 'schema_migration'").length > 0;
  }

  #loadSpend(): SpendSettings | undefined {
    const [row] = this.#sql.read<{ settings: string }>("SELECT settings FROM spend");
    this.#spend = row?.settings;
    return row === undefined ? undefined : JSON.parse(row.settings);
  }

  /** As with tokens: what is the same is not written again. */
  #saveSpend(spend: SpendSettings | undefined): void {
    const text = spend === undefined ? undefined : JSON.stringify(spend);
    if (text === this.#spend) return;
    if (text === undefined) this.#sql.write("DELETE FROM spend");
    else this.#sql.write("INSERT OR REPLACE INTO spend (id, settings) VALUES (1, ?)", text);
    this.#spend = text;
  }

  #loadTokens(): readonly TokenRecord[] {
    const tokens = this.#sql
      .read<{ record: string }>("SELECT record FROM token")
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
      if (!after.has(hash)) this.#sql.write("DELETE FROM token WHERE hash = ?", hash);
    }
    for (const token of tokens) {
      if (before.has(token.hash)) continue;
      this.#sql.write("INSERT INTO token (hash, record) VALUES (?, ?)", token.hash, JSON.stringify(token));
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
    this.#sql.write(
      "INSERT INTO audit (id, at_ms, actor, action, detail) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM audit), ?, ?, ?, ?)",
      atMs,
      actor,
      action,
      detail,
    );
    this.#sql.write("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", AUDIT_ENTRIES);
  }
}
