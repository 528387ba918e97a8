// Filters over many blocks: never a false negative, as few false positives as their width promises, rows of a few KB.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  buildFilterRows,
  FILTER_BUCKETS,
  type FilterBlock,
  filterBucket,
  filterRowHolds,
} from "../../../src/block/filter-rows.ts";
import { isRefused } from "../../support/block-model.ts";
import { makeRandom, type Random } from "../../support/random.ts";

const ID_BYTES = 16;

function makeBlocks(random: Random, blockCount: number, idsEach: number): FilterBlock[] {
  return Array.from({ length: blockCount }, (_, index) => ({
    index,
    traceIds: random.bytes(idsEach * ID_BYTES),
  }));
}

function* idsOf({ traceIds }: FilterBlock): Generator<Uint8Array> {
  for (let at = 0; at < traceIds.length; at += ID_BYTES) yield traceIds.subarray(at, at + ID_BYTES);
}

function holds(rows: readonly Uint8Array[], id: Uint8Array, index: number): boolean {
  return filterRowHolds(rows[filterBucket(id)]!, id, index);
}

/** Pairs that are not in the filter but that it says it holds: half of other blocks, half of no block. */
function falsePositives(
  rows: readonly Uint8Array[],
  blocks: readonly FilterBlock[],
  random: Random,
  asked: number,
): number {
  let count = 0;
  for (let i = 0; i < asked / 2; i++) {
    const block = blocks[i % blocks.length]!;
    const at = ID_BYTES * random.below(block.traceIds.length / ID_BYTES);
    const other = (block.index + 1 + random.below(blocks.length - 1)) % blocks.length;
    if (holds(rows, block.traceIds.subarray(at, at + ID_BYTES), other)) count++;
    if (holds(rows, random.bytes(ID_BYTES), block.index)) count++;
  }
  return count;
}

describe("filter rows", () => {
  test("hold every pair, whatever the ids look like, also of a trace in several blocks", () => {
    const id = fc.oneof(
      fc.uint8Array({ minLength: ID_BYTES, maxLength: ID_BYTES }),
      fc.nat({ max: 50 }).map((n) => Uint8Array.of(...new Uint8Array(15), n)),
    );
    const ids = fc.uniqueArray(id, { maxLength: 40, selector: String });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat({ max: 255 }), { maxLength: 8 }),
        fc.array(ids, { minLength: 8, maxLength: 8 }),
        fc.constantFrom(16, 32),
        (indexes, idsOfBlocks, bits) => {
          const blocks = indexes.map((index, at) => ({
            index,
            traceIds: new Uint8Array(Buffer.concat(idsOfBlocks[at]!)),
          }));
          const rows = buildFilterRows(blocks, bits);
          expect(rows.length).toBe(FILTER_BUCKETS);
          for (const block of blocks) {
            for (const one of idsOf(block)) expect(holds(rows, one, block.index)).toBe(true);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test("16 bits: one in 2^16 of the others is taken for held", () => {
    const random = makeRandom(31);
    const blocks = makeBlocks(random, 16, 2000);
    const rows = buildFilterRows(blocks, 16);
    // Expected 15.3, with a standard deviation of 3.9.
    const count = falsePositives(rows, blocks, random, 1_000_000);
    expect(count).toBeGreaterThan(2);
    expect(count).toBeLessThan(36);
  });

  test("32 bits: none of a million", () => {
    const random = makeRandom(32);
    const blocks = makeBlocks(random, 16, 2000);
    const rows = buildFilterRows(blocks, 32);
    for (const block of blocks)
      for (const id of idsOf(block)) expect(holds(rows, id, block.index)).toBe(true);
    expect(falsePositives(rows, blocks, random, 1_000_000)).toBe(0);
  });

  test("ids that share a shard, and so the end of their hash, spread over all rows", () => {
    const counts = new Uint32Array(FILTER_BUCKETS);
    for (let n = 0; n < 200_000; n++) {
      const id = new Uint8Array(ID_BYTES);
      new DataView(id.buffer).setUint32(12, n);
      const bucket = filterBucket(id);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    // 195 each, with a standard deviation of 14.
    expect(Math.min(...counts)).toBeGreaterThan(120);
    expect(Math.max(...counts)).toBeLessThan(280);
  });

  test.for<[bits: 16 | 32, bytes: number]>([
    [16, 2600],
    [32, 5200],
  ])("800,000 pairs at %i bits: rows of %i bytes at most", ([bits, most]) => {
    const rows = buildFilterRows(makeBlocks(makeRandom(33), 16, 50_000), bits);
    const lengths = rows.map((row) => row.length);
    expect(Math.max(...lengths)).toBeLessThan(most);
  });

  test("the same blocks give the same bytes", () => {
    const blocks = makeBlocks(makeRandom(34), 3, 100);
    expect(buildFilterRows(blocks, 32)).toEqual(buildFilterRows(blocks, 32));
  });

  test("a damaged row is refused or answers, never anything else", () => {
    const random = makeRandom(35);
    const [row = new Uint8Array(0)] = buildFilterRows(makeBlocks(random, 2, 5000), 32);
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const damaged = row.slice(0, random.chance(0.5) ? row.length : random.below(row.length));
      if (damaged.length > 0) damaged[random.below(Math.min(32, damaged.length))] = random.below(256);
      if (isRefused(() => filterRowHolds(damaged, random.bytes(ID_BYTES), 1))) refused++;
    }
    expect(refused).toBeGreaterThan(500);
  });
});
