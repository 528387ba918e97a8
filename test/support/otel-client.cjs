// A program that uses every part of a span, traced by the OpenTelemetry SDK.
"use strict";
const { start } = require("./otel-recorder.cjs");
const recorder = start({ spanLimits: { attributeCountLimit: 24, eventCountLimit: 4, linkCountLimit: 3 } });
const {
  context,
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} = require("@opentelemetry/api");

const tracer = trace.getTracer("e2e.client", "3.2.1", {
  schemaUrl: "https://opentelemetry.io/schemas/1.27.0",
});
const bare = trace.getTracer("");

const VALUES = {
  text: "plain",
  "text.empty": "",
  "text.unicode": 'grüße 🎼 \u0000 " \\ \n',
  "text.long": "x".repeat(70_000),
  int: 42,
  "int.zero": 0,
  "int.negative": -7,
  "int.max": Number.MAX_SAFE_INTEGER,
  double: 0.1,
  "double.negative": -1.5e-300,
  "double.long": 123_456_789.000_000_1,
  "bool.true": true,
  "bool.false": false,
  "list.text": ["a", "", "ü"],
  "list.int": [1, -2, 3],
  "list.double": [0.5, 1.25],
  "list.bool": [true, false],
  "list.empty": [],
};

/** Nanoseconds that no millisecond clock gives, so that rounding shows. */
const START = [Math.floor(Date.now() / 1000), 123_456_789];
const after = (nanoseconds) => [START[0], START[1] + nanoseconds];

function everyField() {
  const root = tracer.startSpan("every field", {
    kind: SpanKind.SERVER,
    startTime: START,
    attributes: VALUES,
    root: true,
  });
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  for (const kind of [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER]) {
    const span = tracer.startSpan(`kind ${SpanKind[kind]}`, { kind, startTime: after(kind + 1) }, inside);
    if (kind === SpanKind.CLIENT) span.setStatus({ code: SpanStatusCode.OK });
    span.end(after(1_000 + kind));
  }
  const failing = tracer.startSpan("fails", { startTime: after(10) }, inside);
  failing.recordException(new TypeError("no such thing: ü"), after(11));
  failing.addEvent("retry", { attempt: 2, last: true, delay: 0.25, hosts: ["a", "b"] }, after(12));
  failing.addEvent("bare", after(13));
  failing.setStatus({ code: SpanStatusCode.ERROR, message: "gave up ✗" });
  failing.end(after(20));
  const same = tracer.startSpan("takes no time", { startTime: after(30) }, inside);
  same.end(after(30));
  const nameless = bare.startSpan("", { startTime: after(31) }, inside);
  nameless.end(after(32));
  root.end(after(5_000));
  return root.spanContext();
}

/** A trace that began elsewhere, with trace state, links of each sort and more of everything than the limits allow. */
function continued(linked) {
  const remote = {
    traceId: linked.traceId.slice(16) + linked.traceId.slice(0, 16),
    spanId: "b7ad6b7169203331",
    traceFlags: 1,
    isRemote: true,
    traceState: createTraceState("vendor=opaque:1,other=2"),
  };
  const parent = trace.setSpanContext(ROOT_CONTEXT, remote);
  const links = [
    { context: linked, attributes: { relation: "follows", weight: 1.5 } },
    { context: { ...remote, spanId: "00f067aa0ba902b7" } },
    { context: { ...linked, traceFlags: 0 } },
    { context: linked, attributes: { dropped: true } },
  ];
  const span = tracer.startSpan("continued", { kind: SpanKind.CONSUMER, startTime: START, links }, parent);
  for (let i = 0; i < 30; i++) span.setAttribute(`many.${i}`, i);
  for (let i = 0; i < 7; i++) span.addEvent(`event ${i}`, { i }, after(i));
  const child = tracer.startSpan("child", { startTime: after(1) }, trace.setSpan(parent, span));
  child.end(after(2));
  span.end(after(100));
}

/** As users write it: the clock's times, context carried by callbacks. */
function everyday(count) {
  tracer.startActiveSpan("everyday", (span) => {
    for (let i = 0; i < count; i++) {
      tracer.startActiveSpan(`step ${i}`, { attributes: { i, share: i / count } }, (step) => step.end());
    }
    span.end();
  });
}

context.with(ROOT_CONTEXT, () => {
  continued(everyField());
  everyday(700);
});
void recorder.finish();
