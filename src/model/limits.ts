// Every bound in one place: what it guards, its unit, where it comes from.
import { assert } from "../util/assert.ts";
import {
  DEFAULT_TENANT_LIMITS,
  resolveTenantLimits,
  type TenantLimitOverrides,
  type TenantLimits,
} from "./tenant-limits.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** What the platform gives; not ours to change. https://developers.cloudflare.com/workers/platform/limits/ */
export const PLATFORM = {
  /** Memory of an isolate, shared by its concurrent requests, in bytes. */
  isolateBytes: 128 * MIB,
  /** A SQLite row in a Durable Object is limited to 2 MB. */
  rowBytes: 2_000_000,
  /** One call between Worker and object, all arguments serialised. */
  rpcBytes: 32 * MIB,
  /** Connections that one request may have waiting for response headers. */
  connections: 6,
} as const;

export interface Limits {
  /** Bytes of a request body as sent; more is 413. Tempo's receiver allows the same 20 MiB. */
  readonly maxCompressedBodyBytes: number;
  /** Bytes of a request body once inflated; more is 413. */
  readonly maxBodyBytes: number;
  /**
   * Levels of AnyValue within AnyValue, in protobuf and JSON; more is 400. One level is three messages, and protobuf
   * libraries stop at 100.
   */
  readonly maxValueDepth: number;
  /** `{`, `[` and `,` in a JSON body: bounds the heap that JSON.parse takes (about 40 bytes each); more is 413. */
  readonly maxJsonTokens: number;
  /** Bytes of one span; a larger one is refused, the rest of its batch is kept. */
  readonly maxSpanBytes: number;
  /** Bytes of one row in SQLite: the platform's 2 MB less room for the row's own header. */
  readonly maxRowBytes: number;
  /** Bytes waiting for a commit in a shard; more is 503. */
  readonly maxQueuedBytes: number;
  /** Inflated bytes of a shard not yet in a block; more is 429. */
  readonly maxUnflushedBytes: number;
  /**
   * Traces with spans in a shard's buffer, one that is in two epochs counted twice; new ones are 429 until a flush. Each
   * takes about 60 bytes of the index in memory.
   */
  readonly maxLiveTraces: number;
  /** Inflated bytes at which an epoch is cut and flushed. */
  readonly flushBytes: number;
  /** Milliseconds after which an epoch is flushed whatever its size. */
  readonly flushAgeMs: number;
  /** Inflated bytes of the frames of a live trace up to which a shard answers in one message; more is streamed. */
  readonly maxLiveReplyBytes: number;
  /** Inflated bytes of a trace by id: more is 422 (v1) or PARTIAL (v2). */
  readonly maxTraceBytes: number;
  /** Inflated bytes of a trace that is filtered: it is in memory at once, and as columns. More is PARTIAL. */
  readonly maxOpenedTraceBytes: number;
  /**
   * Inflated bytes of a trace that is told to a language model, more is PARTIAL, or of two that are compared, more is 429:
   * its spans are objects in memory, of nine times the bytes.
   */
  readonly maxDecodedTraceBytes: number;
  /** Compressed bytes that one trace lookup may hold while it puts the parts together. */
  readonly maxTraceSpoolBytes: number;
  /** Milliseconds that spans are kept after they ended, unless the tenant has a setting of its own. */
  readonly blockRetentionMs: number;
  /** Milliseconds from a block's removal from the catalogue to that of its object: longer than any query or job. */
  readonly objectGraceMs: number;
  /** Ranges of blocks without the trace that a lookup may read on average: decides the width of the filters. */
  readonly maxFalseGets: number;
  /** Milliseconds at least between two alarms of a shard that has nothing to flush. */
  readonly idleAlarmMs: number;
  /** Bytes of the young blocks' filters, and of as many parts of others, that a shard keeps in memory. */
  readonly catalogueCacheBytes: number;
  /** Bytes of a batch's parts for several shards, resources repeated in each; more is 413. */
  readonly maxSplitBytes: number;
  /** Milliseconds that a Worker uses a tenant's shard map before it asks for it again. */
  readonly shardMapTtlMs: number;
  readonly growth: GrowthLimits;
  readonly scan: ScanLimits;
  /** What a tenant may use: the installation's defaults, or, where one tenant is at work, what holds for it. */
  readonly tenant: TenantLimits;
}

