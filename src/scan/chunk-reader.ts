// What a block's source reads with, and what stays of what it read: for later in the same query, and from query to query.
import type { ColumnChunk } from "../block/column-chunk.ts";
import type { ByteRange } from "../block/meta.ts";
import type { TraceTable } from "../traceql/storage.ts";
import { LruCache } from "../util/lru-cache.ts";
import type { SparseColumn } from "./sparse-column.ts";

/** Where the column chunks of a block come from. */
export interface ChunkReader {
  /** Names the file: what is cached of it is cached under this. */
  readonly key: string;
  /** Requests that a source may make all in all before it takes only one for what is asked for together. */
  readonly readsMax: number;
  /** Bytes that are read along for later: this many are kept, over all sources of a query. */
  readonly heldBytesMax: number;
  readonly io: { inspectedBytes: number; heldBytes: number };
  readonly caches: ScanCaches;
  /** Undefined: there is no need. */
  readonly reread?: Reread | undefined;
  /** Reads a range, keeping only parts of it: ascending, without overlap, each in a buffer of its own. */
  readParts(read: ByteRange, parts: readonly ByteRange[]): Promise<readonly Uint8Array[]>;
}

/** What stays from query to query. */
export interface ScanCaches {
  /** Column chunks as they are in the file, dictionaries maybe decoded; undefined: there is no need. */
  readonly chunks: LruCache<ColumnChunk> | undefined;
  readonly traces: LruCache<TraceTable>;
  /** What was found out about columns; undefined: likewise. */
  readonly notes?: LruCache<Uint8Array> | undefined;
  /** Columns of which a few rows were asked for; undefined: likewise. */
  readonly sparse?: LruCache<SparseColumn> | undefined;
}

/** Chunks of which a few rows were taken, by key: others of them may be shown. Given up with their source. */
export type Reread = LruCache<ColumnChunk>;

/** @param maxBytes over all sources that share it; those that were read last stay */
export function newReread(maxBytes: number): Reread {
  return new LruCache(maxBytes, ({ memoryBytes }) => memoryBytes, maxBytes);
}
