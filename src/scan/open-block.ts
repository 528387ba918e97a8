// Opens a block with one read: its footer and its attributes lie next to each other at the end of the file.
import type { BlockAttributes } from "../block/block-facts.ts";
import type { ByteRange } from "../block/meta.ts";
import { type Block, openBlock, type RangeSource } from "../block/reader.ts";
import type { CatalogueBlock } from "../store/catalogue.ts";
import type { StoredObject } from "../store/object-store.ts";
import type { LruCache } from "../util/lru-cache.ts";
import type { QueryIo } from "./query-io.ts";

/** A block that is ready to be scanned. It keeps no bytes of the file. */
export interface OpenedBlock {
  readonly object: StoredObject;
  readonly block: Block;
  readonly attributes: BlockAttributes;
  /** Heap that it takes, about. */
  readonly heapBytes: number;
}

/** Bytes of the end that are read at once, for each row group: footer and attributes take some 25 KB of them. */
const TAIL_BYTES_PER_GROUP = 64 * 1024;
const TAIL_BYTES_MAX = 1024 * 1024;
/** Spans of a row group, about. */
const GROUP_SPANS = 500_000;
/** Heap of a column of a row group: its metadata and schema. */
const COLUMN_HEAP_BYTES = 700;

/**
 * The block, from the cache or with one read.
 * @returns also whether it had to be read
 * @throws AppError `not_found`, `corrupt`, `unavailable`
 */
export async function openForScan(
  stored: CatalogueBlock,
  cache: LruCache<OpenedBlock>,
  io: QueryIo,
): Promise<{ readonly opened: OpenedBlock; readonly wasRead: boolean }> {
  const { key, etag, byteLength, spanCount } = stored;
  const name = `${key} ${etag}`;
  const kept = cache.get(name);
  if (kept !== undefined) return { opened: kept, wasRead: false };
  const object = { key, etag, byteLength };
  const tail = new TailSource(object, io, Math.ceil(spanCount / GROUP_SPANS) * TAIL_BYTES_PER_GROUP);
  const block = await openBlock(tail);
  const attributes = await block.attributes();
  tail.release();
  const columns = block.metadata.rowGroups.reduce((sum, group) => sum + group.columns.length, 0);
  const opened = { object, block, attributes, heapBytes: columns * COLUMN_HEAP_BYTES };
  cache.set(name, opened);
  return { opened, wasRead: true };
}

/** Remembers the end of the file until it is released. */
class TailSource implements RangeSource {
  readonly byteLength: number;
  readonly #object: StoredObject;
  readonly #io: QueryIo;
  readonly #tailBytes: number;
  #tail: Uint8Array = new Uint8Array(0);

  constructor(object: StoredObject, io: QueryIo, tailBytes: number) {
    this.byteLength = object.byteLength;
    this.#object = object;
    this.#io = io;
    this.#tailBytes = Math.min(tailBytes, TAIL_BYTES_MAX, object.byteLength);
  }

  async read(range: ByteRange): Promise<Uint8Array> {
    const end = range.offset + range.length;
    if (this.#tail.length === 0 && end === this.byteLength && range.length <= this.#tailBytes) {
      this.#tail = await this.#fetch({
        offset: this.byteLength - this.#tailBytes,
        length: this.#tailBytes,
      });
    }
    const at = range.offset - (this.byteLength - this.#tail.length);
    return at >= 0 ? this.#tail.subarray(at, at + range.length) : this.#fetch(range);
  }

  async #fetch(range: ByteRange): Promise<Uint8Array> {
    const [bytes = new Uint8Array(0)] = await this.#io.readParts(this.#object, range, [range]);
    return bytes;
  }

  release(): void {
    this.#tail = new Uint8Array(0);
  }
}
