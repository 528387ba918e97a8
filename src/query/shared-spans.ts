// The Zipkin shared-span fix: a call's two sides that were sent under one span id become parent and child.
import { SPAN_ID_BYTES } from "../model/ids.ts";
import { WireReader } from "../otlp/wire.ts";
import { ID_FIELD_BYTES, PARENT_TAG, SPAN_ID_TAG, type SpanView, STATUS_TAG } from "./record-layout.ts";
import { type FreshIds, KIND_SERVER } from "./span-set.ts";

/**
 * What the Zipkin shared-span fix makes of a span: a fresh id for the SERVER span that shares its id with a CLIENT span,
 * whose parent is then the shared id, and the fresh id as the parent of its children. 0 and 0 when nothing changes.
 */
export function sharedSpanFix(span: SpanView, fresh: FreshIds): { freshId: number; freshParent: number } {
  const freshId = span.hasId && span.kind === KIND_SERVER ? fresh.get(span.high, span.low) : 0;
  if (freshId !== 0) return { freshId, freshParent: 0 };
  const own = span.hasId && span.high === span.parentHigh && span.low === span.parentLow;
  const freshParent = span.hasParent && !own ? fresh.get(span.parentHigh, span.parentLow) : 0;
  return { freshId: 0, freshParent };
}

/** Writes an id field at the start of `view`. */
function putId(view: DataView, tag: number, high: number, low: number): void {
  view.setUint8(0, tag);
  view.setUint8(1, SPAN_ID_BYTES);
  view.setUint32(2, high);
  view.setUint32(6, low);
}

/**
 * The body of a span that `rewrite` marked: all fields but the replaced ids byte for byte, then the new ids, then an
 * empty status if there was none. Owns its buffer.
 */
export function rewrittenSpan(bytes: Uint8Array, span: SpanView, fresh: FreshIds): Uint8Array<ArrayBuffer> {
  const { freshId, freshParent } = sharedSpanFix(span, fresh);
  const out = new Uint8Array(span.newBody);
  const reader = new WireReader(bytes, span.body);
  let at = 0;
  while (reader.pos < span.end) {
    const start = reader.pos;
    const tag = reader.tag(span.end);
    reader.skip(tag, span.end);
    if (tag === PARENT_TAG || (tag === SPAN_ID_TAG && freshId !== 0)) continue;
    out.set(bytes.subarray(start, reader.pos), at);
    at += reader.pos - start;
  }
  if (freshId !== 0) {
    putId(new DataView(out.buffer, at), SPAN_ID_TAG, 0, freshId);
    putId(new DataView(out.buffer, at + ID_FIELD_BYTES), PARENT_TAG, span.high, span.low);
    at += 2 * ID_FIELD_BYTES;
  } else {
    putId(new DataView(out.buffer, at), PARENT_TAG, 0, freshParent);
    at += ID_FIELD_BYTES;
  }
  if (!span.hasStatus) out[at] = STATUS_TAG;
  return out;
}
