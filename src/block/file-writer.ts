// A block's file, front to back: row groups, offset indexes, private parts, footer.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import {
  encodeAttributes,
  encodeFacts,
  FACTS_KEY,
  metaOf,
  type NewBlockFacts,
  type RowGroupFacts,
} from "./block-facts.ts";
import type { ColumnPlan } from "./column-plan.ts";
import type { Column } from "./column.ts";
import { TRACE_ID_COLUMN } from "./fixed-columns.ts";
import type { ByteRange, WrittenBlock } from "./meta.ts";
import { OTLP_COLUMN, type OtlpPages } from "./otlp-pages.ts";
import type { EncodedPage } from "./page.ts";
import {
  type ChunkMetadata,
  encodeFileMetadata,
  encodeOffsetIndex,
  type FileColumn,
  MAGIC,
  type PageLocation,
  type RowGroup,
} from "./parquet-metadata.ts";
import { type ColumnSchema, ENCODING } from "./parquet-schema.ts";
import { encodePart, PART } from "./part.ts";
import { encodeResources } from "./resource-table.ts";
import { encodeTraceIndex, type TracePageRun } from "./trace-index.ts";

export interface PartSources {
  readonly plan: ColumnPlan;
  /** All trace ids, 16 bytes each, ascending. */
  readonly traceIds: Uint8Array;
  readonly filter: Uint8Array;
  readonly resources: readonly Uint8Array[];
  readonly scopes: readonly Uint8Array[];
}

/** What the file knows of itself is left out. */
export type KnownFacts = Pick<
  NewBlockFacts,
  "rawBytes" | "minStartNs" | "maxEndNs" | "arrivedMs" | "replaces"
>;

export class FileWriter {
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #leading: readonly ColumnSchema[];
  #columns: FileColumn[] = [];
  readonly #rowGroups: RowGroup[] = [];
  readonly #groupFacts: RowGroupFacts[] = [];
  readonly #pages: (TracePageRun & { readonly pages: readonly PageLocation[] })[] = [];
  #position = 0;

  /**
   * @param sink takes the bytes in order and owns them
   * @param leading the column before those that `close` is told of, if any: otlp_span
   */
  constructor(sink: (bytes: Uint8Array) => void, leading: readonly ColumnSchema[]) {
    this.#sink = sink;
    this.#leading = leading;
    this.write(new Uint8Array(MAGIC));
  }

  /** Bytes of the file so far. */
  get position(): number {
    return this.#position;
  }

  write(bytes: Uint8Array): void {
    this.#position += bytes.length;
    this.#sink(bytes);
  }

  #put(bytes: Uint8Array): ByteRange {
    const offset = this.#position;
    this.write(bytes);
    return { offset, length: bytes.length };
  }

  /** Notes the first column of a row group, which is in the file already. */
  addOtlp({ pages, rawBytes, byteLength }: OtlpPages): void {
    const offset = pages[0]?.offset ?? this.#position;
    let rows = 0;
    for (const page of pages) rows += page.rowCount;
    const chunk: ChunkMetadata = {
      encodings: [ENCODING.plain, ENCODING.rle],
      valueCount: rows,
      nullCount: 0,
      rawBytes,
      byteLength,
      dictionaryOffset: undefined,
      dataOffset: offset,
      bounds: undefined,
      offsetIndex: undefined,
    };
    this.#columns.push({ schema: OTLP_COLUMN, chunk });
    this.#pages.push({ offset, pages });
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

  /** Ends the row group, whose columns were all added. */
  endGroup(facts: RowGroupFacts): void {
    this.#rowGroups.push({ rowCount: facts.spanCount, columns: this.#columns });
    this.#groupFacts.push(facts);
    this.#columns = [];
  }

  /**
   * Writes the rest of the file.
   * @param others columns of the file but for the leading one, which also one without row groups has
   */
  close(known: KnownFacts, sources: PartSources, others: readonly ColumnSchema[]): WrittenBlock {
    const columns = [...this.#leading, ...others];
    const traceIndex = encodeTraceIndex(this.#pages);
    const resources = encodeResources(sources.resources, sources.scopes);
    const attributes = encodePart(PART.attributes, encodeAttributes(sources.plan), "zstd");
    const rowGroups = this.#rowGroups.map((group, index) => this.#withOffsetIndex(group, index));
    // The sink owns what it is given; the caller gets its own.
    const parts = {
      traceIndex: this.#put(new Uint8Array(traceIndex)),
      resources: this.#put(new Uint8Array(resources)),
      filter: this.#put(new Uint8Array(sources.filter)),
      attributes: this.#put(attributes),
    };
    let spanCount = 0;
    let traceCount = 0;
    for (const group of this.#groupFacts) {
      spanCount += group.spanCount;
      traceCount += group.traceCount;
    }
    const { traceIds } = sources;
    const firstTraceId = new Uint8Array(TRACE_ID_BYTES);
    const lastTraceId = new Uint8Array(TRACE_ID_BYTES);
    firstTraceId.set(traceIds.subarray(0, TRACE_ID_BYTES));
    lastTraceId.set(traceIds.subarray(-TRACE_ID_BYTES));
    const rowGroupFacts = { spanCount, traceCount, firstTraceId, lastTraceId, rowGroups: this.#groupFacts };
    const facts: NewBlockFacts = { ...known, ...rowGroupFacts };
    const footer = encodeFileMetadata(
      {
        rowCount: spanCount,
        rowGroups,
        sortedBy: [columns.findIndex(({ name }) => name === TRACE_ID_COLUMN)],
        keyValues: new Map([[FACTS_KEY, encodeFacts(facts, parts)]]),
      },
      columns,
    );
    this.write(footer);
    const end = new Uint8Array(8);
    new DataView(end.buffer).setUint32(0, footer.length, true);
    end.set(MAGIC, 4);
    this.write(end);
    return { meta: metaOf(facts, this.#position), traceIndex, filter: sources.filter, resources };
  }

  #withOffsetIndex({ rowCount, columns }: RowGroup, group: number): RowGroup {
    const offsetIndex = this.#put(encodeOffsetIndex(this.#pages[group]?.pages ?? []));
    return {
      rowCount,
      columns: columns.map((column) =>
        column.schema === OTLP_COLUMN ? { ...column, chunk: { ...column.chunk, offsetIndex } } : column,
      ),
    };
  }
}
