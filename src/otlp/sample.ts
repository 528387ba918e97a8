// Part of a batch's traces: those with an error, and a share of the others that is the same in every batch.
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { mix32, traceHash } from "../util/hash.ts";
import { keepSpans } from "./rewrite.ts";
import { readSpanIds, visitSpans } from "./spans.ts";
import { LENGTH, SPAN, STATUS, VARINT, WireReader, tagOf } from "./wire.ts";

const STATUS_TAG = tagOf(SPAN.status, LENGTH);
const CODE_TAG = tagOf(STATUS.code, VARINT);
const ERROR = 2;

export interface Sample {
  /** What is left; empty when nothing is. */
  readonly bytes: Uint8Array;
  readonly leftOut: number;
}

/**
 * Keeps traces whole: all spans of the batch that belong to one with an error in it, and those whose id says so. Spans
 * without a good id are kept, to be refused as such.
 * @param bytes TracesData that `walkBatch` accepts
 * @param keepShare of the traces, from 0 to 1
 */
export function sampleTraces(bytes: Uint8Array, keepShare: number): Sample {
  const failed = new Set<number>();
  visitSpans(bytes, {
    span: (start, end) => {
      if (!isError(bytes, start, end)) return;
      const hash = hashOf(bytes, start, end);
      if (hash !== undefined) failed.add(hash);
    },
  });
  let leftOut = 0;
  const kept = keepSpans(bytes, (start, end) => {
    const hash = hashOf(bytes, start, end);
    // Mixed once more: its low bits say which shard a trace belongs to.
    const isKept = hash === undefined || failed.has(hash) || mix32(hash) / 2 ** 32 < keepShare;
    if (!isKept) leftOut++;
    return isKept;
  });
  return { bytes: kept ?? new Uint8Array(0), leftOut };
}

function hashOf(bytes: Uint8Array, start: number, end: number): number | undefined {
  const { traceIdAt, traceIdLength, spanIdLength } = readSpanIds(bytes, start, end);
  if (traceIdLength !== TRACE_ID_BYTES || spanIdLength !== SPAN_ID_BYTES) return undefined;
  return traceHash(bytes, traceIdAt);
}

function isError(bytes: Uint8Array, start: number, end: number): boolean {
  const reader = new WireReader(bytes, start);
  let code = 0;
  while (reader.pos < end) {
    const tag = reader.tag(end);
    if (tag !== STATUS_TAG) {
      reader.skip(tag, end);
      continue;
    }
    const statusEnd = reader.length(end) + reader.pos;
    while (reader.pos < statusEnd) {
      const field = reader.tag(statusEnd);
      if (field === CODE_TAG) code = reader.uint32(statusEnd);
      else reader.skip(field, statusEnd);
    }
  }
  return code === ERROR;
}
