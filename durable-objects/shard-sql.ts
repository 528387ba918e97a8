// Shard storage over a Durable Object's SQLite. Every statement of the shard stands here.
import type { SegmentRow } from "../src/segment/rows.ts";
import type { BlockTail, CatalogueBlock, HeadRow, ShardStorage } from "../src/shard/storage.ts";
import { assert } from "../src/util/assert.ts";
import { concatBytes } from "../src/util/bytes.ts";

type BlockRow = {
  id: number;
  key: string;
  etag: string;
  byte_length: number;
  span_count: number;
  trace_count: number;
  raw_bytes: number;
  min_start_seconds: number;
  max_end_seconds: number;
};

type TailRow = { filter_length: number; trace_index_length: number; tail: ArrayBuffer };

const SEGMENT_TABLE = /^seg_(\d{1,16})$/;

/** The table of an epoch. Epochs are integers, so the name needs no quoting. */
function segmentTable(epoch: number): string {
  assert(Number.isSafeInteger(epoch) && epoch > 0, "an epoch is a positive integer");
  return `seg_${epoch}`;
}

export class ShardSql implements ShardStorage {
  readonly #storage: DurableObjectStorage;
  readonly #maxRowBytes: number;
  #rowsWritten = 0;

  constructor(storage: DurableObjectStorage, maxRowBytes: number) {
    this.#storage = storage;
    this.#maxRowBytes = maxRowBytes;
  }

  epochs(): number[] {
    return this.#storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'seg_*'")
      .toArray()
      .flatMap(({ name }) => {
        const digits = SEGMENT_TABLE.exec(name)?.[1];
        return digits === undefined ? [] : [Number(digits)];
      })
      .sort((a, b) => a - b);
  }

  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void {
    const table = segmentTable(epoch);
    this.#storage.transactionSync(() => {
      if (create) {
        this.#write(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL)`);
      }
      rows.forEach(({ head, body }, i) => {
        assert(head.length + body.length <= this.#maxRowBytes, "a row is within the platform's limit");
        this.#write(`INSERT INTO ${table} (id, head, body) VALUES (?, ?, ?)`, firstRow + i, head, body);
      });
    });
  }

  *heads(epoch: number): Generator<HeadRow> {
    const select = `SELECT id, head FROM ${segmentTable(epoch)} WHERE id > ? ORDER BY id LIMIT 256`;
    for (let last = 0; ;) {
      const rows = this.#storage.sql.exec<{ id: number; head: ArrayBuffer }>(select, last).toArray();
      if (rows.length === 0) return;
      for (const { id, head } of rows) yield { row: id, head: new Uint8Array(head) };
      last = rows.at(-1)?.id ?? last;
    }
  }

  *bodies(epoch: number, from: number): Generator<Uint8Array> {
    // Row by id, not a cursor: an open cursor would make DROP TABLE fail, and is no faster.
    const select = `SELECT body FROM ${segmentTable(epoch)} WHERE id = ?`;
    for (let row = from; ; row++) {
      const [found] = this.#storage.sql.exec<{ body: ArrayBuffer }>(select, row).toArray();
      if (found === undefined) return;
      yield new Uint8Array(found.body);
    }
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail): void {
    const bytes = concatBytes([tail.filter, tail.traceIndex, tail.resources]);
    this.#storage.transactionSync(() => {
      this.#write(
        `INSERT OR REPLACE INTO block (id, key, etag, byte_length, span_count, trace_count, raw_bytes,
           min_start_seconds, max_end_seconds, filter_length, trace_index_length, tail)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        block.id,
        block.key,
        block.etag,
        block.byteLength,
        block.spanCount,
        block.traceCount,
        block.rawBytes,
        block.minStartSeconds,
        block.maxEndSeconds,
        tail.filter.length,
        tail.traceIndex.length,
        // Less the row's other columns, which are below 4 KB.
        bytes.subarray(0, this.#tailRoom()),
      );
      this.#writeTailParts(block.id, bytes);
      this.#write(`DROP TABLE IF EXISTS ${segmentTable(epoch)}`);
    });
  }

  blocks(): CatalogueBlock[] {
    return this.#storage.sql
      .exec<BlockRow>(
        `SELECT id, key, etag, byte_length, span_count, trace_count, raw_bytes, min_start_seconds, max_end_seconds
         FROM block ORDER BY id`,
      )
      .toArray()
      .map((row) => ({
        id: row.id,
        key: row.key,
        etag: row.etag,
        byteLength: row.byte_length,
        spanCount: row.span_count,
        traceCount: row.trace_count,
        rawBytes: row.raw_bytes,
        minStartSeconds: row.min_start_seconds,
        maxEndSeconds: row.max_end_seconds,
      }));
  }

  lastBlockId(): number {
    return this.#storage.sql.exec<{ last: number }>("SELECT coalesce(max(id), 0) AS last FROM block").one()
      .last;
  }

  blockTail(id: number): BlockTail {
    const { filter_length, trace_index_length, tail } = this.#storage.sql
      .exec<TailRow>("SELECT filter_length, trace_index_length, tail FROM block WHERE id = ?", id)
      .one();
    const parts = this.#storage.sql
      .exec<{ part: ArrayBuffer }>("SELECT part FROM block_tail WHERE block = ? ORDER BY seq", id)
      .toArray();
    const bytes = concatBytes([new Uint8Array(tail), ...parts.map(({ part }) => new Uint8Array(part))]);
    const indexEnd = filter_length + trace_index_length;
    return {
      filter: bytes.slice(0, filter_length),
      traceIndex: bytes.slice(filter_length, indexEnd),
      resources: bytes.slice(indexEnd),
    };
  }

  rowsWritten(): number {
    return this.#rowsWritten;
  }

  sync(): Promise<void> {
    return this.#storage.sync();
  }

  setAlarm(atMs: number | null): void {
    // An alarm counts as one row written. Its write is part of this turn's commit: a failure breaks the object,
    // which then starts anew from storage, so there is nothing to wait for here.
    this.#rowsWritten++;
    void (atMs === null ? this.#storage.deleteAlarm() : this.#storage.setAlarm(atMs));
  }

  getAlarm(): Promise<number | null> {
    return this.#storage.getAlarm();
  }

  #tailRoom(): number {
    return this.#maxRowBytes - 4096;
  }

  #writeTailParts(block: number, bytes: Uint8Array): void {
    const room = this.#tailRoom();
    for (let seq = 1; seq * room < bytes.length; seq++) {
      this.#write(
        "INSERT OR REPLACE INTO block_tail (block, seq, part) VALUES (?, ?, ?)",
        block,
        seq,
        bytes.subarray(seq * room, (seq + 1) * room),
      );
    }
  }

  #write(sql: string, ...bindings: (SqlStorageValue | Uint8Array)[]): void {
    this.#rowsWritten += this.#storage.sql.exec(sql, ...bindings).rowsWritten;
  }
}
