// A row group of a block as a source of spans.
import type { BlockAttributes } from "../block/block-facts.ts";
import { ColumnChunk } from "../block/column-chunk.ts";
import type { ByteRange } from "../block/meta.ts";
import type { FileColumn, RowGroup } from "../block/parquet-metadata.ts";
import type { Block } from "../block/reader.ts";
import { checkAscending } from "../block/trace-ids.ts";
import {
  ATTRIBUTE_TYPES,
  attributeColumn,
  type AttributeKey,
  type AttributeType,
  type Column,
  type ColumnName,
  type Notes,
  type SourceBounds,
  type SpanColumn,
  type SpanSource,
  type TraceTable,
} from "../traceql/storage.ts";
import { AppError } from "../util/errors.ts";
import { mix32 } from "../util/hash.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import { coalesce } from "./coalesce.ts";
import { NotedColumn, notesOf } from "./noted-column.ts";
import { SparseColumn } from "./sparse-column.ts";

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

/** Rows are few when they are one in this many: fewer than pages, all of which they mostly lie in. */
const FEW_ROWS_ONE_IN = 32;

/**
 * Columns that would take a larger part of the cache are not kept: a query over all columns would push out whatever is
 * hot, and find nothing of its own the next time.
 */
const KEPT_PART = 1 / 2;

/** What is asked for together. */
export type ExpectedColumn = ColumnName | typeof TRACES;
/** What `traces` reads. */
export const TRACES = "traces";

/** The sources of a block's spans, in order of their trace ids. */
export function blockSources(block: ScannedBlock, reader: ChunkReader): BlockSource[] {
  return block.block.metadata.rowGroups.map((group, index) => new BlockSource(block, reader, group, index));
}

/** A block as a source needs it. */
export interface ScannedBlock {
  readonly block: Block;
  readonly attributes: BlockAttributes;
}

interface Wanted {
  readonly columns: readonly FileColumn[];
  /** Whether the cache is for them: of what was read for a few rows only these are kept. */
  readonly isKept: boolean;
  readonly resolve: (chunks: readonly ColumnChunk[]) => void;
  readonly reject: (reason: unknown) => void;
}

export class BlockSource implements SpanSource {
  readonly rowCount: number;
  readonly bounds: SourceBounds;
  readonly pageRows: Uint32Array;
  readonly columns: readonly (AttributeKey & { readonly type: AttributeType })[];
  readonly rest: readonly AttributeKey[];
  readonly notes: Notes | undefined;
  readonly #block: ScannedBlock;
  readonly #reader: ChunkReader;
  readonly #tracesKey: string;
  readonly #fileColumns: ReadonlyMap<string, FileColumn>;
  /** File names of the attributes' columns. */
  readonly #attributeNames: ReadonlyMap<ColumnName, string>;
  readonly #traceCount: number;
  #traces: Promise<TraceTable> | undefined;
  #wanted: Wanted[] = [];
  #expected: readonly ReadonlySet<FileColumn>[] = [];
  /** Read along, not yet asked for. */
  readonly #held = new Map<FileColumn, ColumnChunk>();
  readonly #inspected = new Set<FileColumn>();
  #readCount = 0;

  /** @throws AppError `corrupt` */
  constructor(block: ScannedBlock, reader: ChunkReader, group: RowGroup, index: number) {
    const facts = block.block.rowGroups[index];
    this.#block = block;
    this.#reader = reader;
    this.#tracesKey = `${reader.key}#${index}`;
    this.notes = reader.caches.notes && notesOf(reader.caches.notes, this.#tracesKey);
    this.rowCount = group.rowCount;
    this.#traceCount = facts?.traceCount ?? 0;
    this.pageRows = firstRows(facts?.pageRows ?? []);
    this.#fileColumns = new Map(group.columns.map((column) => [column.schema.name, column]));
    const columns = block.attributes.columns.flatMap(({ key, type, name }) => {
      const known = ATTRIBUTE_TYPES.find((candidate) => candidate === type);
      return known === undefined ? [] : [{ key, type: known, name }];
    });
    this.columns = columns;
    this.#attributeNames = new Map(columns.map(({ key, type, name }) => [attributeColumn(key, type), name]));
    this.rest = block.attributes.rest;
    this.bounds = this.#bounds();
  }

  /**
   * Says what will be asked for together, in one turn or one after the other: whoever needs a part of it reads all.
   * Columns that are not there, or in an earlier list, count for nothing.
   */
  expect(...together: readonly (readonly ExpectedColumn[])[]): void {
    const known = new Set<FileColumn>();
    this.#expected = together.map((names) => {
      const columns = names
        .flatMap((name) => this.#expectedColumn(name))
        .filter((column) => !known.has(column));
      for (const column of columns) known.add(column);
      return new Set(columns);
    });
  }

