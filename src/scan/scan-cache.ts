// What an isolate keeps from query to query, in bounded memory. All of it can be had again.
import { ChunkCache } from "./chunk-cache.ts";

export interface ScanCacheLimits {
  /** Bytes of column chunks. */
  readonly columnCacheBytes: number;
}

export class ScanCache {
  readonly chunks: ChunkCache;

  constructor(limits: ScanCacheLimits) {
    this.chunks = new ChunkCache(limits.columnCacheBytes);
  }
}
