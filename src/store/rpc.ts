// The objects' methods as their callers see them. Fields may be added, never changed: during a deploy the
// versions of Worker and object differ for minutes.
import type { SpendSettings } from "../model/spend.ts";
import type { TenantLimitOverrides, TokenLimits } from "../model/tenant-limits.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "./catalogue.ts";
import type { ByteRange } from "./object-store.ts";

/** Counts of a tenant that were taken somewhere else and are handed over. A shard counts each once, by its id. */
export interface UsageDelta {
  readonly id: string;
  /** usage/usage-days.ts. */
  readonly usage: Uint8Array;
}

/** One accepted batch: header and payload of a segment frame (segment/FORMAT.md). */
export interface AppendBatch {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly usage?: readonly UsageDelta[];
  /** By trace, in the order of the head's hashes: bytes of its spans; then, again by trace, spans. */
  readonly traceSizes?: Uint32Array;
  /** Shards that the tenant's spans are spread over, as the sender does it: each has that share of the rates. Default 1. */
  readonly shardCount?: number;
  readonly caller?: AppendCaller;
}

/** Who sends. */
export interface AppendCaller {
  readonly tokenId?: string;
  /** Rates of the token's own. */
  readonly limits?: TokenLimits;
}

/** Expected refusals are values: a throw across the call costs six times as much and is logged as a fault. */
export type AppendResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly kind: "rate_limited" | "unavailable";
      readonly message: string;
      readonly retryAfterMs: number;
    }
  /** `not_found`: the tenant is being deleted, nothing is taken any more. `too_large`: the batch never passes. */
  | { readonly ok: false; readonly kind: "not_found" | "too_large"; readonly message: string }
  /** Nothing was stored; without the spans of these traces the batch passes. */
  | {
      readonly ok: false;
      readonly kind: "trace_too_large";
      readonly message: string;
      readonly traceHashes: Uint32Array;
    };

/** Where in one block the pages lie that may hold a trace. */
export interface BlockRef {
  readonly key: string;
  readonly etag: string;
  /** Consecutive pages of `otlp_span`; each page is decoded on its own. */
  readonly range: ByteRange;
  /** The block's resource and scope table (block/FORMAT.md, "resources"). */
  readonly resources: Uint8Array;
  /** Whole seconds since 1970 around the times of the block's spans: [minStart, maxEnd]. */
  readonly minStartSeconds: number;
  readonly maxEndSeconds: number;
}

export interface FindTraceReply {
  /**
   * Spans of the trace that are in no block yet, as OTLP TracesData: a stream of top-level records
   * when they are too large for one message.
   */
  readonly live: Uint8Array | ReadableStream<Uint8Array>;
  readonly blocks: readonly BlockRef[];
}

/** Spans that are in no block yet: one epoch of a shard's buffer. */
export interface LiveEpoch {
  /** Never used again by this shard. */
  readonly id: number;
  /** Rows so far, numbered from 1. A row never changes. */
  readonly rowCount: number;
  readonly spanCount: number;
  /** Inflated bytes. */
  readonly rawBytes: number;
  /** Whole seconds since 1970 around the spans' times: [minStart, maxEnd]. */
  readonly minStartSeconds: number;
  readonly maxEndSeconds: number;
  /** Whether no row will be added. */
  readonly isCut: boolean;
}

/** Where all spans of a shard are at one moment. */
export interface ShardSnapshot {
  /** Oldest first; those too whose spans lie outside the range. */
  readonly epochs: readonly LiveEpoch[];
  /** By id. */
  readonly blocks: readonly CatalogueBlock[];
  /** Whether the shard has no other blocks. Objects of before this field say nothing. */
  readonly hasAllBlocks?: boolean;
}

/** `gone`: the epoch has become a block, or it never was; a new snapshot says where its spans are. */
export type SegmentsReply =
  | { readonly kind: "gone" }
  | {
      readonly kind: "segments";
      /** Frames as segment/frame-stream.ts has them. */
      readonly frames: ReadableStream<Uint8Array>;
    };

