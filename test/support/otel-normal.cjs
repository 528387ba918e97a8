// The form of normal-span.ts, made of what the OpenTelemetry SDK holds, not of what it encodes. Also runs in a page.
"use strict";

function value(held) {
  if (typeof held === "string") return { string: held };
  if (typeof held === "boolean") return { bool: held };
  if (typeof held === "number") {
    if (Number.isInteger(held)) return { int: String(BigInt(held)) };
    return { double: String(held) };
  }
  if (held instanceof Uint8Array) return { bytes: Buffer.from(held).toString("base64") };
  if (Array.isArray(held)) return { list: held.map(value) };
  if (typeof held === "object" && held !== null) return { map: attributes(held) };
  return { none: true };
}

function attributes(held) {
  return Object.entries(held ?? {}).map(([key, item]) => [key, value(item)]);
}

function ns([seconds, nanoseconds]) {
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
}

/** OTLP's flags: W3C flags, bit 8 "it is known whether remote", bit 9 "remote". */
function flags(traceFlags, isRemote) {
  return traceFlags | 0x100 | (isRemote ? 0x200 : 0);
}

/** The span, as the exporter gets it. */
function normalize(span) {
  const context = span.spanContext();
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? "",
    traceState: context.traceState?.serialize() ?? "",
    flags: flags(context.traceFlags, span.parentSpanContext?.isRemote),
    name: span.name,
    kind: span.kind + 1,
    startNs: ns(span.startTime),
    endNs: ns(span.endTime),
    attributes: attributes(span.attributes),
    droppedAttributes: span.droppedAttributesCount,
    events: span.events.map((event) => ({
      timeNs: ns(event.time),
      name: event.name,
      attributes: attributes(event.attributes),
      droppedAttributes: event.droppedAttributesCount ?? 0,
    })),
    droppedEvents: span.droppedEventsCount,
    links: span.links.map((link) => ({
      traceId: link.context.traceId,
      spanId: link.context.spanId,
      traceState: link.context.traceState?.serialize() ?? "",
      attributes: attributes(link.attributes),
      droppedAttributes: link.droppedAttributesCount ?? 0,
      flags: flags(link.context.traceFlags, link.context.isRemote),
    })),
    droppedLinks: span.droppedLinksCount,
    status: { code: span.status.code, message: span.status.message ?? "" },
    resource: { attributes: attributes(span.resource.attributes), schemaUrl: span.resource.schemaUrl ?? "" },
    scope: {
      name: span.instrumentationScope.name,
      version: span.instrumentationScope.version ?? "",
      attributes: attributes(span.instrumentationScope.attributes),
      schemaUrl: span.instrumentationScope.schemaUrl ?? "",
    },
  };
}

module.exports = { normalize };
