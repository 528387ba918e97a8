// Made blocks/v1/small.parquet and small.json. NEVER run it again for a version that has been released: the file is
// the proof that old blocks are still read. A new version of the format gets a new folder.
// Run: node_modules/.bin/node test/golden/make-block.ts <folder that does not hold a block>
import { existsSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
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
const { file } = await buildBlock(messages);
writeFileSync(path, file);
writeFileSync(`${folder}/small.json`, `${JSON.stringify(await dumpBlock(file), null, 1)}\n`);
