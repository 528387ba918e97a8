import { expect, test } from "vitest";
import type { Span } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { jsonToProtobuf } from "../../../src/otlp/json.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { decode, limitsWith } from "../../support/otlp.ts";

const MIB = 1024 * 1024;
const encoder = new TextEncoder();

function convert(json: string, limits: Limits = DEFAULT_LIMITS): Uint8Array {
  return jsonToProtobuf(encoder.encode(json), limits);
}

/** The batch with one span of these JSON fields. */
function spanJson(fields: string): string {
  return `{"resourceSpans":[{"scopeSpans":[{"spans":[{${fields}}]}]}]}`;
}

function spanOf(fields: string): Span {
  return decode(convert(spanJson(fields))).resourceSpans[0]!.scopeSpans[0]!.spans[0]!;
}

function valueOf(value: string): unknown {
  return spanOf(`"attributes":[{"key":"k","value":${value}}]`).attributes[0]!.value?.value.value;
}

const SPAN_PATH = "resourceSpans[0].scopeSpans[0].spans[0]";

test.for([
  "{}",
  ' {"resourceSpans":[]}',
  '{"resourceSpans":null}',
  '{"resource_spans":[],"other":[[[1]]]}',
  "\ufeff{}",
])("jsonToProtobuf: %s is no bytes", (json) => {
  expect(convert(json)).toHaveLength(0);
});

test("jsonToProtobuf: empty objects are messages that are there, null ones are not", () => {
  const traces = decode(
    convert(
      '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{}},{"scope":null}]},{"resource":null},{}]}',
    ),
  );
  expect(traces.resourceSpans.map((group) => group.resource !== undefined)).toEqual([true, false, false]);
  expect(traces.resourceSpans[0]!.scopeSpans.map((scope) => scope.scope !== undefined)).toEqual([
    true,
    false,
  ]);
  expect(spanOf('"status":{}').status).toBeDefined();
  const { attributes } = spanOf('"attributes":[{},{"key":null,"value":null},{"value":{}}]');
  expect(attributes.map(({ key, value }) => [key, value?.value.case, value === undefined])).toEqual([
    ["", undefined, true],
    ["", undefined, true],
    ["", undefined, false],
  ]);
});

test("jsonToProtobuf: 64-bit integers are exact as strings and as far as JSON numbers go", () => {
  expect(spanOf('"startTimeUnixNano":"1795392000123456789"').startTimeUnixNano).toBe(
    1_795_392_000_123_456_789n,
  );
  expect(spanOf('"startTimeUnixNano":"18446744073709551615"').startTimeUnixNano).toBe(2n ** 64n - 1n);
  expect(spanOf('"start_time_unix_nano":9007199254740991').startTimeUnixNano).toBe(2n ** 53n - 1n);
  expect(spanOf('"startTimeUnixNano":"000000000000000000000000012"').startTimeUnixNano).toBe(12n);
  expect(valueOf('{"intValue":"-9223372036854775808"}')).toBe(-(2n ** 63n));
  expect(valueOf('{"intValue":"9223372036854775807"}')).toBe(2n ** 63n - 1n);
  expect(valueOf('{"int_value":-3}')).toBe(-3n);
  expect(valueOf('{"intValue":-9223372036854775808}')).toBe(-(2n ** 63n));
  expect(valueOf('{"intValue":1e3}')).toBe(1000n);
  expect(valueOf('{"intValue":"-0"}')).toBe(0n);
});

test.for([
  '"9223372036854775808"',
  '"-9223372036854775809"',
  "9223372036854775808",
  "1.5",
  '"1.0"',
  '"1e3"',
  '""',
  '"-"',
  '"+1"',
  '" 1"',
  '"0x10"',
  "true",
  "{}",
  "1e400",
])("jsonToProtobuf: %s is no int64", (value) => {
  expect(() => valueOf(`{"intValue":${value}}`)).toThrow(
    `${SPAN_PATH}.attributes[0].value.intValue: expected a signed integer of at most 64 bits`,
  );
});

test.for(["-1", '"-1"', '"18446744073709551616"', "18446744073709551616", '"99999999999999999999"', "0.5"])(
  "jsonToProtobuf: %s is no fixed64",
  (value) => {
    expect(() => spanOf(`"endTimeUnixNano":${value}`)).toThrow(
      `${SPAN_PATH}.endTimeUnixNano: expected an unsigned integer of at most 64 bits`,
    );
  },
);

test("jsonToProtobuf: 32-bit counts and flags end at 2^32 - 1", () => {
  expect(spanOf('"flags":4294967295,"droppedEventsCount":"4294967295"')).toMatchObject({
    flags: 0xffffffff,
    droppedEventsCount: 0xffffffff,
  });
  expect(() => spanOf('"flags":4294967296')).toThrow(`${SPAN_PATH}.flags: exceeds 32 bits`);
  expect(() => spanOf('"dropped_links_count":4294967296')).toThrow(
    `${SPAN_PATH}.dropped_links_count: exceeds 32 bits`,
  );
});

