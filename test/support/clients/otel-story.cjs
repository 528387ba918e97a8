// A trace told by OpenTelemetry's API alone, for the exporters of other formats: parent and child, error, event, link,
// attributes of each type, names beyond ASCII, all five kinds. Prints what it made as one line of JSON.
"use strict";
const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { SimpleSpanProcessor, TracerProvider } = require("@opentelemetry/sdk-trace");

/** Seconds and nanoseconds; whole microseconds, but no whole milliseconds. */
const START = [Math.floor(Date.now() / 1000), 123_456_000];
const after = (microseconds) => [START[0], START[1] + microseconds * 1000];

const LINKED = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };

function tell(tracer) {
  const root = tracer.startSpan("größe 🎼", {
    kind: SpanKind.SERVER,
    startTime: START,
    root: true,
    attributes: { "text.ü": 'grüße 🎼 " \\ \n', int: 42, double: 0.25, bool: true },
  });
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  const client = tracer.startSpan(
    "fails ✗",
    { kind: SpanKind.CLIENT, startTime: after(100), links: [{ context: LINKED }] },
    inside,
  );
  client.addEvent("retry ü", { attempt: 2, host: "ä" }, after(200));
  client.setStatus({ code: SpanStatusCode.ERROR, message: "gave up ✗" });
  client.end(after(700));
  for (const kind of [SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER]) {
    const span = tracer.startSpan(SpanKind[kind], { kind, startTime: after(800 + kind) }, inside);
    if (kind === SpanKind.PRODUCER) span.setStatus({ code: SpanStatusCode.OK });
    span.end(after(900));
  }
  root.end(after(1_001));
  return {
    traceId: root.spanContext().traceId,
    rootId: root.spanContext().spanId,
    startNs: String(BigInt(START[0]) * 1_000_000_000n + BigInt(START[1])),
  };
}

/** Sends the trace with `exporter` and prints `{ traceId, rootId, startNs, failures }`. */
async function tellWith(exporter) {
  const failures = [];
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "läden", "host.name": "h-1" }),
    spanProcessors: [
      new SimpleSpanProcessor({
        exporter: {
          export: (spans, done) =>
            exporter.export(spans, (result) => {
              if (result.code !== 0) failures.push(String(result.error ?? "no reason given"));
              done(result);
            }),
          forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
          shutdown: () => exporter.shutdown(),
        },
      }),
    ],
  });
  const told = tell(provider.getTracer("story", "1.2.3"));
  // What could not be exported is in `failures`.
  await provider.forceFlush().catch(() => undefined);
  await provider.shutdown().catch(() => undefined);
  // Some exporters leave a timer behind.
  process.stdout.write(`${JSON.stringify({ ...told, failures })}\n`, () => process.exit(0));
}

module.exports = { tellWith };
