// From the last row to the last byte: column chunks, offset index, private parts, footer.
import { type BlockFacts, encodeAttributes, encodeFacts, FACTS_KEY } from "./block-facts.ts";
import type { ColumnPlan } from "./column-plan.ts";
import type { Column } from "./column.ts";
import type { BlockMeta, WrittenBlock } from "./meta.ts";
import { OTLP_COLUMN, type OtlpPages } from "./otlp-pages.ts";
import type { EncodedPage } from "./page.ts";
import {
  type ChunkMetadata,
  encodeFileMetadata,
  encodeOffsetIndex,
  type FileMetadata,
  MAGIC,
} from "./parquet-metadata.ts";
import { ENCODING } from "./parquet-schema.ts";
import { encodePart, PART } from "./part.ts";
import { encodeResources } from "./resource-table.ts";
import { encodeTraceIndex } from "./trace-index.ts";

export interface PartSources {
  readonly plan: ColumnPlan;
  readonly filter: Uint8Array;
  readonly resources: readonly Uint8Array[];
  readonly scopes: readonly Uint8Array[];
}

type FileColumn = FileMetadata["columns"][number];

export class FileEnd {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #columns: FileColumn[] = [];
  #position: number;
  #offsetIndex: Uint8Array = new Uint8Array(0);
  #traceIndex: Uint8Array = this.#offsetIndex;

  /** @param position bytes of the file so far */
  constructor(write: (bytes: Uint8Array) => void, position: number) {
    this.#write = write;
    this.#position = position;
  }

  #put(bytes: Uint8Array): { offset: number; length: number } {
    const offset = this.#position;
    this.#write(bytes);
    this.#position += bytes.length;
    return { offset, length: bytes.length };
  }

  /** Notes the column that is in the file already. */
  addOtlp(otlp: OtlpPages): void {
    const offset = otlp.pages[0]?.offset ?? MAGIC.length;
    let rows = 0;
    for (const page of otlp.pages) rows += page.rowCount;
    this.#offsetIndex = encodeOffsetIndex(otlp.pages);
    const chunk: ChunkMetadata = {
      encodings: [ENCODING.plain, ENCODING.rle],
      valueCount: rows,
      nullCount: 0,
      rawBytes: otlp.rawBytes,
      byteLength: otlp.byteLength,
      dictionaryOffset: undefined,
      dataOffset: offset,
      bounds: undefined,
      offsetIndex: undefined,
    };
    this.#columns.push({ schema: OTLP_COLUMN, chunk });
    this.#traceIndex = encodeTraceIndex(offset, otlp.pages);
  }

  /** Writes a finished column, which is then empty. */
  addColumn(column: Column): void {
    const { dictionaryPage } = column;
    const start = this.#position;
    let rawBytes = 0;
    const put = ({ header, body, rawLength }: EncodedPage): void => {
      rawBytes += header.length + rawLength;
      this.#put(header);
      this.#put(body);
    };
    if (dictionaryPage !== undefined) put(dictionaryPage);
    const dataOffset = this.#position;
    for (const page of column.pages) put(page);
    const chunk: ChunkMetadata = {
      encodings: [...column.encodings].sort((a, b) => a - b),
      valueCount: column.rowCount,
      nullCount: column.nullCount,
      rawBytes,
      byteLength: this.#position - start,
      dictionaryOffset: dictionaryPage === undefined ? undefined : start,
      dataOffset,
      bounds: column.bounds,
      offsetIndex: undefined,
    };
    this.#columns.push({ schema: column.schema, chunk });
    column.pages.length = 0;
  }

  /** Writes the rest of the file. */
  close(facts: BlockFacts, { plan, filter, resources, scopes }: PartSources): WrittenBlock {
    const traceIndex = this.#traceIndex;
    const resourcePart = encodeResources(resources, scopes);
    const attributes = encodePart(PART.attributes, encodeAttributes(plan), "zstd");
    const offsetIndex = this.#put(this.#offsetIndex);
    // The sink owns what it is given; the caller gets its own.
    const parts = {
      traceIndex: this.#putCopy(traceIndex),
      resources: this.#putCopy(resourcePart),
      filter: this.#putCopy(filter),
      attributes: this.#put(attributes),
    };
    const traceIdIndex = this.#columns.findIndex(({ schema }) => schema.name === "trace_id");
    const footer = encodeFileMetadata({
      rowCount: facts.spanCount,
      columns: this.#columns.map((column) =>
        column.schema === OTLP_COLUMN ? { ...column, chunk: { ...column.chunk, offsetIndex } } : column,
      ),
      sortedBy: traceIdIndex < 0 ? [] : [traceIdIndex],
      keyValues: new Map([[FACTS_KEY, encodeFacts(facts, parts)]]),
    });
    this.#put(footer);
    const end = new Uint8Array(8);
    new DataView(end.buffer).setUint32(0, footer.length, true);
    end.set(MAGIC, 4);
    this.#put(end);
    const { pageRows: _, ...known } = facts;
    const meta: BlockMeta = { version: 1, ...known, byteLength: this.#position };
    return { meta, traceIndex, filter, resources: resourcePart };
  }

  #putCopy(bytes: Uint8Array): { offset: number; length: number } {
    return this.#put(new Uint8Array(bytes));
  }
}
