// What a shard needs of its durable storage. Adapters: durable-objects/shard-sql.ts, memory-storage.ts.
import type { SegmentRow } from "../segment/rows.ts";

/** A row of an epoch as the index needs it. */
export interface HeadRow {
  readonly row: number;
  readonly head: Uint8Array;
}

/** A committed block: what a lookup needs without touching the object. */
export interface CatalogueBlock {
  /** The epoch it was flushed from. */
  readonly id: number;
  readonly key: string;
  readonly etag: string;
  readonly byteLength: number;
  readonly spanCount: number;
  readonly traceCount: number;
  /** Inflated span bytes. */
  readonly rawBytes: number;
  /** Whole seconds since 1970 around the spans' times: [minStart, maxEnd]. */
  readonly minStartSeconds: number;
  readonly maxEndSeconds: number;
}

/** The large parts of a catalogue entry, formats in block/FORMAT.md. */
export interface BlockTail {
  readonly filter: Uint8Array;
  readonly traceIndex: Uint8Array;
  readonly resources: Uint8Array;
}

/**
 * Synchronous but for `sync` and the alarm, as SQLite in a Durable Object is. Methods that write are atomic.
 * Bytes that come back are the caller's.
 */
export interface ShardStorage {
  /** Epochs with a table, ascending. */
  epochs(): number[];
  /** Writes rows with the ids `firstRow`, `firstRow + 1`, ...; creates the epoch's table first if `create`. */
  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void;
  /** Heads of the rows in order of id; a continuation's is empty. */
  heads(epoch: number): Iterable<HeadRow>;
  /** Bodies of the rows from `row` on, in order, fetched one by one as the caller goes on. */
  bodies(epoch: number, row: number): Iterable<Uint8Array>;
  /** In one transaction: the block enters the catalogue, the epoch's table is dropped. Safe to repeat. */
  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail): void;
  blocks(): CatalogueBlock[];
  /** The greatest id of any block ever committed, 0 if none. */
  lastBlockId(): number;
  /** @throws when there is no such block */
  blockTail(id: number): BlockTail;
  /** Rows written since the object was opened, as billed. */
  rowsWritten(): number;
  /** Resolves when all writes so far are durable. */
  sync(): Promise<void>;
  /** Replaces the alarm, or removes it. Durable with the writes of the same turn. */
  setAlarm(atMs: number | null): void;
  /** The alarm's time, if one is set. */
  getAlarm(): Promise<number | null>;
}
