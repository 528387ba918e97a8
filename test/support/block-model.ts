// What a block must hold, worked out naively from decoded messages: shares no code with src/block.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { parquetReadObjects } from "hyparquet";
import { zstdDecompressSync } from "node:zlib";
import { writeBlock, type WriteOptions } from "../../src/block/block-writer.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { isAppError } from "../../src/util/errors.ts";
import type { WrittenBlock } from "../../src/block/meta.ts";
import {
  type AnyValue,
  InstrumentationScopeSchema,
  type KeyValue,
} from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { ResourceSchema } from "../../src/otlp/gen/opentelemetry/proto/resource/v1/resource_pb.ts";
import { type Span, SpanSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

/** One span as it was sent, with its group. */
export interface SentSpan {
  readonly bytes: Uint8Array;
  readonly span: Span;
  /** Body of the Resource (of the InstrumentationScope), empty and undefined told apart. */
  readonly resource: Uint8Array | undefined;
  readonly resourceSchemaUrl: string;
  readonly scope: Uint8Array | undefined;
  readonly scopeSchemaUrl: string;
}

interface Group {
  readonly owner: Uint8Array | undefined;
  readonly schemaUrl: string;
  readonly children: readonly Uint8Array[];
}

/** Fields 1, 2 and 3 of a ResourceSpans or ScopeSpans; also of a TracesData, whose children are field 1. */
function readGroup(bytes: Uint8Array): Group {
  const reader = new BinaryReader(bytes);
  const owners: Uint8Array[] = [];
  const children: Uint8Array[] = [];
  let schemaUrl = "";
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) reader.skip(wireType, field);
    else if (field === 1) owners.push(reader.bytes());
    else if (field === 2) children.push(reader.bytes());
    else if (field === 3) schemaUrl = reader.string();
    else reader.skip(wireType, field);
  }
  return { owner: owners.length === 0 ? undefined : Buffer.concat(owners), schemaUrl, children };
}

function fieldsOne(bytes: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const bodies: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) bodies.push(reader.bytes());
    else reader.skip(wireType, field);
  }
  return bodies;
}

