// The saved days of a shard's usage: the statements on `usage_day`.
import { type UsageRow, USAGE_DAYS_KEPT } from "../src/shard/storage.ts";
import { assert } from "../src/util/assert.ts";
import type { CountedSql } from "./counted-sql.ts";

export class UsageSql {
  readonly #sql: CountedSql;
  readonly #maxBytes: number;

  /** @param maxBytes of a day's counts */
  constructor(sql: CountedSql, maxBytes: number) {
    this.#sql = sql;
    this.#maxBytes = maxBytes;
  }

  /** Also forgets the days that are too old. */
  put(rows: readonly UsageRow[]): void {
    if (rows.length === 0) return;
    for (const { day, savedMs, usage } of rows) {
      assert(usage.length <= this.#maxBytes, "a day's counts fit a row");
      this.#sql.write(
        "INSERT OR REPLACE INTO usage_day (day, saved_ms, usage) VALUES (?, ?, ?)",
        day,
        savedMs,
        usage,
      );
    }
    const newest = Math.max(...rows.map(({ day }) => day));
    this.#sql.write("DELETE FROM usage_day WHERE day < ?", newest - USAGE_DAYS_KEPT);
  }

  between(from: number, to: number): UsageRow[] {
    return this.#rows("WHERE day BETWEEN ? AND ? ORDER BY day", from, to);
  }

  newest(limit: number): UsageRow[] {
    return this.#rows("ORDER BY day DESC LIMIT ?", limit).toReversed();
  }

  #rows(clauses: string, ...bindings: number[]): UsageRow[] {
    return this.#sql
      .read<{ day: number; saved_ms: number; usage: ArrayBuffer }>(
        `SELECT day, saved_ms, usage FROM usage_day ${clauses}`,
        ...bindings,
      )
      .map(({ day, saved_ms, usage }) => ({
        day,
        savedMs: saved_ms,
        usage: new Uint8Array(usage),
      }));
  }
}
