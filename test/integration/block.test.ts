// The block inside workerd: its codecs, its typed arrays, its text decoder are not Node's.
import { expect, test } from "vitest";
import { writeBlock } from "../../src/block/block-writer.ts";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { makeGenerator } from "../support/generator.ts";
import { spanBag } from "../support/span-bag.ts";

async function* each(batches: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* batches;
}

test.for([3, 6])("a block of zstd level %i is written, opened and searched", async (zstdLevel) => {
  const generator = makeGenerator({ seed: 5 });
  const batches = Array.from({ length: 10 }, () => generator.batch(500));
  const chunks: Uint8Array[] = [];
  const written = await writeBlock(each(batches), (bytes) => void chunks.push(bytes), {
    zstdLevel,
    arrivedMs: 1,
  });
  const file = concatBytes(chunks);
  const block = await openBlock(bytesSource(file));
  expect(await block.written()).toEqual(written);
  for (const { schema } of block.metadata.rowGroups[0]?.columns ?? []) {
    const { pages } = await block.readColumn(schema.name, 0);
    expect(pages.reduce((sum, { rowCount }) => sum + rowCount, 0)).toBe(5000);
  }
  const found: Uint8Array[] = [];
  for (const id of generator.traceIds()) {
    const traceId = Uint8Array.from(id.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
    expect(mayHoldTrace(written.filter, traceId)).toBe(true);
    const { offset, length } = tracePages(written.traceIndex, traceId) ?? { offset: 0, length: 0 };
    const pages = each([file.subarray(offset, offset + length)]);
    for await (const part of readTracePages(pages, written.resources, traceId)) found.push(part);
  }
  expect(spanBag(found)).toEqual(spanBag(batches));
});
