// OpenTelemetry's gRPC exporter, with what it tells its user on standard error.
"use strict";
const { diag, DiagConsoleLogger, DiagLogLevel } = require("@opentelemetry/api");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-grpc");
const { tellWith } = require("./otel-story.cjs");

diag.setLogger(new DiagConsoleLogger(), { logLevel: DiagLogLevel.WARN });
void tellWith(new OTLPTraceExporter({ url: process.env.RUBATO, timeoutMillis: 3_000 }));
