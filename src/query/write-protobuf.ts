// A merged trace as the Trace message: byte ranges are copied, only what changed gets a new length.
import { LENGTH, RESOURCE_SPANS, SCOPE_SPANS, tagOf, WireReader } from "../otlp/wire.ts";
import type { ChunkWriter } from "./chunk-writer.ts";
import { RESOURCE_SPANS_TAG, type MergedTrace } from "./merged-trace.ts";
import {
  DROPPED,
  newSpanView,
  PARENT_TAG,
  type RecordLayout,
  type SpanView,
  STATUS_TAG,
  UNKNOWN_RESOURCE,
  VERBATIM,
} from "./record-layout.ts";
import { rewrittenSpan } from "./shared-spans.ts";
import type { FreshIds } from "./span-set.ts";

const SCOPE_SPANS_TAG = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
const SCOPE_TAG = tagOf(SCOPE_SPANS.scope, LENGTH);
const SPANS_TAG = tagOf(SCOPE_SPANS.spans, LENGTH);

type Chunks = Generator<Uint8Array<ArrayBuffer>>;

/** Copies a range of any length, chunk by chunk. Leaves room for tags and lengths. */
export function* copied(out: ChunkWriter, bytes: Uint8Array, start: number, end: number): Chunks {
  let at = start;
  while (at < end) {
    if (out.room <= 0) yield out.take();
    const length = Math.min(end - at, out.room);
    out.copy(bytes, at, at + length);
    at += length;
  }
  if (out.room <= 0) yield out.take();
}

class RecordWriter {
  readonly #out: ChunkWriter;
  readonly #fresh: FreshIds | undefined;
  readonly #span: SpanView = newSpanView();

  constructor(out: ChunkWriter, fresh: FreshIds | undefined) {
    this.#out = out;
    this.#fresh = fresh;
  }

  *record(layout: RecordLayout): Chunks {
    const out = this.#out;
    const { bytes, record, newBody } = layout;
    if (newBody === VERBATIM) return yield* copied(out, bytes, record.field, record.end);
    this.#open(RESOURCE_SPANS_TAG, newBody);
    if (!layout.hasAttributes) out.copy(UNKNOWN_RESOURCE, 0, UNKNOWN_RESOURCE.length);
    let pos = record.body;
    for (let index = 0; index < layout.scopeCount; index++) {
      const scope = layout.scope(index);
      yield* copied(out, bytes, pos, scope.field);
      pos = scope.end;
      if (scope.newBody === VERBATIM) yield* copied(out, bytes, scope.field, scope.end);
      else if (scope.newBody !== DROPPED) yield* this.#scope(layout, scope);
    }
    yield* copied(out, bytes, pos, record.end);
  }

  *#scope(layout: RecordLayout, scope: ReturnType<RecordLayout["scope"]>): Chunks {
    const out = this.#out;
    const { bytes } = layout;
    this.#open(SCOPE_SPANS_TAG, scope.newBody);
    if (!scope.hasScope) this.#open(SCOPE_TAG, 0);
    let pos = scope.body;
    for (let index = scope.firstSpan; index < scope.endSpan; index++) {
      const span = layout.span(index, this.#span);
      // What stands between spans, and spans that stay as they are, is copied in one go.
      if (span.newBody === VERBATIM && span.end - pos < out.room) out.copy(bytes, pos, span.end);
      else {
        yield* copied(out, bytes, pos, span.field);
        if (span.newBody !== DROPPED) yield* this.#changedSpan(bytes, span);
      }
      pos = span.end;
    }
    yield* copied(out, bytes, pos, scope.end);
  }

  *#changedSpan(bytes: Uint8Array, span: SpanView): Chunks {
    const out = this.#out;
    if (span.newBody === VERBATIM) return yield* copied(out, bytes, span.field, span.end);
    this.#open(SPANS_TAG, span.newBody);
    if (span.rewritten && this.#fresh !== undefined) {
      const body = rewrittenSpan(bytes, span, this.#fresh);
      return yield* copied(out, body, 0, body.length);
    }
    if (span.hasEmptyParent) yield* this.#withoutParent(bytes, span);
    else yield* copied(out, bytes, span.body, span.end);
    if (!span.hasStatus) this.#open(STATUS_TAG, 0);
  }

  *#withoutParent(bytes: Uint8Array, span: SpanView): Chunks {
    const reader = new WireReader(bytes, span.body);
    while (reader.pos < span.end) {
      const start = reader.pos;
      const tag = reader.tag(span.end);
      reader.skip(tag, span.end);
      if (tag !== PARENT_TAG) yield* copied(this.#out, bytes, start, reader.pos);
    }
  }

  #open(tag: number, length: number): void {
    this.#out.byte(tag);
    this.#out.varint(length);
  }
}

/**
 * Writes the trace to `out` and yields full chunks, which are the receiver's; the last one is left in `out`.
 * The trace cannot be read again.
 */
export function* writeProtobuf(trace: MergedTrace, out: ChunkWriter): Chunks {
  const writer = new RecordWriter(out, trace.fresh);
  for (const layout of trace.records(true)) yield* writer.record(layout);
}
