// Attributes at each limit and one past it, on every message that has some.
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { DEFAULT_TENANT_LIMITS, type TenantLimits } from "../../../src/model/tenant-limits.ts";
import { cutAttributes } from "../../../src/otlp/attribute-limits.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { decode, encode, SPAN_ID, TRACE_ID } from "../../support/otlp.ts";

const TENANT: TenantLimits = {
  ...DEFAULT_TENANT_LIMITS,
  maxAttributeKeyBytes: 130,
  maxAttributeValueBytes: 200,
  maxAttributesPerSpan: 64,
};
const LIMITS: Limits = { ...DEFAULT_LIMITS, tenant: TENANT };

type Attributes = { key: string; value: { value: { case: "stringValue"; value: string } } }[];

function attribute(key: string, text: string): Attributes[number] {
  return { key, value: { value: { case: "stringValue", value: text } } };
}

const OWNERS = ["resource", "scope", "span", "event", "link"] as const;
type OwnerName = (typeof OWNERS)[number];

/** A batch of one span, in which one message has these attributes. */
function batchWith(owner: OwnerName, attributes: Attributes, droppedAttributesCount = 0): Uint8Array {
  const own = { attributes, droppedAttributesCount };
  const at = (name: OwnerName) => (name === owner ? own : {});
  const span = {
    traceId: TRACE_ID,
    spanId: SPAN_ID,
    name: "span",
    events: [{ name: "event", ...at("event") }],
    links: [{ traceId: TRACE_ID, ...at("link") }],
    endTimeUnixNano: 7n,
    ...at("span"),
  };
  return encode({
    resourceSpans: [
      { resource: at("resource"), scopeSpans: [{ scope: { name: "s", ...at("scope") }, spans: [span] }] },
    ],
  });
}

function ownerIn(bytes: Uint8Array, owner: OwnerName) {
  const [resourceSpans] = decode(bytes).resourceSpans;
  const [scopeSpans] = resourceSpans!.scopeSpans;
  const [span] = scopeSpans!.spans;
  const owners = {
    resource: resourceSpans!.resource,
    scope: scopeSpans!.scope,
    span,
    event: span!.events[0],
    link: span!.links[0],
  };
  return owners[owner]!;
}

/** What becomes of one value. */
function valueAfter(value: unknown, limits = TENANT) {
  const bytes = encode({
    resourceSpans: [
      {
        scopeSpans: [{ spans: [{ traceId: TRACE_ID, spanId: SPAN_ID, attributes: [{ key: "k", value }] }] }],
      },
    ],
  } as never);
  const cut = cutAttributes(bytes, limits);
  walkBatch(cut.bytes, LIMITS);
  const [kept] = ownerIn(cut.bytes, "span").attributes;
  return { cut, isSame: cut.bytes === bytes, value: kept!.value!.value };
}

describe.each(OWNERS)("attributes of a %s", (owner) => {
  test.each([
    ["a key", (bytes: number) => [attribute("k".repeat(bytes), "v")], 130],
    ["a value", (bytes: number) => [attribute("k", "v".repeat(bytes))], 200],
  ])("%s at the limit stays, one byte more is cut", (_, make, limit) => {
    const whole = batchWith(owner, make(limit));
    expect(cutAttributes(whole, TENANT)).toEqual({ bytes: whole, truncated: 0, dropped: 0 });
    const long = batchWith(owner, make(limit + 1));
    expect(walkBatch(long, LIMITS).mayExceedAttributes).toBe(true);
    const cut = cutAttributes(long, TENANT);
    expect(cut).toMatchObject({ truncated: 1, dropped: 0 });
    expect(decode(cut.bytes)).toEqual(decode(whole));
    expect(cut.bytes.byteLength).toBe(cut.bytes.buffer.byteLength);
  });

  test("as many attributes as may be stay; of more the first do, and the rest is counted", () => {
    const make = (count: number, before = 0) =>
      batchWith(
        owner,
        Array.from({ length: count }, (_, i) => attribute(`k${i}`, "v")),
        before,
      );
    const whole = make(64);
    expect(walkBatch(whole, LIMITS).mayExceedAttributes).toBe(false);
    expect(cutAttributes(whole, TENANT)).toEqual({ bytes: whole, truncated: 0, dropped: 0 });
    const more = make(65);
    expect(walkBatch(more, LIMITS).mayExceedAttributes).toBe(true);
    const cut = cutAttributes(more, TENANT);
    expect(cut).toMatchObject({ truncated: 0, dropped: 1 });
    expect(decode(cut.bytes)).toEqual(decode(make(64, 1)));
    expect(ownerIn(cutAttributes(make(164, 7), TENANT).bytes, owner).droppedAttributesCount).toBe(107);
    expect(ownerIn(cutAttributes(make(65, 0xffffffff), TENANT).bytes, owner).droppedAttributesCount).toBe(
      0xffffffff,
    );
  });

  test("a batch in which nothing is too long is not looked at again", () => {
    const bytes = batchWith(owner, [attribute("k".repeat(130), "v".repeat(195))]);
    expect(walkBatch(bytes, LIMITS).mayExceedAttributes).toBe(false);
  });
});

