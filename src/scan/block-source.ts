// A row group of a block as a source of spans.
import type { BlockAttributes } from "../block/block-facts.ts";
import { ColumnChunk } from "../block/column-chunk.ts";
import type { ByteRange } from "../block/meta.ts";
import type { FileColumn, RowGroup } from "../block/parquet-metadata.ts";
import { type RangeSource, readRange } from "../block/range-source.ts";
import type { Block } from "../block/reader.ts";
import { checkAscending } from "../block/trace-ids.ts";
import {
  ATTRIBUTE_TYPES,
  attributeColumn,
  type AttributeKey,
  type AttributeType,
  type Column,
  type ColumnName,
  type SourceBounds,
  type SpanColumn,
  type SpanSource,
  type TraceTable,
} from "../traceql/storage.ts";
import { AppError } from "../util/errors.ts";
import type { ChunkCache } from "./chunk-cache.ts";
import { coalesce } from "./coalesce.ts";

/** The file's names of the columns that every source has. */
const FILE_NAMES: Readonly<Record<SpanColumn, string>> = {
  name: "name",
  kind: "kind",
  status: "status_code",
  statusMessage: "status_message",
  start: "start_time_unix_nano",
  duration: "duration_nano",
  parentDistance: "parent_row_distance",
  spanId: "span_id",
  parentSpanId: "parent_span_id",
  resource: "resource",
  scope: "scope",
  events: "events",
  links: "links",
  rest: "attributes_rest",
};
const TRACE_ID = "trace_id";
const ID_BYTES = 16;

/** Reads for one batch of columns: with that of the footer and that of what is shown of the hits, three a query. */
const READS_PER_BATCH = 1;

/** What the row groups of a block share. */
export interface OpenBlock {
  /** The object's key: what chunks are cached under. */
  readonly key: string;
  readonly block: Block;
  readonly attributes: BlockAttributes;
  readonly source: RangeSource;
  readonly cache: ChunkCache;
}

/** The sources of a block's spans, in order of their trace ids. */
export function blockSources(open: OpenBlock): BlockSource[] {
  return open.block.metadata.rowGroups.map((group, index) => new BlockSource(open, group, index));
}

interface Wanted {
  readonly columns: readonly FileColumn[];
  readonly resolve: (chunks: Uint8Array[]) => void;
  readonly reject: (reason: unknown) => void;
}

export class BlockSource implements SpanSource {
  readonly rowCount: number;
  readonly bounds: SourceBounds;
  readonly pageRows: Uint32Array;
  readonly columns: readonly (AttributeKey & { readonly type: AttributeType })[];
  readonly rest: readonly AttributeKey[];
  readonly #open: OpenBlock;
  readonly #fileColumns: ReadonlyMap<string, FileColumn>;
  /** File names of the attributes' columns. */
  readonly #attributeNames: ReadonlyMap<ColumnName, string>;
  readonly #traceCount: number;
  #traces: Promise<TraceTable> | undefined;
  #wanted: Wanted[] = [];

  /** @throws AppError `corrupt` */
  constructor(open: OpenBlock, group: RowGroup, index: number) {
    const facts = open.block.rowGroups[index];
    this.#open = open;
    this.rowCount = group.rowCount;
    this.#traceCount = facts?.traceCount ?? 0;
    this.pageRows = firstRows(facts?.pageRows ?? []);
    this.#fileColumns = new Map(group.columns.map((column) => [column.schema.name, column]));
    const columns = open.attributes.columns.flatMap(({ key, type, name }) => {
      const known = ATTRIBUTE_TYPES.find((candidate) => candidate === type);
      return known === undefined ? [] : [{ key, type: known, name }];
    });
    this.columns = columns;
    this.#attributeNames = new Map(columns.map(({ key, type, name }) => [attributeColumn(key, type), name]));
    this.rest = open.attributes.rest;
    this.bounds = this.#bounds();
  }

