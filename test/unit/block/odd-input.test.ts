// What senders are allowed to send, or send anyway. The model of rows.test.ts says what must come out.
import { describe, expect, test } from "vitest";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Span_SpanKind } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { NOTED_KEYS } from "../../../src/block/attribute-notes.ts";
import { mayHoldTrace, tracePages } from "../../../src/block/lookup.ts";
import { readTracePages } from "../../../src/block/read-trace.ts";
import { bytesSource, openBlock } from "../../../src/block/reader.ts";
import {
  type BuiltBlock,
  buildBlock,
  collect,
  compareRows,
  hex,
  hyparquetRows,
  inOneChunk,
  sentSpans,
} from "../../support/block-model.ts";
import { batchOf, encode, SPAN_ID, spanWith, TRACE_ID } from "../../support/otlp.ts";

type SpanInit = ReturnType<typeof spanWith>;

function spanId(number: number): Uint8Array {
  const id = new Uint8Array(8);
  new DataView(id.buffer).setUint32(4, number + 1);
  return id;
}

async function expectModel(...messages: Uint8Array[]): Promise<Record<string, unknown>[]> {
  const { actual, expected } = await compareRows(messages);
  expect(actual).toEqual(expected);
  return actual;
}

async function readTrace({ file, written }: BuiltBlock, traceId: Uint8Array): Promise<Uint8Array[]> {
  const range = tracePages(written.traceIndex, traceId);
  if (range === undefined) return [];
  const bytes = file.subarray(range.offset, range.offset + range.length);
  return collect(readTracePages(inOneChunk(bytes), written.resources, traceId));
}

function text(
  key: string,
  value: string,
): { key: string; value: { value: { case: "stringValue"; value: string } } } {
  return { key, value: { value: { case: "stringValue", value } } };
}

function int(
  key: string,
  value: bigint,
): { key: string; value: { value: { case: "intValue"; value: bigint } } } {
  return { key, value: { value: { case: "intValue", value } } };
}

function double(
  key: string,
  value: number,
): { key: string; value: { value: { case: "doubleValue"; value: number } } } {
  return { key, value: { value: { case: "doubleValue", value } } };
}

function field(writer: BinaryWriter, number: number, body: Uint8Array): BinaryWriter {
  return writer.tag(number, WireType.LengthDelimited).bytes(body);
}

/** A message with one field. */
function wrap(number: number, body: Uint8Array): Uint8Array {
  return field(new BinaryWriter(), number, body).finish();
}

/** A span that starts at its number. */
function at(id: number, parent: number | undefined, changes: SpanInit = {}): SpanInit {
  return spanWith({
    spanId: spanId(id),
    ...(parent === undefined ? {} : { parentSpanId: spanId(parent) }),
    startTimeUnixNano: BigInt(id),
    ...changes,
  });
}

/** Number and distance to the parent of each row. */
function order(rows: Record<string, unknown>[]): unknown[] {
  return rows.map((row) => [Number.parseInt(String(row["span_id"]), 16) - 1, row["parent_row_distance"]]);
}

/** ScopeSpans with one span. */
function oneSpan(id: number): { spans: SpanInit[] }[] {
  return [{ spans: [spanWith({ spanId: spanId(id) })] }];
}

function lonelyTrace(fill: number): Uint8Array {
  return batchOf(spanWith({ traceId: new Uint8Array(16).fill(fill), spanId: spanId(fill) }));
}

