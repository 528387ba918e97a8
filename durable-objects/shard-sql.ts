// Shard storage over a Durable Object's SQLite. Every statement of the shard stands here.
import type { SegmentRow } from "../src/segment/rows.ts";
import type {
  CatalogueChange,
  FilterGroup,
  FilterRow,
  GroupRows,
  HeadRow,
  LookupTail,
  RetiredObject,
  ShardStorage,
} from "../src/shard/storage.ts";
import { jobText, parseJob } from "../src/shard/stored-job.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../src/store/catalogue.ts";
import type { ShardJob } from "../src/store/rpc.ts";
import { assert, must } from "../src/util/assert.ts";
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
  version: number;
  arrived_ms: number;
};

type PartRow = { part: ArrayBuffer };

const BLOCK_COLUMNS =
  "id, key, etag, byte_length, span_count, trace_count, raw_bytes, min_start_seconds, max_end_seconds, version, arrived_ms";
const ALL_BLOCKS = `(SELECT ${BLOCK_COLUMNS} FROM young_block UNION ALL SELECT ${BLOCK_COLUMNS} FROM indexed_block)`;
/** See `retentionStart`. */
const RETENTION_START = "min(max(max_end_seconds * 1000, arrived_ms), arrived_ms + 86400000)";
const LAST_ID = "last_id";
/** Slots of a bucket in `filter_row`. */
const SLOTS = 65_536;

const SEGMENT_TABLE = /^seg_(\d{1,16})$/;

/** The table of an epoch. Epochs are integers, so the name needs no quoting. */
function segmentTable(epoch: number): string {
  assert(Number.isSafeInteger(epoch) && epoch > 0, "an epoch is a positive integer");
  return `seg_${epoch}`;
}

function blockOf(row: BlockRow): CatalogueBlock {
  return {
    id: row.id,
    key: row.key,
    etag: row.etag,
    byteLength: row.byte_length,
    spanCount: row.span_count,
    traceCount: row.trace_count,
    rawBytes: row.raw_bytes,
    minStartSeconds: row.min_start_seconds,
    maxEndSeconds: row.max_end_seconds,
    version: row.version,
    arrivedMs: row.arrived_ms,
  };
}

function joined(rows: readonly PartRow[]): Uint8Array {
  return concatBytes(rows.map(({ part }) => new Uint8Array(part)));
}

export class ShardSql implements ShardStorage {
  readonly #storage: DurableObjectStorage;
  readonly #maxRowBytes: number;
  #rowsWritten = 0;
  #rowsRead = 0;

  constructor(storage: DurableObjectStorage, maxRowBytes: number) {
    this.#storage = storage;
    this.#maxRowBytes = maxRowBytes;
  }

