// Spans into shards: inflate, check, frame, append. All protocols become OTLP protobuf first.
import { type Limits, PLATFORM } from "../model/limits.ts";
import { jsonToProtobuf } from "../otlp/json.ts";
import { dropRejectedSpans } from "../otlp/rewrite.ts";
import { splitByShard } from "../otlp/split.ts";
import type { BatchSummary, RejectedSpans } from "../otlp/walk.ts";
import { walkBatch } from "../otlp/walk.ts";
import { encodeHead } from "../segment/frame.ts";
import type { AppendBatch, AppendResult, TraceShardRpc } from "../store/rpc.ts";
import { freeBytes, leanBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { compressZstd, decompress } from "../util/codec.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { shardOfHash } from "../util/hash.ts";

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

/** The shards that a batch is spread over: trace by trace, `shardOfHash(hash, count)`. */
export interface BatchShards {
  /** A power of 2. */
  readonly count: number;
  shard(index: number): Pick<TraceShardRpc, "append">;
}

/**
 * Checks an OTLP body, compressed with `codec`, and stores its valid spans.
 * Resolves only once they are durable in all shards that they belong to.
 * @throws AppError `invalid_argument` malformed (names byte or JSON path), `too_large`, `rate_limited` and
 * `unavailable` with `retryAfterMs`, `not_found` when the tenant is being deleted. Some shards may have stored their part
 * then: the client sends the whole batch again, and what is there twice is found once
 */
export async function ingestOtlp(
  shards: BatchShards,
  format: OtlpFormat,
  sent: { readonly codec: Codec; readonly bytes: Uint8Array },
  limits: Limits,
): Promise<IngestResult> {
  const inflated = decompress(sent.codec, sent.bytes, limits.maxBodyBytes);
  if (format === "json") return ingestConverted(shards, jsonToProtobuf(inflated, limits), limits);
  const summary = walkBatch(inflated, limits);
  const { acceptedSpans, rejected } = resultOf(summary);
  const only = onlyShard(summary, shards.count);
  if (only === undefined) await storeParts(shards, inflated, limits);
  else if (acceptedSpans > 0) {
    // The body goes on as it was received: compressing again would cost more than all the rest.
    const asSent = { codec: sent.codec, body: sent.bytes, rawLength: inflated.length };
    const payload = rejectedCount(rejected) === 0 ? asSent : validOf(inflated, limits);
    await store(shards.shard(only), frameOf(summary, payload));
  }
  return { acceptedSpans, rejected };
}

/**
 * Checks TracesData that was converted from another format and stores its valid spans, as `ingestOtlp`.
 * @param raw is handed over
 */
export async function ingestConverted(
  shards: BatchShards,
  raw: Uint8Array,
  limits: Limits,
): Promise<IngestResult> {
  const summary = walkBatch(raw, limits);
  const { acceptedSpans, rejected } = resultOf(summary);
  const only = onlyShard(summary, shards.count);
  if (only === undefined) await storeParts(shards, raw, limits);
  else if (acceptedSpans > 0) {
    const payload = rejectedCount(rejected) === 0 ? rewritten(raw, limits) : validOf(raw, limits);
    await store(shards.shard(only), frameOf(summary, payload));
  }
  return { acceptedSpans, rejected };
}

function resultOf({ spanCount, rejected }: BatchSummary): IngestResult {
  return { acceptedSpans: spanCount, rejected };
}

/** The shard that all spans of the batch belong to; undefined when there are several. */
function onlyShard({ traceHashes }: BatchSummary, count: number): number | undefined {
  const first = shardOfHash(traceHashes[0] ?? 0, count);
  return traceHashes.every((hash) => shardOfHash(hash, count) === first) ? first : undefined;
}

/**
 * Stores each shard's part of a batch, several at a time. Parts are made one by one, and no more are made than may be on
 * their way: with a large resource in each, all of them together take several times the batch.
 */
async function storeParts(shards: BatchShards, raw: Uint8Array, limits: Limits): Promise<void> {
  const parts = splitByShard(raw, shards.count, limits);
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  if (byteLength > limits.maxSplitBytes) {
    const what = `the batch takes ${byteLength} bytes with its resources repeated for ${parts.length} shards`;
    throw new AppError("too_large", `${what}, more than ${limits.maxSplitBytes}: send fewer spans at a time`);
  }
  const running = new Set<Promise<void>>();
  const refusals: AppError[] = [];
  let bytesOnTheirWay = 0;
  for (const part of parts) {
    const batch = frameOf(part, partPayload(part.write(), limits));
    const bytes = batch.head.length + batch.body.length;
    while (
      running.size >= PLATFORM.connections ||
      (running.size > 0 && bytesOnTheirWay + bytes > limits.maxBodyBytes)
    ) {
      await Promise.race(running);
    }
    if (refusals.length > 0) break;
    bytesOnTheirWay += bytes;
    const call = store(shards.shard(part.shard), batch)
      .catch((error: unknown) => void refusals.push(asRefusal(error)))
      .finally(() => {
        running.delete(call);
        bytesOnTheirWay -= bytes;
      });
    running.add(call);
  }
  await Promise.all(running);
  const worst = worstOf(refusals);
  if (worst !== undefined) throw worst;
}

function asRefusal(error: unknown): AppError {
  if (isAppError(error)) return error;
  return new AppError("internal", "a part of the batch cannot be stored", { cause: error });
}

function lastsMs({ retryAfterMs }: AppError): number {
  return retryAfterMs ?? Number.POSITIVE_INFINITY;
}

/** The refusal that lasts longest: for good, or until the latest time to come back. */
function worstOf(refusals: readonly AppError[]): AppError | undefined {
  return refusals.toSorted((a, b) => lastsMs(b) - lastsMs(a))[0];
}

function validOf(raw: Uint8Array, limits: Limits): Payload {
  return rewritten(dropRejectedSpans(raw, limits), limits);
}

/** What we wrote ourselves stays raw while it fits a row: zstd would add 20 % to the CPU of a JSON batch. */
function rewritten(raw: Uint8Array, limits: Limits): Payload {
  if (raw.length <= limits.maxRowBytes) return { codec: "raw", body: raw, rawLength: raw.length };
  return compressed(raw);
}

function compressed(raw: Uint8Array): Payload {
  return { codec: "zstd", body: compressZstd(raw, PAYLOAD_ZSTD_LEVEL), rawLength: raw.length };
}

function partPayload(raw: Uint8Array, limits: Limits): Payload {
  const payload = rewritten(raw, limits);
  if (payload.body !== raw) freeBytes(raw);
  return payload;
}

function frameOf(summary: Omit<BatchSummary, "rejected">, payload: Payload): AppendBatch {
  const head = encodeHead({
    ...payload,
    spanCount: summary.spanCount,
    minStartNs: summary.minStartNs,
    maxEndNs: summary.maxEndNs,
    traceHashes: summary.traceHashes,
  });
  return { head, body: leanBytes(payload.body) };
}

async function store(shard: Pick<TraceShardRpc, "append">, batch: AppendBatch): Promise<void> {
  const result = await callShard(shard, batch);
  if (result.ok) return;
  const { kind, message } = result;
  throw new AppError(kind, message, kind === "not_found" ? {} : { retryAfterMs: result.retryAfterMs });
}

async function callShard(shard: Pick<TraceShardRpc, "append">, batch: AppendBatch): Promise<AppendResult> {
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
