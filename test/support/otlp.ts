// Random OTLP messages: made with the generated code, then disturbed on the wire in ways that do not change their meaning.
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import type {
  AnyValueSchema,
  KeyValueSchema,
} from "../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  type ScopeSpansSchema,
  type ResourceSpansSchema,
  type Span,
  type SpanSchema,
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/model/limits.ts";
import { decode, encode } from "./otlp-codec.ts";
import { makeRandom, type Random } from "./random.ts";

type AnyValueInit = MessageInitShape<typeof AnyValueSchema>;
type KeyValueInit = MessageInitShape<typeof KeyValueSchema>;
type SpanInit = MessageInitShape<typeof SpanSchema>;
type ScopeSpansInit = MessageInitShape<typeof ScopeSpansSchema>;
type ResourceSpansInit = MessageInitShape<typeof ResourceSpansSchema>;

/** The default limits with some changed. */
export function limitsWith(changes: Partial<Limits>): Limits {
  return { ...DEFAULT_LIMITS, ...changes };
}

export { decode, encode };

/** TracesData with one resource and scope around `spans`. */
export function batchOf(...spans: SpanInit[]): Uint8Array {
  return encode({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
}

export const TRACE_ID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
export const SPAN_ID = Uint8Array.from({ length: 8 }, (_, i) => i + 100);

/** A span with valid ids. */
export function spanWith(changes: SpanInit = {}): SpanInit {
  return { traceId: TRACE_ID, spanId: SPAN_ID, name: "span", ...changes };
}

export function* spansOf(traces: TracesData): Generator<Span> {
  for (const group of traces.resourceSpans) for (const scope of group.scopeSpans) yield* scope.spans;
}

const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "\u0000", "\u{1f600}é", "a".repeat(31), "a".repeat(33), "ß".repeat(70)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("x".repeat(126), "x".repeat(127), "x".repeat(128), "y".repeat(20_000)),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 80 }).map((value) => value.toWellFormed()) },
);
const byteValue = fc.uint8Array({ maxLength: 9 });
const uint32 = fc.oneof(fc.constantFrom(0, 1, 127, 128, 0xffffffff), fc.nat());
const int64 = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 127n, 128n, 2n ** 53n, 2n ** 53n + 1n, MAX_INT64, -(2n ** 63n)),
  fc.bigInt({ min: -(2n ** 63n), max: MAX_INT64 }),
);
const uint64 = fc.oneof(
  fc.constantFrom(0n, 1n, 1_795_392_000_123_456_789n, 2n ** 53n + 1n, MAX_UINT64),
  fc.bigInt({ min: 0n, max: MAX_UINT64 }),
);
// JSON has no negative zero that survives JSON.stringify, and one NaN.
const double = fc.double().map((value) => (Object.is(value, -0) ? 0 : value));

const { anyValue } = fc.letrec<{ anyValue: AnyValueInit }>((tie) => ({
  anyValue: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    { weight: 5, arbitrary: text.map((value): AnyValueInit => ({ value: { case: "stringValue", value } })) },
    { weight: 2, arbitrary: int64.map((value): AnyValueInit => ({ value: { case: "intValue", value } })) },
    {
      weight: 1,
      arbitrary: fc.boolean().map((value): AnyValueInit => ({ value: { case: "boolValue", value } })),
    },
    {
      weight: 1,
      arbitrary: double.map((value): AnyValueInit => ({ value: { case: "doubleValue", value } })),
    },
    {
      weight: 1,
      arbitrary: byteValue.map((value): AnyValueInit => ({ value: { case: "bytesValue", value } })),
    },
    { weight: 1, arbitrary: fc.constant<AnyValueInit>({}) },
    {
      weight: 1,
      arbitrary: fc
        .array(tie("anyValue"), { maxLength: 3 })
        .map((values): AnyValueInit => ({ value: { case: "arrayValue", value: { values } } })),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.record({ key: text, value: tie("anyValue") }), { maxLength: 3 })
        .map((values): AnyValueInit => ({ value: { case: "kvlistValue", value: { values } } })),
    },
  ),
}));

const attributes = fc.array(
  fc.oneof(
    { weight: 9, arbitrary: fc.record({ key: text, value: anyValue }) },
    { weight: 1, arbitrary: fc.record<KeyValueInit>({ key: text }) },
  ),
  { maxLength: 4 },
);

