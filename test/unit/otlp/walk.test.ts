import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { dropRejectedSpans, filterTrace } from "../../../src/otlp/rewrite.ts";
import { readSpanIds, visitSpans } from "../../../src/otlp/spans.ts";
import { walkBatch } from "../../../src/otlp/walk.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { traceHash } from "../../../src/util/hash.ts";
import { toHex } from "../../../src/util/hex.ts";
import { batchOf, decode, encode, limitsWith, SPAN_ID, spanWith, TRACE_ID } from "../../support/otlp.ts";

const MIB = 1024 * 1024;

/** A length-delimited field. */
function field(number: number, ...body: (Uint8Array | number[])[]): Uint8Array {
  const value = concatBytes(body.map((part) => Uint8Array.from(part)));
  const length: number[] = [];
  let rest = value.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return concatBytes([Uint8Array.from([(number << 3) | 2, ...length, rest]), value]);
}

/** A batch of one span with these bytes after its ids. */
function withSpanBytes(...body: (Uint8Array | number[])[]): Uint8Array {
  return field(1, field(2, field(2, field(1, TRACE_ID), field(2, SPAN_ID), ...body)));
}

function attribute(value: Uint8Array): Uint8Array {
  return field(9, field(1, [107]), field(2, value));
}

function nestedArrays(depth: number): Uint8Array {
  let value = field(1, [120]);
  for (let i = 1; i < depth; i++) value = field(5, field(1, value));
  return value;
}

function nestedLists(depth: number): Uint8Array {
  let value = field(1, [120]);
  for (let i = 1; i < depth; i++) value = field(6, field(1, field(2, value)));
  return value;
}

function walk(bytes: Uint8Array): ReturnType<typeof walkBatch> {
  return walkBatch(bytes, DEFAULT_LIMITS);
}

test("walkBatch: an empty batch holds nothing", () => {
  expect(walk(new Uint8Array(0))).toEqual({
    spanCount: 0,
    rejected: { tooLarge: 0, traceId: 0, spanId: 0 },
    minStartNs: 0n,
    maxEndNs: 0n,
    implausibleStarts: 0,
    mayExceedAttributes: false,
    traceHashes: new Uint32Array(0),
    traceSizes: new Uint32Array(0),
  });
});

test("walkBatch: counts, times beyond 2^53 and distinct hashes in ascending order", () => {
  const other = TRACE_ID.toReversed();
  const bytes = batchOf(
    spanWith({ startTimeUnixNano: 1_795_392_000_000_000_001n, endTimeUnixNano: 1_795_392_000_000_000_009n }),
    spanWith({
      traceId: other,
      startTimeUnixNano: 1_795_392_000_000_000_003n,
      endTimeUnixNano: 2n ** 64n - 1n,
    }),
    spanWith({ startTimeUnixNano: 1_795_392_000_000_000_002n, endTimeUnixNano: 5n }),
  );
  expect(walk(bytes)).toMatchObject({
    spanCount: 3,
    minStartNs: 1_795_392_000_000_000_001n,
    maxEndNs: 2n ** 64n - 1n,
    traceHashes: Uint32Array.from([traceHash(TRACE_ID), traceHash(other)]).sort(),
  });
});

test("walkBatch: more traces than slots for recent ids, interleaved", () => {
  const ids = Array.from({ length: 1000 }, (_, i) => {
    const id = new Uint8Array(16);
    new DataView(id.buffer).setUint32(0, i + 1);
    return id;
  });
  const hashes = walk(batchOf(...ids.concat(ids).map((traceId) => spanWith({ traceId })))).traceHashes;
  expect(hashes).toEqual(Uint32Array.from(new Set(ids.map((id) => traceHash(id)))).sort());
});

test("walkBatch: ids of a wrong length or all zero make rejected spans, each under one reason", () => {
  const bytes = batchOf(
    spanWith(),
    spanWith({ traceId: new Uint8Array(16) }),
    spanWith({ traceId: TRACE_ID.slice(1) }),
    spanWith({ spanId: new Uint8Array(8) }),
    spanWith({ spanId: TRACE_ID }),
    spanWith({ traceId: new Uint8Array(0), spanId: new Uint8Array(0) }),
    {},
  );
  expect(walk(bytes)).toMatchObject({ spanCount: 1, rejected: { tooLarge: 0, traceId: 4, spanId: 2 } });
  expect([
    ...decode(dropRejectedSpans(bytes, DEFAULT_LIMITS)).resourceSpans[0]!.scopeSpans[0]!.spans,
  ]).toHaveLength(1);
});

test("walkBatch: a span of maxSpanBytes is kept, one byte more is rejected", () => {
  const bytes = withSpanBytes();
  const maxSpanBytes = 28;
  expect(walkBatch(bytes, limitsWith({ maxSpanBytes })).spanCount).toBe(1);
  expect(walkBatch(bytes, limitsWith({ maxSpanBytes: maxSpanBytes - 1 }))).toMatchObject({
    spanCount: 0,
    rejected: { tooLarge: 1 },
  });
  expect(dropRejectedSpans(bytes, limitsWith({ maxSpanBytes }))).toEqual(bytes);
  expect(dropRejectedSpans(bytes, limitsWith({ maxSpanBytes: maxSpanBytes - 1 }))).toHaveLength(0);
});

