// Zipkin v1 spans to OTLP.
import {
  boolAttribute,
  boolValue,
  bytesValue,
  doubleValue,
  intAttribute,
  intValue,
} from "../otlp/attributes.ts";
import type { BatchBuilder } from "../otlp/batch-builder.ts";
import { Nanos } from "../otlp/nanos.ts";
import { EVENT, FIXED64, KEY_VALUE, LENGTH, RESOURCE, SPAN, VARINT, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { isSame, isZero } from "./hex-ids.ts";
import type { V1BinaryAnnotation, V1Endpoint, V1Span } from "./v1-span.ts";
import { V1Status } from "./v1-status.ts";
import { START_ABSENT_KEY } from "./v2-writer.ts";

const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const RESOURCE_TAG = tagOf(RESOURCE.attributes, LENGTH);
const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const UNKNOWN_SERVICE = "unknown-service";
const LOCAL_COMPONENT = "lc";
/** Binary annotations whose endpoint is the other side: server, client and broker address. */
const ADDRESSES: ReadonlySet<string> = new Set(["sa", "ca", "ma"]);

/** SpanKind by the annotation that tells it. */
const KINDS: ReadonlyMap<string, number> = new Map([
  ["cs", 3],
  ["cr", 3],
  ["ss", 2],
  ["sr", 2],
  ["ms", 4],
  ["mr", 5],
]);

/**
 * Writes spans to a builder, one after the other.
 *
 * | Zipkin v1                            | OTLP                                                                |
 * | ------------------------------------ | ------------------------------------------------------------------- |
 * | annotations cs, cr, ss, sr, ms, mr   | kind (the first tells), the service; no events                      |
 * | other annotations                    | events                                                              |
 * | endpoint of the service              | service.name, ipv4, ipv6, port of the resource                      |
 * | binary annotations                   | typed attributes; `lc` is `component`; see v1-status.ts             |
 * | endpoint of sa, ca, ma               | peer.service, net.peer.ip, net.peer.port                            |
 * | timestamp, duration                  | times; else those of the annotations; else now and an attribute     |
 */
export class V1Writer {
  readonly #builder: BatchBuilder;
  readonly #out: WireWriter;
  readonly #nowMicros: number;
  readonly #nanos = new Nanos();
  readonly #scopes = new Map<string, number>();

  /** @param nowMs milliseconds since the Unix epoch, for spans without any time */
  constructor(builder: BatchBuilder, nowMs: number) {
    this.#builder = builder;
    this.#out = builder.out;
    this.#nowMicros = nowMs * 1000;
  }

  /** Writes a span, or counts it as refused. `index` is its place in the batch. */
  write(span: V1Span, index: number): void {
    if (isZero(span.traceId)) return this.#builder.refuseUnbegun(index, ".traceId: missing or all zero");
    if (isZero(span.id)) return this.#builder.refuseUnbegun(index, ".id: missing or all zero");
    const out = this.#out;
    this.#builder.begin();
    out.words(tagOf(SPAN.traceId, LENGTH), span.traceId, 4);
    out.words(tagOf(SPAN.spanId, LENGTH), span.id, 2);
    if (!isZero(span.parentId) && !isSame(span.parentId, span.id)) {
      out.words(tagOf(SPAN.parentSpanId, LENGTH), span.parentId, 2);
    }
    if (span.name !== "") out.string(tagOf(SPAN.name, LENGTH), span.name);
    const kind = span.annotations.map(({ value }) => KINDS.get(value)).find((one) => one !== undefined);
    if (kind !== undefined) out.varint64(tagOf(SPAN.kind, VARINT), kind, 0);
    this.#times(span);
    this.#events(span);
    this.#binaryAnnotations(span.binaryAnnotations);
    this.#builder.end(this.#scopeOf(endpointOf(span)));
  }

  #times({ timestamp, duration, annotations }: V1Span): void {
    let first = Number.POSITIVE_INFINITY;
    let last = 0;
    for (const annotation of annotations) {
      if (annotation.timestamp === 0) continue;
      first = Math.min(first, annotation.timestamp);
      last = Math.max(last, annotation.timestamp);
    }
    const isAbsent = timestamp === 0 && last === 0;
    const start = timestamp > 0 ? timestamp : isAbsent ? this.#nowMicros : first;
    const nanos = this.#nanos;
    nanos.setMicros(start);
    this.#out.fixed64(tagOf(SPAN.startTimeUnixNano, FIXED64), nanos.low, nanos.high);
    nanos.addMicros(duration ?? Math.max(0, last - start));
    this.#out.fixed64(tagOf(SPAN.endTimeUnixNano, FIXED64), nanos.low, nanos.high);
    if (isAbsent) boolAttribute(this.#out, ATTRIBUTES_TAG, START_ABSENT_KEY, true);
  }

  #events({ annotations }: V1Span): void {
    const out = this.#out;
    for (const { timestamp, value } of annotations) {
      if (value === "" || KINDS.has(value)) continue;
      const body = out.open(tagOf(SPAN.events, LENGTH), 1);
      this.#nanos.setMicros(timestamp);
      out.fixed64(tagOf(EVENT.timeUnixNano, FIXED64), this.#nanos.low, this.#nanos.high);
      out.string(tagOf(EVENT.name, LENGTH), value);
      out.close(body, 1);
    }
  }

  #binaryAnnotations(annotations: readonly V1BinaryAnnotation[]): void {
    const status = new V1Status();
    for (const annotation of annotations) {
      if (!status.take(annotation.key, annotation.value)) this.#attribute(annotation);
      if (ADDRESSES.has(annotation.key)) this.#peer(annotation.endpoint);
    }
    status.write(this.#out);
  }

  #attribute({ key, value }: V1BinaryAnnotation): void {
    const out = this.#out;
    const name = key === LOCAL_COMPONENT ? "component" : key;
    if (value.type === "string") return out.stringAttribute(ATTRIBUTES_TAG, name, value.value);
    const body = out.open(ATTRIBUTES_TAG, 1);
    out.string(KEY_TAG, name);
    if (value.type === "bool") boolValue(out, value.value);
    else if (value.type === "int") intValue(out, value.low, value.high);
    else if (value.type === "double") doubleValue(out, value.value);
    else bytesValue(out, value.value, 0, value.value.length);
    out.close(body, 1);
  }

  #peer(endpoint: V1Endpoint | undefined): void {
    if (endpoint === undefined) return;
    const { serviceName, ipv4, ipv6, port } = endpoint;
    const ip = ipv4 === "" ? ipv6 : ipv4;
    if (serviceName !== "") this.#out.stringAttribute(ATTRIBUTES_TAG, "peer.service", serviceName);
    if (ip !== "") this.#out.stringAttribute(ATTRIBUTES_TAG, "net.peer.ip", ip);
    if (port > 0) intAttribute(this.#out, ATTRIBUTES_TAG, "net.peer.port", port);
  }

  #scopeOf({ serviceName, ipv4, ipv6, port }: V1Endpoint): number {
    const key = `${serviceName.length} ${serviceName} ${ipv4.length} ${ipv4} ${ipv6} ${port}`;
    const known = this.#scopes.get(key);
    if (known !== undefined) return known;
    const resource = this.#builder.addResource((out) => {
      out.stringAttribute(RESOURCE_TAG, "service.name", serviceName);
      if (ipv4 !== "") out.stringAttribute(RESOURCE_TAG, "ipv4", ipv4);
      if (ipv6 !== "") out.stringAttribute(RESOURCE_TAG, "ipv6", ipv6);
      if (port > 0) out.stringAttribute(RESOURCE_TAG, "port", String(port));
    });
    const scope = this.#builder.scopeOf(resource, "", "");
    this.#scopes.set(key, scope);
    return scope;
  }
}

/**
 * The endpoint that recorded the span: of the annotation that tells its kind, else of another one, else of a binary
 * annotation, else only a name: that of the local component, or `unknown-service`.
 */
function endpointOf({ annotations, binaryAnnotations }: V1Span): V1Endpoint {
  const named = annotations.filter(({ endpoint }) => (endpoint?.serviceName ?? "") !== "");
  const ofKind = named.find(({ value }) => KINDS.has(value)) ?? named[0];
  if (ofKind?.endpoint !== undefined) return ofKind.endpoint;
  const own = binaryAnnotations.filter(({ key }) => !ADDRESSES.has(key));
  const ofBinary = own.find(({ endpoint }) => (endpoint?.serviceName ?? "") !== "");
  if (ofBinary?.endpoint !== undefined) return ofBinary.endpoint;
  const component = own.find(({ key }) => key === LOCAL_COMPONENT)?.value;
  const name = component?.type === "string" && component.value !== "" ? component.value : UNKNOWN_SERVICE;
  return { serviceName: name, ipv4: "", ipv6: "", port: 0 };
}