test("jsonToProtobuf: doubles as numbers, decimals and names", () => {
  expect(valueOf('{"doubleValue":"NaN"}')).toBeNaN();
  expect(valueOf('{"doubleValue":"Infinity"}')).toBe(Number.POSITIVE_INFINITY);
  expect(valueOf('{"doubleValue":"-Infinity"}')).toBe(Number.NEGATIVE_INFINITY);
  expect(valueOf('{"doubleValue":1.5e300}')).toBe(1.5e300);
  expect(valueOf('{"doubleValue":"2.5"}')).toBe(2.5);
  expect(valueOf('{"doubleValue":-0.0}')).toBe(-0);
  for (const value of ['"nan"', '""', '" 1"', '"1e999"', "true", "[]"]) {
    expect(() => valueOf(`{"doubleValue":${value}}`)).toThrow("value.doubleValue: expected a number");
  }
});

test("jsonToProtobuf: enums by name, by number, unknown numbers kept", () => {
  expect(spanOf('"kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}')).toMatchObject({
    kind: 3,
    status: { code: 2 },
  });
  expect(spanOf('"kind":99').kind).toBe(99);
  expect(spanOf('"kind":-2').kind).toBe(-2);
  for (const kind of ['"CLIENT"', "1.5", "4294967296", "true", '"toString"']) {
    expect(() => spanOf(`"kind":${kind}`)).toThrow(
      `${SPAN_PATH}.kind: expected a 32-bit number or one of SPAN_KIND_`,
    );
  }
});

test("jsonToProtobuf: base64 of both alphabets, with and without padding", () => {
  for (const text of ["+/8=", "+/8", "-_8=", "-_8"]) {
    expect(valueOf(`{"bytesValue":"${text}"}`)).toEqual(Uint8Array.of(0xfb, 0xff));
  }
  expect(valueOf('{"bytesValue":""}')).toEqual(new Uint8Array(0));
  for (const text of ["A", "AAAAA", "A A=", "=AAA", "é\u0100=="]) {
    expect(() => valueOf(`{"bytesValue":"${text}"}`)).toThrow("value.bytesValue: not base64");
  }
});

test("jsonToProtobuf: ids are hex of any length and either case; a wrong one makes a rejected span later", () => {
  expect(spanOf('"traceId":"0aFF"').traceId).toEqual(Uint8Array.of(10, 255));
  expect(walkBatch(convert(spanJson('"traceId":"0aFF","spanId":""')), DEFAULT_LIMITS).rejected.traceId).toBe(
    1,
  );
  for (const id of ['"abc"', '"0g"', '"g0"', '"é0"', '"İ0"', '"+/8="']) {
    expect(() => spanOf(`"traceId":${id}`)).toThrow(`${SPAN_PATH}.traceId: not pairs of hex digits`);
  }
  expect(() => spanOf('"links":[{},{"spanId":5}]')).toThrow(
    `${SPAN_PATH}.links[1].spanId: expected a string, got a number`,
  );
});

test("jsonToProtobuf: text of every length and alphabet around the writer's fast paths", () => {
  for (const letter of ["a", "é", "€", "😀"]) {
    for (const length of [0, 1, 31, 32, 33, 42, 43, 63, 64, 127, 128, 129, 5461, 5462, 16_383, 16_384]) {
      const text = letter.repeat(length);
      expect(spanOf(`"name":"${text}"`).name).toBe(text);
      expect(spanOf(`"name":"a${text}"`).name).toBe(`a${text}`);
    }
  }
});

test("jsonToProtobuf: lone surrogates and bytes that are not UTF-8 become U+FFFD", () => {
  expect(spanOf('"name":"\\ud800x"').name).toBe("\ufffdx");
  expect(spanOf(`"name":"${"a".repeat(40)}\\udc00"`).name).toBe(`${"a".repeat(40)}\ufffd`);
  const body = encoder.encode(spanJson('"name":"?"'));
  body[body.indexOf(0x3f)] = 0xff;
  expect(decode(jsonToProtobuf(body, DEFAULT_LIMITS)).resourceSpans[0]!.scopeSpans[0]!.spans[0]!.name).toBe(
    "\ufffd",
  );
});

test("jsonToProtobuf: of duplicate keys the last counts", () => {
  expect(spanOf('"name":"a","name":"b","attributes":[{"key":"x"}],"attributes":[]')).toMatchObject({
    name: "b",
    attributes: [],
  });
});

test("jsonToProtobuf: a value of two types is refused", () => {
  expect(() => valueOf('{"stringValue":"a","intValue":1}')).toThrow(
    `${SPAN_PATH}.attributes[0].value.intValue: the value has another type already`,
  );
  expect(valueOf('{"stringValue":"a","intValue":null}')).toBe("a");
});