/** What queries over many spans may take of an isolate, which is 128 MB, and keep in it. */
export interface ScanLimits {
  /** Bytes of column chunks of blocks that are kept from query to query. */
  readonly columnCacheBytes: number;
  /** Bytes of blocks' trace ids that are kept. */
  readonly traceCacheBytes: number;
  /** Bytes of what was found out about columns: what costly predicates say of values, the starts of traces. */
  readonly noteCacheBytes: number;
  /** Bytes of traces that several sources have parts of, put together, that are kept. */
  readonly splitCacheBytes: number;
  /** Bytes of a few rows of blocks that are kept: of traces that are in several blocks, and of results. */
  readonly sparseCacheBytes: number;
  /** Heap of blocks' footers that are kept: about 70 KB a row group. */
  readonly footerCacheBytes: number;
  /** Bytes of live spans as columns that are kept: a buffer of 32 MiB takes 8. */
  readonly liveCacheBytes: number;
  /** Bytes of column chunks that one query reads ahead of their use. */
  readonly maxHeldBytes: number;
  /** Bytes of column chunks that one query holds on to after it took a few rows of them: results may be in others. */
  readonly maxRereadBytes: number;
  /** Bytes of blocks that one query may look into; what is beyond is left out and reported. */
  readonly maxQueryBytes: number;
  /** Traces of blocks that one query may look into, likewise: their ids are in memory at once, 20 bytes each. */
  readonly maxQueryTraces: number;
  /** Milliseconds before and after a query's window in which blocks are looked into, for the rest of traces within. */
  readonly traceMarginMs: number;
  /** Spans that one query looks through for traces that may go on beyond that; of more the newest blocks. */
  readonly maxCandidateSpans: number;
  /** Traces of one query that are asked after there: those of its results, and those that might be among them. */
  readonly maxCheckedTraces: number;
  /** Traces of one query that are read whole because they go on there, a call and a GET or two each. */
  readonly maxWholeTraces: number;
  /** Milliseconds that a query's window may span; more is 400, with the texts that Grafana explains. */
  readonly maxRangeMs: number;
  /** Traces in one page of a search, whatever its `limit`: the next page is had by the cursor. */
  readonly maxAnswerTraces: number;
  /** Spans in one page of a search, with one spanset each trace: `spss` is less when pages are larger. */
  readonly maxAnswerSpans: number;
  /** Samples in the answer of a metrics query, about 45 bytes each; of more the last series are left out. */
  readonly maxAnswerSamples: number;
  /** Bytes of the names or values of tags in one answer, Tempo's default. */
  readonly maxTagBytes: number;
  readonly pool: PoolLimits;
}

/** When a query's blocks are looked into by the scan pool, and what its Scanner objects may take. */
export interface PoolLimits {
  /** Spans of blocks that the Worker looks into by itself, */
  readonly maxLocalSpans: number;
  /** blocks, */
  readonly maxLocalBlocks: number;
  /** their traces, whose ids are then in memory at once, */
  readonly maxLocalTraces: number;
  /** and their bytes. A query with more of any of these goes to the pool, with all of its blocks. */
  readonly maxLocalBytes: number;
  /** Scanner objects of a tenant: a block is always looked into by the same one. */
  readonly scanners: number;
  /** Milliseconds that a call to one of them may take. */
  readonly callMs: number;
  /** Milliseconds before the second try. */
  readonly retryAfterMs: number;
  /** Rows that a Scanner evaluates before it waits for its caller to want more. */
  readonly sliceRows: number;
  /** Bytes of one message between Worker and Scanner. */
  readonly maxMessageBytes: number;
  /** Bytes of what a Scanner says to one question, over all messages. */
  readonly maxPartBytes: number;
  /** Traces of a query that lie in several blocks or in a block and the buffer: the Worker puts them together. */
  readonly maxSplitTraces: number;
  /** Queries that the Scanners of one isolate look into at a time; of one more the call is refused. */
  readonly maxSessions: number;
  /** Sources that a Scanner evaluates at a time: their columns, decoded, are in memory meanwhile. */
  readonly maxEvaluations: number;
  /** Bytes of column chunks that they read ahead of their use, all of them together. */
  readonly maxHeldBytes: number;
  /** Bytes that the Scanners of one isolate keep from query to query, all of them together. */
  readonly maxCacheBytes: number;
  /** What one Scanner keeps at most, as in ScanLimits. */
  readonly columnCacheBytes: number;
  readonly traceCacheBytes: number;
  readonly noteCacheBytes: number;
  readonly sparseCacheBytes: number;
  readonly footerCacheBytes: number;
}

