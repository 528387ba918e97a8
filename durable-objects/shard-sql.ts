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
  StoredBytes,
  UsageRow,
} from "../src/shard/storage.ts";
import { jobText, parseJob } from "../src/shard/stored-job.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../src/store/catalogue.ts";
import type { ShardJob } from "../src/store/rpc.ts";
import { assert, must } from "../src/util/assert.ts";
import { concatBytes } from "../src/util/bytes.ts";
import { CountedSql } from "./counted-sql.ts";
import { UsageSql } from "./usage-sql.ts";

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
  /** Epochs whose tables were made before rows carried counts. */
  readonly #withoutUsage = new Set<number>();
  /** Undefined until somebody asks: it goes through all blocks once. */
  #blockBytes: number | undefined;
  readonly #sql: CountedSql;
  readonly #usage: UsageSql;

  constructor(storage: DurableObjectStorage, maxRowBytes: number) {
    this.#storage = storage;
    this.#maxRowBytes = maxRowBytes;
    this.#sql = new CountedSql(storage);
    this.#usage = new UsageSql(this.#sql, this.#tailRoom());
  }

  epochs(): number[] {
    return this.#sql
      .read<{ name: string; sql: string }>(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name GLOB 'seg_*'",
      )
      .flatMap(({ name, sql }) => {
        const digits = SEGMENT_TABLE.exec(name)?.[1];
        if (digits === undefined) return [];
        if (!sql.includes(" usage BLOB")) this.#withoutUsage.add(Number(digits));
        return [Number(digits)];
      })
      .sort((a, b) => a - b);
  }

  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void {
    const table = segmentTable(epoch);
    this.#storage.transactionSync(() => {
      if (create) {
        this.#sql.write(
          `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, head BLOB NOT NULL, usage BLOB, body BLOB NOT NULL)`,
        );
      } else if (this.#withoutUsage.delete(epoch)) {
        this.#sql.write(`ALTER TABLE ${table} ADD COLUMN usage BLOB`);
      }
      rows.forEach(({ head, usage, body }, i) => {
        const bytes = head.length + body.length + (usage?.length ?? 0);
        assert(bytes <= this.#maxRowBytes, "a row is within the platform's limit");
        this.#sql.write(
          `INSERT INTO ${table} (id, head, usage, body) VALUES (?, ?, ?, ?)`,
          firstRow + i,
          head,
          usage ?? null,
          body,
        );
      });
    });
  }

  *heads(epoch: number): Generator<HeadRow> {
    const usageColumn = this.#withoutUsage.has(epoch) ? "NULL AS usage" : "usage";
    const select = `SELECT id, head, ${usageColumn} FROM ${segmentTable(epoch)} WHERE id > ? ORDER BY id LIMIT 256`;
    for (let last = 0; ;) {
      const rows = this.#sql.read<{ id: number; head: ArrayBuffer; usage: ArrayBuffer | null }>(select, last);
      if (rows.length === 0) return;
      for (const { id, head, usage } of rows) {
        const carried = usage === null ? {} : { usage: new Uint8Array(usage) };
        yield { row: id, head: new Uint8Array(head), ...carried };
      }
      last = rows.at(-1)?.id ?? last;
    }
  }

  *bodies(epoch: number, from: number): Generator<Uint8Array> {
    // Row by id, not a cursor: an open cursor would make DROP TABLE fail, and is no faster.
    const select = `SELECT body FROM ${segmentTable(epoch)} WHERE id = ?`;
    for (let row = from; ; row++) {
      const [found] = this.#sql.read<{ body: ArrayBuffer }>(select, row);
      if (found === undefined) return;
      yield new Uint8Array(found.body);
    }
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail, usage: readonly UsageRow[] = []): void {
    this.#changeBlocks(() => {
      this.#addYoung(block, tail);
      this.#sql.write(`DROP TABLE IF EXISTS ${segmentTable(epoch)}`);
      this.#usage.put(usage);
    });
  }

  saveUsage(rows: readonly UsageRow[]): void {
    this.#storage.transactionSync(() => this.#usage.put(rows));
  }

  usageRows(from: number, to: number): UsageRow[] {
    return this.#usage.between(from, to);
  }

  newestUsage(limit: number): UsageRow[] {
    return this.#usage.newest(limit);
  }

  storedBytes(): StoredBytes {
    this.#blockBytes ??=
      this.#sql.read<{ bytes: number | null }>(`SELECT sum(byte_length) AS bytes FROM ${ALL_BLOCKS}`)[0]
        ?.bytes ?? 0;
    return { sqlite: this.#sql.byteLength, blocks: this.#blockBytes };
  }

  change({ remove, add, groups, rows, retire, forget, job, settings }: CatalogueChange): void {
    this.#changeBlocks(() => {
      const lastId = this.lastId();
      for (const id of remove) this.#removeBlock(id);
      for (const { block, tail } of add) this.#addYoung(block, tail);
      for (const group of groups) this.#putGroup(group);
      if (rows !== undefined) this.#putRows(rows);
      for (const object of retire) this.#putRetired(object);
      for (const id of forget) this.#sql.write("DELETE FROM retired WHERE id = ?", id);
      if (job !== undefined) this.#putJob(job);
      for (const [name, value] of Object.entries(settings)) this.#putSetting(name, value);
      if (this.lastId() < lastId) this.#putSetting(LAST_ID, String(lastId));
    });
  }

  youngBlocks(): CatalogueBlock[] {
    return this.#sql.read<BlockRow>(`SELECT ${BLOCK_COLUMNS} FROM young_block ORDER BY id`).map(blockOf);
  }

  block(id: number): CatalogueBlock | undefined {
    for (const table of ["young_block", "indexed_block"]) {
      const [row] = this.#sql.read<BlockRow>(`SELECT ${BLOCK_COLUMNS} FROM ${table} WHERE id = ?`, id);
      if (row !== undefined) return blockOf(row);
    }
    return undefined;
  }

  blocksBetween({ startSeconds = -Infinity, endSeconds = Infinity }: TimeRange): CatalogueBlock[] {
    return this.#sql
      .read<BlockRow>(
        `SELECT * FROM ${ALL_BLOCKS} WHERE max_end_seconds >= ? AND min_start_seconds <= ? ORDER BY id`,
        startSeconds,
        endSeconds,
      )
      .map(blockOf);
  }

  blocksEndedBefore(ms: number, limit: number): CatalogueBlock[] {
    return this.#sql
      .read<BlockRow>(
        `SELECT * FROM ${ALL_BLOCKS} WHERE ${RETENTION_START} < ? ORDER BY id LIMIT ?`,
        ms,
        limit,
      )
      .map(blockOf);
  }

  firstEnd(): number | undefined {
    const [row] = this.#sql.read<{ first: number | null }>(
      `SELECT min(${RETENTION_START}) AS first FROM ${ALL_BLOCKS}`,
    );
    return row?.first ?? undefined;
  }

  filter(id: number): Uint8Array {
    const { bytes, filterLength } = this.#youngTail(id);
    return bytes.slice(0, filterLength);
  }

  lookupTail(id: number): LookupTail {
    const [indexed] = this.#sql.read<{ trace_index_length: number }>(
      "SELECT trace_index_length FROM indexed_block WHERE id = ?",
      id,
    );
    if (indexed !== undefined) {
      const bytes = joined(
        this.#sql.read<PartRow>("SELECT part FROM indexed_tail WHERE block = ? ORDER BY seq", id),
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
    return this.#sql
      .read<{ slot: number; id: number; bits: number; members: ArrayBuffer }>(
        "SELECT slot, id, bits, members FROM filter_group ORDER BY slot",
      )
      .map(({ slot, id, bits, members }) => ({
        slot,
        id,
        bits: bits === 16 ? 16 : 32,
        members: [...new Float64Array(members)],
      }));
  }

  *filterRows(bucket: number): Generator<FilterRow> {
    const rows = this.#sql.each<{ id: number; filter: ArrayBuffer }>(
      "SELECT id, filter FROM filter_row WHERE id BETWEEN ? AND ?",
      bucket * SLOTS,
      bucket * SLOTS + SLOTS - 1,
    );
    for (const { id, filter } of rows) yield { slot: id - bucket * SLOTS, filter: new Uint8Array(filter) };
  }

  job(): ShardJob | undefined {
    const [row] = this.#sql.read<{ body: string }>("SELECT body FROM job");
    return row === undefined ? undefined : parseJob(row.body);
  }

  retiredBefore(ms: number, limit: number): RetiredObject[] {
    return this.#sql
      .read<{ id: number; key: string; delete_at_ms: number }>(
        "SELECT id, key, delete_at_ms FROM retired WHERE delete_at_ms <= ? ORDER BY delete_at_ms, id LIMIT ?",
        ms,
        limit,
      )
      .map(({ id, key, delete_at_ms }) => ({ id, key, deleteAtMs: delete_at_ms }));
  }

  firstRetired(): number | undefined {
    const [row] = this.#sql.read<{ first: number | null }>("SELECT min(delete_at_ms) AS first FROM retired");
    return row?.first ?? undefined;
  }

  isRetired(id: number): boolean {
    return this.#sql.read("SELECT 1 AS found FROM retired WHERE id = ?", id).length > 0;
  }

  setting(name: string): string | undefined {
    return this.#sql.read<{ value: string }>("SELECT value FROM setting WHERE name = ?", name)[0]?.value;
  }

  lastId(): number {
    const greatest = ["young_block", "indexed_block", "job", "retired"].map(
      (table) =>
        this.#sql.read<{ last: number | null }>(`SELECT max(id) AS last FROM ${table}`)[0]?.last ?? 0,
    );
    return Math.max(...greatest, Number(this.setting(LAST_ID) ?? 0));
  }

  rowsWritten(): number {
    return this.#sql.counts.written;
  }

  rowsRead(): number {
    return this.#sql.counts.read;
  }

  sync(): Promise<void> {
    return this.#storage.sync();
  }

  setAlarm(atMs: number | null): void {
    // An alarm counts as one row written. Its write is part of this turn's commit: a failure breaks the object,
    // which then starts anew from storage, so there is nothing to wait for here.
    this.#sql.noteAlarm();
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
    this.#countBytes(block.byteLength - this.#bytesOf(block.id));
    this.#sql.write(
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
      this.#sql.write(
        `INSERT OR REPLACE INTO ${table} (block, seq, part) VALUES (?, ?, ?)`,
        block,
        seq,
        bytes.subarray(seq * room, (seq + 1) * room),
      );
    }
  }

  #youngTail(id: number): { bytes: Uint8Array; filterLength: number; traceIndexLength: number } {
    const [row] = this.#sql.read<PartRow & { filter_length: number; trace_index_length: number }>(
      "SELECT filter_length, trace_index_length, tail AS part FROM young_block WHERE id = ?",
      id,
    );
    const first = must(row, `block ${id} is in the catalogue`);
    const parts = this.#sql.read<PartRow>("SELECT part FROM young_part WHERE block = ? ORDER BY seq", id);
    return {
      bytes: joined([first, ...parts]),
      filterLength: first.filter_length,
      traceIndexLength: first.trace_index_length,
    };
  }

  /** Of a block that may not be there; not looked up when nobody wants to know. */
  #bytesOf(id: number): number {
    return this.#blockBytes === undefined ? 0 : (this.block(id)?.byteLength ?? 0);
  }

  #removeBlock(id: number): void {
    this.#countBytes(-this.#bytesOf(id));
    for (const table of ["young_block", "indexed_block"]) {
      this.#sql.write(`DELETE FROM ${table} WHERE id = ?`, id);
    }
    for (const table of ["young_part", "indexed_tail"]) {
      this.#sql.write(`DELETE FROM ${table} WHERE block = ?`, id);
    }
  }

  #putGroup({ slot, id, bits, members }: FilterGroup): void {
    if (members.every((member) => member === 0)) {
      this.#sql.write("DELETE FROM filter_group WHERE slot = ?", slot);
      return;
    }
    this.#sql.write(
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
      this.#sql.write(
        "INSERT OR REPLACE INTO filter_row (id, filter) VALUES (?, ?)",
        bucket * SLOTS + slot,
        filter,
      );
    });
    for (const id of blocks) {
      const block = must(this.block(id), `block ${id} is in the catalogue`);
      const { traceIndex, resources } = this.lookupTail(id);
      this.#removeBlock(id);
      this.#countBytes(block.byteLength);
      this.#sql.write(
        `INSERT INTO indexed_block (${BLOCK_COLUMNS}, trace_index_length) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...columnsOf(block),
        traceIndex.length,
      );
      this.#putParts("indexed_tail", id, concatBytes([traceIndex, resources]), 0);
    }
  }

  #putRetired({ id, key, deleteAtMs }: RetiredObject): void {
    this.#sql.write(
      "INSERT OR REPLACE INTO retired (id, key, delete_at_ms) VALUES (?, ?, ?)",
      id,
      key,
      deleteAtMs,
    );
  }

  #putJob(job: ShardJob | null): void {
    this.#sql.write("DELETE FROM job");
    if (job !== null) this.#sql.write("INSERT INTO job (id, body) VALUES (?, ?)", job.id, jobText(job));
  }

  #putSetting(name: string, value: string | null): void {
    if (value === null) this.#sql.write("DELETE FROM setting WHERE name = ?", name);
    else this.#sql.write("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, value);
  }

  /** In one transaction. How many bytes the blocks have is counted along, unless it fails. */
  #changeBlocks(change: () => void): void {
    try {
      this.#storage.transactionSync(change);
    } catch (error) {
      this.#blockBytes = undefined;
      throw error;
    }
  }

  #countBytes(bytes: number): void {
    if (this.#blockBytes !== undefined) this.#blockBytes += bytes;
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
