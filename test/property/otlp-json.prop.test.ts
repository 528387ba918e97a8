// OTLP JSON -> protobuf against the library's JSON codec, over random messages written in every form that the mapping allows.
import { fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { findJsonError } from "../../src/otlp/json-scan.ts";
import { streamToProtobuf } from "../../src/otlp/json-stream.ts";
import { jsonToProtobuf } from "../../src/otlp/json.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { isAppError } from "../../src/util/errors.ts";
import { makeGenerator } from "../support/generator.ts";
import { arbTraces, decode, mutate } from "../support/otlp.ts";
import { makeRandom, type Random } from "../support/random.ts";

const RUNS = 400;

const encoder = new TextEncoder();

type JsonObject = { [key: string]: JsonValue };

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Applies `change` to every object, innermost first. */
function mapObjects(value: JsonValue, change: (object: JsonObject) => JsonObject): JsonValue {
  if (Array.isArray(value)) return value.map((item) => mapObjects(item, change));
  if (!isObject(value)) return value;
  return change(
    Object.fromEntries(Object.entries(value).map(([key, field]) => [key, mapObjects(field, change)])),
  );
}

const IDS = new Set(["traceId", "spanId", "parentSpanId"]);

/** protobuf's JSON has bytes in base64, OTLP's has ids in hex. */
function recode(from: BufferEncoding, to: BufferEncoding): (object: JsonObject) => JsonObject {
  return (object) => {
    const entries = Object.entries(object).map(([key, value]): [string, JsonValue] => [
      key,
      IDS.has(key) && typeof value === "string" ? Buffer.from(value, from).toString(to) : value,
    ]);
    return Object.fromEntries(entries);
  };
}

const ENUM_NUMBERS: Readonly<Record<string, number>> = {
  SPAN_KIND_UNSPECIFIED: 0,
  SPAN_KIND_INTERNAL: 1,
  SPAN_KIND_SERVER: 2,
  SPAN_KIND_CLIENT: 3,
  SPAN_KIND_PRODUCER: 4,
  SPAN_KIND_CONSUMER: 5,
  STATUS_CODE_UNSET: 0,
  STATUS_CODE_OK: 1,
  STATUS_CODE_ERROR: 2,
};
const OPTIONAL_FIELDS = [
  "schemaUrl",
  "status",
  "traceState",
  "attributes",
  "events",
  "links",
  "scope",
  "resource",
];
const UNKNOWN: readonly JsonValue[] = [
  null,
  1,
  "x",
  [],
  {},
  [[{ traceId: "not hex" }]],
  { spans: [{ kind: "?" }] },
];

function varyText(key: string, value: string, random: Random): JsonValue {
  if (key === "bytesValue") {
    const safe = random.chance(0.5) ? value.replaceAll("+", "-").replaceAll("/", "_") : value;
    return random.chance(0.5) ? safe.replace(/=+$/, "") : safe;
  }
  if (key === "kind" || key === "code") return ENUM_NUMBERS[value] ?? value;
  if (IDS.has(key)) return random.chance(0.5) ? value.toUpperCase() : value;
  const isNumber = key.endsWith("Nano") || key === "intValue";
  return isNumber && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function vary(key: string, value: JsonValue, random: Random): JsonValue {
  if (typeof value === "string") return varyText(key, value, random);
  const isCount = key.startsWith("dropped") || key === "flags";
  return typeof value === "number" && isCount ? value.toString() : value;
}

/** The same message in another form: snake_case, numbers for strings and names, nulls and unknown fields strewn in. */
function varied(random: Random): (object: JsonObject) => JsonObject {
  return (object) => {
    const out: JsonObject = {};
    for (const [key, value] of Object.entries(object)) {
      const name = random.chance(0.2)
        ? key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
        : key;
      out[name] = random.chance(0.5) ? vary(key, value, random) : value;
    }
    if (random.chance(0.1))
      out[random.pick(["unknown", "__proto__", "constructor", "Key"])] = random.pick(UNKNOWN);
    const absent = random.pick(OPTIONAL_FIELDS);
    const isPresent = Object.keys(object).includes(absent);
    if (random.chance(0.1) && !isPresent) out[absent] = null;
    return out;
  };
}

test("jsonToProtobuf: gives back the message whose JSON form, in any of its variations, it reads", () => {
  fc.assert(
    fc.property(arbTraces, fc.nat(), (traces, seed) => {
      const plain = mapObjects(toJson(TracesDataSchema, traces), recode("base64", "hex"));
      const json = JSON.stringify(mapObjects(plain, varied(makeRandom(seed))), null, seed % 3);
      const converted = jsonToProtobuf(encoder.encode(json), DEFAULT_LIMITS);
      expect(converted.byteLength).toBe(converted.buffer.byteLength);
      const expected = Buffer.from(toBinary(TracesDataSchema, traces));
      expect(expected.equals(toBinary(TracesDataSchema, decode(converted)))).toBe(true);
      walkBatch(converted, DEFAULT_LIMITS);
    }),
    { numRuns: RUNS },
  );
});

test("jsonToProtobuf: both encodings of generated traffic mean the same, in as few bytes", () => {
  const generator = makeGenerator({ seed: 3 });
  for (const spanCount of [1, 10, 300]) {
    const { protobuf, json } = generator.batchBoth(spanCount);
    const converted = jsonToProtobuf(encoder.encode(json), DEFAULT_LIMITS);
    const expected = Buffer.from(toBinary(TracesDataSchema, decode(protobuf)));
    expect(expected.equals(toBinary(TracesDataSchema, decode(converted)))).toBe(true);
    expect(converted.length).toBe(expected.length);
  }
});

/** What the library makes of OTLP JSON; undefined when it refuses. */
function oracle(body: Uint8Array): Uint8Array | undefined {
  try {
    const json = JSON.parse(new TextDecoder().decode(body)) as JsonValue;
    return toBinary(
      TracesDataSchema,
      fromJson(TracesDataSchema, mapObjects(json, recode("hex", "base64")), { ignoreUnknownFields: true }),
    );
  } catch {
    return undefined;
  }
}

/** The general converter alone: the single pass leaves bodies with a byte order mark to it. */
function convertSlowly(body: Uint8Array): Uint8Array {
  return jsonToProtobuf(Uint8Array.of(0xef, 0xbb, 0xbf, ...body), DEFAULT_LIMITS);
}

interface Outcome {
  readonly protobuf?: Uint8Array;
  readonly message?: string;
}

function tryConvert(body: Uint8Array): Outcome {
  try {
    return { protobuf: jsonToProtobuf(body, DEFAULT_LIMITS) };
  } catch (error) {
    if (isAppError(error) && error.kind === "invalid_argument") return { message: error.message };
    throw error;
  }
}

test("streamToProtobuf: takes generated traffic, and gives what the general converter gives", () => {
  const generator = makeGenerator({ seed: 8 });
  const streamed: boolean[] = [];
  for (let i = 0; i < 20; i++) {
    const body = encoder.encode(generator.batchJson(1 + 5 * i));
    const protobuf = streamToProtobuf(body, DEFAULT_LIMITS.maxValueDepth);
    streamed.push(protobuf !== undefined && Buffer.from(protobuf).equals(convertSlowly(body)));
  }
  expect(streamed).toEqual(Array(20).fill(true));
});

test("streamToProtobuf: what it takes, the general converter takes and writes byte for byte the same", () => {
  let taken = 0;
  fc.assert(
    fc.property(arbTraces, fc.nat(), fc.boolean(), (traces, seed, isDamaged) => {
      const random = makeRandom(seed);
      const plain = mapObjects(
        toJson(TracesDataSchema, traces, { enumAsInteger: true }),
        recode("base64", "hex"),
      );
      const json = encoder.encode(JSON.stringify(plain, null, seed % 2));
      const body = isDamaged ? mutate(json, random) : json;
      const protobuf = streamToProtobuf(body, DEFAULT_LIMITS.maxValueDepth);
      if (protobuf === undefined) return;
      taken++;
      expect(Buffer.from(protobuf).equals(convertSlowly(body))).toBe(true);
    }),
    { numRuns: 1000 },
  );
  expect(taken).toBeGreaterThan(100);
});

test("20,000 damaged bodies: only an AppError comes out, soon, and what is accepted means what the library says", () => {
  const random = makeRandom(77);
  const generator = makeGenerator({ seed: 5 });
  const samples = fc
    .sample(arbTraces, { seed: 13, numRuns: 150 })
    .map((traces) => JSON.stringify(mapObjects(toJson(TracesDataSchema, traces), recode("base64", "hex"))))
    .filter((json) => json.length < 3_000);
  const sources = [
    ...samples,
    ...Array.from({ length: 40 }, () => generator.batchJson(1 + random.below(2))),
  ].map((json) => encoder.encode(json));
  const counts = { accepted: 0, malformed: 0, misfit: 0, onlyHere: 0 };
  const wrong: string[] = [];
  let slowestMs = 0;
  for (let i = 0; i < 20_000; i++) {
    const body = mutate(random.pick(sources), random);
    const start = performance.now();
    const { protobuf, message } = tryConvert(body);
    slowestMs = Math.max(slowestMs, performance.now() - start);
    if (protobuf === undefined) {
      if (message?.startsWith("malformed JSON") === true) counts.malformed++;
      else counts.misfit++;
      continue;
    }
    counts.accepted++;
    walkBatch(protobuf, DEFAULT_LIMITS);
    if (!Buffer.from(protobuf).equals(convertSlowly(body))) wrong.push(new TextDecoder().decode(body));
    const expected = oracle(body);
    if (expected === undefined) counts.onlyHere++;
    else if (!Buffer.from(expected).equals(toBinary(TracesDataSchema, decode(protobuf)))) {
      wrong.push(new TextDecoder().decode(body));
    }
  }
  expect(wrong).toEqual([]);
  expect(counts.accepted).toBeGreaterThan(1_000);
  expect(counts.malformed).toBeGreaterThan(1_000);
  expect(counts.misfit).toBeGreaterThan(100);
  expect(counts.onlyHere).toBeLessThan(counts.accepted / 10);
  expect(slowestMs).toBeLessThan(500);
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test("findJsonError: says that bytes are JSON when JSON.parse says so, and an offset within them otherwise", () => {
  const random = makeRandom(5);
  const json = fc.sample(fc.json({ maxDepth: 4 }), { seed: 17, numRuns: 300 });
  const wrong: string[] = [];
  for (let i = 0; i < 10_000; i++) {
    const body = mutate(encoder.encode(random.pick(json)), random);
    const at = findJsonError(body);
    const text = new TextDecoder().decode(body);
    if (at < 0 !== isJson(text) || at > body.length) wrong.push(text);
  }
  expect(wrong).toEqual([]);
});
