// Opens a block through range reads: footer first, then what is asked for.
import { concatBytes, exactBytes } from "../util/bytes.ts";
import { AppError } from "../util/errors.ts";
import {
  type BlockAttributes,
  type BlockFacts,
  decodeAttributes,
  decodeFacts,
  FACTS_KEY,
  type PartName,
  type PartRanges,
  type RowGroupFacts,
} from "./block-facts.ts";
import { type ColumnData, decodeColumn } from "./column-reader.ts";
import { TRACE_ID_COLUMN } from "./fixed-columns.ts";
import type { BlockMeta, ByteRange, WrittenBlock } from "./meta.ts";
import { type ChunkMetadata, decodeFileMetadata, type FileMetadata, MAGIC } from "./parquet-metadata.ts";
import { decodePart, PART } from "./part.ts";
import { type RangeSource, readRange } from "./range-source.ts";
import { checkAscending, decodeTraceIds } from "./trace-ids.ts";

export { bytesSource, type RangeSource } from "./range-source.ts";

/** Bytes of the end that are read first: the footer of 500k spans takes some 10 KB of them. */
const TAIL_BYTES = 64 * 1024;
/** Footer length and magic. */
const END_BYTES = MAGIC.length + 4;

function corrupt(what: string): AppError {
  return new AppError("corrupt", `block: ${what}`);
}

async function readFooter(source: RangeSource): Promise<Uint8Array> {
  const tailLength = Math.min(TAIL_BYTES, source.byteLength);
  if (tailLength < END_BYTES + MAGIC.length) throw corrupt(`a file of ${tailLength} bytes`);
  const tail = await readRange(source, { offset: source.byteLength - tailLength, length: tailLength });
  const magic = tail.subarray(tailLength - MAGIC.length);
  if (MAGIC.some((byte, index) => magic[index] !== byte)) throw corrupt("no Parquet file");
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(tailLength - END_BYTES, true);
  if (length + END_BYTES > source.byteLength) throw corrupt(`a footer of ${length} bytes`);
  if (length + END_BYTES <= tailLength) {
    return tail.subarray(tailLength - END_BYTES - length, tailLength - END_BYTES);
  }
  return readRange(source, { offset: source.byteLength - END_BYTES - length, length });
}

/** The range of a chunk: its dictionary, if any, comes first. */
function chunkRange({ dictionaryOffset, dataOffset, byteLength }: ChunkMetadata): ByteRange {
  return { offset: dictionaryOffset ?? dataOffset, length: byteLength };
}

export class Block {
  readonly meta: BlockMeta;
  readonly metadata: FileMetadata;
  /** Facts of each row group of `metadata`. */
  readonly rowGroups: readonly RowGroupFacts[];
  readonly #source: RangeSource;
  readonly #parts: PartRanges;

  constructor(source: RangeSource, metadata: FileMetadata, facts: { facts: BlockFacts; parts: PartRanges }) {
    const { rowGroups, ...known } = facts.facts;
    this.#source = source;
    this.#parts = facts.parts;
    this.metadata = metadata;
    this.rowGroups = rowGroups;
    this.meta = { ...known, byteLength: source.byteLength };
    const isSame =
      metadata.rowGroups.length === rowGroups.length &&
      rowGroups.every(({ spanCount }, group) => spanCount === metadata.rowGroups[group]?.rowCount);
    if (!isSame) throw corrupt("footer and facts differ");
  }

  /**
   * Reads a column of a row group with one range read.
   * @param group index into `rowGroups`
   * @throws AppError `not_found` when there is no such column, `corrupt`
   */
  async readColumn(name: string, group: number): Promise<ColumnData> {
    const found = this.metadata.rowGroups[group];
    const column = found?.columns.find(({ schema }) => schema.name === name);
    if (found === undefined || column === undefined) throw new AppError("not_found", `no column ${name}`);
    const bytes = await readRange(this.#source, chunkRange(column.chunk));
    return decodeColumn(column.schema, bytes, found.rowCount);
  }

  /**
   * The trace ids, 16 bytes each, ascending: one range read a row group.
   * @throws AppError `corrupt`
   */
  async traceIds(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (const [group, { columns }] of this.metadata.rowGroups.entries()) {
      const column = columns.find(({ schema }) => schema.name === TRACE_ID_COLUMN);
      const offset = column?.chunk.dictionaryOffset;
      if (column === undefined || offset === undefined) throw corrupt("no trace ids");
      const page = await readRange(this.#source, { offset, length: column.chunk.dataOffset - offset });
      parts.push(decodeTraceIds(column.schema, page, this.rowGroups[group]?.traceCount ?? 0));
    }
    const ids = concatBytes(parts);
    checkAscending(ids);
    return ids;
  }

  /** A part of the tail as it is in the file, in a buffer of its own. */
  async #part(name: PartName): Promise<Uint8Array> {
    return exactBytes(await readRange(this.#source, this.#parts[name]));
  }

  /** Which attributes the block has. @throws AppError `corrupt` */
  async attributes(): Promise<BlockAttributes> {
    return decodeAttributes(decodePart(PART.attributes, await this.#part("attributes")));
  }

  /**
   * What `writeBlock` returned, from the file: to rebuild a catalogue.
   * @throws AppError `corrupt`
   */
  async written(): Promise<WrittenBlock> {
    const [traceIndex, filter, resources] = await Promise.all([
      this.#part("traceIndex"),
      this.#part("filter"),
      this.#part("resources"),
    ]);
    decodePart(PART.traceIndex, traceIndex);
    decodePart(PART.filter, filter);
    decodePart(PART.resources, resources);
    return { meta: this.meta, traceIndex, filter, resources };
  }
}

/**
 * Reads the footer: one range read of 64 KiB, a second one when the footer is longer.
 * @throws AppError `corrupt` when it is no block, or one of a version that this program does not know
 */
export async function openBlock(source: RangeSource): Promise<Block> {
  const metadata = decodeFileMetadata(await readFooter(source));
  const facts = metadata.keyValues.get(FACTS_KEY);
  if (facts === undefined) throw corrupt("Parquet, but no block");
  return new Block(source, metadata, decodeFacts(facts));
}
