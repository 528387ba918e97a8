// What a shard needs of its durable storage. Adapters: durable-objects/shard-sql.ts, memory-storage.ts;
// test/contract/shard-storage.ts holds what both promise.
import type { SegmentRow } from "../segment/rows.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../store/catalogue.ts";
import type { ShardJob } from "../store/rpc.ts";

/** A row of an epoch as the index needs it. */
export interface HeadRow {
  readonly row: number;
  readonly head: Uint8Array;
  /** Counts that the row carries. */
  readonly usage?: Uint8Array;
}

/** A day's counts, saved whole. */
export interface UsageRow {
  /** Days since 1970, UTC. */
  readonly day: number;
  readonly savedMs: number;
  /** As rows of epochs carry it: segment/FORMAT.md, "Usage". */
  readonly usage: Uint8Array;
}

/** Rows as billed. */
export interface RowCounts {
  readonly read: number;
  readonly written: number;
}

/** For as long as a bill may be argued about. */
export const USAGE_DAYS_KEPT = 400;

/** Bytes that are paid for as long as they are there. */
export interface StoredBytes {
  readonly sqlite: number;
  /** Of the catalogue's blocks. */
  readonly blocks: number;
}

/** What a hit needs of a block: its pages' places and its resources. */
export type LookupTail = Pick<BlockTail, "traceIndex" | "resources">;

/** Blocks whose filters lie together, bucket by bucket. */
export interface FilterGroup {
  /** Where its rows are; taken again when all its blocks are gone. */
  readonly slot: number;
  /** The job that made it. */
  readonly id: number;
  /** Bits of a fingerprint. */
  readonly bits: 16 | 32;
  /** Ids of the blocks by their index in the filters, 0 for one that is gone. */
  readonly members: readonly number[];
}

/** One bucket of a group. */
export interface FilterRow {
  readonly slot: number;
  readonly filter: Uint8Array;
}

/** An object that is in the catalogue no more and is to be deleted. */
export interface RetiredObject {
  /** Id of its block. */
  readonly id: number;
  readonly key: string;
  readonly deleteAtMs: number;
}

/** One transaction on the catalogue, in this order. */
export interface CatalogueChange {
  /** Ids of blocks, in a filter group or not. Groups are not touched. */
  readonly remove: readonly number[];
  /** New blocks, with filters of their own. */
  readonly add: readonly { readonly block: CatalogueBlock; readonly tail: BlockTail }[];
  /** Groups that are new or have changed; without members a group is removed, its slot free. */
  readonly groups: readonly FilterGroup[];
  /** A group's rows, replacing those of its slot. */
  readonly rows: GroupRows | undefined;
  readonly retire: readonly RetiredObject[];
  /** Ids of retired objects that are deleted. */
  readonly forget: readonly number[];
  /** The open job; null closes it, undefined leaves it as it is. */
  readonly job: ShardJob | null | undefined;
  /** By name; null removes. */
  readonly settings: Readonly<Record<string, string | null>>;
}

export interface GroupRows {
  readonly slot: number;
  /** Ids of the young blocks that are in the group: they give up their own filters. */
  readonly blocks: readonly number[];
  /** One a bucket, from 0. */
  readonly filters: readonly Uint8Array[];
}

/** To be spread into those that change something. */
export const NO_CHANGE: CatalogueChange = {
  remove: [],
  add: [],
  groups: [],
  rows: undefined,
  retire: [],
  forget: [],
  job: undefined,
  settings: {},
};

/**
 * Synchronous but for `sync`, `deleteAll` and the alarm, as SQLite in a Durable Object is. Methods that write are atomic.
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
  /**
   * In one transaction: the block enters the catalogue, the epoch's table is dropped, the counts that its rows carried are
   * in `usage`. Safe to repeat.
   */
  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail, usage?: readonly UsageRow[]): void;
  /** Replaces the counts of the days. Days that are USAGE_DAYS_KEPT older are forgotten, as in `commitBlock`. */
  saveUsage(rows: readonly UsageRow[]): void;
  /** The saved days from `from` to `to`, both included, ascending. */
  usageRows(from: number, to: number): UsageRow[];
  /** The newest saved days, `limit` at most. */
  newestUsage(limit: number): UsageRow[];
  storedBytes(): StoredBytes;
  /** Changes the catalogue in one transaction. */
  change(change: CatalogueChange): void;
  /** Blocks with a filter of their own, by id. */
  youngBlocks(): CatalogueBlock[];
  /** A block, young or in a group. */
  block(id: number): CatalogueBlock | undefined;
  /** Blocks with spans in the range, by id. */
  blocksBetween(range: TimeRange): CatalogueBlock[];
  /** Blocks whose retention began before `ms` (see `retentionStart`), by id, `limit` at most. */
  blocksEndedBefore(ms: number, limit: number): CatalogueBlock[];
  /** When the first block's retention began, in ms; undefined when there is no block. */
  firstEnd(): number | undefined;
  /** The filter of a young block. @throws when there is no such block */
  filter(id: number): Uint8Array;
  /** @throws when there is no such block */
  lookupTail(id: number): LookupTail;
  filterGroups(): FilterGroup[];
  /** The bucket's rows of all slots, free ones too, by slot. Nothing may be written meanwhile. */
  filterRows(bucket: number): Iterable<FilterRow>;
  job(): ShardJob | undefined;
  /** What may be deleted at `ms`, oldest first, `limit` at most. */
  retiredBefore(ms: number, limit: number): RetiredObject[];
  /** When the first retired object may be deleted, in ms. */
  firstRetired(): number | undefined;
  isRetired(id: number): boolean;
  setting(name: string): string | undefined;
  /** The greatest id of any block, job or retired object ever, 0 if none. Never decreases. Epochs are not counted. */
  lastId(): number;
  /** Rows written since the object was opened, as billed. */
  rowsWritten(): number;
  /** Rows read since the object was opened, as billed. */
  rowsRead(): number;
  /** Resolves when all writes so far are durable. */
  sync(): Promise<void>;
  /** Replaces the alarm, or removes it. Durable with the writes of the same turn. */
  setAlarm(atMs: number | null): void;
  /** The alarm's time, if one is set. */
  getAlarm(): Promise<number | null>;
  /** Removes everything, the alarm too. Nothing else may be called then. */
  deleteAll(): Promise<void>;
}

const DAY_MS = 86_400_000;

/**
 * When a block's retention begins, in ms: when its spans ended, but not before they arrived nor more than a day after.
 * So late spans are kept their full time, and spans dated in the future do not keep a block for ever.
 */
export function retentionStart({ maxEndSeconds, arrivedMs }: CatalogueBlock): number {
  return Math.min(Math.max(maxEndSeconds * 1000, arrivedMs), arrivedMs + DAY_MS);
}