test.for([
  ["[]", "document: expected an object, got an array"],
  ["null", "document: expected an object, got null"],
  ["1", "document: expected an object, got a number"],
  ['{"resourceSpans":{}}', "resourceSpans: expected an array, got an object"],
  ['{"resourceSpans":[{},1]}', "resourceSpans[1]: expected an object, got a number"],
  ['{"resourceSpans":[null]}', "resourceSpans[0]: expected an object, got null"],
  ['{"resourceSpans":[{"resource":"x"}]}', "resourceSpans[0].resource: expected an object, got a string"],
  ['{"resourceSpans":[{"schema_url":1}]}', "resourceSpans[0].schema_url: expected a string, got a number"],
  [
    '{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":["a",2]}]}}]}',
    "resourceSpans[0].resource.entityRefs[0].idKeys[1]: expected a string, got a number",
  ],
  [
    '{"resourceSpans":[{"scopeSpans":[{},{"scope":{"attributes":[{"key":"a"},3]}}]}]}',
    "resourceSpans[0].scopeSpans[1].scope.attributes[1]: expected an object, got a number",
  ],
  [
    '{"resourceSpans":[{"scopeSpans":[{},{"spans":[{},{},{},{"traceId":"xx"}]}]}]}',
    "resourceSpans[0].scopeSpans[1].spans[3].traceId: not pairs of hex digits",
  ],
  [
    spanJson(
      '"attributes":[{"key":"k","value":{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":"true"}}]}}}]',
    ),
    `${SPAN_PATH}.attributes[0].value.kvlistValue.values[0].value.boolValue: expected a boolean, got a string`,
  ],
  [
    spanJson('"attributes":[{"key":"k","value":{"arrayValue":{"values":[{},{"stringValue":1}]}}}]'),
    `${SPAN_PATH}.attributes[0].value.arrayValue.values[1].stringValue: expected a string, got a number`,
  ],
  [
    spanJson('"attributes":[{"key":"a"},{"key":7}]'),
    `${SPAN_PATH}.attributes[1].key: expected a string, got a number`,
  ],
] as const)("jsonToProtobuf: %s names the place", ([json, message]) => {
  expect(() => convert(json)).toThrow(expect.objectContaining({ kind: "invalid_argument", message }));
});

test.for([
  ["", "malformed JSON: it ends at byte 0"],
  ['{"a"', "malformed JSON: it ends at byte 4"],
  ["x", "malformed JSON at byte 0"],
  ['{"é":tru}', "malformed JSON at byte 9"],
  ['{"a":[1,]}', "malformed JSON at byte 8"],
  ['{"a":01}', "malformed JSON at byte 6"],
  ['{"a":"\t"}', "malformed JSON at byte 6"],
  ['{"a":"\\x"}', "malformed JSON at byte 7"],
  ["{} {}", "malformed JSON at byte 3"],
] as const)("jsonToProtobuf: %j: %s", ([json, message]) => {
  expect(() => convert(json)).toThrow(expect.objectContaining({ kind: "invalid_argument", message }));
});

function arrays(depth: number): string {
  return `${'{"arrayValue":{"values":['.repeat(depth - 1)}{}${"]}}".repeat(depth - 1)}`;
}

function lists(depth: number): string {
  return `${'{"kvlistValue":{"values":[{"value":'.repeat(depth - 1)}{}${"}]}}".repeat(depth - 1)}`;
}

/** More than 1 MiB of text with so many tokens outside of it: the object, the comma after the text, the array, its commas. */
function bodyOfTokens(tokens: number): string {
  return `{"text":"${'[,{\\"'.repeat(MIB / 4)}","list":[${Array(tokens - 2)
    .fill(0)
    .join()}]}`;
}

test("jsonToProtobuf: values nested to maxValueDepth pass, one level more does not; unknown fields may be deeper", () => {
  const { maxValueDepth } = DEFAULT_LIMITS;
  for (const nested of [arrays, lists]) {
    const converted = convert(spanJson(`"attributes":[{"value":${nested(maxValueDepth)}}]`));
    // The same bound holds for protobuf: what is converted walks.
    walkBatch(converted, DEFAULT_LIMITS);
    expect(() => convert(spanJson(`"attributes":[{"value":${nested(maxValueDepth + 1)}}]`))).toThrow(
      `: attribute value nested deeper than ${maxValueDepth} levels`,
    );
    expect(() => convert(spanJson(`"attributes":[{"value":${nested(2000)}}]`))).toThrow("nested deeper");
  }
  expect(convert(`{"unknown":${"[".repeat(200_000)}${"]".repeat(200_000)}}`)).toHaveLength(0);
});

test("jsonToProtobuf: a body above 1 MiB may have maxJsonTokens tokens, not one more; text does not count", () => {
  const maxJsonTokens = 1000;
  const limits = limitsWith({ maxJsonTokens });
  expect(convert(bodyOfTokens(maxJsonTokens), limits)).toHaveLength(0);
  expect(() => convert(bodyOfTokens(maxJsonTokens + 1), limits)).toThrow(
    expect.objectContaining({ kind: "too_large" }),
  );
  // A small body may have any number.
  expect(convert(`{"list":[${Array(2000).fill(0).join()}]}`, limits)).toHaveLength(0);
});
