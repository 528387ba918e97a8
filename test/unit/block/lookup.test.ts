// A trace's lookup: one range, few pages, the same spans. Pages are small where the input makes them so.
import { describe, expect, test } from "vitest";
import { mayHoldTrace, tracePages } from "../../../src/block/lookup.ts";
import { readTracePages } from "../../../src/block/read-trace.ts";
import { bytesSource, openBlock, type RangeSource } from "../../../src/block/reader.ts";
import { encodeTraceIndex, type TracePage } from "../../../src/block/trace-index.ts";
import type { ByteRange } from "../../../src/block/meta.ts";
import { decodeOffsetIndex } from "../../../src/block/parquet-metadata.ts";
import {
  buildBlock,
  collect,
  hex,
  identity,
  inOneChunk,
  modelRows,
  sentSpans,
} from "../../support/block-model.ts";
import { makeGenerator } from "../../support/generator.ts";

function id(first: number, last = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[0] = first;
  bytes[15] = last;
  return bytes;
}

describe("trace index", () => {
  // Pages of 100, 101, ... bytes from offset 4. The trace 3 fills pages 2 to 4 and begins in page 1.
  const first = [id(1), id(2), id(3), id(3), id(3), id(5), id(7)];
  const continued = [false, false, true, true, true, false, false];
  const pages = first.map((firstTraceId, i): TracePage => ({
    firstTraceId,
    isContinued: continued[i] === true,
    byteLength: 100 + i,
    rowCount: 1,
  }));
  const index = encodeTraceIndex([{ offset: 4, pages }]);
  const range = (from: number, to: number): ByteRange => {
    let offset = 4;
    for (let i = 0; i < from; i++) offset += 100 + i;
    let length = 0;
    for (let i = from; i < to; i++) length += 100 + i;
    return { offset, length };
  };

  test.for<[string, Uint8Array, ByteRange | undefined]>([
    ["before the first page", id(0, 9), undefined],
    ["the first row of a page", id(1), range(0, 1)],
    ["within a page", id(1, 5), range(0, 1)],
    ["spread over pages, begun within one", id(3), range(1, 5)],
    ["behind a spread trace", id(4), range(4, 5)],
    ["the first row of a page, not continued", id(5), range(5, 6)],
    ["within the last page, or beyond", id(9), range(6, 7)],
  ])("%s", ([, traceId, expected]) => {
    expect(tracePages(index, traceId)).toEqual(expected);
  });

  test("offsets beyond 4 GiB", () => {
    expect(tracePages(encodeTraceIndex([{ offset: 2 ** 40 + 7, pages: pages.slice(0, 1) }]), id(1))).toEqual({
      offset: 2 ** 40 + 7,
      length: 100,
    });
  });
});

describe("lookup", () => {
  test("one range of at most 100 KB finds every trace of a block of many pages", async () => {
    const generator = makeGenerator({ seed: 41 });
    const messages = Array.from({ length: 12 }, () => generator.batch(500));
    const { file, written } = await buildBlock(messages);
    const traces = Map.groupBy(modelRows(messages), ({ span }) => hex(span.traceId));
    expect(traces.size).toBe(written.meta.traceCount);
    for (const [text, rows] of traces) {
      const traceId = Buffer.from(text, "hex");
      const range = tracePages(written.traceIndex, traceId) ?? { offset: 0, length: 0 };
      expect(range.length).toBeLessThan(100_000);
      const bytes = file.subarray(range.offset, range.offset + range.length);
      const parts = await collect(readTracePages(inOneChunk(bytes), written.resources, traceId));
      expect(parts.length).toBe(1);
      expect(sentSpans(parts).map(identity).sort()).toEqual(rows.map(identity).sort());
    }
  });

  test("an absent trace gives nothing, and the filter mostly says so before", async () => {
    const generator = makeGenerator({ seed: 42 });
    const { file, written } = await buildBlock([generator.batch(2000)]);
    const absent = Array.from({ length: 256 }, (_, n) => id(n, 77));
    expect(absent.filter((traceId) => mayHoldTrace(written.filter, traceId)).length).toBeLessThan(3);
    for (const traceId of absent.slice(0, 20)) {
      const range = tracePages(written.traceIndex, traceId) ?? { offset: 0, length: 0 };
      const bytes = file.subarray(range.offset, range.offset + range.length);
      expect(await collect(readTracePages(inOneChunk(bytes), written.resources, traceId))).toEqual([]);
    }
  });

  test("pages come in any pieces, or as a ReadableStream", async () => {
    const generator = makeGenerator({ seed: 43 });
    const { file, written } = await buildBlock([generator.batch(800)]);
    const traceId = Buffer.from(generator.traceIds()[9] ?? "", "hex");
    const { offset, length } = tracePages(written.traceIndex, traceId) ?? { offset: 0, length: 0 };
    const bytes = file.subarray(offset, offset + length);
    const whole = await collect(readTracePages(inOneChunk(bytes), written.resources, traceId));
    const single = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 7) controller.enqueue(bytes.subarray(at, at + 7));
        controller.close();
      },
    });
    expect(await collect(readTracePages(single, written.resources, traceId))).toEqual(whole);
  });

  test("a filter of 8 bits is half as large", async () => {
    const messages = [makeGenerator({ seed: 44 }).batch(3000)];
    const [wide, narrow] = await Promise.all([buildBlock(messages), buildBlock(messages, { filterBits: 8 })]);
    expect(narrow.written.filter.length).toBeLessThan(0.55 * wide.written.filter.length);
  });
});

