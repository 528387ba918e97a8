// One plain form of a span, made from each encoding that carries spans, so that tests compare them field by field.
// Made independently of src, except that protobuf comes decoded by the generated code.
import type { AnyValue, KeyValue } from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import type { Span, TracesData } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

/** A value with its type: doubles as text, so that NaN, -0 and infinities compare. */
export type NormalValue =
  | { string: string }
  | { int: string }
  | { double: string }
  | { bool: boolean }
  | { bytes: string }
  | { list: NormalValue[] }
  | { map: NormalAttributes }
  | { none: true };

export type NormalAttributes = [key: string, value: NormalValue][];

export interface NormalSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  flags: number;
  name: string;
  kind: number;
  startNs: string;
  endNs: string;
  attributes: NormalAttributes;
  droppedAttributes: number;
  events: { timeNs: string; name: string; attributes: NormalAttributes; droppedAttributes: number }[];
  droppedEvents: number;
  links: {
    traceId: string;
    spanId: string;
    traceState: string;
    attributes: NormalAttributes;
    droppedAttributes: number;
    flags: number;
  }[];
  droppedLinks: number;
  status: { code: number; message: string };
  resource: { attributes: NormalAttributes; schemaUrl: string };
  scope: { name: string; version: string; attributes: NormalAttributes; schemaUrl: string };
}

export function doubleText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

