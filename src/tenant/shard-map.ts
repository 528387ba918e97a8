// Which shards a trace's spans go to and may be in: the versions of a tenant's shard count. ARCHITECTURE.md, "Shards".
import type { Limits } from "../model/limits.ts";
import type { ShardMapVersion } from "../store/tenant-rpc.ts";
import { shardOfHash } from "../util/hash.ts";

const DAY_MS = 86_400_000;

/** A writer whose map is older than this refuses: readers do not look for its spans for ever. */
export const WRITER_MAP_MAX_AGE_MS: number = DAY_MS;

/**
 * How long after it ended a version may still hold spans, beyond the retention: a day for spans whose end lies in the
 * future, which count as a day younger at most, and a day for writers that did not hear of the new version.
 */
const PAST_RETENTION_MS = DAY_MS + WRITER_MAP_MAX_AGE_MS;

/** Milliseconds from a change to its effect, a reader's oldest map and a third for clocks that differ. */
export function changeDelayMs(limits: Pick<Limits, "shardMapTtlMs">): number {
  return 3 * limits.shardMapTtlMs;
}

/** The greatest age of a map that a reader may use. */
export function readerMaxAgeMs(limits: Pick<Limits, "shardMapTtlMs">): number {
  return 2 * limits.shardMapTtlMs;
}

/** A tenant that never changed anything. */
export const FIRST_VERSIONS: readonly ShardMapVersion[] = [{ fromMs: 0, count: 1 }];

/** The number of shards that spans are written to at `nowMs`. */
export function writeCount(versions: readonly ShardMapVersion[], nowMs: number): number {
  const current = versions.findLast(({ fromMs }) => fromMs <= nowMs) ?? versions[0];
  return current?.count ?? 1;
}

/**
 * The versions whose shards may hold spans that are not older than the retention, future ones included, for some writer's
 * clock may be ahead.
 */
export function relevantVersions(
  versions: readonly ShardMapVersion[],
  nowMs: number,
  retentionMs: number,
): readonly ShardMapVersion[] {
  return versions.filter((_, i) => {
    const next = versions[i + 1];
    return next === undefined || next.fromMs + retentionMs + PAST_RETENTION_MS > nowMs;
  });
}

/**
 * The shards that may hold spans of the trace with this hash, each once, those of the newest version first. Counts are
 * powers of 2 up to 64, so there are at most seven.
 */
export function readShards(relevant: readonly ShardMapVersion[], hash: number): number[] {
  return [...new Set(relevant.toReversed().map(({ count }) => shardOfHash(hash, count)))];
}
