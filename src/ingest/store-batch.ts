// A checked batch into the shards: one frame each, and what becomes of a refusal.
import { type Limits, PLATFORM } from "../model/limits.ts";
import { dropTraces } from "../otlp/rewrite.ts";
import type { ShardPart } from "../otlp/split.ts";
import { type BatchSummary, walkBatch } from "../otlp/walk.ts";
import { encodeHead } from "../segment/frame.ts";
import type { AppendBatch, AppendCaller, AppendResult, TraceShardRpc } from "../store/rpc.ts";
import { freeBytes, leanBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { compressZstd, decompress } from "../util/codec.ts";
import { AppError, isAppError } from "../util/errors.ts";

export interface Payload {
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

/** What the head of a frame says of its batch. */
export type FrameFacts = Pick<
  BatchSummary,
  "spanCount" | "minStartNs" | "maxEndNs" | "traceHashes" | "traceSizes"
>;

/** What all frames of a request have in common. */
export interface StoreContext {
  readonly shards: BatchShards;
  readonly limits: Limits;
  readonly caller: AppendCaller | undefined;
}

/** A batch is sent again without the traces that a shard has too much of; others may grow too large meanwhile. */
const MAX_ATTEMPTS = 4;
const RETRY_MS = 1_000;

/**
 * Stores one frame.
 * @returns spans that were refused because the shard has too much of their trace
 * @throws AppError as `ingestOtlp`
 */
export async function storeFrame(
  context: StoreContext,
  shard: number,
  facts: FrameFacts,
  payload: Payload,
): Promise<number> {
  const { limits, shards } = context;
  const refused = new Set<number>();
  let left = facts;
  let sent = payload;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const result = await callShard(shards.shard(shard), appendBatch(context, left, sent));
    if (result.ok) return facts.spanCount - left.spanCount;
    if (result.kind !== "trace_too_large") throw refusalOf(result);
    for (const hash of result.traceHashes) refused.add(hash);
    const raw = decompress(payload.codec, payload.body, payload.rawLength, payload.rawLength);
    const kept = dropTraces(raw, refused, limits);
    left = walkBatch(kept, limits);
    if (left.spanCount === 0) return facts.spanCount;
    sent = rewritten(kept, limits);
  }
  throw new AppError("rate_limited", "traces of the batch become too large one after another", {
    retryAfterMs: RETRY_MS,
  });
}

/**
 * Stores each shard's part of a batch, several at a time. Parts are made one by one, and no more are made than may be on
 * their way: with a large resource in each, all of them together take several times the batch.
 * @returns as `storeFrame`
 */
export async function storeParts(context: StoreContext, parts: readonly ShardPart[]): Promise<number> {
  const { limits } = context;
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  if (byteLength > limits.maxSplitBytes) {
    const what = `the batch takes ${byteLength} bytes with its resources repeated for ${parts.length} shards`;
    throw new AppError("too_large", `${what}, more than ${limits.maxSplitBytes}: send fewer spans at a time`);
  }
  const running = new Set<Promise<void>>();
  const refusals: AppError[] = [];
  let bytesOnTheirWay = 0;
  let refusedSpans = 0;
  for (const part of parts) {
    const payload = partPayload(part.write(), limits);
    const bytes = payload.body.length;
    while (
      running.size >= PLATFORM.connections ||
      (running.size > 0 && bytesOnTheirWay + bytes > limits.maxBodyBytes)
    ) {
      await Promise.race(running);
    }
    if (refusals.length > 0) break;
    bytesOnTheirWay += bytes;
    const call = storeFrame(context, part.shard, part, payload)
      .then((refused) => void (refusedSpans += refused))
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
  return refusedSpans;
}

/** What we wrote ourselves stays raw while it fits a row: zstd would add 20 % to the CPU of a JSON batch. */
export function rewritten(raw: Uint8Array, limits: Limits): Payload {
  if (raw.length <= limits.maxRowBytes) return { codec: "raw", body: raw, rawLength: raw.length };
  return { codec: "zstd", body: compressZstd(raw, PAYLOAD_ZSTD_LEVEL), rawLength: raw.length };
}

function partPayload(raw: Uint8Array, limits: Limits): Payload {
  const payload = rewritten(raw, limits);
  if (payload.body !== raw) freeBytes(raw);
  return payload;
}

function appendBatch({ caller, shards }: StoreContext, facts: FrameFacts, payload: Payload): AppendBatch {
  const { spanCount, minStartNs, maxEndNs, traceHashes, traceSizes } = facts;
  const head = encodeHead({ ...payload, spanCount, minStartNs, maxEndNs, traceHashes });
  return {
    head,
    body: leanBytes(payload.body),
    traceSizes,
    shardCount: shards.count,
    ...(caller !== undefined && { caller }),
  };
}

function refusalOf(refusal: AppendResult & { readonly ok: false }): AppError {
  const { kind, message } = refusal;
  if (kind === "trace_too_large") return new AppError("rate_limited", message, { retryAfterMs: RETRY_MS });
  return new AppError(kind, message, "retryAfterMs" in refusal ? { retryAfterMs: refusal.retryAfterMs } : {});
}

async function callShard(shard: Pick<TraceShardRpc, "append">, batch: AppendBatch): Promise<AppendResult> {
  try {
    return await shard.append(batch);
  } catch (error) {
    // Restarted, overloaded or out of reach: the client sends the batch again, duplicates are removed.
    throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: RETRY_MS, cause: error });
  }
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
