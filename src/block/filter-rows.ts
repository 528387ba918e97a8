// One filter for many blocks: over pairs of trace id and block, in rows that a catalogue stores by the id's bucket. Of
// each group of blocks a lookup reads one row of some 4 KB, whatever the number of blocks in it.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { traceHash } from "../util/hash.ts";
import { assert } from "../util/assert.ts";
import { filterMayHold, filterSteps } from "./binary-fuse.ts";
import { COST_US, runSteps } from "./stretches.ts";

/** Rows of a group of blocks. */
export const FILTER_BUCKETS = 1024;
const BUCKET_BITS = 10;
/** A block's index in its group has one byte. */
const INDEX_MAX = 255;
/** Finding a trace's bucket, for each of two passes. */
const SORTING_US = COST_US.key / 8;

/** The trace ids of one block of a group. */
export interface FilterBlock {
  /** The block's place in its group, 0 to 255. */
  readonly index: number;
  /** 16 bytes each, distinct; `Block.traceIds`. */
  readonly traceIds: Uint8Array;
}

function bucketAt(ids: Uint8Array, at: number): number {
  // The highest bits: the lowest are the shard, and so the same for all traces of a catalogue.
  return traceHash(ids, at) >>> (32 - BUCKET_BITS);
}

/** The row, from 0 to FILTER_BUCKETS, that knows of the trace in every group. */
export function filterBucket(traceId: Uint8Array): number {
  return bucketAt(traceId, 0);
}

/**
 * The rows of a group, by bucket. One of `n` pairs takes about 1.4 n + 28 bytes times `bits` / 8.
 * The same blocks give the same bytes. Takes some 0.3 us a pair and 17 bytes of memory.
 *
 * @param bits of a fingerprint: false positives 2^-16 or 2^-32 for each block asked about
 */
export function buildFilterRows(blocks: readonly FilterBlock[], bits: 16 | 32): Uint8Array[] {
  return runSteps(filterRowSteps(blocks, bits));
}

/** `buildFilterRows` in steps that yield their cost in us, before they are done. */
export function* filterRowSteps(
  blocks: readonly FilterBlock[],
  bits: 16 | 32,
): Generator<number, Uint8Array[]> {
  const ends = new Uint32Array(FILTER_BUCKETS);
  for (const { index, traceIds } of blocks) {
    yield sortingUs(traceIds);
    assert(index >= 0 && index <= INDEX_MAX, "an index has one byte");
    for (let at = 0; at < traceIds.length; at += TRACE_ID_BYTES) {
      const bucket = bucketAt(traceIds, at);
      ends[bucket] = (ends[bucket] ?? 0) + 1;
    }
  }
  let count = 0;
  for (let bucket = 0; bucket < FILTER_BUCKETS; bucket++) {
    count += ends[bucket] ?? 0;
    ends[bucket] = count;
  }
  const starts = new Uint32Array(FILTER_BUCKETS);
  starts.set(ends.subarray(0, -1), 1);
  const { ids, indexes } = yield* byBucket(blocks, starts, count);
  const rows: Uint8Array[] = [];
  for (const [bucket, end] of ends.entries()) {
    const start = starts[bucket] ?? 0;
    const keys = {
      ids: ids.subarray(start * TRACE_ID_BYTES, end * TRACE_ID_BYTES),
      indexes: indexes.subarray(start, end),
    };
    rows.push(yield* filterSteps(keys, bits));
  }
  return rows;
}

function sortingUs(traceIds: Uint8Array): number {
  return (traceIds.length / TRACE_ID_BYTES) * SORTING_US;
}

/** All pairs, those of a bucket together; `starts` says where. */
function* byBucket(
  blocks: readonly FilterBlock[],
  starts: Uint32Array,
  count: number,
): Generator<number, { ids: Uint8Array; indexes: Uint8Array }> {
  const next = starts.slice();
  const ids = new Uint8Array(count * TRACE_ID_BYTES);
  const indexes = new Uint8Array(count);
  for (const { index, traceIds } of blocks) {
    yield sortingUs(traceIds);
    for (let at = 0; at < traceIds.length; at += TRACE_ID_BYTES) {
      const bucket = bucketAt(traceIds, at);
      const pair = next[bucket] ?? 0;
      next[bucket] = pair + 1;
      ids.set(traceIds.subarray(at, at + TRACE_ID_BYTES), pair * TRACE_ID_BYTES);
      indexes[pair] = index;
    }
  }
  return { ids, indexes };
}

/**
 * Whether the block may hold the trace: never false for one that does, true for 2^-16 or 2^-32 of the others.
 *
 * @param row of the group and of `filterBucket(traceId)`
 * @param index of the block in the group
 * @throws AppError `corrupt` when `row` is none
 */
export function filterRowHolds(row: Uint8Array, traceId: Uint8Array, index: number): boolean {
  return filterMayHold(row, traceId, index);
}