describe("values", () => {
  test.each(["ß", "€", "\u{1f600}"])("text of %s is cut between characters", (character) => {
    const bytes = new TextEncoder().encode(character).length;
    for (let before = 0; before < bytes; before++) {
      const text = "x".repeat(before) + character.repeat(200);
      const { value } = valueAfter({ value: { case: "stringValue", value: text } });
      const fitting = before + Math.floor((200 - before) / bytes) * bytes;
      expect(value).toEqual({
        case: "stringValue",
        value: "x".repeat(before) + character.repeat((fitting - before) / bytes),
      });
    }
  });

  test("bytes at the limit stay, one more is cut", () => {
    const bytes = (count: number) => ({
      value: { case: "bytesValue", value: new Uint8Array(count).fill(0x80) },
    });
    expect(valueAfter(bytes(200)).isSame).toBe(true);
    expect(valueAfter(bytes(201)).value).toEqual(bytes(200).value);
  });

  test("an array keeps the elements that fit, and what fits of the next", () => {
    const array = (...texts: string[]) => ({
      value: {
        case: "arrayValue",
        value: { values: texts.map((text) => ({ value: { case: "stringValue", value: text } })) },
      },
    });
    // An element of n bytes takes n + 4.
    expect(valueAfter(array("a".repeat(96), "b".repeat(96))).isSame).toBe(true);
    const { cut, value } = valueAfter(array("a".repeat(96), "b".repeat(97), "c"));
    expect(cut.truncated).toBe(1);
    expect(value).toMatchObject(array("a".repeat(96), "b".repeat(96)).value);
    expect(valueAfter(array("a".repeat(5_000))).value).toMatchObject(array("a".repeat(194)).value);
    expect(valueAfter(array("a".repeat(194), "b")).value).toMatchObject(array("a".repeat(194)).value);
  });

  test("a list keeps the entries that fit, at any depth", () => {
    const list = (text: string) => ({
      value: {
        case: "kvlistValue",
        value: {
          values: [
            { key: "role", value: { value: { case: "stringValue", value: "user" } } },
            {
              key: "content",
              value: {
                value: {
                  case: "kvlistValue",
                  value: {
                    values: [{ key: "text", value: { value: { case: "stringValue", value: text } } }],
                  },
                },
              },
            },
          ],
        },
      },
    });
    const { value } = valueAfter(list("x".repeat(5_000)));
    expect(JSON.stringify(value)).toMatch(/"role".*"user".*"content".*"text".*"x{100,180}"/);
    const encodedBytes = (of: unknown) => valueAfter(of).cut.bytes.length;
    expect(encodedBytes(list("x".repeat(5_000)))).toBeLessThanOrEqual(
      encodedBytes({ value: { case: "stringValue", value: "x".repeat(200) } }),
    );
  });

  test("numbers are never cut", () => {
    for (const value of [
      { case: "intValue", value: -1n },
      { case: "doubleValue", value: 0.5 },
      { case: "boolValue", value: true },
    ]) {
      expect(valueAfter({ value }).isSame).toBe(true);
    }
  });
});