/** All spans of the messages, in their order. */
export function sentSpans(messages: Iterable<Uint8Array>): SentSpan[] {
  const sent: SentSpan[] = [];
  for (const message of messages) {
    for (const resourceSpans of fieldsOne(message)) {
      const outer = readGroup(resourceSpans);
      for (const scopeSpans of outer.children) {
        const inner = readGroup(scopeSpans);
        for (const bytes of inner.children) {
          sent.push({
            bytes,
            span: fromBinary(SpanSchema, bytes),
            resource: outer.owner,
            resourceSchemaUrl: outer.schemaUrl,
            scope: inner.owner,
            scopeSchemaUrl: inner.schemaUrl,
          });
        }
      }
    }
  }
  return sent;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Text that is equal for exact duplicates only, and for spans that read back the same. */
export function identity(sent: SentSpan): string {
  const owner = (bytes: Uint8Array | undefined): string => (bytes === undefined ? "-" : hex(bytes));
  return [
    hex(sent.bytes),
    owner(sent.resource),
    sent.resourceSchemaUrl,
    owner(sent.scope),
    sent.scopeSchemaUrl,
  ].join("|");
}

/** A head as FORMAT.md has it, for the order of spans that are equal but for their groups. */
function headOf(owner: Uint8Array | undefined, schemaUrl: string): Uint8Array {
  const writer = new BinaryWriter();
  if (owner !== undefined) writer.tag(1, WireType.LengthDelimited).bytes(owner);
  if (schemaUrl !== "") writer.tag(3, WireType.LengthDelimited).string(schemaUrl);
  return writer.finish();
}

function compareSent(a: SentSpan, b: SentSpan): number {
  const start = a.span.startTimeUnixNano - b.span.startTimeUnixNano;
  if (start !== 0n) return start < 0n ? -1 : 1;
  return (
    Buffer.compare(a.span.spanId, b.span.spanId) ||
    (a.span.kind >>> 0) - (b.span.kind >>> 0) ||
    Buffer.compare(a.bytes, b.bytes) ||
    Buffer.compare(headOf(a.resource, a.resourceSchemaUrl), headOf(b.resource, b.resourceSchemaUrl)) ||
    Buffer.compare(headOf(a.scope, a.scopeSchemaUrl), headOf(b.scope, b.scopeSchemaUrl))
  );
}

export interface ModelRow extends SentSpan {
  readonly parentDistance: number;
}

function isNoId(id: Uint8Array): boolean {
  return id.length !== 8 || id.every((byte) => byte === 0);
}

function parentIn(trace: readonly SentSpan[], child: SentSpan): SentSpan | undefined {
  const withId = (id: Uint8Array): SentSpan[] =>
    trace.filter((other) => Buffer.compare(other.span.spanId, id) === 0);
  if (child.span.kind === 2) {
    const client = withId(child.span.spanId).find((other) => other.span.kind === 3);
    if (client !== undefined) return client;
  }
  if (isNoId(child.span.parentSpanId)) return undefined;
  const candidates = withId(child.span.parentSpanId);
  const parent = candidates.find((other) => other.span.kind === 2) ?? candidates[0];
  return parent === child ? undefined : parent;
}

function orderTrace(spans: readonly SentSpan[]): ModelRow[] {
  const seen = new Set<string>();
  const trace = spans.toSorted(compareSent).filter((sent) => {
    const key = identity(sent);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  const parents = new Map(trace.map((sent) => [sent, parentIn(trace, sent)]));
  // A span from which following the parents leads back to it is in a cycle; the first of each is cut.
  for (const sent of trace) {
    let at = parents.get(sent);
    for (let steps = 0; at !== undefined && at !== sent && steps <= trace.length; steps++)
      at = parents.get(at);
    if (at === sent) parents.set(sent, undefined);
  }
  const rows: ModelRow[] = [];
  const place = (sent: SentSpan, parentRow: number | undefined): void => {
    const row = rows.length;
    rows.push({ ...sent, parentDistance: parentRow === undefined ? 0 : row - parentRow });
    for (const child of trace) if (parents.get(child) === sent) place(child, row);
  };
  for (const sent of trace) if (parents.get(sent) === undefined) place(sent, undefined);
  return rows;
}

/** The rows of the block, quadratic in the size of a trace. */
export function modelRows(messages: Iterable<Uint8Array>): ModelRow[] {
  const traces = new Map<string, SentSpan[]>();
  for (const sent of sentSpans(messages)) {
    const id = hex(sent.span.traceId);
    const trace = traces.get(id);
    if (trace === undefined) traces.set(id, [sent]);
    else trace.push(sent);
  }
  return [...traces.keys()].sort().flatMap((id) => orderTrace(traces.get(id) ?? []));
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** The JSON of a value as JSON.parse gives it. */
export function jsonOf(value: AnyValue | undefined): Json {
  const one = value?.value;
  switch (one?.case) {
    case undefined:
      return null;
    case "intValue":
      return Number(one.value);
    case "doubleValue":
      return Number.isFinite(one.value) ? one.value : String(one.value);
    case "bytesValue":
      return Buffer.from(one.value).toString("base64");
    case "arrayValue":
      return one.value.values.map(jsonOf);
    case "kvlistValue":
      return attributesOf(one.value.values);
    case "stringValue":
    case "boolValue":
      return one.value;
  }
}

export function attributesOf(attributes: readonly KeyValue[]): { [key: string]: Json } {
  const object = new Map<string, Json>();
  for (const { key, value } of attributes) if (!object.has(key)) object.set(key, jsonOf(value));
  return Object.fromEntries(object);
}

const TYPES: Readonly<Record<string, string>> = {
  stringValue: "string",
  intValue: "int",
  doubleValue: "double",
  boolValue: "bool",
};

export function typeOf({ value }: KeyValue): string {
  return TYPES[value?.value.case ?? ""] ?? "other";
}

const INT64_MAX = 2n ** 63n - 1n;

function clamped(value: bigint): bigint {
  return value < 0n ? 0n : value > INT64_MAX ? INT64_MAX : value;
}

function orNull<T>(value: T, isThere: boolean): T | null {
  return isThere ? value : null;
}

/** The fixed columns of a row as hyparquet gives them, ids as hex. */
export function modelColumns({ span, resource, scope, parentDistance }: ModelRow): Record<string, unknown> {
  const owner = fromBinary(ResourceSchema, resource ?? new Uint8Array(0));
  const service = owner.attributes.find(({ key }) => key === "service.name")?.value?.value;
  const { name, version, attributes } = fromBinary(InstrumentationScopeSchema, scope ?? new Uint8Array(0));
  return {
    service: service?.case === "stringValue" ? service.value : "",
    name: span.name,
    kind: span.kind,
    status_code: span.status?.code ?? 0,
    duration_nano: clamped(span.endTimeUnixNano - span.startTimeUnixNano),
    start_time_unix_nano: clamped(span.startTimeUnixNano),
    parent_row_distance: parentDistance,
    trace_id: hex(span.traceId),
    resource: attributesOf(owner.attributes),
    scope: {
      name,
      ...(version === "" ? {} : { version }),
      ...(attributes.length === 0 ? {} : { attributes: attributesOf(attributes) }),
    },
    span_id: hex(span.spanId),
    parent_span_id: orNull(hex(span.parentSpanId), !isNoId(span.parentSpanId)),
    status_message: span.status?.message || null,
    trace_state: span.traceState || null,
    events: orNull(
      span.events.map((event) => ({
        time_unix_nano: Number(event.timeUnixNano),
        name: event.name,
        ...(event.attributes.length === 0 ? {} : { attributes: attributesOf(event.attributes) }),
      })),
      span.events.length > 0,
    ),
    links: orNull(
      span.links.map((link) => ({
        trace_id: hex(link.traceId),
        span_id: hex(link.spanId),
        ...(link.traceState === "" ? {} : { trace_state: link.traceState }),
        ...(link.attributes.length === 0 ? {} : { attributes: attributesOf(link.attributes) }),
      })),
      span.links.length > 0,
    ),
  };
}

export interface BuiltBlock {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly written: WrittenBlock;
}

async function* each(messages: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* messages;
}

export async function buildBlock(
  messages: Iterable<Uint8Array>,
  options: Partial<WriteOptions> = {},
): Promise<BuiltBlock> {
  const chunks: Uint8Array[] = [];
  const written = await writeBlock(each(messages), (bytes) => void chunks.push(bytes), {
    zstdLevel: 3,
    arrivedMs: 1_700_000_000_000,
    ...options,
  });
  return { file: new Uint8Array(Buffer.concat(chunks)), written };
}

/** All rows by hyparquet: ids as hex, times as bigint, otlp_span as bytes, absent values as null. */
export async function hyparquetRows(file: Uint8Array): Promise<Record<string, unknown>[]> {
  const rows = await parquetReadObjects({
    file: new Uint8Array(file).buffer,
    utf8: false,
    compressors: { ZSTD: (input) => zstdDecompressSync(input) },
    parsers: { timestampFromNanoseconds: (nanos: bigint) => nanos },
  });
  return rows.map((row: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [
        key,
        key.endsWith("_id") && value instanceof Uint8Array ? hex(value) : (value ?? null),
      ]),
    ),
  );
}

/** The private field 100 (FORMAT.md). */
const SUFFIX_BYTES = 10;

interface PlannedColumn {
  readonly name: string;
  readonly key: string;
  readonly type: string;
}

function attributeColumns(
  attributes: readonly KeyValue[],
  columns: readonly PlannedColumn[],
): Record<string, unknown> {
  const hasColumn = new Set(columns.map(({ key, type }) => `${type} ${key}`));
  const rare = attributes.filter((attribute) => !hasColumn.has(`${typeOf(attribute)} ${attribute.key}`));
  const values = columns.map(({ name, key, type }) => {
    const first = attributes.find((attribute) => attribute.key === key && typeOf(attribute) === type);
    return [name, first?.value?.value.value ?? null];
  });
  return { attributes_rest: rare.length === 0 ? null : attributesOf(rare), ...Object.fromEntries(values) };
}

function withoutSuffix(stored: unknown): unknown {
  return stored instanceof Uint8Array ? hex(stored.subarray(0, -SUFFIX_BYTES)) : stored;
}

/**
 * The rows of the block of `messages` as hyparquet reads them, and as they must be. Of `otlp_span` the private suffix
 * is left out.
 */
export async function compareRows(
  messages: readonly Uint8Array[],
): Promise<{ actual: Record<string, unknown>[]; expected: Record<string, unknown>[] }> {
  const { file } = await buildBlock(messages);
  const { columns } = await (await openBlock(bytesSource(file))).attributes();
  const expected = modelRows(messages).map((model) =>
    Object.assign(modelColumns(model), attributeColumns(model.span.attributes, columns), {
      otlp_span: hex(model.bytes),
    }),
  );
  const actual = await hyparquetRows(file);
  for (const row of actual) row["otlp_span"] = withoutSuffix(row["otlp_span"]);
  return { actual, expected };
}

/** All that a generator yields. */
export async function collect(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return all;
}

/** `bytes` as one chunk. */
export async function* inOneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Whether `read` throws AppError `corrupt`; other errors pass through. */
export function isRefused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (isAppError(error) && error.kind === "corrupt") return true;
    throw error;
  }
}