test.for([
  ["arrays", nestedArrays],
  ["key-value lists", nestedLists],
] as const)("walkBatch: %s nested to maxValueDepth pass, one level more does not", ([, nested]) => {
  const { maxValueDepth } = DEFAULT_LIMITS;
  for (const at of [
    attribute,
    (value: Uint8Array): Uint8Array => field(11, field(3, field(1, [107]), field(2, value))),
  ]) {
    expect(walk(withSpanBytes(at(nested(maxValueDepth)))).spanCount).toBe(1);
    expect(() => walk(withSpanBytes(at(nested(maxValueDepth + 1))))).toThrow(
      /nested deeper than 32 levels at byte \d+$/,
    );
  }
  // The depth counts anew for each value.
  expect(
    walk(withSpanBytes(attribute(nested(maxValueDepth)), attribute(nested(maxValueDepth)))).spanCount,
  ).toBe(1);
});

test("walkBatch: values side by side do not add up to depth", () => {
  const siblings = Array.from({ length: 200 }, () => field(1, field(5, field(1, [0x0a, 0]))));
  expect(walk(withSpanBytes(attribute(field(5, ...siblings)))).spanCount).toBe(1);
  const attributes = Array.from({ length: 200 }, () =>
    field(1, field(1, [107]), field(2, field(5, field(1, [0x0a, 0])))),
  );
  expect(walk(field(1, field(1, ...attributes))).spanCount).toBe(0);
});

test("walkBatch: a depth bomb of 100,000 levels is refused at the limit", () => {
  // Length prefixes only: each level claims all the rest.
  const levels = 100_000;
  const bomb = new Uint8Array(12 * levels);
  let rest = bomb.length;
  for (let at = 0; at < bomb.length; at += 6) {
    rest -= 6;
    const tag = (at / 6) % 2 === 0 ? 0x2a : 0x0a;
    bomb.set(
      [
        tag,
        (rest & 127) | 128,
        ((rest >> 7) & 127) | 128,
        ((rest >> 14) & 127) | 128,
        ((rest >> 21) & 127) | 128,
        0,
      ],
      at,
    );
  }
  const start = performance.now();
  expect(() => walk(withSpanBytes(attribute(bomb)))).toThrow("nested deeper than 32 levels");
  expect(performance.now() - start).toBeLessThan(500);
});

test("walkBatch: a million empty spans are a million rejected ones", () => {
  const spans = new Uint8Array(2_000_000).map((_, i) => (i % 2 === 0 ? 0x12 : 0));
  const bytes = field(1, field(2, spans));
  const start = performance.now();
  expect(walk(bytes)).toMatchObject({ spanCount: 0, rejected: { traceId: 1_000_000 } });
  expect(dropRejectedSpans(bytes, DEFAULT_LIMITS)).toHaveLength(0);
  expect(performance.now() - start).toBeLessThan(5_000);
});

test("walkBatch: the largest body of the smallest valid spans, each a trace of its own", () => {
  const span = field(2, field(1, TRACE_ID), field(2, SPAN_ID));
  const count = Math.floor(MIB / span.length);
  const spans = new Uint8Array(count * span.length);
  for (let i = 0; i < count; i++) {
    spans.set(span, i * span.length);
    new DataView(spans.buffer).setUint32(i * span.length + 4, i + 1);
  }
  expect(walk(field(1, field(2, spans))).spanCount).toBe(count);
});

