// Random protobuf -> JSON, against the generated decoder and a naive printer that walks its objects by reflection.
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { fromBinary, ScalarType } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import { expect, test } from "vitest";
import { JsonWriter } from "../../src/otlp/json-writer.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { traceToJson } from "../../src/otlp/trace-json.ts";
import { concatBytes } from "../../src/util/bytes.ts";

const RUNS = 400;
const MAX_DEPTH = 64;

// ---- random bytes by reflection: any order, repeated singular fields, unknown fields, padded varints

function varint(value: bigint, padding = 0): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  } while (rest > 0n);
  for (let i = 0; i < padding && bytes.length < 5; i++) bytes.push(128);
  bytes[bytes.length - 1]! &= 127;
  return Uint8Array.from(bytes);
}

function tagged(number: number, wireType: number, value: Uint8Array, padding = 0): Uint8Array {
  const length = wireType === 2 ? varint(BigInt(value.length), padding) : new Uint8Array(0);
  return concatBytes([varint(BigInt(number * 8 + wireType)), length, value]);
}

const varints = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.integer({ min: -3, max: 6 }).map((n) => BigInt.asUintN(64, BigInt(n))),
);
const fixed = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(fc.uint8Array({ minLength: length, maxLength: length }), fc.constant(new Uint8Array(length)));
const doubles = fc.double().map((value) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return bytes;
});
// The decoder drops a byte order mark at the start, which this project keeps: it is part of the text.
const strings = fc
  .oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.string({ maxLength: 60 }))
  .filter((text) => !text.startsWith("\ufeff"))
  .map((text) => new TextEncoder().encode(text));

const scalarFields: Partial<Record<ScalarType, (number: number) => fc.Arbitrary<Uint8Array>>> = {
  [ScalarType.STRING]: (number) =>
    fc.tuple(strings, fc.nat(2)).map(([value, padding]) => tagged(number, 2, value, padding)),
  [ScalarType.BYTES]: (number) => fc.uint8Array({ maxLength: 20 }).map((value) => tagged(number, 2, value)),
  [ScalarType.FIXED64]: (number) => fixed(8).map((value) => tagged(number, 1, value)),
  [ScalarType.FIXED32]: (number) => fixed(4).map((value) => tagged(number, 5, value)),
  [ScalarType.DOUBLE]: (number) => doubles.map((value) => tagged(number, 1, value)),
};

function varintField(number: number): fc.Arbitrary<Uint8Array> {
  return varints.map((value) => tagged(number, 0, varint(value)));
}

const unknownField = fc.oneof(
  fc.tuple(fc.integer({ min: 50, max: 3000 }), varints).map(([n, v]) => tagged(n, 0, varint(v))),
  fc
    .tuple(fc.integer({ min: 50, max: 3000 }), fc.uint8Array({ maxLength: 9 }))
    .map(([n, v]) => tagged(n, 2, v)),
  fc.tuple(fc.integer({ min: 17, max: 31 }), fixed(8)).map(([n, v]) => tagged(n, 1, v)),
  fc.tuple(fc.integer({ min: 17, max: 31 }), fixed(4)).map(([n, v]) => tagged(n, 5, v)),
);

function anyField(field: DescField, depth: number): fc.Arbitrary<Uint8Array> {
  if (field.message !== undefined) {
    return messageBytes(field.message, depth - 1).map((body) => tagged(field.number, 2, body));
  }
  return (scalarFields[field.scalar ?? ScalarType.INT32] ?? varintField)(field.number);
}

function messageBytes(desc: DescMessage, depth: number): fc.Arbitrary<Uint8Array> {
  const fields = desc.fields.filter((field) => depth > 0 || field.message === undefined);
  if (fields.length === 0) return fc.constant(new Uint8Array(0));
  const parts = fields.map((field) => ({ weight: 6, arbitrary: anyField(field, depth) }));
  // Fields in any order, each as often as chance wants: repeated singular fields, interleaved lists.
  // The upper levels are never empty, or most runs would have no span.
  const count =
    depth > 6
      ? { minLength: 1, maxLength: 3 }
      : depth > 4
        ? { minLength: 4, maxLength: 20 }
        : { maxLength: 4 };
  return fc
    .array(fc.oneof(...parts, { weight: 2, arbitrary: unknownField }), { ...count, size: "max" })
    .map((all) => concatBytes(all));
}

// ---- the naive printer

const ALWAYS = new Set(["resource", "scope", "status"]);

function scalarJson(scalar: ScalarType, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return value.toString();
  if (scalar === ScalarType.DOUBLE && !Number.isFinite(value)) return String(value);
  return value;
}

