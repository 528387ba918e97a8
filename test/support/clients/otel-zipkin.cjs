// OpenTelemetry's Zipkin exporter.
"use strict";
const { ZipkinExporter } = require("@opentelemetry/exporter-zipkin");
const { tellWith } = require("./otel-story.cjs");

void tellWith(new ZipkinExporter({ url: `${process.env.RUBATO}/api/v2/spans` }));