/** When a tenant gets more shards. */
export interface GrowthLimits {
  /** A shard is too busy when it has more appends a second, */
  readonly appendsPerSecond: number;
  /** or more inflated bytes a second, */
  readonly rawBytesPerSecond: number;
  /** in each minute of this many milliseconds. */
  readonly sustainedMs: number;
  /** Milliseconds from the time a count takes effect to the next doubling. */
  readonly coolDownMs: number;
  /** Shards of a tenant at most, a power of 2. */
  readonly maxShards: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxCompressedBodyBytes: 20 * MIB,
  maxBodyBytes: 32 * MIB,
  maxValueDepth: 32,
  maxJsonTokens: 2_000_000,
  maxSpanBytes: 16 * MIB,
  maxRowBytes: 1_900_000,
  maxQueuedBytes: 40 * MIB,
  maxUnflushedBytes: 256 * MIB,
  maxLiveTraces: 400_000,
  flushBytes: 32 * MIB,
  flushAgeMs: 10 * 60_000,
  // They inflate and filter in about 12 ms, and the reply stays far below the 32 MiB of one call.
  maxLiveReplyBytes: 8 * MIB,
  maxTraceBytes: 128 * MIB,
  maxOpenedTraceBytes: 12 * MIB,
  maxDecodedTraceBytes: 4 * MIB,
  maxTraceSpoolBytes: 40 * MIB,
  blockRetentionMs: 14 * 86_400_000,
  objectGraceMs: 15 * 60_000,
  maxFalseGets: 0.05,
  idleAlarmMs: 3_600_000,
  catalogueCacheBytes: 16 * MIB,
  maxSplitBytes: 128 * MIB,
  shardMapTtlMs: 30_000,
  growth: {
    appendsPerSecond: 200,
    rawBytesPerSecond: 10_000_000,
    sustainedMs: 5 * 60_000,
    coolDownMs: 10 * 60_000,
    maxShards: 64,
  },
  scan: {
    // Of ten full blocks it has what an equality search or rate() reads: 28.
    columnCacheBytes: 31 * MIB,
    traceCacheBytes: 11 * MIB,
    noteCacheBytes: 5 * MIB,
    splitCacheBytes: 3 * MIB,
    sparseCacheBytes: 2 * MIB,
    footerCacheBytes: 4 * MIB,
    liveCacheBytes: 12 * MIB,
    // What quantile_over_time() needs of ten full blocks: start, duration and one more column.
    maxHeldBytes: 44 * MIB,
    // What results and traces in several blocks show of one full block.
    maxRereadBytes: 14 * MIB,
    // Some 70 M spans, of 120 bytes; so many traces are digests of 24 MB (query/pool/trace-digest.ts).
    maxQueryBytes: 8192 * MIB,
    maxQueryTraces: 12_000_000,
    traceMarginMs: 5 * 60_000,
    // All that a Worker looks into by itself: 250 ms, once.
    maxCandidateSpans: 5_000_000,
    // With 1,000 blocks half a millisecond of their shard each; 500 to a call.
    maxCheckedTraces: 2_000,
    maxWholeTraces: 64,
    // The longest retention: what bounds a query is the bytes that it may look into.
    maxRangeMs: 3660 * 86_400_000,
    maxAnswerTraces: 10_000,
    maxAnswerSpans: 30_000,
    maxAnswerSamples: 300_000,
    maxTagBytes: 1_000_000,
    pool: {
      // Ten full blocks: their hot columns fit an isolate's cache, and rate() over them takes some 120 ms of CPU.
      maxLocalSpans: 5_000_000,
      // A cold block is three requests, six at a time: these take half a minute of 50 ms rounds less than 2 s.
      maxLocalBlocks: 64,
      maxLocalTraces: 2_000_000,
      maxLocalBytes: 768 * MIB,
      // Two rounds of the six calls that may be open at a time.
      scanners: 12,
      callMs: 30_000,
      retryAfterMs: 200,
      sliceRows: 1_000_000,
      maxMessageBytes: 16 * MIB,
      maxPartBytes: 48 * MIB,
      // Their ids are 16 bytes for each of their parts, and 32 as text.
      maxSplitTraces: 500_000,
      maxSessions: 32,
      maxEvaluations: 2,
      maxHeldBytes: 12 * MIB,
      maxCacheBytes: 56 * MIB,
      columnCacheBytes: 24 * MIB,
      noteCacheBytes: 4 * MIB,
      // What one of twelve has of a query over 12 M traces, 20 bytes each.
      traceCacheBytes: 20 * MIB,
      sparseCacheBytes: 2 * MIB,
      footerCacheBytes: 3 * MIB,
    },
  },
  tenant: DEFAULT_TENANT_LIMITS,
};

