// Which traces an isolate has, in two bytes each: enough to find those that several may have parts of.
//
// A trace is its 32-bit hash; hashes are sorted into buckets by their upper half, of which the lower half is left. Two
// traces with one hash are rare (of 5 million some 6,000), and told apart by their ids afterwards.
import { TRACE_ID_BYTES } from "../../model/ids.ts";
import { traceHash } from "../../util/hash.ts";

const BUCKETS = 1 << 16;

export interface TraceDigest {
  /** Where each bucket begins, then the number of traces. */
  readonly starts: Uint32Array;
  /** Lower halves, those of a bucket in no order. A trace of two sources is there twice. */
  readonly halves: Uint16Array;
}

/** The hashes of ids, 16 bytes each. */
export function hashesOf(ids: Uint8Array): Uint32Array {
  const hashes = new Uint32Array(ids.length / TRACE_ID_BYTES);
  for (let i = 0; i < hashes.length; i++) hashes[i] = traceHash(ids, TRACE_ID_BYTES * i);
  return hashes;
}

/** @param lists hashes of the traces of each source */
export function makeDigest(lists: readonly Uint32Array[]): TraceDigest {
  const starts = new Uint32Array(BUCKETS + 1);
  for (const hashes of lists) {
    for (const hash of hashes) starts[(hash >>> 16) + 1] = (starts[(hash >>> 16) + 1] ?? 0) + 1;
  }
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    starts[bucket + 1] = (starts[bucket + 1] ?? 0) + (starts[bucket] ?? 0);
  }
  const next = starts.slice();
  const halves = new Uint16Array(starts[BUCKETS] ?? 0);
  for (const hashes of lists) {
    for (const hash of hashes) {
      const place = next[hash >>> 16] ?? 0;
      next[hash >>> 16] = place + 1;
      halves[place] = hash & 0xffff;
    }
  }
  return { starts, halves };
}

/** The hashes in a digest, ascending but for those of a bucket. */
export function hashesIn({ starts, halves }: TraceDigest): Uint32Array {
  const hashes = new Uint32Array(halves.length);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const end = starts[bucket + 1] ?? 0;
    for (let i = starts[bucket] ?? 0; i < end; i++) hashes[i] = bucket * BUCKETS + (halves[i] ?? 0);
  }
  return hashes;
}

/** Of each digest the hashes that are in them more than once, all together; and how many different ones these are. */
export function repeatedIn(digests: readonly TraceDigest[]): {
  readonly repeated: readonly Uint32Array[];
  readonly count: number;
} {
  const finder = new RepeatFinder();
  const repeated = digests.map((): number[] => []);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const before = finder.count;
    for (const digest of digests) finder.mark(digest, bucket);
    if (finder.count === before) continue;
    digests.forEach((digest, i) => finder.collect(digest, bucket, repeated[i] ?? []));
  }
  return { repeated: repeated.map((hashes) => Uint32Array.from(hashes)), count: finder.count };
}

class RepeatFinder {
  /** Hashes that were seen twice. */
  count = 0;
  /** By lower half: 2 * (1 + the bucket where it was seen last), and 1 more when it was seen twice there. */
  readonly #seen = new Uint32Array(BUCKETS);

  mark({ starts, halves }: TraceDigest, bucket: number): void {
    const seen = this.#seen;
    const once = 2 * (bucket + 1);
    const end = starts[bucket + 1] ?? 0;
    for (let i = starts[bucket] ?? 0; i < end; i++) {
      const half = halves[i] ?? 0;
      const before = seen[half] ?? 0;
      if (before < once) seen[half] = once;
      else if (before === once) {
        seen[half] = once + 1;
        this.count++;
      }
    }
  }

  /** Adds the hashes of the bucket that were seen twice in it. */
  collect({ starts, halves }: TraceDigest, bucket: number, to: number[]): void {
    const twice = 2 * (bucket + 1) + 1;
    const end = starts[bucket + 1] ?? 0;
    for (let i = starts[bucket] ?? 0; i < end; i++) {
      const half = halves[i] ?? 0;
      if (this.#seen[half] === twice) to.push(bucket * BUCKETS + half);
    }
  }
}

/** Which of the hashes are among `wanted`: their places, ascending. */
export function placesIn(wanted: TraceDigest, hashes: Uint32Array): Uint32Array {
  const { starts, halves } = wanted;
  const places: number[] = [];
  for (let i = 0; i < hashes.length; i++) {
    const hash = hashes[i] ?? 0;
    const bucket = hash >>> 16;
    const end = starts[bucket + 1] ?? 0;
    const half = hash & 0xffff;
    let at = starts[bucket] ?? 0;
    while (at < end && halves[at] !== half) at++;
    if (at < end) places.push(i);
  }
  return Uint32Array.from(places);
}