describe("attributes", () => {
  test("of a repeated key the first value of each type has the column", async () => {
    const attributes = [
      text("k", "first"),
      int("k", 1n),
      text("k", "second"),
      int("k", 2n),
      double("k", 0.5),
    ];
    const [row] = await expectModel(batchOf(spanWith({ attributes })));
    expect(row).toMatchObject({
      "span.k": "first",
      "span.k.int": 1n,
      "span.k.double": 0.5,
      attributes_rest: null,
    });
  });

  test("a key that looks like the column of another: the more frequent one has it", async () => {
    const spans = [
      spanWith({ spanId: spanId(1), attributes: [int("a", 5n), text("a.int", "five")] }),
      spanWith({ spanId: spanId(2), attributes: [int("a", 6n)] }),
    ];
    const rows = await expectModel(batchOf(...spans));
    expect(rows.map((row) => row["span.a.int"])).toEqual([5n, 6n]);
    expect(rows.map((row) => row["attributes_rest"])).toEqual([{ "a.int": "five" }, null]);
  });

  test("keys that differ in case only share no column", async () => {
    const [row] = await expectModel(
      batchOf(spanWith({ attributes: [text("User", "a"), text("user", "b")] })),
    );
    expect(row).toMatchObject({ "span.User": "a", attributes_rest: { user: "b" } });
  });

  test("odd keys: empty, dots, quotes, names of columns, long", async () => {
    const keys = [
      "",
      "name",
      "a.b..c",
      "a\"b'c",
      " ",
      "\u0000",
      "é\u{1f600}",
      "x".repeat(256),
      "y".repeat(257),
    ];
    const [row] = await expectModel(batchOf(spanWith({ attributes: keys.map((key) => text(key, key)) })));
    expect(row).toMatchObject({ "span.name": "name", name: "span", attributes_rest: { "": "" } });
  });

  test("integers beyond 2^53, negative ones, odd doubles", async () => {
    const ints = [0n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
    const doubles = [Number.NaN, Infinity, -Infinity, -0, 5e-324, 1.7976931348623157e308];
    const spans = [
      ...ints.map((value, i) => spanWith({ spanId: spanId(i), attributes: [int("n", value)] })),
      ...doubles.map((value, i) => spanWith({ spanId: spanId(100 + i), attributes: [double("d", value)] })),
    ];
    const rows = await expectModel(batchOf(...spans));
    expect(rows.slice(0, 5).map((row) => row["span.n.int"])).toEqual(ints);
  });

  test("numbers in JSON keep their type and all digits", async () => {
    const values = [
      int("big", 2n ** 63n - 1n),
      double("whole", 3),
      double("nan", Number.NaN),
      double("tiny", 1e-9),
    ];
    const value = { value: { case: "kvlistValue" as const, value: { values } } };
    const { file } = await buildBlock([batchOf(spanWith({ attributes: [{ key: "map", value }] }))]);
    const data = await (await openBlock(bytesSource(file))).readColumn("attributes_rest", 0);
    const json = Buffer.from(data.dictionary?.bytes ?? [])
      .subarray(4)
      .toString();
    expect(json).toBe('{"map":{"big":9223372036854775807,"whole":3.0,"nan":"NaN","tiny":1e-9}}');
  });

  test("values that come in parts are merged, the last kind counts", async () => {
    const list = (value: string): Uint8Array => wrap(5, wrap(1, wrap(1, Buffer.from(value))));
    const other = wrap(1, Buffer.from("text"));
    const values = [
      [list("a"), list("b")],
      [list("a"), other],
      [list("a"), other, list("b")],
      [other, list("b")],
    ];
    const span = field(field(new BinaryWriter(), 1, TRACE_ID), 2, SPAN_ID);
    for (const [number, parts] of values.entries()) {
      const inOne = field(
        field(new BinaryWriter(), 1, Buffer.from(`one ${number}`)),
        2,
        Buffer.concat(parts),
      );
      const inSeveral = field(new BinaryWriter(), 1, Buffer.from(`several ${number}`));
      for (const part of parts) field(inSeveral, 2, part);
      field(field(span, 9, inOne.finish()), 9, inSeveral.finish());
    }
    const [row] = await expectModel(wrap(1, wrap(2, wrap(2, span.finish()))));
    expect(row).toMatchObject({
      "span.one 1": "text",
      "span.several 1": "text",
      attributes_rest: { "one 0": ["a", "b"], "several 0": ["a", "b"], "one 2": ["b"], "several 2": ["b"] },
    });
  });

  test("an attribute value of 1 MiB, and 5,000 distinct keys", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => text(`key.${i}`, `value ${i}`));
    const rows = await expectModel(
      batchOf(
        spanWith({ spanId: spanId(1), attributes: [text("large", "é".repeat(512 * 1024))] }),
        spanWith({ spanId: spanId(2), attributes: many }),
      ),
    );
    expect(Object.keys(rows[0] ?? {}).filter((name) => name.startsWith("span.")).length).toBe(120);
  });

  test("keys that are noted and those beyond: the last of the ones, the first of the others", async () => {
    const keys = Array.from({ length: NOTED_KEYS + 1 }, (_, i) => `key.${i}`);
    const last = keys.slice(-2);
    const rows = await expectModel(
      batchOf(spanWith({ spanId: spanId(1), attributes: keys.map((key) => text(key, "v")) })),
      ...last.flatMap((key, i) => [
        batchOf(spanWith({ spanId: spanId(2 + i), attributes: [text(key, "plain"), int(key, -5n)] })),
        batchOf(spanWith({ spanId: spanId(4 + i), attributes: [text(key, "long ".repeat(50))] })),
        batchOf(spanWith({ spanId: spanId(6 + i), attributes: [double(key, 0.5), int(key, -5n)] })),
        batchOf(spanWith({ spanId: spanId(8 + i), attributes: [double(key, 0.5), text("key.0", "again")] })),
      ]),
    );
    for (const key of last) {
      expect(new Set(rows.map((row) => row[`span.${key}`]))).toEqual(
        new Set(["v", "plain", "long ".repeat(50), null]),
      );
      expect(rows.filter((row) => row[`span.${key}.int`] === -5n).length).toBe(2);
      expect(rows.filter((row) => row[`span.${key}.double`] === 0.5).length).toBe(2);
    }
  });

  test("values that are all different, over several pages: no codes from the second on", async () => {
    const spans = Array.from({ length: 70_000 }, (_, i) =>
      spanWith({
        spanId: spanId(i),
        startTimeUnixNano: BigInt(i),
        // A number that no kind has is kept.
        kind: i as Span_SpanKind,
        // Some are longer than what is copied byte by byte, some not ASCII.
        name: i % 3 === 0 ? `ключ ${i}` : `name ${i} ${"x".repeat(i % 80)}`,
        attributes: [
          ...(i % 2 === 0 ? [int("number", BigInt(i) << 20n)] : []),
          ...(i % 2 === 0 ? [double("fraction", i / 3)] : []),
        ],
      }),
    );
    const { file } = await buildBlock([batchOf(...spans.toReversed())]);
    const rows = await hyparquetRows(file);
    expect(rows.map((row) => [row["name"], row["kind"]])).toEqual(
      spans.map(({ name, kind }) => [name, kind]),
    );
    expect(rows.map((row) => row["span.number.int"])).toEqual(
      spans.map((_, i) => (i % 2 === 0 ? BigInt(i) << 20n : null)),
    );
    expect(rows.map((row) => row["span.fraction.double"])).toEqual(
      spans.map((_, i) => (i % 2 === 0 ? i / 3 : null)),
    );
    const block = await openBlock(bytesSource(file));
    for (const column of ["name", "kind", "span.number.int", "span.fraction.double"]) {
      const { pages } = await block.readColumn(column, 0);
      expect(pages.map(({ content }) => content.kind)).toEqual(["values", "values", "values"]);
    }
  });

  test("rare keys have no column, whatever their number", async () => {
    const spans = Array.from({ length: 2001 }, (_, i) =>
      spanWith({
        spanId: spanId(i),
        startTimeUnixNano: BigInt(i),
        attributes: [
          text("common", "x"),
          ...(i < 2 ? [text("rare", "y")] : []),
          ...(i < 3 ? [text("often", "z")] : []),
        ],
      }),
    );
    const { file } = await buildBlock([batchOf(...spans)]);
    const attributes = await (await openBlock(bytesSource(file))).attributes();
    expect(attributes).toEqual({
      columns: [
        { name: "span.common", key: "common", type: "string", count: 2001 },
        { name: "span.often", key: "often", type: "string", count: 3 },
      ],
      rest: [{ key: "rare", type: "string", count: 2 }],
    });
  });

  test("text that is not UTF-8 is repaired in the columns and kept in the bytes", async () => {
    const bad = Uint8Array.of(0x61, 0xff, 0x62);
    const keyValue = (key: Uint8Array, value: Uint8Array): Uint8Array =>
      field(field(new BinaryWriter(), 1, key), 2, field(new BinaryWriter(), 1, value).finish()).finish();
    const span = new BinaryWriter();
    field(field(field(span, 1, TRACE_ID), 2, SPAN_ID), 5, bad);
    field(field(span, 9, keyValue(Buffer.from("k"), bad)), 9, keyValue(bad, bad));
    const bytes = span.finish();
    const message = wrap(1, wrap(2, wrap(2, bytes)));
    const block = await buildBlock([message]);
    const [row] = await hyparquetRows(block.file);
    expect(row).toMatchObject({
      name: "a\ufffdb",
      "span.k": "a\ufffdb",
      attributes_rest: { "a\ufffdb": "a\ufffdb" },
    });
    const [part] = await readTrace(block, TRACE_ID);
    expect(hex(part ?? bad)).toContain(hex(bytes));
  });
});

