// Which traces have spans where a query does not look.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { overlapsRange, type TimeRange } from "../store/catalogue.ts";
import { traceHash } from "../util/hash.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Epochs } from "./epochs.ts";

/** See TraceShardRpc. Nothing is awaited, so it is of one moment. */
export function findBeyond(
  { epochs, catalogue }: { readonly epochs: Epochs; readonly catalogue: Catalogue },
  traceIds: Uint8Array,
  range: TimeRange,
): number[] {
  const outside = epochs.live().filter((epoch) => epoch.spanCount > 0 && !overlapsRange(epoch, range));
  const epochIds = new Set(outside.map(({ id }) => id));
  const isLive = (traceId: Uint8Array): boolean =>
    epochIds.size > 0 && epochs.find(traceHash(traceId)).some(({ epoch }) => epochIds.has(epoch));
  const found: number[] = [];
  for (let place = 0; (place + 1) * TRACE_ID_BYTES <= traceIds.length; place++) {
    const traceId = traceIds.subarray(place * TRACE_ID_BYTES, (place + 1) * TRACE_ID_BYTES);
    if (isLive(traceId) || catalogue.mayHoldBeyond(traceId, range)) found.push(place);
  }
  return found;
}
