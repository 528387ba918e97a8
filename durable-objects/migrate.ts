// Brings an object's schema up to date.
import type { Migration } from "../migrations/index.ts";
import type { RowCounts } from "../src/shard/storage.ts";
import { CountedSql } from "./counted-sql.ts";

/**
 * Applies the migrations that this object has not seen, each with its record in one transaction.
 * @returns the rows that this took
 */
export function migrate(storage: DurableObjectStorage, migrations: readonly Migration[]): RowCounts {
  const sql = new CountedSql(storage);
  sql.write("CREATE TABLE IF NOT EXISTS schema_migration (id INTEGER PRIMARY KEY)");
  const [row] = sql.read<{ last: number }>("SELECT coalesce(max(id), 0) AS last FROM schema_migration");
  for (const migration of migrations) {
    if (migration.id <= (row?.last ?? 0)) continue;
    storage.transactionSync(() => {
      sql.write(migration.sql);
      sql.write("INSERT OR IGNORE INTO schema_migration (id) VALUES (?)", migration.id);
    });
  }
  return sql.counts;
}
