// The shard's blocks: which may hold a trace, and where in them.
import { mayHoldTrace, tracePages } from "../block/lookup.ts";
import { type BlockTail, type CatalogueBlock, overlapsRange, type TimeRange } from "../store/catalogue.ts";
import type { BlockRef } from "../store/rpc.ts";
import { exactBytes } from "../util/bytes.ts";
import { ByteCache } from "./byte-cache.ts";
import { FilterGroups } from "./filter-groups.ts";
import {
  type CatalogueChange,
  type LookupTail,
  NO_CHANGE,
  type ShardStorage,
  type UsageRow,
} from "./storage.ts";

/** Filters of 16 bits, as every block has one. */
const YOUNG_FALSE_GETS = 2 ** -16;

/**
 * The committed blocks. Young ones have a filter each: their metas are in memory, and so are their filters, up to a
 * bound. The others, by far the most, are in filter groups and stay in storage but for their ids.
 */
export class Catalogue {
  readonly #storage: ShardStorage;
  readonly #young: Map<number, CatalogueBlock>;
  readonly #groups: FilterGroups;
  readonly #filters: ByteCache<Uint8Array>;
  readonly #tails: ByteCache<LookupTail>;

  /** @param cacheBytes of filters, and of what hits need besides, that stay in memory */
  constructor(storage: ShardStorage, cacheBytes: number) {
    this.#storage = storage;
    this.#young = new Map(storage.youngBlocks().map((block) => [block.id, block]));
    this.#groups = new FilterGroups(storage);
    this.#filters = new ByteCache(cacheBytes, (filter) => filter.length);
    this.#tails = new ByteCache(
      cacheBytes,
      ({ traceIndex, resources }) => traceIndex.length + resources.length,
    );
  }

  get count(): number {
    return this.#young.size + this.#groups.blockCount;
  }

  get groups(): FilterGroups {
    return this.#groups;
  }

  /** Blocks that are in no group, in no order. */
  young(): CatalogueBlock[] {
    return [...this.#young.values()];
  }

  has(id: number): boolean {
    return this.#young.has(id) || this.#groups.has(id);
  }

  get(id: number): CatalogueBlock | undefined {
    return this.#young.get(id) ?? this.#storage.block(id);
  }

  /** Ranges that a lookup reads in vain, on average. */
  falseGets(): number {
    return this.#young.size * YOUNG_FALSE_GETS + this.#groups.falseGets();
  }

  /** The epoch becomes a block; what its rows carried of usage is in `usage`. */
  commitEpoch(epoch: number, block: CatalogueBlock, tail: BlockTail, usage: readonly UsageRow[]): void {
    this.#storage.commitBlock(epoch, block, tail, usage);
    this.#addYoung(block, tail);
  }

  /** Writes a change. The groups that lose blocks by it are seen to here; `groups` are those that are new. */
  change(parts: Partial<CatalogueChange>): void {
    const change = { ...NO_CHANGE, ...parts };
    const groups = [...this.#groups.without(change.remove), ...change.groups];
    this.#storage.change({ ...change, groups });
    for (const id of change.remove) {
      this.#forgetYoung(id);
      this.#tails.delete(id);
    }
    for (const id of change.rows?.blocks ?? []) this.#forgetYoung(id);
    for (const { block, tail } of change.add) this.#addYoung(block, tail);
    for (const group of groups) this.#groups.replace(group);
  }

  /** The blocks that hold the trace, but for the filters' false positives, newest first. */
  find(traceId: Uint8Array, range: TimeRange): BlockRef[] {
    const found: CatalogueBlock[] = [];
    for (const block of this.#young.values()) {
      if (overlapsRange(block, range) && mayHoldTrace(this.#filter(block.id), traceId)) found.push(block);
    }
    for (const id of this.#groups.find(traceId)) {
      const block = this.#storage.block(id);
      if (block !== undefined && overlapsRange(block, range)) found.push(block);
    }
    return found.sort((a, b) => b.id - a.id).flatMap((block) => this.#refOf(block, traceId) ?? []);
  }

  /** Whether a block whose spans all lie outside the range may hold the trace. */
  mayHoldBeyond(traceId: Uint8Array, range: TimeRange): boolean {
    for (const block of this.#young.values()) {
      if (!overlapsRange(block, range) && mayHoldTrace(this.#filter(block.id), traceId)) return true;
    }
    for (const id of this.#groups.find(traceId)) {
      const block = this.#storage.block(id);
      if (block !== undefined && !overlapsRange(block, range)) return true;
    }
    return false;
  }

  #refOf(block: CatalogueBlock, traceId: Uint8Array): BlockRef | undefined {
    const { traceIndex, resources } = this.#tails.get(block.id, () => this.#storage.lookupTail(block.id));
    const range = tracePages(traceIndex, traceId);
    if (range === undefined) return undefined;
    const { key, etag, minStartSeconds, maxEndSeconds } = block;
    return { key, etag, range, resources, minStartSeconds, maxEndSeconds };
  }

  #filter(id: number): Uint8Array {
    return this.#filters.get(id, () => this.#storage.filter(id));
  }

  /** Keeps copies, without the writer's larger buffers behind them. */
  #addYoung(block: CatalogueBlock, { filter, traceIndex, resources }: BlockTail): void {
    this.#young.set(block.id, block);
    this.#filters.set(block.id, exactBytes(filter));
    this.#tails.set(block.id, { traceIndex: exactBytes(traceIndex), resources: exactBytes(resources) });
  }

  #forgetYoung(id: number): void {
    this.#young.delete(id);
    this.#filters.delete(id);
  }
}