function fieldJson(field: DescField, message: ReflectMessage): unknown {
  if (field.fieldKind === "message") return naiveJson(message.get(field));
  if (field.fieldKind === "list") {
    const items = [...(message.get(field) as Iterable<unknown>)];
    return items.map((item) => (field.message ? naiveJson(item as ReflectMessage) : item));
  }
  const value: unknown = message.get(field);
  if (field.fieldKind !== "enum") return scalarJson(field.scalar ?? ScalarType.STRING, value);
  return field.enum?.values.find(({ number }) => number === value)?.name ?? value;
}

function naiveJson(message: ReflectMessage): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const field of message.fields) {
    // `isSet` is: not empty for lists, not the default for plain scalars, present for messages and oneofs.
    if (message.isSet(field)) json[field.jsonName] = fieldJson(field, message);
    else if (ALWAYS.has(field.jsonName)) json[field.jsonName] = {};
  }
  return json;
}

test("trace-json: prints what the generated code decodes, for any bytes of the schema", () => {
  fc.assert(
    fc.property(messageBytes(TracesDataSchema, 9), (bytes) => {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        traceToJson(bytes, MAX_DEPTH),
      );
      const decoded = fromBinary(TracesDataSchema, bytes);
      const parsed: unknown = JSON.parse(text);
      expect(parsed).toEqual(naiveJson(reflect(TracesDataSchema, decoded)));
      // Nothing is there twice, nothing is escaped without need. JSON.stringify has no negative zero.
      const again = text.includes(":-0}") ? text : JSON.stringify(parsed);
      expect(again).toBe(text);
    }),
    { numRuns: RUNS },
  );
});

function outcome(bytes: Uint8Array): string {
  try {
    JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(traceToJson(bytes, MAX_DEPTH)),
    );
    return "json";
  } catch (error) {
    return error instanceof Error && error.name === "AppError" ? "AppError" : String(error);
  }
}

test("trace-json: damaged bytes give JSON or an AppError, never anything else", () => {
  const damaged = fc
    .tuple(
      messageBytes(TracesDataSchema, 7),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
    )
    .map(([bytes, changes]) => {
      const copy = bytes.slice();
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return copy;
    });
  fc.assert(
    fc.property(damaged, (bytes) => {
      expect(["json", "AppError"]).toContain(outcome(bytes));
    }),
    { numRuns: RUNS },
  );
});

const textOf = (out: JsonWriter): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(out.take());

test("json-writer: ill-formed UTF-8 becomes U+FFFD exactly where the WHATWG decoder puts it", () => {
  const lumpy = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 4 }),
        strings,
        fc.constantFrom(
          [0xc0, 0x80],
          [0xed, 0xa0, 0x80],
          [0xf0, 0x80, 0x80],
          [0xf4, 0x90],
          [0xe2, 0x82],
          [0xf0, 0x9f, 0x98],
        ),
      ),
      { maxLength: 8 },
    )
    .map((parts) => concatBytes(parts.map((part) => Uint8Array.from(part))));
  fc.assert(
    fc.property(lumpy, fc.nat(3), (bytes, lead) => {
      // Off its beginning and followed by continuation bytes, which are not its own.
      const around = concatBytes([new Uint8Array(lead), bytes, Uint8Array.of(0xbf, 0xbf)]);
      const out = new JsonWriter();
      out.string(around, lead, lead + bytes.length);
      const expected = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);
      expect(JSON.parse(textOf(out))).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test("json-writer: a text longer than one step is the same text", () => {
  for (let length = 4090; length < 4100; length++) {
    const text = `${"x".repeat(length)}\u{1f600}é"\\\u0001${"ß".repeat(5000)}`;
    const bytes = new TextEncoder().encode(text);
    const out = new JsonWriter();
    out.string(bytes, 0, bytes.length);
    expect(textOf(out)).toBe(JSON.stringify(text));
  }
});

test("json-writer: 64-bit numbers print as BigInt does", () => {
  fc.assert(
    fc.property(fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.nat().map(BigInt)), (value) => {
      const out = new JsonWriter();
      const high = Number(value >> 32n);
      const low = Number(value & 0xffffffffn);
      out.uint64(high, low);
      out.byte(0x20);
      out.int64(high, low);
      expect(textOf(out)).toBe(`"${value}" "${BigInt.asIntN(64, value)}"`);
    }),
    { numRuns: 2000, examples: [[0n], [1n << 63n], [(1n << 64n) - 1n], [(1n << 63n) - 1n], [999_999_999n]] },
  );
});

test("json-writer: base64 is Buffer's", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      const out = new JsonWriter();
      out.base64(bytes, 0, bytes.length);
      expect(textOf(out)).toBe(`"${Buffer.from(bytes).toString("base64")}"`);
    }),
  );
});