describe("times", () => {
  test("zero, end before start, beyond int64", async () => {
    const max = 2n ** 64n - 1n;
    const times: [bigint, bigint][] = [
      [0n, 0n],
      [10n, 4n],
      [0n, max],
      [max, max],
      [2n ** 63n, 2n ** 63n + 7n],
      [0xffff_ffffn, 0x1_0000_0000n],
    ];
    const spans = times.map(([startTimeUnixNano, endTimeUnixNano], i) =>
      spanWith({ spanId: spanId(i), startTimeUnixNano, endTimeUnixNano }),
    );
    await expectModel(batchOf(...spans));
    const { written } = await buildBlock([batchOf(...spans)]);
    expect(written.meta).toMatchObject({ minStartNs: 0n, maxEndNs: max });
  });
});

describe("parents", () => {
  test("pre-order: children behind their parent by start, roots by start, orphans are roots", async () => {
    const spans = [at(9, 77), at(4, 2), at(1, undefined), at(3, 1), at(2, 1), at(0, undefined), at(5, 3)];
    expect(order(await expectModel(batchOf(...spans)))).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
      [4, 1],
      [3, 3],
      [5, 1],
      [9, 0],
    ]);
  });

  test("cycles are cut before their first span", async () => {
    const spans = [at(1, 3), at(2, 1), at(3, 2), at(4, 2), at(5, 5), at(7, 6), at(6, 7)];
    expect(order(await expectModel(batchOf(...spans)))).toEqual([
      [1, 0],
      [2, 1],
      [3, 1],
      [4, 2],
      [5, 0],
      [6, 0],
      [7, 1],
    ]);
  });

  test("Zipkin's shared span: the server is the client's child, and the parent of what follows", async () => {
    const spans = [
      at(1, undefined),
      at(2, 1, { kind: 3 }),
      at(2, 1, { kind: 2, startTimeUnixNano: 3n }),
      at(4, 2),
    ];
    expect(order(await expectModel(batchOf(...spans)))).toEqual([
      [1, 0],
      [2, 1],
      [2, 1],
      [4, 1],
    ]);
  });

  test("one id many times: linear, deterministic, nothing lost", async () => {
    const spans = Array.from({ length: 300 }, (_, i) => at(1, 1, { name: `copy ${i}` }));
    const rows = await expectModel(batchOf(...spans));
    expect(rows.length).toBe(300);
  });

  test("a chain of 20,000 spans needs no stack", async () => {
    const spans = Array.from({ length: 20_000 }, (_, i) => at(i, i === 0 ? undefined : i - 1));
    const { file } = await buildBlock([batchOf(...spans.toReversed())]);
    const rows = await hyparquetRows(file);
    expect(rows.every((row, index) => row["parent_row_distance"] === (index === 0 ? 0 : 1))).toBe(true);
  });
});

