// Made blocks/v1/small.parquet, and as it is now blocks/v2/small.parquet, each with its small.json. NEVER run it again for a version that has been released: the file is
// the proof that old blocks are still read. A new version of the format gets a new folder.
// Run: node_modules/.bin/node test/golden/make-block.ts <folder that does not hold a block>
import { existsSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { mergeBlocks } from "../../src/block/merge.ts";
import { bytesSource } from "../../src/block/reader.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { dropRejectedSpans } from "../../src/otlp/rewrite.ts";
import { dumpBlock } from "../support/block-dump.ts";
import { buildBlock, compareRows } from "../support/block-model.ts";
import { makeGenerator } from "../support/generator.ts";
import { batchOf, disturb, spanWith } from "../support/otlp.ts";

const folder = process.argv[2] ?? "";
const path = `${folder}/small.parquet`;
if (folder === "" || existsSync(path)) throw new Error("give a folder that does not hold a block");

const generator = makeGenerator({ seed: 2026 });
const odd = batchOf(
  spanWith({
    startTimeUnixNano: 2n ** 64n - 1n,
    kind: 5,
    attributes: [
      { key: "twice", value: { value: { case: "stringValue", value: "first" } } },
      { key: "twice", value: { value: { case: "stringValue", value: "second" } } },
      { key: "twice", value: { value: { case: "doubleValue", value: Number.NaN } } },
      { key: "big", value: { value: { case: "intValue", value: -(2n ** 63n) } } },
      { key: "bytes", value: { value: { case: "bytesValue", value: Uint8Array.of(0, 255) } } },
      { key: "", value: { value: { case: "arrayValue", value: { values: [{}, {}] } } } },
    ],
  }),
  spanWith({ spanId: new Uint8Array(8).fill(9), parentSpanId: new Uint8Array(8).fill(9) }),
);
const messages = [generator.batch(16), disturb(generator.batch(8), 7), odd].map((message) =>
  dropRejectedSpans(message, DEFAULT_LIMITS),
);
const { actual, expected } = await compareRows(messages);
if (!isDeepStrictEqual(actual, expected)) throw new Error("hyparquet reads other rows than were sent");
// A flush, and what compaction makes of two: several row groups.
const [first, second] = await Promise.all([buildBlock(messages.slice(0, 2)), buildBlock(messages.slice(1))]);
const chunks: Uint8Array[] = [];
await mergeBlocks([bytesSource(first.file), bytesSource(second.file)], (bytes) => void chunks.push(bytes), {
  zstdLevel: 6,
  rowGroupSpans: 8,
  arrivedMs: 1_795_392_000_000,
  replaces: [1_795_391_000_000, 1_795_392_000_000],
  pause: async () => undefined,
});
const file = new Uint8Array(Buffer.concat(chunks));
writeFileSync(path, file);
writeFileSync(`${folder}/small.json`, `${JSON.stringify(await dumpBlock(file), null, 1)}\n`);
