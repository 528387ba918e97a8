// Tempo's JSON form, rule by rule. Random messages are in test/property/trace-json.prop.test.ts.
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  type AnyValueSchema,
  type KeyValueSchema,
} from "../../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  Span_SpanKind,
  type SpanSchema,
  Status_StatusCode,
  TracesDataSchema,
} from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { traceToJson } from "../../../src/otlp/trace-json.ts";

const MAX_DEPTH = 64;

function text(bytes: Uint8Array, maxDepth = MAX_DEPTH): string {
  return new TextDecoder().decode(traceToJson(bytes, maxDepth));
}

function spanText(span: MessageInitShape<typeof SpanSchema>): string {
  const data = create(TracesDataSchema, { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
  const json = text(toBinary(TracesDataSchema, data));
  const head = '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[';
  expect(json.slice(0, head.length)).toBe(head);
  expect(json.endsWith("]}]}]}")).toBe(true);
  return json.slice(head.length, -6);
}

function valueText(value: MessageInitShape<typeof AnyValueSchema>): string {
  const attribute: MessageInitShape<typeof KeyValueSchema> = { key: "k", value };
  const json = spanText({ attributes: [attribute] });
  const head = '{"attributes":[{"key":"k","value":';
  expect(json.startsWith(head)).toBe(true);
  return json.slice(head.length, json.lastIndexOf('}],"status":{}}'));
}

/** A TracesData whose only attribute value is nested `depth` levels deep. */
function nested(depth: number): Uint8Array {
  let value: MessageInitShape<typeof AnyValueSchema> = { value: { case: "boolValue", value: true } };
  for (let i = 1; i < depth; i++) value = { value: { case: "arrayValue", value: { values: [value] } } };
  const attributes = [{ key: "k", value }];
  return toBinary(
    TracesDataSchema,
    create(TracesDataSchema, { resourceSpans: [{ scopeSpans: [{ spans: [{ attributes }] }] }] }),
  );
}

describe("trace-json", () => {
  test("an empty message is an empty object", () => {
    expect(text(new Uint8Array(0))).toBe("{}");
  });

  test("resource, scope and status are there even when they are not in the bytes", () => {
    expect(text(Uint8Array.of(0x0a, 4, 0x12, 2, 0x12, 0))).toBe(
      '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{"status":{}}]}]}]}',
    );
  });

  test("ids are base64, times strings, enums names, defaults left out", () => {
    expect(
      spanText({
        traceId: Uint8Array.from({ length: 16 }, (_, i) => i),
        spanId: Uint8Array.of(0x92, 0x69, 0x35, 0x0c, 0x17, 0xd7, 0xbf, 0x60),
        name: "GET /cart",
        kind: Span_SpanKind.SERVER,
        startTimeUnixNano: 1_724_236_800_000_000_000n,
        endTimeUnixNano: 18_446_744_073_709_551_615n,
        droppedEventsCount: 4_294_967_295,
        flags: 0x301,
        status: { code: Status_StatusCode.ERROR, message: "boom" },
      }),
    ).toBe(
      '{"traceId":"AAECAwQFBgcICQoLDA0ODw==","spanId":"kmk1DBfXv2A=","flags":769,"name":"GET /cart",' +
        '"kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1724236800000000000",' +
        '"endTimeUnixNano":"18446744073709551615","droppedEventsCount":4294967295,' +
        '"status":{"message":"boom","code":"STATUS_CODE_ERROR"}}',
    );
  });

  test("an enum number without a name is a number", () => {
    expect(spanText({ kind: 77 as Span_SpanKind, status: { code: -1 as Status_StatusCode } })).toBe(
      '{"kind":77,"status":{"code":-1}}',
    );
  });

  test.each<[string, MessageInitShape<typeof AnyValueSchema>]>([
    ['{"stringValue":""}', { value: { case: "stringValue", value: "" } }],
    ['{"boolValue":false}', { value: { case: "boolValue", value: false } }],
    ['{"boolValue":true}', { value: { case: "boolValue", value: true } }],
    ['{"intValue":"0"}', { value: { case: "intValue", value: 0n } }],
    ['{"intValue":"-1"}', { value: { case: "intValue", value: -1n } }],
    ['{"intValue":"-9223372036854775808"}', { value: { case: "intValue", value: -(2n ** 63n) } }],
    ['{"doubleValue":0}', { value: { case: "doubleValue", value: 0 } }],
    ['{"doubleValue":-0}', { value: { case: "doubleValue", value: -0 } }],
    ['{"doubleValue":1.5}', { value: { case: "doubleValue", value: 1.5 } }],
    ['{"doubleValue":"NaN"}', { value: { case: "doubleValue", value: Number.NaN } }],
    ['{"doubleValue":"-Infinity"}', { value: { case: "doubleValue", value: -Infinity } }],
    ['{"bytesValue":""}', { value: { case: "bytesValue", value: new Uint8Array(0) } }],
    ['{"bytesValue":"/w=="}', { value: { case: "bytesValue", value: Uint8Array.of(255) } }],
    ['{"arrayValue":{}}', { value: { case: "arrayValue", value: { values: [] } } }],
    [
      '{"arrayValue":{"values":[{"intValue":"5"},{}]}}',
      { value: { case: "arrayValue", value: { values: [{ value: { case: "intValue", value: 5n } }, {}] } } },
    ],
    [
      '{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":"b"}},{"key":"c"}]}}',
      {
        value: {
          case: "kvlistValue",
          value: {
            values: [{ key: "a", value: { value: { case: "stringValue", value: "b" } } }, { key: "c" }],
          },
        },
      },
    ],
    ["{}", {}],
  ])("a value that is set appears whatever it is: %s", (expected, value) => {
    expect(valueText(value)).toBe(expected);
  });

  test("schema URLs, events and links", () => {
    const data = create(TracesDataSchema, {
      resourceSpans: [
        {
          schemaUrl: "https://r",
          resource: { droppedAttributesCount: 1 },
          scopeSpans: [
            {
              schemaUrl: "https://s",
              scope: { name: "n" },
              spans: [
                {
                  events: [{ name: "", timeUnixNano: 5n }],
                  links: [{ traceId: Uint8Array.of(1), flags: 2 }],
                },
              ],
            },
          ],
        },
      ],
    });
    expect(text(toBinary(TracesDataSchema, data))).toBe(
      '{"resourceSpans":[{"resource":{"droppedAttributesCount":1},"schemaUrl":"https://r","scopeSpans":[' +
        '{"scope":{"name":"n"},"schemaUrl":"https://s","spans":[' +
        '{"events":[{"timeUnixNano":"5"}],"links":[{"traceId":"AQ==","flags":2}],"status":{}}]}]}]}',
    );
  });

  test("values may nest up to the limit and no deeper", () => {
    expect(text(nested(8), 8)).toContain('{"boolValue":true}');
    expect(() => text(nested(9), 8)).toThrow(/nested deeper than 8 levels/);
    expect(text(nested(64))).toContain('{"boolValue":true}');
  });

  test("values side by side do not add up to depth", () => {
    const attributes = Array.from({ length: 100 }, (_, i) => ({
      key: `k${i}`,
      value: { value: { case: "intValue", value: 1n } } as const,
    }));
    expect(spanText({ attributes })).toContain("k99");
  });

  test("a message cut short is an AppError", () => {
    const whole = nested(3);
    expect(() => text(whole.subarray(0, -1))).toThrow(/malformed OTLP protobuf/);
  });
});
