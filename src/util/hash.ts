// 32-bit hashes with full avalanche: sequential, X-Ray-like and 64-bit ids spread evenly over shards and filters.

/** Murmur3's finaliser: each input bit changes each output bit with probability 1/2. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

/**
 * Hash (unsigned 32 bit) of the 16-byte trace id at `offset`. It is stored in segment headers and decides the shard:
 * it never changes.
 */
export function traceHash(bytes: Uint8Array, offset = 0): number {
  let h = mix32(word(bytes, offset) ^ 0x9e3779b9);
  h = mix32(h ^ word(bytes, offset + 4));
  h = mix32(h ^ word(bytes, offset + 8));
  return mix32(h ^ word(bytes, offset + 12));
}

/** The same, of the id as four words from index `at`, the lowest byte of each first. */
export function traceHashOfWords(words: Uint32Array, at: number): number {
  let h = mix32((words[at] ?? 0) ^ 0x9e3779b9);
  h = mix32(h ^ (words[at + 1] ?? 0));
  h = mix32(h ^ (words[at + 2] ?? 0));
  return mix32(h ^ (words[at + 3] ?? 0));
}

/**
 * The shard, from 0, of a trace with this hash among `count` shards, a power of 2. A shard's traces go, when the count
 * doubles, to itself and to one new shard.
 */
export function shardOfHash(hash: number, count: number): number {
  return hash & (count - 1);
}
