// A merged trace as JSON: the list of its ResourceSpans.
import { ascii, type JsonWriter } from "../otlp/json-writer.ts";
import { TraceJsonPrinter } from "../otlp/trace-json.ts";
import { concatBytes } from "../util/bytes.ts";
import { CHUNK_BYTES } from "./chunk-writer.ts";
import type { MergedTrace } from "./merged-trace.ts";
import { DROPPED, newSpanView, type RecordLayout, type SpanView, UNKNOWN_RESOURCE } from "./record-layout.ts";
import { rewrittenSpan } from "./shared-spans.ts";

const COMMA = 0x2c;
const SCOPE_SPANS = ascii('"scopeSpans":[');
const SPANS = ascii('"spans":[');
const END = ascii("]}");

type Chunks = Generator<Uint8Array<ArrayBuffer>>;

/** What a record without attributes in its resource has beside ScopeSpans, and an unknown resource. */
function unknownHead(layout: RecordLayout): Uint8Array {
  const { bytes, record } = layout;
  const parts: Uint8Array[] = [UNKNOWN_RESOURCE];
  let pos = record.body;
  for (let index = 0; index < layout.scopeCount; index++) {
    const { field, end } = layout.scope(index);
    parts.push(bytes.subarray(pos, field));
    pos = end;
  }
  return concatBytes([...parts, bytes.subarray(pos, record.end)]);
}

class RecordPrinter {
  readonly #out: JsonWriter;
  readonly #printer: TraceJsonPrinter;
  readonly #trace: MergedTrace;
  readonly #span: SpanView = newSpanView();

  constructor(out: JsonWriter, trace: MergedTrace, maxValueDepth: number) {
    this.#out = out;
    this.#printer = new TraceJsonPrinter(out, maxValueDepth);
    this.#trace = trace;
  }

  *record(layout: RecordLayout): Chunks {
    const out = this.#out;
    if (layout.hasAttributes) {
      this.#printer.resourceSpansHead(layout.bytes, layout.record.body, layout.record.end);
    } else {
      const head = unknownHead(layout);
      this.#printer.resourceSpansHead(head, 0, head.length);
    }
    out.reopen();
    out.text(SCOPE_SPANS);
    let first = true;
    for (let index = 0; index < layout.scopeCount; index++) {
      const scope = layout.scope(index);
      if (scope.newBody === DROPPED) continue;
      if (!first) out.byte(COMMA);
      first = false;
      this.#printer.scopeSpansHead(layout.bytes, scope.body, scope.end);
      out.reopen();
      out.text(SPANS);
      yield* this.#spans(layout, scope.firstSpan, scope.endSpan);
      out.text(END);
    }
    out.text(END);
  }

  *#spans(layout: RecordLayout, start: number, end: number): Chunks {
    const out = this.#out;
    const { fresh } = this.#trace;
    let first = true;
    for (let index = start; index < end; index++) {
      const span = layout.span(index, this.#span);
      if (span.newBody === DROPPED) continue;
      if (!first) out.byte(COMMA);
      first = false;
      if (span.rewritten && fresh !== undefined) {
        const body = rewrittenSpan(layout.bytes, span, fresh);
        this.#printer.span(body, 0, body.length);
      } else this.#printer.span(layout.bytes, span.body, span.end);
      if (out.length >= CHUNK_BYTES) yield out.take();
    }
  }
}

/**
 * Writes the trace to `out` as a JSON list and yields full chunks, which are the receiver's; the last one is left in
 * `out`. The trace cannot be read again.
 * @throws AppError `invalid_argument` when a span is malformed within, or a value nested deeper than `maxValueDepth`
 */
export function* writeJson(trace: MergedTrace, out: JsonWriter, maxValueDepth: number): Chunks {
  const printer = new RecordPrinter(out, trace, maxValueDepth);
  let first = true;
  out.byte(0x5b);
  for (const layout of trace.records(true)) {
    if (!first) out.byte(COMMA);
    first = false;
    yield* printer.record(layout);
  }
  out.byte(0x5d);
}