  epochs(): number[] {
    return this.#read<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'seg_*'",
    )
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
      const rows = this.#read<{ id: number; head: ArrayBuffer }>(select, last);
      if (rows.length === 0) return;
      for (const { id, head } of rows) yield { row: id, head: new Uint8Array(head) };
      last = rows.at(-1)?.id ?? last;
    }
  }

  *bodies(epoch: number, from: number): Generator<Uint8Array> {
    // Row by id, not a cursor: an open cursor would make DROP TABLE fail, and is no faster.
    const select = `SELECT body FROM ${segmentTable(epoch)} WHERE id = ?`;
    for (let row = from; ; row++) {
      const [found] = this.#read<{ body: ArrayBuffer }>(select, row);
      if (found === undefined) return;
      yield new Uint8Array(found.body);
    }
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail): void {
    this.#storage.transactionSync(() => {
      this.#addYoung(block, tail);
      this.#write(`DROP TABLE IF EXISTS ${segmentTable(epoch)}`);
    });
  }

  change({ remove, add, groups, rows, retire, forget, job, settings }: CatalogueChange): void {
    this.#storage.transactionSync(() => {
      const lastId = this.lastId();
      for (const id of remove) this.#removeBlock(id);
      for (const { block, tail } of add) this.#addYoung(block, tail);
      for (const group of groups) this.#putGroup(group);
      if (rows !== undefined) this.#putRows(rows);
      for (const object of retire) this.#putRetired(object);
      for (const id of forget) this.#write("DELETE FROM retired WHERE id = ?", id);
      if (job !== undefined) this.#putJob(job);
      for (const [name, value] of Object.entries(settings)) this.#putSetting(name, value);
      if (this.lastId() < lastId) this.#putSetting(LAST_ID, String(lastId));
    });
  }

  youngBlocks(): CatalogueBlock[] {
    return this.#read<BlockRow>(`SELECT ${BLOCK_COLUMNS} FROM young_block ORDER BY id`).map(blockOf);
  }

  block(id: number): CatalogueBlock | undefined {
    for (const table of ["young_block", "indexed_block"]) {
      const [row] = this.#read<BlockRow>(`SELECT ${BLOCK_COLUMNS} FROM ${table} WHERE id = ?`, id);
      if (row !== undefined) return blockOf(row);
    }
    return undefined;
  }

  blocksBetween({ startSeconds = -Infinity, endSeconds = Infinity }: TimeRange): CatalogueBlock[] {
    return this.#read<BlockRow>(
      `SELECT * FROM ${ALL_BLOCKS} WHERE max_end_seconds >= ? AND min_start_seconds <= ? ORDER BY id`,
      startSeconds,
      endSeconds,
    ).map(blockOf);
  }

  blocksEndedBefore(ms: number, limit: number): CatalogueBlock[] {
    return this.#read<BlockRow>(
      `SELECT * FROM ${ALL_BLOCKS} WHERE ${RETENTION_START} < ? ORDER BY id LIMIT ?`,
      ms,
      limit,
    ).map(blockOf);
  }

  firstEnd(): number | undefined {
    const [row] = this.#read<{ first: number | null }>(
      `SELECT min(${RETENTION_START}) AS first FROM ${ALL_BLOCKS}`,
    );
    return row?.first ?? undefined;
  }

  filter(id: number): Uint8Array {
    const { bytes, filterLength } = this.#youngTail(id);
    return bytes.slice(0, filterLength);
  }

  lookupTail(id: number): LookupTail {
    const [indexed] = this.#read<{ trace_index_length: number }>(
      "SELECT trace_index_length FROM indexed_block WHERE id = ?",
      id,
    );
    if (indexed !== undefined) {
      const bytes = joined(
        this.#read<PartRow>("SELECT part FROM indexed_tail WHERE block = ? ORDER BY seq", id),
      );
      return {
        traceIndex: bytes.slice(0, indexed.trace_index_length),
        resources: bytes.slice(indexed.trace_index_length),
      };
    }
    const { bytes, filterLength, traceIndexLength } = this.#youngTail(id);
    const indexEnd = filterLength + traceIndexLength;
    return { traceIndex: bytes.slice(filterLength, indexEnd), resources: bytes.slice(indexEnd) };
  }

  filterGroups(): FilterGroup[] {
    return this.#read<{ slot: number; id: number; bits: number; members: ArrayBuffer }>(
      "SELECT slot, id, bits, members FROM filter_group ORDER BY slot",
    ).map(({ slot, id, bits, members }) => ({
      slot,
      id,
      bits: bits === 16 ? 16 : 32,
      members: [...new Float64Array(members)],
    }));
  }

  *filterRows(bucket: number): Generator<FilterRow> {
    const cursor = this.#storage.sql.exec<{ id: number; filter: ArrayBuffer }>(
      "SELECT id, filter FROM filter_row WHERE id BETWEEN ? AND ?",
      bucket * SLOTS,
      bucket * SLOTS + SLOTS - 1,
    );
    for (const { id, filter } of cursor) yield { slot: id - bucket * SLOTS, filter: new Uint8Array(filter) };
    this.#rowsRead += cursor.rowsRead;
  }

  job(): ShardJob | undefined {
    const [row] = this.#read<{ body: string }>("SELECT body FROM job");
    return row === undefined ? undefined : parseJob(row.body);
  }

  retiredBefore(ms: number, limit: number): RetiredObject[] {
    return this.#read<{ id: number; key: string; delete_at_ms: number }>(
      "SELECT id, key, delete_at_ms FROM retired WHERE delete_at_ms <= ? ORDER BY delete_at_ms, id LIMIT ?",
      ms,
      limit,
    ).map(({ id, key, delete_at_ms }) => ({ id, key, deleteAtMs: delete_at_ms }));
  }

  firstRetired(): number | undefined {
    const [row] = this.#read<{ first: number | null }>("SELECT min(delete_at_ms) AS first FROM retired");
    return row?.first ?? undefined;
  }

  isRetired(id: number): boolean {
    return this.#read("SELECT 1 AS found FROM retired WHERE id = ?", id).length > 0;
  }

  setting(name: string): string | undefined {
    return this.#read<{ value: string }>("SELECT value FROM setting WHERE name = ?", name)[0]?.value;
  }

  lastId(): number {
    const greatest = ["young_block", "indexed_block", "job", "retired"].map(
      (table) => this.#read<{ last: number | null }>(`SELECT max(id) AS last FROM ${table}`)[0]?.last ?? 0,
    );
    return Math.max(...greatest, Number(this.setting(LAST_ID) ?? 0));
  }

  rowsWritten(): number {
    return this.#rowsWritten;
  }

  rowsRead(): number {
    return this.#rowsRead;
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

  async deleteAll(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
  }

  /** Less the row's other columns, which are below 4 KB. */
  #tailRoom(): number {
    return this.#maxRowBytes - 4096;
  }

  #addYoung(block: CatalogueBlock, { filter, traceIndex, resources }: BlockTail): void {
    const room = this.#tailRoom();
    const bytes = concatBytes([filter, traceIndex, resources]);
    this.#write(
      `INSERT OR REPLACE INTO young_block (${BLOCK_COLUMNS}, filter_length, trace_index_length, tail)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...columnsOf(block),
      filter.length,
      traceIndex.length,
      bytes.subarray(0, room),
    );
    this.#putParts("young_part", block.id, bytes, 1);
  }

  #putParts(table: "young_part" | "indexed_tail", block: number, bytes: Uint8Array, firstSeq: number): void {
    const room = this.#tailRoom();
    for (let seq = firstSeq; seq * room < bytes.length; seq++) {
      this.#write(
        `INSERT OR REPLACE INTO ${table} (block, seq, part) VALUES (?, ?, ?)`,
        block,
        seq,
        bytes.subarray(seq * room, (seq + 1) * room),
      );
    }
  }

  #youngTail(id: number): { bytes: Uint8Array; filterLength: number; traceIndexLength: number } {
    const [row] = this.#read<PartRow & { filter_length: number; trace_index_length: number }>(
      "SELECT filter_length, trace_index_length, tail AS part FROM young_block WHERE id = ?",
      id,
    );
    const first = must(row, `block ${id} is in the catalogue`);
    const parts = this.#read<PartRow>("SELECT part FROM young_part WHERE block = ? ORDER BY seq", id);
    return {
      bytes: joined([first, ...parts]),
      filterLength: first.filter_length,
      traceIndexLength: first.trace_index_length,
    };
  }

  #removeBlock(id: number): void {
    for (const table of ["young_block", "indexed_block"]) {
      this.#write(`DELETE FROM ${table} WHERE id = ?`, id);
    }
    for (const table of ["young_part", "indexed_tail"]) {
      this.#write(`DELETE FROM ${table} WHERE block = ?`, id);
    }
  }

  #putGroup({ slot, id, bits, members }: FilterGroup): void {
    if (members.every((member) => member === 0)) {
      this.#write("DELETE FROM filter_group WHERE slot = ?", slot);
      return;
    }
    this.#write(
      "INSERT OR REPLACE INTO filter_group (slot, id, bits, members) VALUES (?, ?, ?, ?)",
      slot,
      id,
      bits,
      new Uint8Array(Float64Array.from(members).buffer),
    );
  }

  #putRows({ slot, blocks, filters }: GroupRows): void {
    assert(slot >= 0 && slot < SLOTS, "a slot has 16 bits");
    filters.forEach((filter, bucket) => {
      assert(filter.length <= this.#maxRowBytes, "a row is within the platform's limit");
      this.#write(
        "INSERT OR REPLACE INTO filter_row (id, filter) VALUES (?, ?)",
        bucket * SLOTS + slot,
        filter,
      );
    });
    for (const id of blocks) {
      const block = must(this.block(id), `block ${id} is in the catalogue`);
      const { traceIndex, resources } = this.lookupTail(id);
      this.#removeBlock(id);
      this.#write(
        `INSERT INTO indexed_block (${BLOCK_COLUMNS}, trace_index_length) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...columnsOf(block),
        traceIndex.length,
      );
      this.#putParts("indexed_tail", id, concatBytes([traceIndex, resources]), 0);
    }
  }

  #putRetired({ id, key, deleteAtMs }: RetiredObject): void {
    this.#write(
      "INSERT OR REPLACE INTO retired (id, key, delete_at_ms) VALUES (?, ?, ?)",
      id,
      key,
      deleteAtMs,
    );
  }

  #putJob(job: ShardJob | null): void {
    this.#write("DELETE FROM job");
    if (job !== null) this.#write("INSERT INTO job (id, body) VALUES (?, ?)", job.id, jobText(job));
  }

  #putSetting(name: string, value: string | null): void {
    if (value === null) this.#write("DELETE FROM setting WHERE name = ?", name);
    else this.#write("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, value);
  }

  #read<T extends Record<string, SqlStorageValue>>(sql: string, ...bindings: SqlStorageValue[]): T[] {
    const cursor = this.#storage.sql.exec<T>(sql, ...bindings);
    const rows = cursor.toArray();
    this.#rowsRead += cursor.rowsRead;
    return rows;
  }

  #write(sql: string, ...bindings: (SqlStorageValue | Uint8Array)[]): void {
    this.#rowsWritten += this.#storage.sql.exec(sql, ...bindings).rowsWritten;
  }
}

/** In the order of `BLOCK_COLUMNS`. */
function columnsOf(block: CatalogueBlock): SqlStorageValue[] {
  return [
    block.id,
    block.key,
    block.etag,
    block.byteLength,
    block.spanCount,
    block.traceCount,
    block.rawBytes,
    block.minStartSeconds,
    block.maxEndSeconds,
    block.version,
    block.arrivedMs,
  ];
}
