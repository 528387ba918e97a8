// SQL statements of an object, and how many rows they read and wrote, as billed.
import type { RowCounts } from "../src/shard/storage.ts";

export class CountedSql {
  readonly #storage: DurableObjectStorage;
  #read = 0;
  #written = 0;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  get counts(): RowCounts {
    return { read: this.#read, written: this.#written };
  }

  /** The size of the database in bytes. */
  get byteLength(): number {
    return this.#storage.sql.databaseSize;
  }

  read<T extends Record<string, SqlStorageValue>>(sql: string, ...bindings: SqlStorageValue[]): T[] {
    const cursor = this.#storage.sql.exec<T>(sql, ...bindings);
    const rows = cursor.toArray();
    this.#note(cursor);
    return rows;
  }

  /** As `read`, row by row. Nothing may be written meanwhile. */
  *each<T extends Record<string, SqlStorageValue>>(
    sql: string,
    ...bindings: SqlStorageValue[]
  ): Generator<T> {
    const cursor = this.#storage.sql.exec<T>(sql, ...bindings);
    try {
      yield* cursor;
    } finally {
      this.#note(cursor);
    }
  }

  write(sql: string, ...bindings: (SqlStorageValue | Uint8Array)[]): void {
    this.#note(this.#storage.sql.exec(sql, ...bindings));
  }

  /** Counts what others did. */
  add({ read, written }: RowCounts): void {
    this.#read += read;
    this.#written += written;
  }

  /** Setting an alarm counts as a row. */
  noteAlarm(): void {
    this.#written++;
  }

  #note({ rowsRead, rowsWritten }: { readonly rowsRead: number; readonly rowsWritten: number }): void {
    this.#read += rowsRead;
    this.#written += rowsWritten;
  }
}