describe("groups", () => {
  test("no resource, an empty one, one that differs in its schema only", async () => {
    const message = encode({
      resourceSpans: [
        { scopeSpans: oneSpan(1) },
        { resource: {}, scopeSpans: oneSpan(2) },
        { resource: {}, schemaUrl: "https://schema/1", scopeSpans: oneSpan(3) },
        { resource: { attributes: [int("service.name", 1n)] }, scopeSpans: oneSpan(4) },
      ],
    });
    await expectModel(message);
    const block = await buildBlock([message]);
    const parts = await readTrace(block, TRACE_ID);
    expect(
      sentSpans(parts).map(({ resource, resourceSchemaUrl }) => [resource?.length, resourceSchemaUrl]),
    ).toEqual([
      [undefined, ""],
      [0, ""],
      [0, "https://schema/1"],
      [expect.any(Number), ""],
    ]);
  });

  test("a field 100 of the sender's own survives", async () => {
    const own = new BinaryWriter();
    own.tag(1, WireType.LengthDelimited).bytes(TRACE_ID).tag(2, WireType.LengthDelimited).bytes(SPAN_ID);
    own.tag(100, WireType.Bit64).fixed64(7n).tag(100, WireType.Bit64).fixed64(9n);
    const span = own.finish();
    const message = wrap(1, wrap(2, wrap(2, span)));
    await expectModel(message);
    const parts = await readTrace(await buildBlock([message]), TRACE_ID);
    expect(sentSpans(parts).map(({ bytes }) => hex(bytes))).toEqual([hex(span)]);
  });

  test("the same span under two resources is two rows", async () => {
    const scopeSpans = [{ spans: [spanWith()] }];
    const groups = ["a", "b"].map((name) => ({
      resource: { attributes: [text("service.name", name)] },
      scopeSpans,
    }));
    const rows = await expectModel(encode({ resourceSpans: [...groups, ...groups] }));
    expect(rows.map((row) => row["service"])).toEqual(["a", "b"]);
  });
});