describe("writer", () => {
  test("pauses every few thousand spans, also while it compresses", async () => {
    const generator = makeGenerator({ seed: 45 });
    let pauses = 0;
    await buildBlock(
      Array.from({ length: 10 }, () => generator.batch(1000)),
      {
        pause: async () => {
          pauses++;
        },
      },
    );
    expect(pauses).toBeGreaterThan(10);
  });

  test("refuses what is no OTLP", async () => {
    await expect(buildBlock([Uint8Array.of(0x0a, 0x05, 0x00)])).rejects.toMatchObject({
      kind: "invalid_argument",
    });
  });

  test("a higher level gives a smaller file with the same rows", async () => {
    const messages = [makeGenerator({ seed: 46 }).batch(2000)];
    const [low, high] = await Promise.all([buildBlock(messages), buildBlock(messages, { zstdLevel: 6 })]);
    expect(high.file.length).toBeLessThan(low.file.length);
    expect(high.written.meta.spanCount).toBe(low.written.meta.spanCount);
  });
});

describe("reader", () => {
  const counted = (bytes: Uint8Array): RangeSource & { readonly reads: ByteRange[] } => {
    const reads: ByteRange[] = [];
    const source = bytesSource(bytes);
    return {
      byteLength: source.byteLength,
      reads,
      read: (range) => {
        reads.push(range);
        return source.read(range);
      },
    };
  };

  test("opens with one read, reads a column with one more, gives back what the writer gave", async () => {
    const { file, written } = await buildBlock([makeGenerator({ seed: 47 }).batch(3000)]);
    const source = counted(file);
    const block = await openBlock(source);
    expect(source.reads.length).toBe(1);
    const column = await block.readColumn("name", 0);
    expect(source.reads.length).toBe(2);
    expect(column.pages.map(({ rowCount }) => rowCount)).toEqual(block.rowGroups[0]?.pageRows);
    expect(await block.written()).toEqual(written);
    await expect(block.readColumn("none", 0)).rejects.toMatchObject({ kind: "not_found" });
  });

  test("the standard offset index says the same as the trace index", async () => {
    const { file, written } = await buildBlock([makeGenerator({ seed: 48 }).batch(3000)]);
    const block = await openBlock(bytesSource(file));
    const { offset, length } = block.metadata.rowGroups[0]?.columns[0]?.chunk.offsetIndex ?? {
      offset: 0,
      length: 0,
    };
    const pages = decodeOffsetIndex(file.subarray(offset, offset + length));
    expect(pages.length).toBeGreaterThan(1);
    expect(pages[0]).toMatchObject({ offset: 4, firstRow: 0 });
    const last = pages.at(-1);
    expect(tracePages(written.traceIndex, written.meta.lastTraceId)).toEqual({
      offset: last?.offset,
      length: last?.byteLength,
    });
  });

  test("the codes of resource are the indexes of the private field", async () => {
    const { file } = await buildBlock([makeGenerator({ seed: 49 }).batch(500)]);
    const block = await openBlock(bytesSource(file));
    const [page] = (await block.readColumn("resource", 0)).pages;
    const [spans] = (await block.readColumn("otlp_span", 0)).pages;
    expect(page?.content.kind).toBe("codes");
    const codes = page?.content.kind === "codes" ? [...page.content.codes] : [];
    const values =
      spans?.content.kind === "values" && spans.content.values.kind === "bytes"
        ? spans.content.values
        : undefined;
    const stored = codes.map((_, row) => values?.bytes[(values.offsets[2 * row + 1] ?? 0) - 1]);
    expect(stored).toEqual(codes);
  });
});