/** What all caches of an isolate's queries may take together. */
function scanCacheBytes(scan: ScanLimits): number {
  return (
    scan.columnCacheBytes +
    scan.traceCacheBytes +
    scan.noteCacheBytes +
    scan.splitCacheBytes +
    scan.sparseCacheBytes +
    scan.footerCacheBytes +
    scan.liveCacheBytes
  );
}

/** The limits where the spans and queries of one tenant are at work: where both bound the same, the smaller holds. */
export function limitsOfTenant(limits: Limits, overrides: TenantLimitOverrides | undefined): Limits {
  const tenant = resolveTenantLimits(overrides, limits.tenant);
  return { ...limits, tenant, maxBodyBytes: Math.min(limits.maxBodyBytes, tenant.maxBytesPerRequest) };
}

assert(DEFAULT_LIMITS.maxRowBytes < PLATFORM.rowBytes, "a row fits the platform's row");
assert(
  DEFAULT_LIMITS.maxCompressedBodyBytes * 1.5 < PLATFORM.rpcBytes,
  "a body fits one call with room to spare",
);
assert(
  DEFAULT_LIMITS.maxQueuedBytes > DEFAULT_LIMITS.maxCompressedBodyBytes,
  "the largest batch fits the queue",
);
assert(DEFAULT_LIMITS.scan.pool.maxMessageBytes < PLATFORM.rpcBytes, "a message fits one call");
assert(
  scanCacheBytes(DEFAULT_LIMITS.scan) <= 0.55 * PLATFORM.isolateBytes,
  "what a Worker keeps from query to query leaves 45 % of the isolate to its work",
);
assert(
  DEFAULT_LIMITS.scan.pool.maxCacheBytes + 2 * DEFAULT_LIMITS.scan.pool.maxHeldBytes <
    PLATFORM.isolateBytes / 1.5,
  "what Scanners keep leaves a third of the isolate to their work",
);
assert(DEFAULT_LIMITS.maxTraceSpoolBytes * 3 < PLATFORM.isolateBytes, "a lookup leaves room in the isolate");
assert(
  DEFAULT_TENANT_LIMITS.burstBytes >= DEFAULT_LIMITS.maxBodyBytes &&
    DEFAULT_TENANT_LIMITS.burstSpans >= DEFAULT_TENANT_LIMITS.maxSpansPerRequest,
  "the largest request passes the rates",
);
