// The block over random span sets in random encodings: rows, order, lookups.
import fc from "fast-check";
import { expect, test } from "vitest";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { dropRejectedSpans } from "../../src/otlp/rewrite.ts";
import {
  buildBlock,
  collect,
  compareRows,
  hex,
  hyparquetRows,
  identity,
  modelRows,
  sentSpans,
} from "../support/block-model.ts";
import { arbBatch } from "../support/otlp.ts";
import { makeRandom } from "../support/random.ts";

const RUNS = 60;

/** What ingest stores: valid spans only. */
const arbMessages = fc
  .array(arbBatch, { minLength: 1, maxLength: 4 })
  .map((batches) => batches.map((batch) => dropRejectedSpans(batch, DEFAULT_LIMITS)));

test("every column of every row is what was sent", async () => {
  await fc.assert(
    fc.asyncProperty(arbMessages, async (messages) => {
      const { actual, expected } = await compareRows(messages);
      expect(actual).toEqual(expected);
    }),
    { numRuns: RUNS },
  );
});

test("the same spans in any order, in any batches, give the same rows", async () => {
  await fc.assert(
    fc.asyncProperty(arbMessages, fc.nat(), async (messages, seed) => {
      const random = makeRandom(seed);
      const shuffled = messages
        .map((message) => ({ message, at: random.unit() }))
        .sort((a, b) => a.at - b.at)
        .map(({ message }) => message);
      const [first, second] = await Promise.all([buildBlock(messages), buildBlock(shuffled)]);
      expect(await hyparquetRows(second.file)).toEqual(await hyparquetRows(first.file));
      expect(second.written.meta).toEqual(first.written.meta);
    }),
    { numRuns: RUNS },
  );
});

async function* inPieces(bytes: Uint8Array, seed: number): AsyncGenerator<Uint8Array> {
  const random = makeRandom(seed);
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(200);
    yield bytes.subarray(at, end);
    at = end;
  }
}

test("each trace reads back byte for byte, with its resources and scopes", async () => {
  await fc.assert(
    fc.asyncProperty(arbMessages, fc.nat(), async (messages, seed) => {
      const { file, written } = await buildBlock(messages);
      const traces = Map.groupBy(modelRows(messages), ({ span }) => hex(span.traceId));
      for (const [id, rows] of traces) {
        const traceId = Buffer.from(id, "hex");
        expect(mayHoldTrace(written.filter, traceId)).toBe(true);
        const range = tracePages(written.traceIndex, traceId);
        const end = (range?.offset ?? 0) + (range?.length ?? 0);
        const parts = await collect(
          readTracePages(inPieces(file.subarray(range?.offset, end), seed), written.resources, traceId),
        );
        expect(sentSpans(parts).map(identity).sort()).toEqual(rows.map(identity).sort());
      }
    }),
    { numRuns: RUNS },
  );
});
