// The shard's blocks: which may hold a trace, and where in them.
import { mayHoldTrace, tracePages } from "../block/lookup.ts";
import type { BlockRef } from "../store/rpc.ts";
import type { BlockTail, CatalogueBlock, ShardStorage } from "./storage.ts";

// Parts of the blocks looked at last stay in memory; a 32 MB flush has about 30 KB of them.
const CACHE_BYTES = 16 * 1024 * 1024;

/** Reads the committed blocks. Holds their metas and, up to a bound, their tails in memory. */
export class Catalogue {
  readonly #storage: ShardStorage;
  readonly #blocks: CatalogueBlock[];
  readonly #tails = new Map<number, BlockTail>();
  #cachedBytes = 0;

  constructor(storage: ShardStorage) {
    this.#storage = storage;
    this.#blocks = storage.blocks();
  }

  get count(): number {
    return this.#blocks.length;
  }

  /** Takes in a block that was committed to storage. */
  add(block: CatalogueBlock, tail: BlockTail): void {
    this.#blocks.push(block);
    this.#remember(block.id, tail);
  }

  /** The blocks that hold the trace, but for the filter's false positives (1 in 65,536), newest first. */
  find(traceId: Uint8Array): BlockRef[] {
    const refs: BlockRef[] = [];
    for (const block of this.#blocks.toReversed()) {
      const tail = this.#tail(block.id);
      if (!mayHoldTrace(tail.filter, traceId)) continue;
      const range = tracePages(tail.traceIndex, traceId);
      if (range === undefined) continue;
      refs.push({
        key: block.key,
        etag: block.etag,
        range,
        resources: tail.resources,
        minStartSeconds: block.minStartSeconds,
        maxEndSeconds: block.maxEndSeconds,
      });
    }
    return refs;
  }

  #tail(id: number): BlockTail {
    const cached = this.#tails.get(id);
    if (cached !== undefined) return cached;
    const tail = this.#storage.blockTail(id);
    this.#remember(id, tail);
    return tail;
  }

  #remember(id: number, tail: BlockTail): void {
    this.#tails.set(id, tail);
    this.#cachedBytes += tailBytes(tail);
    for (const [oldest, old] of this.#tails) {
      if (this.#cachedBytes <= CACHE_BYTES || oldest === id) break;
      this.#tails.delete(oldest);
      this.#cachedBytes -= tailBytes(old);
    }
  }
}

function tailBytes(tail: BlockTail): number {
  return tail.filter.length + tail.traceIndex.length + tail.resources.length;
}