/** What a shard tells of itself to whoever watches. */
export interface ShardCounts {
  readonly stats: ShardStats;
  /** Traces with spans in the buffer. */
  readonly liveTraces: number;
  /** Blocks that wait to be merged or indexed. */
  readonly youngBlocks: number;
  readonly blockBytes: number;
  readonly sqliteBytes: number;
  /** What is durable of this month's (UTC) counts, all as of one day: usage/usage-days.ts. */
  readonly usage: Uint8Array;
}

export interface TickReport {
  readonly flushedBlocks: number;
  readonly flushedSpans: number;
  /** Set when a flush failed; the alarm is then set again with back-off. */
  readonly error?: string;
}

export interface ShardStats {
  readonly liveSpans: number;
  readonly liveBytes: number;
  readonly epochs: number;
  readonly blocks: number;
  /** Since the object was opened, as billed. */
  readonly rowsWritten: number;
  readonly rowsRead: number;
  readonly appends: number;
  /** Blocks that a lookup could not read since the object was opened: missing, changed, damaged or out of reach. */
  readonly failedReads: number;
}

/** A block as the input of a job. */
export interface JobBlock {
  readonly id: number;
  readonly key: string;
  readonly etag: string;
  readonly byteLength: number;
  readonly spanCount: number;
  readonly traceCount: number;
  /** Inflated span bytes. */
  readonly rawBytes: number;
  readonly version: number;
}

/** Merge `inputs` into one block of the newest version. A job that is repeated has the same id and key. */
export interface MergeJob {
  readonly kind: "merge";
  /** Id of the output. */
  readonly id: number;
  /** Key of the output. */
  readonly key: string;
  /** In order of arrival. */
  readonly inputs: readonly JobBlock[];
  /** Of the output. */
  readonly arrivedMs: number;
}

/** Build the rows of a filter group, see block/filter-rows.ts; a block's index in the group is its place in `blocks`. */
export interface IndexJob {
  readonly kind: "index";
  readonly id: number;
  /** Bits of a fingerprint. */
  readonly bits: 16 | 32;
  readonly blocks: readonly JobBlock[];
}

/**
 * Delete what nobody knows: of the objects under `prefixes` those whose id (store/keys.ts) is between `afterId` and
 * `beforeId`, and for which `isKnown` is false. Such a key never comes into use again. Earlier ids are not this catalogue's:
 * it may have been lost, and be waiting for its rebuild.
 */
export interface SweepJob {
  readonly kind: "sweep";
  readonly id: number;
  /** One for each date of the shard. */
  readonly prefixes: readonly string[];
  readonly afterId: number;
  readonly beforeId: number;
}

export type ShardJob = MergeJob | IndexJob | SweepJob;

/**
 * Void (`ok: false`): the job is no longer open, because its inputs have gone. The runner forgets it; its output, if any, is
 * the shard's to delete.
 */
