// Spans into shards: inflate, check, frame, append. All protocols become OTLP protobuf first.
import type { Limits } from "../model/limits.ts";
import type { BatchLoad } from "../model/rate-limiter.ts";
import { cutAttributes } from "../otlp/attribute-limits.ts";
import { jsonToProtobuf } from "../otlp/json.ts";
import { type CutCounts, describeOutcome, type RefusedSpans } from "../otlp/response.ts";
import { dropRejectedSpans } from "../otlp/rewrite.ts";
import { splitByShard } from "../otlp/split.ts";
import { type BatchSummary, walkBatch } from "../otlp/walk.ts";
import type { AppendCaller } from "../store/rpc.ts";
import { freeBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { decompress } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";
import { shardOfHash } from "../util/hash.ts";
import type { SenderRates } from "./sender-rates.ts";
import { type BatchShards, type Payload, rewritten, storeFrame, storeParts } from "./store-batch.ts";

export type OtlpFormat = "protobuf" | "json";

/** What was taken in and is worth counting. */
export interface IngestCounts extends CutCounts {
  /** Spans that start too far in the past or the future to be right; they are stored. */
  readonly implausibleStarts: number;
}

export interface IngestResult {
  /** Spans now durable and readable. */
  readonly acceptedSpans: number;
  /** Inflated bytes of the batch as OTLP. */
  readonly rawBytes: number;
  /** Spans refused one by one, by reason. */
  readonly rejected: RefusedSpans;
  readonly counts: IngestCounts;
  /** For the sender: what was refused or cut, and which limit it was; empty when nothing was. */
  readonly message: string;
}

/** Who sends, and when. */
export interface Sender {
  readonly nowMs?: number;
  readonly caller?: AppendCaller | undefined;
  /** Absent: only the shards look at the rates. */
  readonly rates?: SenderRates;
}

/** The shards that a batch is spread over, and from whom it is. */
export interface IngestTarget extends BatchShards {
  readonly sender?: Sender;
}

/**
 * Checks an OTLP body, compressed with `codec`, and stores its valid spans.
 * Resolves only once they are durable in all shards that they belong to.
 * @param limits those of the tenant, see `limitsOfTenant`
 * @throws AppError `invalid_argument` malformed (names byte or JSON path), `too_large`, `rate_limited` and
 * `unavailable` with `retryAfterMs`, `not_found` when the tenant is being deleted. Some shards may have stored their part
 * then: the client sends the whole batch again, and what is there twice is found once
 */
export async function ingestOtlp(
  shards: IngestTarget,
  format: OtlpFormat,
  sent: { readonly codec: Codec; readonly bytes: Uint8Array },
  limits: Limits,
): Promise<IngestResult> {
  // Of a body that is compressed, or that shrinks when it is converted, only so much is certain before that is done.
  const isRaw = format === "protobuf" && sent.codec === "raw";
  shards.sender?.rates?.check(isRaw ? { bytes: sent.bytes.length, spans: 1 } : SOMETHING);
  const inflated = decompress(sent.codec, sent.bytes, limits.maxBodyBytes);
  if (format === "json") return ingestConverted(shards, jsonToProtobuf(inflated, limits), limits);
  // The body goes on as it was received: compressing again would cost more than all the rest.
  const asSent = { codec: sent.codec, body: sent.bytes, rawLength: inflated.length };
  return ingestRaw(shards, inflated, asSent, limits);
}

/**
 * Checks TracesData that was converted from another format and stores its valid spans, as `ingestOtlp`.
 * @param raw is handed over
 */
export function ingestConverted(
  shards: IngestTarget,
  raw: Uint8Array,
  limits: Limits,
): Promise<IngestResult> {
  return ingestRaw(shards, raw, undefined, limits);
}

/** The load of a batch of which nothing is known. */
export const SOMETHING: BatchLoad = { bytes: 1, spans: 1 };

/** A batch that was looked through. */
interface Checked {
  readonly raw: Uint8Array;
  readonly summary: BatchSummary;
  readonly counts: IngestCounts;
}

/** @param asSent how it came, if it may go on like that */
async function ingestRaw(
  shards: IngestTarget,
  received: Uint8Array,
  asSent: Payload | undefined,
  limits: Limits,
): Promise<IngestResult> {
  const sender = shards.sender ?? {};
  sender.rates?.check({ bytes: received.length, spans: 1 });
  const { raw, summary, counts } = check(received, limits, sender.nowMs);
  const { spanCount, rejected } = summary;
  const load = { bytes: raw.length, spans: spanCount };
  sender.rates?.take(load);
  let traceTooLarge = 0;
  try {
    const context = { shards, limits, caller: sender.caller };
    const only = onlyShard(summary, shards.count);
    if (only === undefined)
      traceTooLarge = await storeParts(context, splitByShard(raw, shards.count, limits));
    else if (spanCount > 0) {
      const isWhole = rejectedCount(rejected) === 0;
      const whole = raw === received && asSent !== undefined ? asSent : rewritten(raw, limits);
      const payload = isWhole ? whole : rewritten(dropRejectedSpans(raw, limits), limits);
      traceTooLarge = await storeFrame(context, only, summary, payload);
    }
  } catch (error) {
    sender.rates?.giveBack(load);
    throw error;
  }
  const refused = { ...rejected, traceTooLarge };
  return {
    acceptedSpans: spanCount - traceTooLarge,
    rawBytes: raw.length,
    rejected: refused,
    counts,
    message: describeOutcome(refused, counts, limits),
  };
}

function check(received: Uint8Array, limits: Limits, nowMs: number | undefined): Checked {
  const first = walkBatch(received, limits, nowMs);
  const { maxSpansPerRequest } = limits.tenant;
  if (first.spanCount > maxSpansPerRequest) {
    const what = `the batch has ${first.spanCount} spans, more than the ${maxSpansPerRequest} of one request`;
    throw new AppError("too_large", `${what}: send fewer spans at a time`);
  }
  const cut = first.mayExceedAttributes ? cutAttributes(received, limits.tenant) : undefined;
  const raw = cut?.bytes ?? received;
  const summary = raw === received ? first : walkBatch(raw, limits, nowMs);
  if (raw !== received) freeBytes(received);
  const { implausibleStarts } = summary;
  return {
    raw,
    summary,
    counts: {
      truncatedAttributes: cut?.truncated ?? 0,
      droppedAttributes: cut?.dropped ?? 0,
      implausibleStarts,
    },
  };
}

/** The shard that all spans of the batch belong to; undefined when there are several. */
function onlyShard({ traceHashes }: BatchSummary, count: number): number | undefined {
  const first = shardOfHash(traceHashes[0] ?? 0, count);
  return traceHashes.every((hash) => shardOfHash(hash, count) === first) ? first : undefined;
}

/** Number of refused spans. */
export function rejectedCount(rejected: Readonly<Record<string, number>>): number {
  return Object.values(rejected).reduce((sum, count) => sum + count, 0);
}
