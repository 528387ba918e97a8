// OpenTelemetry's Jaeger exporter, deprecated since 2023 but still in use, over HTTP.
"use strict";
const { JaegerExporter } = require("@opentelemetry/exporter-jaeger");
const { tellWith } = require("./otel-story.cjs");

void tellWith(new JaegerExporter({ endpoint: `${process.env.RUBATO}/api/traces` }));
