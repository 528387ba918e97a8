// Writes the generator's spans as OTLP: protobuf and JSON. Shares nothing with src, so that both can check each other.

export type Value =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "int"; readonly value: number }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "strings"; readonly value: readonly string[] };

export type Attribute = Value & { readonly key: string };

export interface EventRecord {
  readonly timeNs: bigint;
  readonly name: string;
  readonly attributes: readonly Attribute[];
}

export interface LinkRecord {
  readonly traceId: Uint8Array;
  readonly spanId: Uint8Array;
  readonly attributes: readonly Attribute[];
  readonly flags: number;
}

export interface SpanRecord {
  readonly traceId: Uint8Array;
  readonly spanId: Uint8Array;
  readonly parentSpanId: Uint8Array | undefined;
  readonly traceState: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: readonly Attribute[];
  readonly events: readonly EventRecord[];
  readonly links: readonly LinkRecord[];
  readonly statusCode: number;
  readonly statusMessage: string;
}

export interface ScopeGroup {
  readonly name: string;
  readonly version: string;
  readonly spans: SpanRecord[];
}

export interface ResourceGroup {
  readonly attributes: readonly Attribute[];
  readonly scopes: ScopeGroup[];
}

const encoder = new TextEncoder();

/** A protobuf writer that shifts a finished sub-message when its length prefix needs more than one byte. */
class ProtoWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  #need(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + count));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at++] = rest;
  }

  #tag(field: number, wireType: number): void {
    this.#need(20);
    this.#varint(field * 8 + wireType);
  }

  /** A non-negative integer up to 2^53. */
  uint(field: number, value: number): void {
    this.#tag(field, 0);
    this.#varint(value);
  }

  fixed32(field: number, value: number): void {
    this.#tag(field, 5);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  fixed64(field: number, value: bigint): void {
    this.#tag(field, 1);
    this.#view.setBigUint64(this.#at, value, true);
    this.#at += 8;
  }

  double(field: number, value: number): void {
    this.#tag(field, 1);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, 2);
    this.#varint(value.length);
    this.#need(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  string(field: number, value: string): void {
    this.#tag(field, 2);
    this.#need(value.length + 5);
    const lengthAt = this.#at;
    this.#varint(value.length);
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 128) {
        this.#at = lengthAt;
        const utf8 = encoder.encode(value);
        this.#varint(utf8.length);
        this.#need(utf8.length);
        this.#bytes.set(utf8, this.#at);
        this.#at += utf8.length;
        return;
      }
      this.#bytes[this.#at++] = code;
    }
  }

  message(field: number, write: () => void): void {
    this.#tag(field, 2);
    const lengthAt = this.#at++;
    write();
    const length = this.#at - lengthAt - 1;
    let extra = 0;
    for (let rest = length; rest >= 128; rest = Math.floor(rest / 128)) extra++;
    if (extra > 0) {
      this.#need(extra);
      this.#bytes.copyWithin(lengthAt + 1 + extra, lengthAt + 1, this.#at);
    }
    const end = this.#at + extra;
    this.#at = lengthAt;
    this.#varint(length);
    this.#at = end;
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    return out;
  }
}

function writeValue(writer: ProtoWriter, value: Value): void {
  switch (value.type) {
    case "string":
      return writer.string(1, value.value);
    case "bool":
      return writer.uint(2, value.value ? 1 : 0);
    case "int":
      return writer.uint(3, value.value);
    case "double":
      return writer.double(4, value.value);
    case "strings":
      return writer.message(5, () => {
        for (const item of value.value) writer.message(1, () => writer.string(1, item));
      });
  }
}

function writeAttributes(writer: ProtoWriter, field: number, attributes: readonly Attribute[]): void {
  for (const attribute of attributes) {
    writer.message(field, () => {
      writer.string(1, attribute.key);
      writer.message(2, () => writeValue(writer, attribute));
    });
  }
}

