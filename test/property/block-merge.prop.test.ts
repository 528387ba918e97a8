// Merging blocks: the rows are those of one block over all spans, however these were split and repeated.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { mergeBlocks, type MergeOptions } from "../../src/block/merge.ts";
import type { WrittenBlock } from "../../src/block/meta.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { dropRejectedSpans } from "../../src/otlp/rewrite.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import {
  buildBlock,
  collect,
  hex,
  hyparquetRows,
  identity,
  inOneChunk,
  modelRows,
  sentSpans,
} from "../support/block-model.ts";
import { makeGenerator } from "../support/generator.ts";
import { arbBatch } from "../support/otlp.ts";

const RUNS = 60;
const ARRIVED_MS = 1_700_000_000_000;

async function merged(
  files: readonly Uint8Array[],
  options: Partial<MergeOptions> = {},
): Promise<{ file: Uint8Array; written: WrittenBlock }> {
  const chunks: Uint8Array[] = [];
  const written = await mergeBlocks(files.map(bytesSource), (bytes) => void chunks.push(bytes), {
    zstdLevel: 3,
    rowGroupSpans: 500_000,
    arrivedMs: ARRIVED_MS,
    replaces: [1, 2],
    pause: async () => undefined,
    ...options,
  });
  return { file: concatBytes(chunks), written };
}

/** What ingest stores: valid spans only. */
const arbMessages = fc
  .array(arbBatch, { minLength: 1, maxLength: 3 })
  .map((batches) => batches.map((batch) => dropRejectedSpans(batch, DEFAULT_LIMITS)));
/** Blocks to merge, the first of which comes twice if asked for: a client's retry. */
const arbBlocks = fc.array(arbMessages, { minLength: 1, maxLength: 4 });

async function expectTraces(
  file: Uint8Array,
  written: WrittenBlock,
  all: readonly Uint8Array[],
): Promise<void> {
  const traces = Map.groupBy(modelRows(all), ({ span }) => hex(span.traceId));
  expect(written.meta.traceCount).toBe(traces.size);
  for (const [id, rows] of traces) {
    const traceId = Buffer.from(id, "hex");
    expect(mayHoldTrace(written.filter, traceId)).toBe(true);
    const range = tracePages(written.traceIndex, traceId);
    const end = (range?.offset ?? 0) + (range?.length ?? 0);
    const parts = await collect(
      readTracePages(inOneChunk(file.subarray(range?.offset, end)), written.resources, traceId),
    );
    expect(sentSpans(parts).map(identity).sort()).toEqual(rows.map(identity).sort());
  }
}

test("the rows are those of one block over all spans", async () => {
  await fc.assert(
    fc.asyncProperty(arbBlocks, fc.boolean(), async (blocks, isRepeated) => {
      const sets = isRepeated ? [...blocks, blocks[0] ?? []] : blocks;
      const files = await Promise.all(sets.map(async (messages) => (await buildBlock(messages)).file));
      const all = blocks.flat();
      const [actual, expected] = await Promise.all([merged(files), buildBlock(all)]);
      // Which attribute has a column may differ: that is decided by counts before duplicates are known.
      const { columns } = await (await openBlock(bytesSource(actual.file))).attributes();
      const other = await (await openBlock(bytesSource(expected.file))).attributes();
      fc.pre(
        JSON.stringify(columns.map(({ name }) => name)) ===
          JSON.stringify(other.columns.map(({ name }) => name)),
      );
      expect(await hyparquetRows(actual.file)).toEqual(await hyparquetRows(expected.file));
      const { byteLength: _a, replaces, ...facts } = actual.written.meta;
      const { byteLength: _b, replaces: _c, ...expectedFacts } = expected.written.meta;
      expect(facts).toEqual(expectedFacts);
      expect(replaces).toEqual([1, 2]);
      await expectTraces(actual.file, actual.written, all);
    }),
    { numRuns: RUNS },
  );
});

test("row groups have disjoint, ascending traces, and every trace is found", async () => {
  await fc.assert(
    fc.asyncProperty(arbBlocks, fc.integer({ min: 1, max: 12 }), async (blocks, rowGroupSpans) => {
      const files = await Promise.all(blocks.map(async (messages) => (await buildBlock(messages)).file));
      const first = await merged(files, { rowGroupSpans });
      // Merging what was merged changes nothing.
      const { file, written } = await merged([first.file], { rowGroupSpans });
      await expectTraces(file, written, blocks.flat());
      const block = await openBlock(bytesSource(file));
      const rows = await hyparquetRows(file);
      let row = 0;
      for (const { spanCount, traceCount } of block.rowGroups) {
        expect(spanCount <= rowGroupSpans || traceCount === 1).toBe(true);
        expect(row === 0 || String(rows[row - 1]?.["trace_id"]) < String(rows[row]?.["trace_id"])).toBe(true);
        row += spanCount;
      }
      expect(row).toBe(rows.length);
      expect(Buffer.from(await block.traceIds()).toString("hex")).toBe(
        [...new Set(rows.map((each) => String(each["trace_id"])))].join(""),
      );
    }),
    { numRuns: RUNS },
  );
});

describe("a merge of usual spans", () => {
  const generator = makeGenerator({ seed: 11 });
  const sets = Array.from({ length: 4 }, () => [generator.batch(3000), generator.batch(2000)]);

  test("has every row, over pages and row groups, as if it were one block", async () => {
    const files = await Promise.all(sets.map(async (messages) => (await buildBlock(messages)).file));
    const { file, written } = await merged(files, { rowGroupSpans: 7000 });
    const expected = await buildBlock(sets.flat());
    expect(written.meta.spanCount).toBe(20_000);
    expect((await openBlock(bytesSource(file))).rowGroups).toHaveLength(3);
    // Codes of resources and their order are the file's own: only spans differ.
    const strip = (rows: Record<string, unknown>[]): unknown[] =>
      rows.map((row) => ({ ...row, otlp_span: null }));
    expect(strip(await hyparquetRows(file))).toEqual(strip(await hyparquetRows(expected.file)));
  });

  test("waits for its sink, and reads pages one after another", async () => {
    const files = await Promise.all(sets.map(async (messages) => (await buildBlock(messages)).file));
    let taking = false;
    let bytes = 0;
    const { byteLength } = (
      await mergeBlocks(
        files.map(bytesSource),
        async (chunk) => {
          expect(taking).toBe(false);
          taking = true;
          await Promise.resolve();
          bytes += chunk.length;
          taking = false;
        },
        { zstdLevel: 3, rowGroupSpans: 7000, arrivedMs: 1, replaces: [], pause: async () => undefined },
      )
    ).meta;
    expect(bytes).toBe(byteLength);
  });
});
