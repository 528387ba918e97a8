// The generator's spans as Zipkin senders write them. Made from the decoded OTLP, independently of src/zipkin.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
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

// ---- zipkin.proto3.ListOfSpans

const PROTO_KINDS = { CLIENT: 1, SERVER: 2, PRODUCER: 3, CONSUMER: 4 } as const;

function bytesOfHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"));
}

export function ipv6Bytes(text: string): Uint8Array {
  const [head = "", tail = ""] = text.split("::");
  const groups = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const [front, back] = [groups(head), groups(tail)];
  const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

function writeEndpoint(out: BinaryWriter, { serviceName, ipv4, ipv6, port }: ZipkinEndpoint): void {
  if (serviceName !== undefined) out.tag(1, WireType.LengthDelimited).string(serviceName);
  if (ipv4 !== undefined)
    out.tag(2, WireType.LengthDelimited).bytes(Uint8Array.from(ipv4.split("."), Number));
  if (ipv6 !== undefined) out.tag(3, WireType.LengthDelimited).bytes(ipv6Bytes(ipv6));
  if (port !== undefined) out.tag(4, WireType.Varint).int32(port);
}

function writeSpan(out: BinaryWriter, span: ZipkinSpan): void {
  out.tag(1, WireType.LengthDelimited).bytes(bytesOfHex(span.traceId));
  if (span.parentId !== undefined) out.tag(2, WireType.LengthDelimited).bytes(bytesOfHex(span.parentId));
  out.tag(3, WireType.LengthDelimited).bytes(bytesOfHex(span.id));
  if (span.kind !== undefined) out.tag(4, WireType.Varint).int32(PROTO_KINDS[span.kind]);
  if (span.name !== undefined) out.tag(5, WireType.LengthDelimited).string(span.name);
  if (span.timestamp !== undefined) out.tag(6, WireType.Bit64).fixed64(BigInt(span.timestamp));
  if (span.duration !== undefined) out.tag(7, WireType.Varint).uint64(BigInt(span.duration));
  for (const [number, endpoint] of [
    [8, span.localEndpoint],
    [9, span.remoteEndpoint],
  ] as const) {
    if (endpoint === undefined) continue;
    out.tag(number, WireType.LengthDelimited).fork();
    writeEndpoint(out, endpoint);
    out.join();
  }
  for (const { timestamp, value } of span.annotations ?? []) {
    out.tag(10, WireType.LengthDelimited).fork();
    out
      .tag(1, WireType.Bit64)
      .fixed64(BigInt(timestamp))
      .tag(2, WireType.LengthDelimited)
      .string(value)
      .join();
  }
  for (const [key, value] of Object.entries(span.tags ?? {})) {
    out.tag(11, WireType.LengthDelimited).fork();
    out.tag(1, WireType.LengthDelimited).string(key).tag(2, WireType.LengthDelimited).string(value).join();
  }
  if (span.debug !== undefined) out.tag(12, WireType.Varint).bool(span.debug);
  if (span.shared !== undefined) out.tag(13, WireType.Varint).bool(span.shared);
}

/** The spans in Zipkin's protobuf. */
export function encodeZipkinProtobuf(spans: readonly ZipkinSpan[]): Uint8Array {
  const out = new BinaryWriter();
  for (const span of spans) {
    out.tag(1, WireType.LengthDelimited).fork();
    writeSpan(out, span);
    out.join();
  }
  return out.finish();
}

/** The spans in Zipkin's JSON. */
export function encodeZipkinJson(spans: readonly unknown[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(spans));
}
