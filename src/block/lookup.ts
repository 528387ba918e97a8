// Where in a block a trace may be: pure functions on the bytes that the catalogue keeps.
import { filterMayHold } from "./binary-fuse.ts";
import type { ByteRange } from "./meta.ts";
import { TraceIndex } from "./trace-index.ts";

/**
 * Whether the block may hold the trace: never false for one it holds, true for 2^-8 or 2^-16 of the others. The filter's
 * checksum is not verified, which would cost more than the answer.
 *
 * @param filter `WrittenBlock.filter`
 * @param traceId 16 bytes
 * @throws AppError `corrupt` when `filter` is no filter
 */
export function mayHoldTrace(filter: Uint8Array, traceId: Uint8Array): boolean {
  return filterMayHold(filter, traceId, 0);
}

/**
 * The range of the consecutive `otlp_span` pages that hold the trace if the block does; undefined when no page can.
 *
 * @param traceIndex `WrittenBlock.traceIndex`
 * @param traceId 16 bytes
 * @throws AppError `corrupt` when `traceIndex` is damaged
 */
export function tracePages(traceIndex: Uint8Array, traceId: Uint8Array): ByteRange | undefined {
  return new TraceIndex(traceIndex).find(traceId);
}
