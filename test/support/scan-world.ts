// Queries over a shard in memory whose reads are counted and can fail, and the same queries over all spans in one source.
import { writeColumns } from "../../src/block/block-writer.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/model/limits.ts";
import type { ScanDeps, ScannedShard } from "../../src/query/query-scan.ts";
import type { RangeReader } from "../../src/query/sources.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import type { ShardLimits } from "../../src/shard/shard.ts";
import type { SpanSource } from "../../src/traceql/storage.ts";
import { ShardWorld } from "./shard-world.ts";
import { fileSources } from "./stored-sources.ts";

export class ScanWorld extends ShardWorld {
  /** Keys of the ranges that were read. */
  readonly gets: string[] = [];
  /** Rows from which the buffer was read. */
  readonly segmentReads: number[] = [];
  /** Traces that were looked up by their ids. */
  lookUps = 0;
  /** Called before the shard is asked for what lies beyond a window. */
  beforeBeyond: () => void = () => undefined;
  /** Called before a range is read; throwing makes the read fail. */
  beforeGet: (key: string) => void = () => undefined;
  /** Called after a snapshot was taken. */
  afterSnapshot: () => Promise<void> = async () => undefined;
  cache: ScanCache;
  #damaged: { readonly key: string; readonly at: number } | undefined;
  readonly #scan: Limits["scan"];

  constructor(seed: number, overrides: Partial<ShardLimits> = {}) {
    super(seed, overrides);
    this.#scan = { ...DEFAULT_LIMITS.scan, ...overrides.scan };
    this.cache = new ScanCache(this.#scan);
  }

  /** As another isolate has it. */
  forgetCache(): void {
    this.cache = new ScanCache(this.#scan);
  }

  /** From now on the last byte of a column of the block is read wrong. */
  async damage(key: string, column: string): Promise<void> {
    const { metadata } = await openBlock(bytesSource(await this.#bytesOf(key)));
    const chunk = metadata.rowGroups[0]?.columns.find(({ schema }) => schema.name === column)?.chunk;
    if (chunk === undefined) throw new Error(`no column ${column}`);
    this.#damaged = { key, at: (chunk.dictionaryOffset ?? chunk.dataOffset) + chunk.byteLength - 1 };
  }

  async #bytesOf(key: string): Promise<Uint8Array> {
    for await (const { byteLength, etag } of this.objects.list(key)) {
      const stream = await this.objects.getRange(key, { offset: 0, length: byteLength }, etag);
      return new Uint8Array(await new Response(stream).arrayBuffer());
    }
    throw new Error(`no object ${key}`);
  }

  get reader(): RangeReader {
    return {
      getRange: async (key, range, etag) => {
        this.gets.push(key);
        this.beforeGet(key);
        const stream = await this.objects.getRange(key, range, etag);
        return this.#damaged?.key === key ? flip(stream, this.#damaged.at - range.offset) : stream;
      },
    };
  }

  get scanned(): ScannedShard {
    return {
      name: `${this.tenant}/0`,
      shard: {
        snapshot: async (range) => {
          const snapshot = this.shard.snapshot(range);
          await this.afterSnapshot();
          return snapshot;
        },
        readSegments: async (epoch, fromRow) => {
          this.segmentReads.push(fromRow);
          return this.shard.readSegments(epoch, fromRow);
        },
        findBeyond: async (traceIds, range) => {
          this.beforeBeyond();
          return this.shard.findBeyond(traceIds, range);
        },
        findTrace: async (traceId, range) => {
          this.lookUps++;
          return this.shard.findTrace(traceId, range);
        },
        noteFailedReads: async (count) => this.shard.noteFailedReads(count),
      },
    };
  }

  get deps(): ScanDeps {
    return {
      limits: { ...DEFAULT_LIMITS, scan: this.#scan },
      objects: this.reader,
      shards: [this.scanned],
      cache: this.cache,
    };
  }
}

function flip(stream: ReadableStream<Uint8Array>, at: number): ReadableStream<Uint8Array> {
  let offset = 0;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const copy = chunk.slice();
        const place = at - offset;
        if (place >= 0 && place < copy.length) copy[place] = (copy[place] ?? 0) ^ 1;
        offset += chunk.length;
        controller.enqueue(copy);
      },
    }),
  );
}

/** All spans as one source. */
export async function oneSource(batches: readonly Uint8Array[]): Promise<SpanSource> {
  const [source] = await fileSources(await writeColumns(batches));
  if (source === undefined) throw new Error("no spans");
  return source;
}
