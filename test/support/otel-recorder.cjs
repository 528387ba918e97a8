// Starts the OpenTelemetry SDK of a child process with an OTLP exporter that also records what it exports.
// Where to, how and what for come from the standard OTEL_* variables, as in a user's service.
// CommonJS, because the instrumentations hook `require`.
"use strict";
const { NodeSDK } = require("@opentelemetry/sdk-node");
const { normalize } = require("./otel-normal.cjs");

const EXPORTERS = {
  "http/protobuf": "@opentelemetry/exporter-trace-otlp-proto",
  "http/json": "@opentelemetry/exporter-trace-otlp-http",
};

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