describe("sizes", () => {
  test("no spans at all", async () => {
    const { file, written } = await buildBlock([encode({})]);
    expect(written.meta).toMatchObject({ spanCount: 0, traceCount: 0, byteLength: file.length });
    expect(mayHoldTrace(written.filter, TRACE_ID)).toBe(false);
    expect(tracePages(written.traceIndex, TRACE_ID)).toBeUndefined();
    const block = await openBlock(bytesSource(file));
    expect(await block.written()).toEqual(written);
    expect(await hyparquetRows(file)).toEqual([]);
  });

  test("a span of 16 MiB between small ones", async () => {
    const large = "x".repeat(16 * 1024 * 1024 - 100);
    const spans = [1, 2, 3].map((id) =>
      spanWith({ spanId: spanId(id), startTimeUnixNano: BigInt(id), name: id === 2 ? large : "small" }),
    );
    const block = await buildBlock([batchOf(...spans)]);
    const parts = await readTrace(block, TRACE_ID);
    expect(sentSpans(parts).map(({ span }) => span.name.length)).toEqual([5, large.length, 5]);
    const name = await (await openBlock(bytesSource(block.file))).readColumn("name", 0);
    expect(name.dictionary?.count).toBe(2);
  });

  test("more traces than 16 bits count: codes of 24 bits", async () => {
    const spans = Array.from({ length: 66_000 }, (_, i) => {
      const traceId = new Uint8Array(16);
      new DataView(traceId.buffer).setUint32(12, i + 1);
      return spanWith({ traceId });
    });
    const { file } = await buildBlock([batchOf(...spans.toReversed())]);
    const rows = await hyparquetRows(file);
    const ids = rows.map((row) => Number.parseInt(String(row["trace_id"]), 16));
    expect(ids).toEqual(spans.map((_, i) => i + 1));
    const { pages } = await (await openBlock(bytesSource(file))).readColumn("trace_id", 0);
    const widths = pages.map(({ content }) =>
      content.kind === "codes" ? content.codes.BYTES_PER_ELEMENT : 0,
    );
    expect(widths).toEqual([2, 2, 4]);
  });

  test("a trace of 100,000 spans among others", async () => {
    const spans = Array.from({ length: 100_000 }, (_, i) =>
      spanWith({
        spanId: spanId(i),
        startTimeUnixNano: BigInt(i),
        ...(i === 0 ? {} : { parentSpanId: spanId(Math.floor((i - 1) / 3)) }),
      }),
    );
    const block = await buildBlock([lonelyTrace(9), batchOf(...spans), lonelyTrace(1)]);
    expect(block.written.meta).toMatchObject({ spanCount: 100_002, traceCount: 3 });
    const parts = await readTrace(block, TRACE_ID);
    const ids = new Set(sentSpans(parts).map((sent) => hex(sent.span.spanId)));
    expect(parts.length).toBeGreaterThan(5);
    expect(ids.size).toBe(100_000);
    const opened = await openBlock(bytesSource(block.file));
    expect(Math.max(...opened.rowGroups.flatMap(({ pageRows }) => pageRows))).toBe(32_768);
    for (const fill of [1, 9]) {
      const traceId = new Uint8Array(16).fill(fill);
      expect(sentSpans(await readTrace(block, traceId)).length).toBe(1);
    }
  });
});
