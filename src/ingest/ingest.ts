// Spans into a shard: inflate, check, frame, append. All protocols become OTLP protobuf first.
import type { Limits } from "../model/limits.ts";
import { jsonToProtobuf } from "../otlp/json.ts";
import { dropRejectedSpans } from "../otlp/rewrite.ts";
import type { BatchSummary, RejectedSpans } from "../otlp/walk.ts";
import { walkBatch } from "../otlp/walk.ts";
import { encodeHead } from "../segment/frame.ts";
import type { AppendBatch, TraceShardRpc } from "../store/rpc.ts";
import { leanBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { compressZstd, decompress } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";

export type OtlpFormat = "protobuf" | "json";

export interface IngestResult {
  /** Spans now durable and readable. */
  readonly acceptedSpans: number;
  /** Spans refused one by one, by reason. */
  readonly rejected: RejectedSpans;
}

interface Payload {
  readonly codec: Codec;
  readonly body: Uint8Array;
  readonly rawLength: number;
}

// Level 1: 690 MB/s. It is for bodies that would take several rows uncompressed.
const PAYLOAD_ZSTD_LEVEL = 1;

/**
 * Checks an OTLP body, compressed with `codec`, and stores its valid spans.
 * Resolves only once they are durable.
 * @throws AppError `invalid_argument` malformed (names byte or JSON path), `too_large`, `rate_limited` and
 * `unavailable` with `retryAfterMs`
 */
export async function ingestOtlp(
  shard: TraceShardRpc,
  format: OtlpFormat,
  sent: { readonly codec: Codec; readonly bytes: Uint8Array },
  limits: Limits,
): Promise<IngestResult> {
  const inflated = decompress(sent.codec, sent.bytes, limits.maxBodyBytes);
  if (format === "json") return ingestConverted(shard, jsonToProtobuf(inflated, limits), limits);
  const summary = walkBatch(inflated, limits);
  // The body goes on as it was received: compressing again would cost more than all the rest.
  const asSent = { codec: sent.codec, body: sent.bytes, rawLength: inflated.length };
  return storeValid(
    shard,
    summary,
    rejectedCount(summary.rejected) === 0 ? asSent : validOf(inflated, limits),
  );
}

/**
 * Checks TracesData that was converted from another format and stores its valid spans, as `ingestOtlp`.
 * @param raw is handed over
 */
export async function ingestConverted(
  shard: TraceShardRpc,
  raw: Uint8Array,
  limits: Limits,
): Promise<IngestResult> {
  const summary = walkBatch(raw, limits);
  const payload = rejectedCount(summary.rejected) === 0 ? rewritten(raw, limits) : validOf(raw, limits);
  return storeValid(shard, summary, payload);
}

async function storeValid(
  shard: TraceShardRpc,
  summary: BatchSummary,
  payload: Payload,
): Promise<IngestResult> {
  if (summary.spanCount > 0) await store(shard, frameOf(summary, payload));
  return { acceptedSpans: summary.spanCount, rejected: summary.rejected };
}

function validOf(raw: Uint8Array, limits: Limits): Payload {
  return rewritten(dropRejectedSpans(raw, limits), limits);
}

/** What we wrote ourselves stays raw while it fits a row: zstd would add 20 % to the CPU of a JSON batch. */
function rewritten(raw: Uint8Array, limits: Limits): Payload {
  if (raw.length <= limits.maxRowBytes) return { codec: "raw", body: raw, rawLength: raw.length };
  return { codec: "zstd", body: compressZstd(raw, PAYLOAD_ZSTD_LEVEL), rawLength: raw.length };
}

function frameOf(summary: BatchSummary, payload: Payload): AppendBatch {
  const head = encodeHead({
    ...payload,
    spanCount: summary.spanCount,
    minStartNs: summary.minStartNs,
    maxEndNs: summary.maxEndNs,
    traceHashes: summary.traceHashes,
  });
  return { head, body: leanBytes(payload.body) };
}

async function store(shard: TraceShardRpc, batch: AppendBatch): Promise<void> {
  const result = await callShard(shard, batch);
  if (result.ok) return;
  const { kind, message } = result;
  throw new AppError(kind, message, kind === "not_found" ? {} : { retryAfterMs: result.retryAfterMs });
}

async function callShard(
  shard: TraceShardRpc,
  batch: AppendBatch,
): Promise<Awaited<ReturnType<TraceShardRpc["append"]>>> {
  try {
    return await shard.append(batch);
  } catch (error) {
    // Restarted, overloaded or out of reach: the client sends the batch again, duplicates are removed.
    throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: 1_000, cause: error });
  }
}

/** Number of refused spans. */
export function rejectedCount(rejected: RejectedSpans): number {
  return Object.values<number>(rejected).reduce((sum, count) => sum + count, 0);
}
