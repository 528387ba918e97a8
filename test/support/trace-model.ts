// Tempo's rules for putting a trace together, done plainly on decoded objects: what the read side is checked against.
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  AnyValueSchema,
  InstrumentationScopeSchema,
  KeyValueSchema,
} from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { ResourceSchema } from "../../src/otlp/gen/opentelemetry/proto/resource/v1/resource_pb.ts";
import {
  type Span,
  Span_SpanKind,
  StatusSchema,
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Keeps the first span of each id and kind; groups without a span go. */
function withoutDuplicates(data: TracesData): void {
  const seen = new Set<string>();
  const isNew = (span: Span): boolean => {
    const key = `${keyOf(span.spanId)} ${span.kind}`;
    if (span.spanId.length === 8 && seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  for (const group of data.resourceSpans) {
    for (const scope of group.scopeSpans) scope.spans = scope.spans.filter(isNew);
    group.scopeSpans = group.scopeSpans.filter((scope) => scope.spans.length > 0);
  }
  data.resourceSpans = data.resourceSpans.filter((group) => group.scopeSpans.length > 0);
}

function spansOf(data: TracesData): Span[] {
  return data.resourceSpans.flatMap((group) => group.scopeSpans.flatMap((scope) => scope.spans));
}

/** Ids under which both sides of a call were sent, in the order in which the second side turned up. */
function sharedIds(spans: readonly Span[]): string[] {
  const shared: string[] = [];
  const sides = new Map<string, Set<number>>();
  for (const { spanId, kind } of spans) {
    if (spanId.length !== 8 || (kind !== Span_SpanKind.CLIENT && kind !== Span_SpanKind.SERVER)) continue;
    const key = keyOf(spanId);
    const kinds = sides.get(key) ?? new Set();
    sides.set(key, kinds.add(kind));
    if (kinds.size === 2) shared.push(key);
  }
  return shared;
}

function fixSharedSpans(spans: readonly Span[]): void {
  const used = new Set(spans.map(({ spanId }) => keyOf(spanId)));
  const fresh = new Map<string, Uint8Array<ArrayBuffer>>();
  let next = 1;
  for (const id of sharedIds(spans)) {
    let bytes: Uint8Array<ArrayBuffer>;
    do {
      bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setUint32(4, next++);
    } while (used.has(keyOf(bytes)));
    fresh.set(id, bytes);
  }
  for (const span of spans) {
    const id = keyOf(span.spanId);
    const ownFresh = span.kind === Span_SpanKind.SERVER ? fresh.get(id) : undefined;
    const parentFresh = keyOf(span.parentSpanId) === id ? undefined : fresh.get(keyOf(span.parentSpanId));
    if (ownFresh !== undefined) {
      span.parentSpanId = span.spanId;
      span.spanId = ownFresh;
    } else if (parentFresh !== undefined) span.parentSpanId = parentFresh;
  }
}

/** The trace that the pieces of TracesData make together. */
export function mergedByModel(pieces: readonly Uint8Array[]): TracesData {
  const data = create(TracesDataSchema, {
    resourceSpans: pieces.flatMap((piece) => fromBinary(TracesDataSchema, piece).resourceSpans),
  });
  withoutDuplicates(data);
  fixSharedSpans(spansOf(data));
  for (const group of data.resourceSpans) {
    group.resource ??= create(ResourceSchema);
    // Grafana's data source shows no span of a resource without attributes.
    if (group.resource.attributes.length === 0) {
      const value = create(AnyValueSchema, { value: { case: "stringValue", value: "unknown_service" } });
      group.resource.attributes.push(create(KeyValueSchema, { key: "service.name", value }));
    }
    for (const scope of group.scopeSpans) {
      scope.scope ??= create(InstrumentationScopeSchema);
      for (const span of scope.spans) span.status ??= create(StatusSchema);
    }
  }
  return data;
}
