// Other formats from a page: OpenTelemetry's Zipkin exporter, which sends beacons, and gRPC-Web by connect-web.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { create } from "@bufbuild/protobuf";
import { SpanKind } from "@opentelemetry/api";
import { OTLPTraceExporter as OldExporter } from "@opentelemetry/exporter-trace-otlp-http-0.200";
import { ZipkinExporter } from "@opentelemetry/exporter-zipkin";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import {
  ExportTraceServiceRequestSchema,
  TraceService,
} from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { Span_SpanKind } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

const SERVICE = "läden";

/** Sends a span named `größe 🎼` by Zipkin's exporter and resolves with its trace id. */
async function zipkin(url: string): Promise<string> {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": SERVICE }),
    spanProcessors: [
      new SimpleSpanProcessor({ exporter: new ZipkinExporter({ url: `${url}/api/v2/spans` }) }),
    ],
  });
  const span = provider.getTracer("page").startSpan("größe 🎼", { kind: SpanKind.CLIENT });
  span.end();
  await provider.shutdown();
  return span.spanContext().traceId;
}

/** Sends such a span by a web exporter of 2025, which chooses a beacon unless it has headers. */
async function oldOtlp(url: string, headers?: Record<string, string>): Promise<string> {
  const exporter = new OldExporter({
    url: `${url}/v1/traces`,
    ...(headers === undefined ? {} : { headers }),
  });
  const provider = new TracerProvider({
    spanProcessors: [
      new SimpleSpanProcessor({
        exporter: {
          export: (spans, done) => exporter.export([...spans] as never, done),
          forceFlush: () => exporter.forceFlush(),
          shutdown: () => exporter.shutdown(),
        },
      }),
    ],
  });
  const span = provider.getTracer("page").startSpan("größe 🎼", { kind: SpanKind.CLIENT });
  span.end();
  await provider.shutdown();
  return span.spanContext().traceId;
}

/** Sends such a span over gRPC-Web, then one without an id. Resolves with the code and text of the refusal. */
async function grpcWeb(url: string, traceIdHex: string): Promise<string> {
  const client = createClient(TraceService, createGrpcWebTransport({ baseUrl: url }));
  const traceId = Uint8Array.from(traceIdHex.match(/../g) ?? [], (hex) => Number.parseInt(hex, 16));
  const spanId = traceId.subarray(8);
  const serviceName = {
    key: "service.name",
    value: { value: { case: "stringValue", value: SERVICE } },
  } as const;
  const send = (id: Uint8Array<ArrayBuffer>) => {
    const span = { traceId: id, spanId, name: "größe 🎼", kind: Span_SpanKind.CLIENT };
    const resourceSpans = [{ resource: { attributes: [serviceName] }, scopeSpans: [{ spans: [span] }] }];
    return client.export(create(ExportTraceServiceRequestSchema, { resourceSpans }));
  };
  await send(traceId);
  try {
    await send(new Uint8Array(0));
    return "accepted";
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return `${Code[code]}: ${rawMessage}`;
  }
}

Object.assign(globalThis, { page: { zipkin, oldOtlp, grpcWeb } });
