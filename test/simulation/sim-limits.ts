// Limits so small that tiny spans reach all of them, and that little time is long.
import { PLAN_LIMITS } from "../../src/compaction/plan.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { ShardLimits } from "../../src/shard/shard.ts";
import { makeRandom } from "../support/random.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Longer than the clock may jump. */
const FOR_EVER_MS = 3660 * DAY_MS;

export const FIRST_MS: number = Date.UTC(2026, 10, 23);

/** The longest that a shard backs off, or waits for a reader. */
export const BACKOFF_MAX_MS = 60_000;
export const HOLD_MAX_MS = 60_000;
export const READER_STALLS_MS: number = 2 * HOLD_MAX_MS;
/** What may hold a flush up beyond its time, for as long as it takes to get over what went wrong. */
export const SLACK_MS: number = BACKOFF_MAX_MS + READER_STALLS_MS;
/** An alarm that is later than this has been lost. */
export const ALARM_LATE_MS = 61_000;
/** Whatever waits is over after this. */
export const WAIT_MAX_MS = 60_000;

const SIM_LIMITS: ShardLimits = {
  ...DEFAULT_LIMITS,
  maxRowBytes: 3000,
  maxQueuedBytes: 16_000,
  maxUnflushedBytes: 30_000,
  flushBytes: 4000,
  flushAgeMs: 20_000,
  maxLiveReplyBytes: 1500,
  blockRetentionMs: FOR_EVER_MS,
  // Longer than what waits, than slow readers, and than a change of the shard count.
  objectGraceMs: 5 * 60_000,
  // Three filters of 16 bits.
  maxFalseGets: 3.5 * 2 ** -16,
  idleAlarmMs: 120_000,
  catalogueCacheBytes: 2000,
  growth: {
    appendsPerSecond: 0.04,
    rawBytesPerSecond: 1e9,
    sustainedMs: 3 * 60_000,
    coolDownMs: 10 * 60_000,
    maxShards: 4,
  },
};

/** Most merges go up in parts of this length. */
export const PART_BYTES = 6_000;

/** Those of a seed. */
export function limitsOf(seed: number): ShardLimits {
  const random = makeRandom(seed ^ 0x11317);
  const fanIn = random.pick([2, 2, 3, 4]);
  const groupBlocks = random.pick([1, 2, 3]);
  return {
    ...SIM_LIMITS,
    blockRetentionMs: random.pick([FOR_EVER_MS, DAY_MS, 2 * HOUR_MS, 2 * HOUR_MS]),
    plan: {
      ...PLAN_LIMITS,
      rowGroupWeight: 30,
      blockWeight: random.pick([40, 60, 120]),
      fanIn,
      inputsMax: fanIn + 2,
      smallInputsMax: fanIn + 4,
      dayMarginMs: 60_000,
      groupTraces: 100,
      groupBlocks,
    },
  };
}
