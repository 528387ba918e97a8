// What spans a piece of TracesData holds, to be compared whatever the order and grouping.
import { readSpanIds, visitSpans } from "../../src/otlp/spans.ts";
import { toHex } from "../../src/util/hex.ts";

/** The bytes of every span as hex, sorted; only those of `traceId` (hex) if given. */
export function spanBag(parts: Iterable<Uint8Array>, traceId?: string): string[] {
  const bag: string[] = [];
  for (const bytes of parts) {
    visitSpans(bytes, {
      span(start, end) {
        const { traceIdAt } = readSpanIds(bytes, start, end);
        const id = toHex(bytes.subarray(traceIdAt, traceIdAt + 16));
        if (traceId === undefined || id === traceId) bag.push(toHex(bytes.subarray(start, end)));
      },
    });
  }
  return bag.sort();
}