/** Ascending by span id and kind: encodings and parts come in any order. */
export function sortSpans(spans: NormalSpan[]): NormalSpan[] {
  return spans.sort((a, b) => {
    const [left, right] = [`${a.traceId}${a.spanId}${a.kind}`, `${b.traceId}${b.spanId}${b.kind}`];
    return left < right ? -1 : left > right ? 1 : 0;
  });
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

// ---- protobuf

function fromAnyValue(value: AnyValue | undefined): NormalValue {
  const held = value?.value;
  switch (held?.case) {
    case "stringValue":
      return { string: held.value };
    case "boolValue":
      return { bool: held.value };
    case "intValue":
      return { int: String(held.value) };
    case "doubleValue":
      return { double: doubleText(held.value) };
    case "bytesValue":
      return { bytes: Buffer.from(held.value).toString("base64") };
    case "arrayValue":
      return { list: held.value.values.map(fromAnyValue) };
    case "kvlistValue":
      return { map: fromKeyValues(held.value.values) };
    case undefined:
      return { none: true };
  }
}

function fromKeyValues(attributes: readonly KeyValue[]): NormalAttributes {
  return attributes.map(({ key, value }) => [key, fromAnyValue(value)]);
}

function fromSpan(span: Span): Omit<NormalSpan, "resource" | "scope"> {
  return {
    traceId: hexOf(span.traceId),
    spanId: hexOf(span.spanId),
    parentSpanId: hexOf(span.parentSpanId),
    traceState: span.traceState,
    flags: span.flags,
    name: span.name,
    kind: span.kind,
    startNs: String(span.startTimeUnixNano),
    endNs: String(span.endTimeUnixNano),
    attributes: fromKeyValues(span.attributes),
    droppedAttributes: span.droppedAttributesCount,
    events: span.events.map((event) => ({
      timeNs: String(event.timeUnixNano),
      name: event.name,
      attributes: fromKeyValues(event.attributes),
      droppedAttributes: event.droppedAttributesCount,
    })),
    droppedEvents: span.droppedEventsCount,
    links: span.links.map((link) => ({
      traceId: hexOf(link.traceId),
      spanId: hexOf(link.spanId),
      traceState: link.traceState,
      attributes: fromKeyValues(link.attributes),
      droppedAttributes: link.droppedAttributesCount,
      flags: link.flags,
    })),
    droppedLinks: span.droppedLinksCount,
    status: { code: span.status?.code ?? 0, message: span.status?.message ?? "" },
  };
}

/** The spans of a decoded TracesData, sorted. */
export function normalizeTracesData(traces: TracesData): NormalSpan[] {
  return sortSpans(
    traces.resourceSpans.flatMap(({ resource, scopeSpans, schemaUrl }) => {
      const normalResource = { attributes: fromKeyValues(resource?.attributes ?? []), schemaUrl };
      return scopeSpans.flatMap(({ scope, spans, schemaUrl: scopeSchemaUrl }) => {
        const normalScope = {
          name: scope?.name ?? "",
          version: scope?.version ?? "",
          attributes: fromKeyValues(scope?.attributes ?? []),
          schemaUrl: scopeSchemaUrl,
        };
        return spans.map((span) => ({ ...fromSpan(span), resource: normalResource, scope: normalScope }));
      });
    }),
  );
}

// ---- JSON: OTLP's (hex ids, numbered enums) and Tempo's (base64 ids, named enums)

const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const STATUS_CODES = ["UNSET", "OK", "ERROR"];

type Json = Record<string, unknown>;
type Place = Pick<NormalSpan, "resource" | "scope">;

interface Dialect {
  id(text: string): string;
  kind(value: unknown): number;
  statusCode(value: unknown): number;
}

/** Defaults are left out of Tempo's JSON, so the name of one is as wrong as an unknown name. */
function enumOf(names: readonly string[], prefix: string, value: unknown): number {
  if (value === undefined) return 0;
  const index = names.findIndex((name) => value === `${prefix}${name}`);
  if (index < 1) throw new Error(`unexpected name of an enum: ${JSON.stringify(value)}`);
  return index;
}

const OTLP_JSON: Dialect = {
  id: (hex) => hex.toLowerCase(),
  kind: (value) => Number(value ?? 0),
  statusCode: (value) => Number(value ?? 0),
};

const TEMPO_JSON: Dialect = {
  id: (base64) => {
    const bytes = Buffer.from(base64, "base64");
    if (bytes.toString("base64") !== base64) throw new Error(`an id is not canonical base64: ${base64}`);
    return bytes.toString("hex");
  },
  kind: (value) => enumOf(KINDS, "SPAN_KIND_", value),
  statusCode: (value) => enumOf(STATUS_CODES, "STATUS_CODE_", value),
};

function list(value: unknown): Json[] {
  return (value ?? []) as Json[];
}

function text(value: unknown): string {
  if (value !== undefined && typeof value !== "string") throw new Error(`not text: ${JSON.stringify(value)}`);
  return value ?? "";
}

function count(value: unknown): number {
  if (value !== undefined && typeof value !== "number")
    throw new Error(`no number: ${JSON.stringify(value)}`);
  return value ?? 0;
}

/** 64-bit integers are text in JSON; a number would lose digits on the way. */
function int64(value: unknown): string {
  return String(BigInt(text(value) || "0"));
}

function fromJsonValue(value: Json): NormalValue {
  const [type, held] = Object.entries(value)[0] ?? [];
  switch (type) {
    case "stringValue":
      return { string: text(held) };
    case "boolValue":
      return { bool: held === true };
    case "intValue":
      return { int: int64(held) };
    case "doubleValue":
      return { double: doubleText(Number(held)) };
    case "bytesValue":
      return { bytes: text(held) };
    case "arrayValue":
      return { list: list((held as Json)["values"]).map(fromJsonValue) };
    case "kvlistValue":
      return { map: fromJsonAttributes((held as Json)["values"]) };
    case undefined:
      return { none: true };
    default:
      throw new Error(`unknown type of a value: ${type}`);
  }
}

function fromJsonAttributes(attributes: unknown): NormalAttributes {
  return list(attributes).map(({ key, value }) => [text(key), fromJsonValue((value ?? {}) as Json)]);
}

function fromJsonSpan(span: Json, dialect: Dialect, place: Place): NormalSpan {
  const status = (span["status"] ?? {}) as Json;
  return {
    traceId: dialect.id(text(span["traceId"])),
    spanId: dialect.id(text(span["spanId"])),
    parentSpanId: dialect.id(text(span["parentSpanId"])),
    traceState: text(span["traceState"]),
    flags: count(span["flags"]),
    name: text(span["name"]),
    kind: dialect.kind(span["kind"]),
    startNs: int64(span["startTimeUnixNano"]),
    endNs: int64(span["endTimeUnixNano"]),
    attributes: fromJsonAttributes(span["attributes"]),
    droppedAttributes: count(span["droppedAttributesCount"]),
    events: list(span["events"]).map((event) => ({
      timeNs: int64(event["timeUnixNano"]),
      name: text(event["name"]),
      attributes: fromJsonAttributes(event["attributes"]),
      droppedAttributes: count(event["droppedAttributesCount"]),
    })),
    droppedEvents: count(span["droppedEventsCount"]),
    links: list(span["links"]).map((link) => ({
      traceId: dialect.id(text(link["traceId"])),
      spanId: dialect.id(text(link["spanId"])),
      traceState: text(link["traceState"]),
      attributes: fromJsonAttributes(link["attributes"]),
      droppedAttributes: count(link["droppedAttributesCount"]),
      flags: count(link["flags"]),
    })),
    droppedLinks: count(span["droppedLinksCount"]),
    status: { code: dialect.statusCode(status["code"]), message: text(status["message"]) },
    ...place,
  };
}

function fromJsonResourceSpans(resourceSpans: unknown, dialect: Dialect): NormalSpan[] {
  return sortSpans(
    list(resourceSpans).flatMap((entry) => {
      const resource = {
        attributes: fromJsonAttributes((entry["resource"] as Json)["attributes"]),
        schemaUrl: text(entry["schemaUrl"]),
      };
      return list(entry["scopeSpans"]).flatMap((scopeSpans) => {
        const held = scopeSpans["scope"] as Json;
        const scope = {
          name: text(held["name"]),
          version: text(held["version"]),
          attributes: fromJsonAttributes(held["attributes"]),
          schemaUrl: text(scopeSpans["schemaUrl"]),
        };
        return list(scopeSpans["spans"]).map((span) => fromJsonSpan(span, dialect, { resource, scope }));
      });
    }),
  );
}

/** The spans of an OTLP JSON request, sorted. */
export function normalizeOtlpJson(json: string): NormalSpan[] {
  return fromJsonResourceSpans((JSON.parse(json) as Json)["resourceSpans"], OTLP_JSON);
}

/** The spans of `batches` (v1) or of `trace.resourceSpans` (v2) in an answer of the query API, sorted. */
export function normalizeTempoJson(resourceSpans: unknown): NormalSpan[] {
  return fromJsonResourceSpans(resourceSpans, TEMPO_JSON);
}