/** Mostly one of a few valid ids, so that traces have several spans; now and then zeros or a wrong length. */
function id(length: number): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 12, arbitrary: fc.integer({ min: 1, max: 5 }).map((n) => new Uint8Array(length).fill(n)) },
    { weight: 2, arbitrary: fc.uint8Array({ minLength: length, maxLength: length }) },
    { weight: 1, arbitrary: fc.constantFrom(new Uint8Array(length), new Uint8Array(0)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  );
}

const event = fc.record({
  timeUnixNano: uint64,
  name: text,
  attributes,
  droppedAttributesCount: uint32,
});
const link = fc.record({
  traceId: id(16),
  spanId: id(8),
  traceState: text,
  attributes,
  droppedAttributesCount: uint32,
  flags: uint32,
});
// An open enum: senders may be newer than we are.
const code = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(-1, 2 ** 31 - 1, -(2 ** 31)));
const span = fc.record(
  {
    traceId: id(16),
    spanId: id(8),
    parentSpanId: id(8),
    traceState: text,
    name: text,
    kind: code,
    startTimeUnixNano: uint64,
    endTimeUnixNano: uint64,
    attributes,
    droppedAttributesCount: uint32,
    events: fc.array(event, { maxLength: 2 }),
    droppedEventsCount: uint32,
    links: fc.array(link, { maxLength: 2 }),
    droppedLinksCount: uint32,
    status: fc.record({ message: text, code }, { requiredKeys: [] }),
    flags: uint32,
  },
  { requiredKeys: ["traceId", "spanId"] },
) as fc.Arbitrary<SpanInit>;
const scopeSpans = fc.record(
  {
    scope: fc.record({ name: text, version: text, attributes, droppedAttributesCount: uint32 }),
    spans: fc.array(span, { maxLength: 4 }),
    schemaUrl: text,
  },
  { requiredKeys: ["spans"] },
) as fc.Arbitrary<ScopeSpansInit>;
const resourceSpans = fc.record(
  {
    resource: fc.record({
      attributes,
      droppedAttributesCount: uint32,
      entityRefs: fc.array(
        fc.record({
          schemaUrl: text,
          type: text,
          idKeys: fc.array(text, { maxLength: 2 }),
          descriptionKeys: fc.array(text, { maxLength: 2 }),
        }),
        { maxLength: 2 },
      ),
    }),
    scopeSpans: fc.array(scopeSpans, { maxLength: 3 }),
    schemaUrl: text,
  },
  { requiredKeys: ["scopeSpans"] },
) as fc.Arbitrary<ResourceSpansInit>;

/** Random TracesData, small but odd. */
export const arbTraces: fc.Arbitrary<TracesData> = fc
  .array(resourceSpans, { maxLength: 3 })
  .map((groups) => create(TracesDataSchema, { resourceSpans: groups }));

interface RawField {
  readonly no: number;
  readonly wireType: WireType;
  readonly bytes: Uint8Array;
}

/** A length in more bytes than it needs, as writers do that reserve room for it. */
function paddedLength(length: number): number[] {
  return [0, 7, 14, 21].map((shift) => ((length >>> shift) & 127) | 128).concat(0);
}

function rawField(no: number, wireType: WireType, write: (writer: BinaryWriter) => void): RawField {
  const writer = new BinaryWriter().tag(no, wireType);
  write(writer);
  return { no, wireType, bytes: writer.finish() };
}

function lengthField(no: number, body: Uint8Array, random: Random): RawField {
  if (!random.chance(0.1)) return rawField(no, WireType.LengthDelimited, (writer) => writer.bytes(body));
  const length = Uint8Array.from(paddedLength(body.length));
  return rawField(no, WireType.LengthDelimited, (writer) => writer.raw(length).raw(body));
}

/** A field that no OTLP message has. */
function unknownField(random: Random): RawField {
  const no = random.pick([19, 20, 1000, 15_000, 2 ** 29 - 1]);
  const value = random.u32();
  switch (random.below(4)) {
    case 0:
      return rawField(no, WireType.Varint, (writer) => writer.uint64(BigInt(value) * BigInt(random.u32())));
    case 1:
      return rawField(no, WireType.Bit64, (writer) => writer.fixed64(BigInt(value)));
    case 2:
      return rawField(no, WireType.Bit32, (writer) => writer.fixed32(value));
    default:
      return lengthField(no, random.bytes(1 + random.below(200)), random);
  }
}