  traces(): Promise<TraceTable> {
    if (this.#traces !== undefined) return this.#traces;
    const traces = this.#readTraces();
    this.#traces = traces;
    // What was not available may be so the next time.
    traces.catch(() => (this.#traces = undefined));
    return traces;
  }

  /** Columns that are asked for in the same turn share reads. */
  async load(names: readonly ColumnName[]): Promise<readonly Column[]> {
    const columns = names.map((name) => this.#fileColumn(this.#fileName(name)));
    const chunks = await this.#fetch(columns);
    return columns.map((column, i) => this.#decode(column, chunks[i]));
  }

  #bounds(): SourceBounds {
    const { meta } = this.#open.block;
    const start = this.#fileColumn(FILE_NAMES.start).chunk.bounds;
    const duration = this.#fileColumn(FILE_NAMES.duration).chunk.bounds;
    return {
      minStartNs: int64(start?.min) ?? meta.minStartNs,
      maxStartNs: int64(start?.max) ?? meta.maxEndNs,
      maxEndNs: meta.maxEndNs,
      minDurationNs: int64(duration?.min) ?? 0n,
      maxDurationNs: int64(duration?.max) ?? INT64_MAX,
    };
  }

  #fileName(name: ColumnName): string {
    const attribute = this.#attributeNames.get(name);
    if (attribute !== undefined) return attribute;
    if (isSpanColumn(name)) return FILE_NAMES[name];
    throw new AppError("not_found", `no column ${name}`);
  }

  #fileColumn(name: string): FileColumn {
    const column = this.#fileColumns.get(name);
    if (column === undefined) throw this.#corrupt(`no column ${name}`);
    return column;
  }

  #decode({ schema }: FileColumn, bytes: Uint8Array | undefined): ColumnChunk {
    if (bytes === undefined) throw this.#corrupt(`column ${schema.name} was not read`);
    const chunk = new ColumnChunk(schema, bytes);
    const isSplitAlike =
      chunk.rowCount === this.rowCount &&
      chunk.pageCount === this.pageRows.length - 1 &&
      this.pageRows.every(
        (row, page) => page === 0 || row === (this.pageRows[page - 1] ?? 0) + chunk.rowsOf(page - 1),
      );
    if (!isSplitAlike) throw this.#corrupt(`pages of column ${schema.name}`);
    return chunk;
  }

  async #readTraces(): Promise<TraceTable> {
    const column = this.#fileColumn(TRACE_ID);
    const [bytes] = await this.#fetch([column]);
    const chunk = this.#decode(column, bytes);
    const { dictionary } = chunk;
    if (
      dictionary?.kind !== "fixed" ||
      dictionary.width !== ID_BYTES ||
      dictionary.count !== this.#traceCount
    ) {
      throw this.#corrupt("trace ids");
    }
    checkAscending(dictionary.bytes);
    return { ids: dictionary.bytes, firstRows: this.#firstRowsOf(chunk) };
  }

  /** Codes of the column count the traces up: row by row the same or the next. */
  #firstRowsOf(chunk: ColumnChunk): Uint32Array {
    const rows = new Uint32Array(this.#traceCount + 1);
    let trace = -1;
    for (let index = 0; index < chunk.pageCount; index++) {
      const { content, firstRow } = chunk.page(index);
      if (content.kind !== "codes") throw this.#corrupt("trace ids without codes");
      const { codes } = content;
      for (let i = 0; i < codes.length; i++) {
        const code = codes[i] ?? 0;
        if (code === trace) continue;
        if (code !== trace + 1) throw this.#corrupt("traces out of order");
        trace = code;
        rows[trace] = firstRow + i;
      }
    }
    if (trace !== this.#traceCount - 1) throw this.#corrupt("traces are missing");
    rows[this.#traceCount] = this.rowCount;
    return rows;
  }

  /** The bytes of the columns' chunks: from the cache, otherwise with what else is asked for in this turn. */
  #fetch(columns: readonly FileColumn[]): Promise<Uint8Array[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array[]>();
    this.#wanted.push({ columns, resolve, reject });
    if (this.#wanted.length === 1) queueMicrotask(() => void this.#fetchWanted());
    return promise;
  }

  async #fetchWanted(): Promise<void> {
    const wanted = this.#wanted;
    this.#wanted = [];
    try {
      const chunks = await this.#read(new Set(wanted.flatMap(({ columns }) => columns)));
      for (const { columns, resolve } of wanted) {
        resolve(columns.map((column) => chunks.get(column) ?? new Uint8Array(0)));
      }
    } catch (error) {
      for (const { reject } of wanted) reject(error);
    }
  }

  async #read(columns: ReadonlySet<FileColumn>): Promise<Map<FileColumn, Uint8Array>> {
    const { key, cache, source } = this.#open;
    const chunks = new Map<FileColumn, Uint8Array>();
    const missing: { column: FileColumn; range: ByteRange }[] = [];
    for (const column of columns) {
      const range = rangeOf(column);
      const cached = cache.get(`${key}@${range.offset}`);
      if (cached === undefined) missing.push({ column, range });
      else chunks.set(column, cached);
    }
    const reads = coalesce(
      missing.map(({ range }) => range),
      READS_PER_BATCH,
    );
    for (const read of reads) {
      const bytes = await readRange(source, read);
      for (const { column, range } of missing) {
        const at = range.offset - read.offset;
        if (at < 0 || at + range.length > read.length) continue;
        const chunk = new Uint8Array(bytes.subarray(at, at + range.length));
        cache.set(`${key}@${range.offset}`, chunk);
        chunks.set(column, chunk);
      }
    }
    return chunks;
  }

  #corrupt(what: string): AppError {
    return new AppError("corrupt", `block ${this.#open.key}: ${what}`);
  }
}

const INT64_MAX = 2n ** 63n - 1n;

function isSpanColumn(name: ColumnName): name is SpanColumn {
  return Object.hasOwn(FILE_NAMES, name);
}

/** The chunk: its dictionary, if any, comes first. */
function rangeOf({ chunk }: FileColumn): ByteRange {
  return { offset: chunk.dictionaryOffset ?? chunk.dataOffset, length: chunk.byteLength };
}

function int64(bytes: Uint8Array | undefined): bigint | undefined {
  if (bytes?.length !== 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true);
}

/** First row of each page, then the number of rows. */
function firstRows(pageRows: readonly number[]): Uint32Array {
  const rows = new Uint32Array(pageRows.length + 1);
  pageRows.forEach((count, page) => (rows[page + 1] = (rows[page] ?? 0) + count));
  return rows;
}
