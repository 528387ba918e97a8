// Blocks of 500,000 spans each, one behind the other in time, written once into a folder for temporary files.
import { createReadStream, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeBlock } from "../../src/block/block-writer.ts";
import type { RangeReader } from "../../src/query/sources.ts";
import { catalogueBlock, type CatalogueBlock } from "../../src/store/catalogue.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { makeGenerator } from "../support/generator.ts";

const BLOCK_SPANS = 500_000;
/** Smaller blocks, for benches of many. */
export const SMALL_BLOCK_SPANS = 50_000;
const BATCH_SPANS = 512;
/** Another form of block or generator needs other files. */
const VERSION = 1;

const folder = join(tmpdir(), `rubato-bench-search-${VERSION}`);

export function pathOf(key: string): string {
  return join(folder, key);
}

/** Keys, and so paths, of smaller blocks are in a folder of their own. */
function nameOf(id: number, spans: number): string {
  return spans === BLOCK_SPANS ? String(id) : `${spans}/${id}`;
}

/** `count` blocks of `spans` each. Traces go on from one to the next. */
export async function benchBlocks(count: number, spans = BLOCK_SPANS): Promise<CatalogueBlock[]> {
  mkdirSync(join(folder, nameOf(0, spans), ".."), { recursive: true });
  const isComplete = existsSync(pathOf(`${nameOf(count, spans)}.json`));
  const generator = makeGenerator({ seed: 1 });
  const blocks: CatalogueBlock[] = [];
  // The generator goes on from block to block, so a block that is missing needs those before it.
  for (let id = 1; id <= count; id++) {
    const known = pathOf(`${nameOf(id, spans)}.json`);
    if (existsSync(known)) {
      const block: CatalogueBlock = JSON.parse(readFileSync(known, "utf8"));
      blocks.push(block);
      // Only when a later block is missing does its place in the stream matter.
      if (!isComplete) skip(generator, spans);
      continue;
    }
    const chunks: Uint8Array[] = [];
    const { meta } = await writeBlock(batchesOf(generator, spans), (bytes) => void chunks.push(bytes), {
      zstdLevel: 3,
      arrivedMs: id,
    });
    const bytes = concatBytes(chunks);
    const key = `${nameOf(id, spans)}.parquet`;
    writeFileSync(pathOf(key), bytes);
    const block = catalogueBlock(id, { key, etag: "e", byteLength: bytes.length }, meta, id);
    writeFileSync(known, JSON.stringify(block));
    blocks.push(block);
    console.error(`wrote ${pathOf(key)}`);
  }
  return blocks;
}

type Generator = ReturnType<typeof makeGenerator>;

async function* batchesOf(generator: Generator, spans: number): AsyncGenerator<Uint8Array> {
  for (let left = spans; left > 0; left -= BATCH_SPANS) yield generator.batch(Math.min(left, BATCH_SPANS));
}

function skip(generator: Generator, spans: number): void {
  for (let left = spans; left > 0; left -= BATCH_SPANS) generator.batch(Math.min(left, BATCH_SPANS));
}

/** Reads the files, and counts. */
export class FileStore implements RangeReader {
  gets = 0;
  bytes = 0;
  beforeGet: () => Promise<void> = async () => undefined;
  /** Awaited before each piece. */
  beforePiece: () => Promise<void> = async () => undefined;

  async getRange(key: string, { offset, length }: { offset: number; length: number }) {
    await this.beforeGet();
    this.gets++;
    this.bytes += length;
    const file = createReadStream(pathOf(key), {
      start: offset,
      end: offset + length - 1,
      highWaterMark: 256 * 1024,
    });
    const chunks = file[Symbol.asyncIterator]();
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await this.beforePiece();
        const next = await chunks.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: () => void file.destroy(),
    });
  }
}