function writeSpan(writer: ProtoWriter, span: SpanRecord): void {
  writer.bytes(1, span.traceId);
  writer.bytes(2, span.spanId);
  if (span.traceState !== "") writer.string(3, span.traceState);
  if (span.parentSpanId !== undefined) writer.bytes(4, span.parentSpanId);
  writer.string(5, span.name);
  writer.uint(6, span.kind);
  writer.fixed64(7, span.startNs);
  writer.fixed64(8, span.endNs);
  writeAttributes(writer, 9, span.attributes);
  for (const event of span.events) {
    writer.message(11, () => {
      writer.fixed64(1, event.timeNs);
      writer.string(2, event.name);
      writeAttributes(writer, 3, event.attributes);
    });
  }
  for (const link of span.links) {
    writer.message(13, () => {
      writer.bytes(1, link.traceId);
      writer.bytes(2, link.spanId);
      writeAttributes(writer, 4, link.attributes);
      writer.fixed32(6, link.flags);
    });
  }
  writer.message(15, () => {
    if (span.statusMessage !== "") writer.string(2, span.statusMessage);
    if (span.statusCode !== 0) writer.uint(3, span.statusCode);
  });
  writer.fixed32(16, span.flags);
}

// One buffer for all batches: a new one per batch would be grown from small each time.
const shared = new ProtoWriter();

/** One ExportTraceServiceRequest (the same bytes are a TracesData). */
export function encodeProtobuf(groups: readonly ResourceGroup[]): Uint8Array<ArrayBuffer> {
  const writer = shared;
  for (const group of groups) {
    writer.message(1, () => {
      writer.message(1, () => writeAttributes(writer, 1, group.attributes));
      for (const scope of group.scopes) {
        writer.message(2, () => {
          writer.message(1, () => {
            writer.string(1, scope.name);
            writer.string(2, scope.version);
          });
          for (const span of scope.spans) writer.message(2, () => writeSpan(writer, span));
        });
      }
    });
  }
  return writer.finish();
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

function jsonValue(value: Value): Record<string, unknown> {
  switch (value.type) {
    case "string":
      return { stringValue: value.value };
    case "bool":
      return { boolValue: value.value };
    case "int":
      return { intValue: String(value.value) };
    case "double":
      return { doubleValue: value.value };
    case "strings":
      return { arrayValue: { values: value.value.map((item) => ({ stringValue: item })) } };
  }
}

function jsonAttributes(attributes: readonly Attribute[]): readonly Record<string, unknown>[] {
  return attributes.map((attribute) => ({ key: attribute.key, value: jsonValue(attribute) }));
}

function jsonSpan(span: SpanRecord): Record<string, unknown> {
  return {
    traceId: hexOf(span.traceId),
    spanId: hexOf(span.spanId),
    ...(span.traceState === "" ? {} : { traceState: span.traceState }),
    ...(span.parentSpanId === undefined ? {} : { parentSpanId: hexOf(span.parentSpanId) }),
    flags: span.flags,
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: String(span.startNs),
    endTimeUnixNano: String(span.endNs),
    attributes: jsonAttributes(span.attributes),
    events: span.events.map((event) => ({
      timeUnixNano: String(event.timeNs),
      name: event.name,
      attributes: jsonAttributes(event.attributes),
    })),
    links: span.links.map((link) => ({
      traceId: hexOf(link.traceId),
      spanId: hexOf(link.spanId),
      attributes: jsonAttributes(link.attributes),
      flags: link.flags,
    })),
    status: {
      ...(span.statusMessage === "" ? {} : { message: span.statusMessage }),
      ...(span.statusCode === 0 ? {} : { code: span.statusCode }),
    },
  };
}

/** The same request as OTLP JSON: ids in hex, 64-bit integers as text. */
export function encodeJson(groups: readonly ResourceGroup[]): string {
  return JSON.stringify({
    resourceSpans: groups.map((group) => ({
      resource: { attributes: jsonAttributes(group.attributes) },
      scopeSpans: group.scopes.map((scope) => ({
        scope: { name: scope.name, version: scope.version },
        spans: scope.spans.map(jsonSpan),
      })),
    })),
  });
}
