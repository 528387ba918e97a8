// What the size of batches does to the bill.
import type { BatchSums } from "../store/insight-rpc.ts";
import { requestCpuUs } from "../usage/cpu-model.ts";
import { PRICES } from "../usage/prices.ts";

/** What SDKs can be set to at most with their default queue raised. */
export const ADVISED_SPANS = 4096;
/** Milliseconds that a shard's object is active for an append: its commit. */
const APPEND_MS = 10;
const BILLION = 1e9;

export interface BatchAdvice {
  readonly requests: number;
  readonly spans: number;
  readonly spansPerRequest: number;
  readonly bytesPerSpan: number;
  /** USD that requests cost for 10^9 spans: now, and with `advisedSpansPerRequest`. */
  readonly requestUsdPerBillionSpans: number;
  readonly advisedSpansPerRequest: number;
  readonly advisedUsdPerBillionSpans: number;
  readonly advice: string;
}

/**
 * USD of a request that brings spans, whatever is in it: the Worker's request and CPU, and for each shard a call, a row and
 * the time of its commit. Batches that come at the same time share a row, so it is the most that they cost.
 */
export function requestUsd(shards: number): number {
  const perWorker =
    PRICES.workerRequests.usd + requestCpuUs() * PRICES.workerCpu.unitsPerCount * PRICES.workerCpu.usd;
  const perShard =
    PRICES.objectRequests.usd +
    PRICES.rowsWritten.usd +
    APPEND_MS * PRICES.objectDuration.unitsPerCount * PRICES.objectDuration.usd;
  return perWorker + shards * perShard;
}

/** @param shards that a batch is spread over */
export function batchAdvice({ requests, spans, bodyBytes }: BatchSums, shards: number): BatchAdvice {
  const spansPerRequest = spans / requests;
  // A batch of fewer spans than shards cannot reach them all.
  const usdAt = (size: number): number => (requestUsd(Math.min(shards, Math.max(1, size))) / size) * BILLION;
  const now = usdAt(spansPerRequest);
  const advised = usdAt(ADVISED_SPANS);
  return {
    requests,
    spans,
    spansPerRequest,
    bytesPerSpan: bodyBytes / spans,
    requestUsdPerBillionSpans: now,
    advisedSpansPerRequest: ADVISED_SPANS,
    advisedUsdPerBillionSpans: advised,
    advice:
      spansPerRequest >= ADVISED_SPANS / 2
        ? "batches are large: requests cost next to nothing"
        : `requests cost USD ${usdText(now)} for 10^9 spans, USD ${usdText(advised)} with ${ADVISED_SPANS} spans each: ` +
          "OTEL_BSP_MAX_QUEUE_SIZE=16384 OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4096, or send_batch_size: 4096 in a collector's batch processor",
  };
}

/** Two digits that count. */
function usdText(usd: number): string {
  return usd >= 10 ? usd.toFixed(0) : Number(usd.toPrecision(2)).toString();
}