const MALFORMED: readonly (readonly [what: string, bytes: Uint8Array, message: RegExp])[] = [
  ["a tag alone", Uint8Array.from([0x0a]), /varint cut short at byte 1$/],
  ["a length past the end", Uint8Array.from([0x0a, 5, 0]), /length exceeds its message at byte 0$/],
  ["a length past its message, within the bytes", field(1, [0x12, 9], new Uint8Array(0)), /at byte 2$/],
  ["field number 0", Uint8Array.from([0x02, 0]), /field number 0 at byte 0$/],
  ["a group", withSpanBytes([0x9b, 1, 0x9c, 1]), /group at byte \d+$/],
  ["an end of group", Uint8Array.from([0x0c]), /group at byte 0$/],
  ["wire type 6", Uint8Array.from([0x7e, 0]), /wire type 6 at byte 0$/],
  ["a trace id as varint", field(1, field(2, field(2, [0x08, 1]))), /field 1 with wire type 0 at byte 6$/],
  ["flags as varint", withSpanBytes([0x80, 1, 1]), /field 16 with wire type 0 at byte \d+$/],
  ["resource spans as fixed32", Uint8Array.from([0x0d, 0, 0, 0, 0]), /field 1 with wire type 5 at byte 0$/],
  ["a fixed64 cut short", withSpanBytes([0x39, 1, 2, 3]), /field cut short at byte \d+$/],
  ["a fixed32 cut short", withSpanBytes([0x85, 1, 2]), /field cut short at byte \d+$/],
  [
    "a varint of eleven bytes",
    withSpanBytes([0x30, ...Array(10).fill(0xff), 1]),
    /varint exceeds 64 bits at byte \d+$/,
  ],
  [
    "a varint of 65 bits",
    withSpanBytes([0x30, ...Array(9).fill(0xff), 2]),
    /varint exceeds 64 bits at byte \d+$/,
  ],
  [
    "a length of 33 bits",
    withSpanBytes([0x2a, 0xff, 0xff, 0xff, 0xff, 0x1f]),
    /varint exceeds 32 bits at byte \d+$/,
  ],
  [
    "an int value without an end",
    withSpanBytes(attribute(Uint8Array.from([0x18, 0x80]))),
    /varint cut short at byte \d+$/,
  ],
  [
    "a double of seven bytes",
    withSpanBytes(attribute(Uint8Array.from([0x21, 1, 2, 3, 4, 5, 6, 7]))),
    /field cut short at byte \d+$/,
  ],
  ["a key as varint", withSpanBytes(field(9, [0x08, 1])), /field 1 with wire type 0 at byte \d+$/],
  [
    "a string value that lies",
    withSpanBytes(attribute(Uint8Array.from([0x0a, 3, 120]))),
    /length exceeds its message at byte \d+$/,
  ],
];

test.for(MALFORMED)("walkBatch: refuses %s", ([, bytes, message]) => {
  expect(() => walk(bytes)).toThrow(expect.objectContaining({ kind: "invalid_argument" }));
  expect(() => walk(bytes)).toThrow(message);
});

test("walkBatch: a negative int of ten bytes is valid", () => {
  const bytes = withSpanBytes(attribute(Uint8Array.from([0x18, ...Array(9).fill(0xff), 1])));
  expect(walk(bytes).spanCount).toBe(1);
  expect(decode(bytes).resourceSpans[0]!.scopeSpans[0]!.spans[0]!.attributes[0]!.value!.value.value).toBe(
    -1n,
  );
});

test("visitSpans: the resource that follows its spans comes with the group, and false passes over it", () => {
  const resource = field(1, field(1, field(1, [65])));
  const scopeSpans = field(2, field(2, field(1, TRACE_ID), field(2, SPAN_ID)));
  const unknown = Uint8Array.from([0xf8, 0x3f, 7]);
  const bytes = concatBytes([field(1, scopeSpans, resource, scopeSpans, unknown), field(1, resource)]);
  const fields: string[] = [];
  let spanCount = 0;
  visitSpans(bytes, {
    resourceSpans(group) {
      fields.push(toHex(group.fields));
      return true;
    },
    scopeSpans: () => spanCount > 0,
    span() {
      spanCount++;
    },
  });
  expect(fields).toEqual([toHex(concatBytes([resource, unknown])), toHex(resource)]);
  expect(spanCount).toBe(0);
});

test("readSpanIds: the last of a repeated field counts, a negative kind stays negative", () => {
  const span = concatBytes([
    field(1, SPAN_ID),
    field(4, SPAN_ID),
    field(1, TRACE_ID),
    Uint8Array.from([0x30, ...Array(9).fill(0xff), 1]),
  ]);
  const bytes = concatBytes([new Uint8Array(5), span]);
  const ids = readSpanIds(bytes, 5, bytes.length);
  expect(bytes.slice(ids.traceIdAt, ids.traceIdAt + ids.traceIdLength)).toEqual(TRACE_ID);
  expect(bytes.slice(ids.parentSpanIdAt, ids.parentSpanIdAt + ids.parentSpanIdLength)).toEqual(SPAN_ID);
  expect(ids).toMatchObject({ spanIdLength: 0, kind: -1, startTimeAt: -1, endTimeAt: -1 });
});

test("filterTrace: keeps schema URLs and scopes, drops groups of other traces", () => {
  const other = TRACE_ID.toReversed();
  const bytes = encode({
    resourceSpans: [
      { schemaUrl: "gone", scopeSpans: [{ spans: [spanWith({ traceId: other })] }] },
      {
        schemaUrl: "kept",
        resource: { attributes: [{ key: "service.name" }] },
        scopeSpans: [
          { scope: { name: "gone" }, spans: [spanWith({ traceId: other })] },
          { scope: { name: "kept" }, schemaUrl: "s", spans: [spanWith({ traceId: other }), spanWith()] },
        ],
      },
    ],
  });
  expect(filterTrace(bytes, TRACE_ID)).toEqual(
    encode({
      resourceSpans: [
        {
          schemaUrl: "kept",
          resource: { attributes: [{ key: "service.name" }] },
          scopeSpans: [{ scope: { name: "kept" }, schemaUrl: "s", spans: [spanWith()] }],
        },
      ],
    }),
  );
});
