// The generator's spans as Zipkin senders write them. Made from the decoded OTLP, independently of src/zipkin.
import { fromBinary } from "@bufbuild/protobuf";
import type { AnyValue, KeyValue } from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import type { Span } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

export interface ZipkinEndpoint {
  serviceName?: string;
  ipv4?: string;
  ipv6?: string;
  port?: number;
}

export interface ZipkinSpan {
  traceId: string;
  id: string;
  parentId?: string;
  name?: string;
  timestamp?: number;
  duration?: number;
  kind?: "CLIENT" | "SERVER" | "PRODUCER" | "CONSUMER";
  localEndpoint?: ZipkinEndpoint;
  remoteEndpoint?: ZipkinEndpoint;
  tags?: Record<string, string>;
  annotations?: { timestamp: number; value: string }[];
  shared?: boolean;
  debug?: boolean;
}

/** `plain`: as Brave and the like report. `otel`: as OpenTelemetry's exporter, each span with its resource as tags. */
export type ZipkinStyle = "plain" | "otel";

const KINDS = [undefined, undefined, "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] as const;

function textOf(value: AnyValue | undefined): string {
  const held = value?.value;
  if (held?.case === "arrayValue") return JSON.stringify(held.value.values.map(textOf));
  if (held?.case === "bytesValue" || held?.case === "kvlistValue") throw new Error("the generator has none");
  return String(held?.value ?? "");
}

function tagsOf(attributes: readonly KeyValue[]): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, textOf(value)]));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function zipkinSpan(span: Span, resource: Record<string, string>, style: ZipkinStyle): ZipkinSpan {
  const timestamp = Number(span.startTimeUnixNano / 1000n);
  const kind = KINDS[span.kind];
  const exception = span.events.map(({ timeUnixNano, name }) => ({
    timestamp: Number(timeUnixNano / 1000n),
    value: name,
  }));
  return {
    traceId: hexOf(span.traceId),
    id: hexOf(span.spanId),
    ...(span.parentSpanId.length > 0 ? { parentId: hexOf(span.parentSpanId) } : {}),
    name: span.name,
    timestamp,
    duration: Math.max(1, Number(span.endTimeUnixNano / 1000n) - timestamp),
    ...(kind === undefined ? {} : { kind }),
    localEndpoint: {
      serviceName: resource["service.name"] ?? "unknown",
      ...(style === "plain" ? { ipv4: "10.2.3.4" } : {}),
    },
    ...(span.kind === 3 && style === "plain"
      ? { remoteEndpoint: { serviceName: "callee", ipv4: "10.2.3.9", port: 8080 } }
      : {}),
    tags: {
      ...tagsOf(span.attributes),
      ...(style === "otel" ? resource : {}),
      ...(span.status?.code === 2
        ? { error: style === "otel" ? (span.status.message ?? "true") : "true" }
        : {}),
    },
    ...(exception.length > 0 ? { annotations: exception } : {}),
  };
}

/** The spans of an OTLP batch. */
export function zipkinSpans(batch: Uint8Array, style: ZipkinStyle): ZipkinSpan[] {
  return fromBinary(TracesDataSchema, batch).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const tags = tagsOf(resource?.attributes ?? []);
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => zipkinSpan(span, tags, style)));
  });
}
