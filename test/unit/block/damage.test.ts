// Damaged bytes: nothing but AppError `corrupt` comes out, soon and without much memory.
import { describe, expect, test } from "vitest";
import { tracePages } from "../../../src/block/lookup.ts";
import type { WrittenBlock } from "../../../src/block/meta.ts";
import { readTracePages } from "../../../src/block/read-trace.ts";
import { bytesSource, openBlock } from "../../../src/block/reader.ts";
import { decodeStruct } from "../../../src/block/thrift.ts";
import { isAppError } from "../../../src/util/errors.ts";
import {
  buildBlock,
  collect,
  hex,
  identity,
  inOneChunk,
  isRefused,
  sentSpans,
} from "../../support/block-model.ts";
import { makeGenerator } from "../../support/generator.ts";
import { mutate } from "../../support/otlp.ts";
import { makeRandom } from "../../support/random.ts";

const generator = makeGenerator({ seed: 21 });
const { file, written } = await buildBlock([generator.batch(2500)]);
const traceId = Buffer.from(generator.traceIds()[3] ?? "", "hex");
const range = tracePages(written.traceIndex, traceId) ?? { offset: 0, length: 0 };
const pages = file.subarray(range.offset, range.offset + range.length);

/** `corrupt` when it throws that, `ok` when it does not throw; anything else fails the test. */
async function outcome(read: () => Promise<unknown>): Promise<"ok" | "corrupt"> {
  try {
    await read();
    return "ok";
  } catch (error) {
    if (!isAppError(error) || error.kind !== "corrupt") throw error;
    return "corrupt";
  }
}

function readTrace(bytes: Uint8Array, block: Pick<WrittenBlock, "resources">): Promise<Uint8Array[]> {
  return collect(readTracePages(inOneChunk(bytes), block.resources, traceId));
}

/** Reads everything there is. */
async function readAll(bytes: Uint8Array): Promise<void> {
  const block = await openBlock(bytesSource(bytes));
  await block.written();
  await block.attributes();
  for (const { schema } of block.metadata.rowGroups[0]?.columns ?? []) await block.readColumn(schema.name, 0);
}

describe("damaged pages", () => {
  test("undamaged, they give the trace", async () => {
    const parts = await readTrace(pages, written);
    expect(sentSpans(parts).length).toBeGreaterThan(0);
  });

  test("every truncation is noticed", async () => {
    const all = await readTrace(pages, written);
    for (let length = 1; length < pages.length; length += 1 + Math.floor(pages.length / 300)) {
      const cut = pages.subarray(0, length);
      expect(await outcome(() => readTrace(cut, written))).toBe("corrupt");
    }
    expect(all.length).toBeGreaterThan(0);
  });

  test("every flipped bit of a page's body is noticed", async () => {
    const random = makeRandom(3);
    for (let i = 0; i < 300; i++) {
      const damaged = pages.slice();
      const at = 64 + random.below(pages.length - 64);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8));
      expect(await outcome(() => readTrace(damaged, written))).toBe("corrupt");
    }
  });

  test("a flipped bit of a header is noticed or changes nothing", async () => {
    const expected = sentSpans(await readTrace(pages, written)).map(identity);
    const read = new Set<string>();
    for (let bit = 0; bit < 8 * 40; bit++) {
      const damaged = pages.slice();
      damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      let parts: Uint8Array[] = [];
      const result = await outcome(async () => {
        parts = await readTrace(damaged, written);
      });
      if (result === "ok") read.add(JSON.stringify(sentSpans(parts).map(identity)));
    }
    expect(read).toEqual(new Set([JSON.stringify(expected)]));
  });

  test("a header that claims gigabytes allocates nothing", async () => {
    const claim = Uint8Array.of(
      0x15,
      0x00,
      0x15,
      0xfe,
      0xff,
      0xff,
      0xff,
      0x0f,
      0x15,
      0xfe,
      0xff,
      0xff,
      0xff,
      0x0f,
    );
    const before = process.memoryUsage().arrayBuffers;
    const bytes = Buffer.concat([claim, new Uint8Array(100)]);
    expect(await outcome(() => readTrace(bytes, written))).toBe("corrupt");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4e6);
  });

  test("another block's resources are noticed when an index is missing", async () => {
    const other = await buildBlock([]);
    expect(await outcome(() => readTrace(pages, other.written))).toBe("corrupt");
  });

  test("damaged parts are noticed", async () => {
    const random = makeRandom(8);
    for (let i = 0; i < 500; i++) {
      const resources = mutate(written.resources, random);
      if (hex(resources) === hex(written.resources)) continue;
      expect(await outcome(() => readTrace(pages, { resources }))).toBe("corrupt");
      const index = mutate(written.traceIndex, random);
      if (hex(index) === hex(written.traceIndex)) continue;
      expect(await outcome(async () => tracePages(index, traceId))).toBe("corrupt");
    }
  });
});

describe("damaged files", () => {
  test("undamaged, every column reads", async () => {
    expect(await outcome(() => readAll(file))).toBe("ok");
  });

  test("truncations", async () => {
    for (let length = 0; length < file.length; length += 1 + Math.floor(file.length / 200)) {
      expect(await outcome(() => readAll(file.subarray(0, length)))).toBe("corrupt");
    }
  });

  test("mutations of the tail, where the structure is", async () => {
    const random = makeRandom(13);
    const tailAt = file.length - 12_000;
    let corrupt = 0;
    const started = performance.now();
    for (let i = 0; i < 400; i++) {
      const tail = mutate(file.subarray(tailAt), random);
      const damaged = Buffer.concat([file.subarray(0, tailAt), tail]);
      if ((await outcome(() => readAll(damaged))) === "corrupt") corrupt++;
    }
    expect(corrupt).toBeGreaterThan(200);
    expect(performance.now() - started).toBeLessThan(40_000);
  });

  test("mutations anywhere", async () => {
    const random = makeRandom(17);
    for (let i = 0; i < 150; i++) {
      const damaged = mutate(file, random);
      if (Buffer.compare(damaged, file) === 0) continue;
      await outcome(() => readAll(damaged));
    }
    expect(await outcome(() => readAll(file))).toBe("ok");
  });

  test("thrift: random bytes", () => {
    const random = makeRandom(29);
    let refused = 0;
    for (let i = 0; i < 5000; i++) {
      const bytes = random.bytes(1 + random.below(60));
      if (isRefused(() => decodeStruct(bytes))) refused++;
    }
    expect(refused).toBeGreaterThan(1000);
  });
});
