// Starts the OpenTelemetry SDK of a child process with an OTLP exporter that also records what it exports.
// Where to, how and what for come from the standard OTEL_* variables, as in a user's service.
// CommonJS, because the instrumentations hook `require`.
"use strict";
const { NodeSDK } = require("@opentelemetry/sdk-node");

const EXPORTERS = {
  "http/protobuf": "@opentelemetry/exporter-trace-otlp-proto",
  "http/json": "@opentelemetry/exporter-trace-otlp-http",
};

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

/** The span in the form of normal-span.ts, from what the SDK holds, not from what it encodes. */
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

/** Starts the SDK. `finish` ends it, which sends what is left, and prints what was exported as one line of JSON. */
function start(options = {}) {
  const { OTLPTraceExporter } = require(
    EXPORTERS[process.env.OTEL_EXPORTER_OTLP_PROTOCOL ?? "http/protobuf"],
  );
  const exporter = new OTLPTraceExporter();
  const spans = [];
  const failures = [];
  const recording = {
    export(batch, done) {
      spans.push(...batch.map(normalize));
      exporter.export(batch, (result) => {
        if (result.code !== 0) failures.push(String(result.error ?? "no reason given"));
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => exporter.shutdown(),
  };
  const sdk = new NodeSDK({ traceExporter: recording, ...options });
  sdk.start();
  return {
    async finish() {
      await sdk.shutdown();
      process.stdout.write(`${JSON.stringify({ spans, failures })}\n`);
    },
  };
}

module.exports = { start };
