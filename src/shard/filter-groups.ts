// Blocks whose filters lie together: a lookup reads one row of each group, instead of a filter of each block.
import { filterBucket, filterRowHolds } from "../block/filter-rows.ts";
import { must } from "../util/assert.ts";
import type { FilterGroup, ShardStorage } from "./storage.ts";

/** Which groups there are. Their rows stay in storage. */
export class FilterGroups {
  readonly #storage: ShardStorage;
  readonly #bySlot = new Map<number, FilterGroup>();
  readonly #slotOf = new Map<number, number>();

  constructor(storage: ShardStorage) {
    this.#storage = storage;
    for (const group of storage.filterGroups()) this.#keep(group);
  }

  get blockCount(): number {
    return this.#slotOf.size;
  }

  has(block: number): boolean {
    return this.#slotOf.has(block);
  }

  /** Whether there is a group that this job made. */
  madeBy(job: number): boolean {
    return this.#bySlot.values().some(({ id }) => id === job);
  }

  /** Blocks of which a lookup reads a range in vain, on average. */
  falseGets(): number {
    let sum = 0;
    for (const { bits, members } of this.#bySlot.values()) {
      sum += members.filter((member) => member !== 0).length * 2 ** -bits;
    }
    return sum;
  }

  /** Ids of the blocks that may hold the trace. Reads one row a slot. */
  *find(traceId: Uint8Array): Generator<number> {
    if (this.#bySlot.size === 0) return;
    for (const { slot, filter } of this.#storage.filterRows(filterBucket(traceId))) {
      const members = this.#bySlot.get(slot)?.members ?? [];
      for (const [index, block] of members.entries()) {
        if (block !== 0 && filterRowHolds(filter, traceId, index)) yield block;
      }
    }
  }

  /** The first slot without a group. */
  freeSlot(): number {
    let slot = 0;
    while (this.#bySlot.has(slot)) slot++;
    return slot;
  }

  /** The groups as they are without these blocks, if that changes them. */
  without(blocks: readonly number[]): FilterGroup[] {
    const gone = new Set(blocks);
    const slots = new Set(blocks.flatMap((block) => this.#slotOf.get(block) ?? []));
    return [...slots].map((slot) => {
      const { id, bits, members } = must(this.#bySlot.get(slot), `slot ${slot} has a group`);
      return { slot, id, bits, members: members.map((member) => (gone.has(member) ? 0 : member)) };
    });
  }

  /** Takes in a group that was written to storage. */
  replace(group: FilterGroup): void {
    for (const member of this.#bySlot.get(group.slot)?.members ?? []) this.#slotOf.delete(member);
    this.#bySlot.delete(group.slot);
    this.#keep(group);
  }

  #keep(group: FilterGroup): void {
    const blocks = group.members.filter((member) => member !== 0);
    if (blocks.length > 0) this.#bySlot.set(group.slot, group);
    for (const block of blocks) this.#slotOf.set(block, group.slot);
  }
}