export type JobReply = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** What a runner of jobs asks of the shard. Calls may be repeated and doubled. */
export interface ShardJobsRpc {
  /** What to do at time `now` (ms), durable: the same job until it is committed, given up or void. One at a time. */
  nextJob(now: number, usage?: readonly UsageDelta[]): Promise<ShardJob | undefined>;
  /**
   * In one transaction the output takes its inputs' place; their objects are deleted after a grace time. `ok` also when
   * that was done before.
   */
  commitMerge(id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply>;
  /** Of each bucket its row, `buildFilterRows`. `ok` also when that was done before. */
  commitIndex(id: number, rows: readonly Uint8Array[]): Promise<JobReply>;
  commitSweep(id: number): Promise<JobReply>;
  /**
   * The job cannot be done now or ever: damaged or missing inputs. They are left out of jobs for a day.
   * @param culprits ids of the inputs that are to blame; default all
   */
  giveUp(id: number, message: string, culprits?: readonly number[]): Promise<void>;
  /** Whether each key is that of a block, of one that is to be deleted, of an open job or of an epoch. At most 1,000. */
  isKnown(keys: readonly string[]): Promise<boolean[]>;
  /**
   * Adds a block that is in the bucket: to rebuild a catalogue. Blocks that were replaced by another one of the bucket
   * (`BlockMeta.replaces`) must not be adopted.
   * @returns false if the key is known, or the block has been kept long enough, and its object is to be deleted
   */
  adopt(block: CatalogueBlock, tail: BlockTail): Promise<boolean>;
  /**
   * Has an object deleted that the catalogue does not know and does not need: it was merged into the blocks `by`, or they
   * into it. Nothing happens unless all of these are known and one at least is in the catalogue.
   * @returns whether that is so
   */
  discard(object: { readonly id: number; readonly key: string }, by: readonly number[]): Promise<boolean>;
  /**
   * From here on the shard sees to it that the compactor goes on with a rebuild, until `endRebuild`.
   * @returns when, in ms, no job of before can still write anything
   */
  beginRebuild(now: number): Promise<number>;
  endRebuild(): Promise<void>;
}

/** What the tenant sets for its shards. */
export interface ShardSettings {
  /** Milliseconds that spans are kept; undefined: the installation's default. */
  readonly retentionMs?: number | undefined;
  /** What was set for the tenant; the rest are the installation's defaults. */
  readonly limits?: TenantLimitOverrides | undefined;
  /** Undefined: there is no cap. */
  readonly spend?: SpendSettings | undefined;
}

export interface TraceShardRpc extends ShardJobsRpc {
  /** Resolves once the batch is durable and readable. */
  append(batch: AppendBatch): Promise<AppendResult>;
  /**
   * One consistent view: a span is either live or in one of the blocks, never both, never neither. Blocks whose spans all
   * lie outside `range` are left out.
   */
  findTrace(traceId: Uint8Array, range?: TimeRange, usage?: readonly UsageDelta[]): Promise<FindTraceReply>;
  /**
   * Which of the traces may have spans in blocks or epochs all of whose spans lie outside `range`: their places in the list.
   * Filters tell, so there may be a few too many.
   * @param traceIds one behind the other
   */
  findBeyond(traceIds: Uint8Array, range: TimeRange): Promise<number[]>;
  /** One consistent view, as `findTrace` has it: the buffer and the blocks with spans in the range. */
  snapshot(range: TimeRange, usage?: readonly UsageDelta[]): Promise<ShardSnapshot>;
  /** The rows of an epoch from `fromRow` (at least 1) to the last there is. The epoch is kept until they are read. */
  readSegments(epoch: number, fromRow: number): Promise<SegmentsReply>;
  /** Blocks with spans between the two times, by id. Where they lie, not what is in them. */
  blocksBetween(range: TimeRange): Promise<CatalogueBlock[]>;
  /** What the alarm does at time `now` (ms): flush what is due, delete what is due, wake the compactor. */
  tick(now: number): Promise<TickReport>;
  stats(): Promise<ShardStats>;
  counts(): Promise<ShardCounts>;
  /** Writes a mark of 64 characters at most, durably, over the one before: no span. */
  probe(mark: string): Promise<void>;
  /** The mark that was written last. */
  probed(): Promise<string | undefined>;
  /** What was counted from one day (since 1970, UTC) to another, both included: usage/usage-days.ts. */
  usage(from: number, to: number, usage?: readonly UsageDelta[]): Promise<Uint8Array>;
  /** Counts blocks that a lookup could not read. */
  noteFailedReads(count: number): Promise<void>;
  /** Replaces the settings, durably. */
  configure(settings: ShardSettings): Promise<void>;
  /**
   * Deletes every object and row of the shard, bit by bit: to be called until it is `done`. It also goes on by itself. From
   * the first call on appends are refused and nothing is found.
   */
  destroy(now: number): Promise<{ readonly done: boolean }>;
}
