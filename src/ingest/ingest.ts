// Spans into shards: inflate, check, frame, append. All protocols become OTLP protobuf first.
import type { Limits } from "../model/limits.ts";
import { cutAttributes } from "../otlp/attribute-limits.ts";
import { jsonToProtobuf } from "../otlp/json.ts";
import { type CutCounts, describeOutcome, type RefusedSpans } from "../otlp/response.ts";
import { dropRejectedSpans } from "../otlp/rewrite.ts";
import { sampleTraces } from "../otlp/sample.ts";
import { servicesOf } from "../otlp/services.ts";
import { splitByShard } from "../otlp/split.ts";
import { type BatchSummary, walkBatch } from "../otlp/walk.ts";
import type { AppendCaller } from "../store/rpc.ts";
import type { BatchMeter } from "../usage/batch-meter.ts";
import { freeBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { decompress } from "../util/codec.ts";
import { AppError, isAppError } from "../util/errors.ts";
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
  /** Good spans that are not wanted, by the spend cap; absent: all are. */
  readonly leftOut?: number;
  /** For the sender: what was refused or cut, and which limit it was; empty when nothing was. */
  readonly message: string;
  /** Latest end of an accepted span in ms since 1970, 0 when there is none. */
  readonly newestEndMs: number;
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
  /** Absent: nobody counts. */
  readonly meter?: BatchMeter;
  /** What is kept when not all is wanted, and why. */
  readonly sample?: SampleRule;
}

export interface SampleRule {
  readonly keepShare: number;
  readonly reason: string;
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
  if (isRaw) shards.sender?.rates?.check({ bytes: sent.bytes.length, spans: 1 });
  const inflated = decompress(sent.codec, sent.bytes, limits.maxBodyBytes);
  const isConverted = format === "json";
  shards.meter?.body({ sentBytes: sent.bytes.length, inflatedBytes: inflated.length, isConverted });
  if (isConverted) return ingestConverted(shards, jsonToProtobuf(inflated, limits), limits);
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
  const checked = check(received, limits, sender.nowMs);
  const { raw, summary, counts, leftOut = 0 } = sampled(checked, shards.sample, limits);
  const { spanCount, rejected } = summary;
  const load = { bytes: raw.length, spans: spanCount };
  sender.rates?.take(load);
  let traceTooLarge: number;
  try {
    traceTooLarge = await storeChecked(
      shards,
      { raw, summary },
      limits,
      raw === received ? asSent : undefined,
    );
  } catch (error) {
    sender.rates?.giveBack(load, error);
    shards.meter?.refused(spanCount, isAppError(error) ? error.kind : "internal");
    throw error;
  }
  const refused = { ...rejected, traceTooLarge };
  countRefused(shards.meter, { ...refused, spendCap: leftOut });
  const unwanted = leftOut === 0 ? "" : `${leftOut} spans ${shards.sample?.reason}`;
  return {
    acceptedSpans: spanCount - traceTooLarge,
    rawBytes: raw.length,
    rejected: refused,
    counts,
    ...(leftOut > 0 && { leftOut }),
    newestEndMs: Number(summary.maxEndNs / 1_000_000n),
    message: [describeOutcome(refused, counts, limits), unwanted].filter((text) => text !== "").join("; "),
  };
}

function countRefused(meter: BatchMeter | undefined, spansByReason: Readonly<Record<string, number>>): void {
  for (const [reason, spans] of Object.entries(spansByReason)) if (spans > 0) meter?.refused(spans, reason);
}

/**
 * @param asSent how it came, if it may go on like that
 * @returns spans that were refused because a shard has too much of their trace
 */
async function storeChecked(
  shards: IngestTarget,
  checked: Pick<Checked, "raw" | "summary">,
  limits: Limits,
  asSent: Payload | undefined,
): Promise<number> {
  const services = shards.meter === undefined ? [] : servicesOf(checked.raw);
  // Before they are stored: the call that does it takes the counts along.
  shards.meter?.services(services, 1);
  try {
    return await storeFrames(shards, checked, limits, asSent);
  } catch (error) {
    shards.meter?.services(services, -1);
    throw error;
  }
}

async function storeFrames(
  shards: IngestTarget,
  { raw, summary }: Pick<Checked, "raw" | "summary">,
  limits: Limits,
  asSent: Payload | undefined,
): Promise<number> {
  const context = { shards, limits, caller: shards.sender?.caller };
  const only = onlyShard(summary, shards.count);
  if (only === undefined) return storeParts(context, splitByShard(raw, shards.count, limits));
  if (summary.spanCount === 0) return 0;
  const isWhole = rejectedCount(summary.rejected) === 0;
  const payload = isWhole
    ? (asSent ?? rewritten(raw, limits))
    : rewritten(dropRejectedSpans(raw, limits), limits);
  return storeFrame(context, only, summary, payload);
}

/** Without the traces that are not wanted. */
function sampled(
  checked: Checked,
  rule: SampleRule | undefined,
  limits: Limits,
): Checked & { readonly leftOut?: number } {
  if (rule === undefined) return checked;
  const { bytes, leftOut } = sampleTraces(checked.raw, rule.keepShare);
  if (leftOut === 0) return checked;
  return { ...checked, raw: bytes, summary: walkBatch(bytes, limits), leftOut };
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

/** Whether the batch is refused for what it is: no span of it is good. What is left out on purpose must not come again. */
export function isRefused({ acceptedSpans, rejected, leftOut }: IngestResult): boolean {
  return acceptedSpans === 0 && leftOut === undefined && rejectedCount(rejected) > 0;
}

/** Spans that were not stored. */
export function refusedCount({ rejected, leftOut = 0 }: IngestResult): number {
  return rejectedCount(rejected) + leftOut;
}

/** Number of refused spans. */
export function rejectedCount(rejected: Readonly<Record<string, number>>): number {
  return Object.values(rejected).reduce((sum, count) => sum + count, 0);
}
