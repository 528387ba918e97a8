// What runs in the browser: OpenTelemetry's web SDK with the instrumentations of fetch and XMLHttpRequest.
// The test calls the functions put on `globalThis.page`; each resolves with what the page saw.
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http-0.223";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto-0.223";
import { FetchInstrumentation } from "@opentelemetry/instrumentation-fetch";
import { XMLHttpRequestInstrumentation } from "@opentelemetry/instrumentation-xml-http-request";
import { BatchSpanProcessor, StackContextManager, WebTracerProvider } from "@opentelemetry/sdk-trace-web";
import { normalize } from "../otel-normal.cjs";

const EXPORTERS = { json: JsonExporter, protobuf: ProtobufExporter };

/** A user's program: a click that calls the page's own server in both ways, works, and fails. */
async function click(tracer) {
  const linked = tracer.startSpan("seite geladen 🎼", { root: true, attributes: { "text.ü": "grüße" } });
  linked.end();
  const root = tracer.startSpan("click größe", { root: true, links: [{ context: linked.spanContext() }] });
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  const called = await context.with(inside, () => fetch("/api/order?id=7")).then((answer) => answer.json());
  const xhr = await context.with(inside, () => callByXhr("/api/stock"));
  const failing = tracer.startSpan(
    "fails ✗",
    { kind: SpanKind.CLIENT, attributes: { int: 42, double: 0.25, bool: true, list: ["a", "ü"] } },
    inside,
  );
  failing.recordException(new TypeError("no such thing: ü"));
  failing.addEvent("retry ü", { attempt: 2 });
  failing.setStatus({ code: SpanStatusCode.ERROR, message: "gave up ✗" });
  failing.end();
  root.end();
  return { byFetch: called.traceparent, byXhr: xhr.traceparent };
}

function callByXhr(path) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("GET", path);
    request.addEventListener("load", () => done(JSON.parse(request.responseText)));
    request.addEventListener("error", () => fail(new Error("the request failed")));
    request.send();
  });
}

/** Traces a click and exports it to `url`. Resolves with the spans as the SDK held them. */
async function traced(url, format) {
  const exporter = new EXPORTERS[format]({ url: `${url}/v1/traces` });
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
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  const provider = new WebTracerProvider({ spanProcessors: [new BatchSpanProcessor(recording)] });
  provider.register({ contextManager: new StackContextManager() });
  const ignoreUrls = [url];
  const instrumentations = [
    new FetchInstrumentation({ ignoreUrls }),
    new XMLHttpRequestInstrumentation({ ignoreUrls }),
  ];
  for (const one of instrumentations) one.setTracerProvider(provider);
  const headers = await click(provider.getTracer("page", "1.2.3"));
  // The instrumentations end their spans when the browser has measured the request.
  await new Promise((done) => setTimeout(done, 500));
  for (const one of instrumentations) one.disable();
  await provider.shutdown();
  return { spans, failures, headers };
}

/** A request as a page's program sees it: status, body and the headers it may read; or that there was no answer. */
async function ask(url, init) {
  try {
    const response = await fetch(url, init);
    return {
      status: response.status,
      body: await response.text(),
      retryAfter: response.headers.get("retry-after"),
      type: response.headers.get("content-type"),
    };
  } catch (error) {
    return { refused: String(error) };
  }
}

globalThis.page = {
  traced,
  request: ask,
  beacon: (url, body, type) =>
    navigator.sendBeacon(url, type === undefined ? body : new Blob([body], { type })),
  /** Sends when the page is left, which is when a page's last spans are sent. */
  sendWhenLeft: (how, url, body) =>
    addEventListener("pagehide", () => {
      if (how === "beacon") navigator.sendBeacon(url, body);
      else {
        const headers = { "content-type": "application/json" };
        void fetch(url, { method: "POST", body, keepalive: true, headers });
      }
    }),
};