/** A value for a singular field that a later one of the same field replaces. */
function overwritten(field: DescMessage["fields"][number], random: Random): RawField | undefined {
  if (field.fieldKind === "message") return lengthField(field.number, new Uint8Array(0), random);
  if (field.fieldKind === "enum")
    return rawField(field.number, WireType.Varint, (writer) => writer.int32(random.u32() | 0));
  return undefined;
}

function readFields(desc: DescMessage, message: Uint8Array, random: Random): RawField[] {
  const reader = new BinaryReader(message);
  const fields: RawField[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [no, wireType] = reader.tag();
    const field = desc.fields.find((candidate) => candidate.number === no);
    const isMessage = field?.message !== undefined && wireType === WireType.LengthDelimited;
    if (isMessage) {
      fields.push(lengthField(no, disturbMessage(field.message, reader.bytes(), random), random));
    } else {
      reader.skip(wireType, no);
      fields.push({ no, wireType, bytes: message.slice(start, reader.pos) });
    }
    // Of a repeated singular field the last counts: put one before it that must not.
    if (
      field !== undefined &&
      field.fieldKind !== "list" &&
      field.oneof === undefined &&
      random.chance(0.1)
    ) {
      fields.splice(-1, 0, overwritten(field, random) ?? scrambled(fields.at(-1)!, random));
    }
  }
  return fields;
}

/** The same field with another value: the bytes of a string or of a fixed-size number changed, a varint made 1. */
function scrambled(field: RawField, random: Random): RawField {
  if (field.wireType === WireType.Varint) {
    return rawField(field.no, WireType.Varint, (writer) => writer.uint32(1));
  }
  if (field.wireType === WireType.Bit64) {
    return rawField(field.no, WireType.Bit64, (writer) => writer.fixed64(BigInt(random.u32())));
  }
  if (field.wireType === WireType.Bit32) {
    return rawField(field.no, WireType.Bit32, (writer) => writer.fixed32(random.u32()));
  }
  return lengthField(field.no, new TextEncoder().encode("earlier"), random);
}

function disturbMessage(desc: DescMessage, message: Uint8Array, random: Random): Uint8Array {
  const fields = readFields(desc, message, random);
  while (random.chance(0.1)) fields.splice(random.below(fields.length + 1), 0, unknownField(random));
  if (random.chance(0.3)) shuffle(fields, random);
  const writer = new BinaryWriter();
  for (const field of fields) writer.raw(field.bytes);
  return writer.finish();
}

/** Shuffles fields; those of one number keep their order among themselves. */
function shuffle(fields: RawField[], random: Random): void {
  const byNumber = Map.groupBy(fields, (field) => field.no);
  const order = fields.map((field) => ({ no: field.no, at: random.unit() })).sort((a, b) => a.at - b.at);
  order.forEach(({ no }, i) => {
    fields[i] = byNumber.get(no)!.shift()!;
  });
}

/**
 * The same message in another encoding: fields shuffled, singular fields repeated, unknown fields strewn in, lengths
 * padded. It decodes to the same known fields.
 */
export function disturb(message: Uint8Array, seed: number): Uint8Array {
  return disturbMessage(TracesDataSchema, message, makeRandom(seed));
}

/** Random TracesData in a random encoding. */
export const arbBatch: fc.Arbitrary<Uint8Array> = fc
  .tuple(arbTraces, fc.nat(), fc.boolean())
  .map(([traces, seed, odd]) => {
    const plain = toBinary(TracesDataSchema, traces);
    return odd ? disturb(plain, seed) : plain;
  });

/** Damages `bytes`: flips, cuts, splices, lies about lengths. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let times = 1 + random.below(3); times > 0 && out.length > 0; times--) {
    const at = random.below(out.length);
    switch (random.below(6)) {
      case 0:
        out[at]! ^= 1 << random.below(8);
        break;
      case 1:
        out[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, random.below(256)]);
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + random.below(9))]);
        break;
      case 4:
        out = Uint8Array.from([
          ...out.subarray(0, at),
          ...random.bytes(1 + random.below(8)),
          ...out.subarray(at),
        ]);
        break;
      default: {
        const from = random.below(out.length);
        const piece = out.slice(from, from + random.below(40));
        out = Uint8Array.from([...out.subarray(0, at), ...piece, ...out.subarray(at)]);
      }
    }
  }
  return out;
}
