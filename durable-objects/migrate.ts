// Brings an object's schema up to date.
import type { Migration } from "../migrations/index.ts";

/** Applies the migrations that this object has not seen, each with its record in one transaction. */
export function migrate(storage: DurableObjectStorage, migrations: readonly Migration[]): void {
  storage.sql.exec("CREATE TABLE IF NOT EXISTS schema_migration (id INTEGER PRIMARY KEY)");
  const { last } = storage.sql
    .exec<{ last: number }>("SELECT coalesce(max(id), 0) AS last FROM schema_migration")
    .one();
  for (const migration of migrations) {
    if (migration.id <= last) continue;
    storage.transactionSync(() => {
      storage.sql.exec(migration.sql);
      storage.sql.exec("INSERT OR IGNORE INTO schema_migration (id) VALUES (?)", migration.id);
    });
  }
}
