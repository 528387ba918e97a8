// What an isolate keeps from query to query, in bounded memory. All of it can be had again.
import type { ColumnChunk } from "../block/column-chunk.ts";
import { SplitCache } from "../traceql/engine/tables/split-cache.ts";
import type { TraceTable } from "../traceql/storage.ts";
import { LruCache } from "../util/lru-cache.ts";
import type { ScanCaches } from "./chunk-reader.ts";
import { LiveCache } from "./live-cache.ts";
import type { OpenedBlock } from "./open-block.ts";
import type { SparseColumn } from "./sparse-column.ts";

export interface ScanCacheLimits {
  /** Bytes of column chunks of blocks, with their dictionaries. */
  readonly columnCacheBytes: number;
  /** Bytes of blocks' trace ids. */
  readonly traceCacheBytes: number;
  /** Bytes of what was found out about columns. */
  readonly noteCacheBytes: number;
  /** Bytes of traces that several sources have parts of. */
  readonly splitCacheBytes: number;
  /** Bytes of columns of which a few rows were asked for. */
  readonly sparseCacheBytes: number;
  /** Heap of blocks' footers. */
  readonly footerCacheBytes: number;
  /** Bytes of live spans as columns. */
  readonly liveCacheBytes: number;
}

/** Heap of a note beside its bytes: of small blocks, notes are of a few bytes, and many. */
export const NOTE_HEAP_BYTES = 512;

export class ScanCache implements ScanCaches {
  readonly chunks: LruCache<ColumnChunk>;
  readonly traces: LruCache<TraceTable>;
  readonly notes: LruCache<Uint8Array>;
  readonly splits: SplitCache;
  readonly sparse: LruCache<SparseColumn>;
  readonly blocks: LruCache<OpenedBlock>;
  readonly live: LiveCache;

  constructor(limits: ScanCacheLimits) {
    this.chunks = new LruCache(limits.columnCacheBytes, ({ memoryBytes }) => memoryBytes);
    this.traces = new LruCache(limits.traceCacheBytes, tableBytes);
    this.notes = new LruCache(limits.noteCacheBytes, ({ byteLength }) => byteLength + NOTE_HEAP_BYTES);
    this.splits = new SplitCache(limits.splitCacheBytes);
    this.sparse = new LruCache(limits.sparseCacheBytes, ({ byteLength }) => byteLength);
    this.blocks = new LruCache(limits.footerCacheBytes, ({ heapBytes }) => heapBytes);
    this.live = new LiveCache(limits.liveCacheBytes);
  }

  /** Bytes of what is kept of blocks. */
  get byteLength(): number {
    return [this.chunks, this.traces, this.notes, this.sparse, this.blocks].reduce(
      (sum, cache) => sum + cache.byteLength,
      0,
    );
  }
}

function tableBytes({ ids, firstRows }: TraceTable): number {
  return ids.length + firstRows.byteLength;
}
