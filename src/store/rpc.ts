// The objects' methods as their callers see them. Fields may be added, never changed: during a deploy the
// versions of Worker and object differ for minutes.
import type { ByteRange } from "./object-store.ts";

/** One accepted batch: header and payload of a segment frame (segment/FORMAT.md). */
export interface AppendBatch {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/** Expected refusals are values: a throw across the call costs six times as much and is logged as a fault. */
export type AppendResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly kind: "rate_limited" | "unavailable";
      readonly message: string;
      readonly retryAfterMs: number;
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
  readonly rowsWritten: number;
  readonly appends: number;
}

export interface TraceShardRpc {
  /** Resolves once the batch is durable and readable. */
  append(batch: AppendBatch): Promise<AppendResult>;
  /** One consistent view: a span is either live or in one of the blocks, never both, never neither. */
  findTrace(traceId: Uint8Array): Promise<FindTraceReply>;
  /** What the alarm does at time `now` (ms); every due epoch is flushed. */
  tick(now: number): Promise<TickReport>;
  stats(): Promise<ShardStats>;
}