  /** Gives up what was read along. */
  release(): void {
    for (const { chunk } of this.#held.keys()) this.#reader.io.heldBytes -= chunk.byteLength;
    this.#held.clear();
    const { reread } = this.#reader;
    for (const column of this.#fileColumns.values()) reread?.delete(this.#cacheKey(column));
  }

  traces(): Promise<TraceTable> {
    if (this.#traces !== undefined) return this.#traces;
    const traces = this.#tracesOf(this.#fileColumn(TRACE_ID));
    this.#traces = traces;
    // What was not available may be so the next time.
    traces.catch(() => (this.#traces = undefined));
    return traces;
  }

  /** Columns that are asked for in the same turn share reads. */
  async load(names: readonly ColumnName[], rows?: Uint32Array): Promise<readonly Column[]> {
    const columns = names.map((name) => this.#fileColumn(this.#fileName(name)));
    const isFew = rows !== undefined && rows.length * FEW_ROWS_ONE_IN < this.rowCount;
    if (rows?.length === 0) return columns.map((column) => this.#withoutRows(column));
    if (isFew) return this.#loadRows(columns, rows);
    const { chunks: cache, notes } = this.#reader.caches;
    const byteLength = columns.reduce((sum, { chunk }) => sum + chunk.byteLength, 0);
    const chunks = await this.#fetch(columns, byteLength <= KEPT_PART * (cache?.maxBytes ?? 0));
    if (notes === undefined) return chunks;
    return chunks.map((chunk, i) => new NotedColumn(chunk, notes, this.#cacheKey(columns[i])));
  }

  /** What is kept of a column is kept under this. */
  #cacheKey(column: FileColumn | undefined): string {
    return `${this.#reader.key}@${column === undefined ? "" : rangeOf(column).offset}`;
  }

  async #loadRows(columns: readonly FileColumn[], rows: Uint32Array): Promise<readonly Column[]> {
    const { caches, reread } = this.#reader;
    const { sparse } = caches;
    if (sparse === undefined) return this.#fetch(columns, true);
    const name = `${this.#reader.key}:${hashOf(rows)}`;
    const keyOf = (column: FileColumn): string => `${name}@${rangeOf(column).offset}`;
    const found = new Map<FileColumn, SparseColumn>();
    for (const column of columns) {
      this.#inspect(column);
      const kept = sparse.get(keyOf(column));
      if (kept !== undefined && isEqual(kept.rows, rows)) found.set(column, kept);
    }
    const missing = columns.filter((column) => !found.has(column));
    // What comes counts as kept, so that what is kept of others does not come on top of it.
    const unread = missing.filter((column) => !this.#held.has(column) && !this.#isCached(column));
    reread?.makeRoom(unread.reduce((sum, { chunk }) => sum + chunk.byteLength, 0));
    const chunks = missing.length === 0 ? [] : await this.#fetch(missing, false);
    missing.forEach((column, i) => {
      const chunk = chunks[i];
      if (chunk === undefined) return;
      const picked = new SparseColumn(chunk, this.pageRows, rows);
      sparse.set(keyOf(column), picked);
      found.set(column, picked);
      if (caches.chunks?.has(this.#cacheKey(column)) !== true) reread?.set(this.#cacheKey(column), chunk);
    });
    return columns.flatMap((column) => found.get(column) ?? []);
  }

  #expectedColumn(name: ExpectedColumn): FileColumn[] {
    if (name === TRACES && this.#reader.caches.traces.get(this.#tracesKey) !== undefined) return [];
    const column = this.#fileColumns.get(name === TRACES ? TRACE_ID : this.#findFileName(name));
    return column === undefined ? [] : [column];
  }

  /** The table is kept rather than what it is made of. */
  async #tracesOf(column: FileColumn): Promise<TraceTable> {
    const { caches } = this.#reader;
    this.#inspect(column);
    const kept = caches.traces.get(this.#tracesKey);
    if (kept !== undefined) return kept;
    const table = await this.#readTraces(column);
    caches.traces.set(this.#tracesKey, table);
    return table;
  }

  #inspect(column: FileColumn): void {
    if (this.#inspected.has(column)) return;
    this.#inspected.add(column);
    this.#reader.io.inspectedBytes += column.chunk.byteLength;
  }

  /** It counts as looked at, but nothing of it is read, and what was read along is given up. */
  #withoutRows(column: FileColumn): Column {
    this.#inspect(column);
    if (this.#held.has(column)) this.#take(column);
    return new SparseColumn(new ColumnChunk(column.schema, NO_BYTES), this.pageRows, NO_ROWS);
  }

  #bounds(): SourceBounds {
    const { meta } = this.#block.block;
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

  #findFileName(name: ColumnName): string {
    return this.#attributeNames.get(name) ?? (isSpanColumn(name) ? FILE_NAMES[name] : "");
  }

  #fileName(name: ColumnName): string {
    const found = this.#findFileName(name);
    if (found === "") throw new AppError("not_found", `no column ${name}`);
    return found;
  }

  #fileColumn(name: string): FileColumn {
    const column = this.#fileColumns.get(name);
    if (column === undefined) throw this.#corrupt(`no column ${name}`);
    return column;
  }

  #chunkOf({ schema }: FileColumn, bytes: Uint8Array): ColumnChunk {
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

  async #readTraces(column: FileColumn): Promise<TraceTable> {
    const [chunk] = await this.#fetch([column], false);
    if (chunk === undefined) throw this.#corrupt("no trace ids");
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
  #fetch(columns: readonly FileColumn[], isKept: boolean): Promise<readonly ColumnChunk[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly ColumnChunk[]>();
    this.#wanted.push({ columns, isKept, resolve, reject });
    if (this.#wanted.length === 1) queueMicrotask(() => void this.#fetchWanted());
    return promise;
  }

  async #fetchWanted(): Promise<void> {
    const wanted = this.#wanted;
    this.#wanted = [];
    try {
      const chunks = await this.#read(new Set(wanted.flatMap(({ columns }) => columns)));
      for (const { columns, isKept, resolve } of wanted) {
        for (const column of columns) {
          this.#inspect(column);
          if (isKept) this.#keep(column, chunks.get(column));
        }
        resolve(columns.flatMap((column) => chunks.get(column) ?? []));
      }
    } catch (error) {
      for (const { reject } of wanted) reject(error);
    }
  }

  async #read(columns: ReadonlySet<FileColumn>): Promise<Map<FileColumn, ColumnChunk>> {
    const chunks = new Map<FileColumn, ColumnChunk>();
    const missing = new Set<FileColumn>();
    for (const column of columns) {
      const known = this.#take(column);
      if (known === undefined) missing.add(column);
      else chunks.set(column, known);
    }
    if (missing.size === 0) return chunks;
    const { io } = this.#reader;
    const along = this.#readAlong(missing, columns);
    // Counted before they are there: other sources decide meanwhile.
    const alongBytes = along.reduce((sum, { chunk }) => sum + chunk.byteLength, 0);
    io.heldBytes += alongBytes;
    try {
      for (const [column, chunk] of await this.#readMissing([...missing, ...along])) {
        if (columns.has(column)) chunks.set(column, chunk);
        else this.#hold(column, chunk);
      }
    } catch (error) {
      io.heldBytes -= alongBytes;
      throw error;
    }
    return chunks;
  }

  #take(column: FileColumn): ColumnChunk | undefined {
    const held = this.#held.get(column);
    if (held === undefined) return this.#cached(column);
    this.#held.delete(column);
    this.#reader.io.heldBytes -= column.chunk.byteLength;
    return held;
  }

  /** It is counted already, and another read may have brought it too. */
  #hold(column: FileColumn, chunk: ColumnChunk): void {
    if (this.#held.has(column) || this.#isTraces(column))
      this.#reader.io.heldBytes -= column.chunk.byteLength;
    else this.#held.set(column, chunk);
  }

  #keep(column: FileColumn, chunk: ColumnChunk | undefined): void {
    const { chunks } = this.#reader.caches;
    const key = this.#cacheKey(column);
    if (chunk === undefined || column.schema.name === TRACE_ID || chunks?.get(key) === chunk) return;
    chunks?.set(key, chunk);
  }

  #cached(column: FileColumn): ColumnChunk | undefined {
    const { caches, reread } = this.#reader;
    const key = this.#cacheKey(column);
    return caches.chunks?.get(key) ?? reread?.get(key);
  }

  /** A look that does not count as use: what is only expected would push out what is needed. */
  #isCached(column: FileColumn): boolean {
    const { caches, reread } = this.#reader;
    const key = this.#cacheKey(column);
    return caches.chunks?.has(key) === true || reread?.has(key) === true;
  }

  /**
   * What is expected together with some of the columns, and is neither at hand nor too much to be held.
   * @param wanted all that this read is for: some of it may have been held until now
   */
  #readAlong(missing: ReadonlySet<FileColumn>, wanted: ReadonlySet<FileColumn>): FileColumn[] {
    const { io, heldBytesMax } = this.#reader;
    const along = new Set<FileColumn>();
    let bytes = io.heldBytes;
    for (const together of this.#expected) {
      if (![...missing].some((column) => together.has(column))) continue;
      for (const column of together) {
        if (wanted.has(column) || along.has(column) || this.#held.has(column)) continue;
        if (this.#isCached(column) || this.#isTraces(column)) continue;
        bytes += column.chunk.byteLength;
        along.add(column);
      }
    }
    return bytes <= heldBytesMax ? [...along] : [];
  }

  /** Whether it is what the traces are made of, which are at hand or on their way. */
  #isTraces({ schema }: FileColumn): boolean {
    return schema.name === TRACE_ID && this.#traces !== undefined;
  }

  /** Requests one after another would take their time twice, and too many of them cost. */
  async #readMissing(columns: readonly FileColumn[]): Promise<Map<FileColumn, ColumnChunk>> {
    const reader = this.#reader;
    const missing = columns
      .map((column) => ({ column, range: rangeOf(column) }))
      .toSorted((a, b) => a.range.offset - b.range.offset);
    const reads = coalesce(
      missing.map(({ range }) => range),
      Math.max(1, reader.readsMax - this.#readCount - 1),
    );
    this.#readCount += reads.length;
    const chunks = new Map<FileColumn, ColumnChunk>();
    await Promise.all(
      reads.map(async (read) => {
        const end = read.offset + read.length;
        const within = missing.filter(({ range }) => range.offset >= read.offset && range.offset < end);
        const parts = await reader.readParts(
          read,
          within.map(({ range }) => range),
        );
        within.forEach(({ column, range }, i) => {
          const bytes = parts[i];
          if (bytes?.length !== range.length)
            throw this.#corrupt(`column ${column.schema.name} is cut short`);
          chunks.set(column, this.#chunkOf(column, bytes));
        });
      }),
    );
    return chunks;
  }

  #corrupt(what: string): AppError {
    return new AppError("corrupt", `block ${this.#reader.key}: ${what}`);
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_ROWS = new Uint32Array(0);
const INT64_MAX = 2n ** 63n - 1n;

function hashOf(rows: Uint32Array): number {
  let hash = rows.length;
  for (const row of rows) hash = mix32(hash ^ row);
  return hash;
}

function isEqual(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((row, i) => row === b[i]);
}

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
