// A block that is merged: its spans one by one in row order, a page in memory at a time.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError, isAppError } from "../util/errors.ts";
import type { AttributeType } from "./column-plan.ts";
import { wordAt } from "./byte-buffer.ts";
import { decodePageBody, decodePageHeader } from "./page.ts";
import type { FileColumn } from "./parquet-metadata.ts";
import { ENCODING } from "./parquet-schema.ts";
import { type RangeSource, readRange } from "./range-source.ts";
import { type Block, openBlock } from "./reader.ts";
import { ResourceTable } from "./resource-table.ts";
import { ENTRY_WORDS, SpanScanner, WORDS } from "./span-scanner.ts";
import { readSuffix, SUFFIX_BYTES } from "./suffix.ts";
import { compareTraceIds } from "./trace-ids.ts";
import { TraceIndex } from "./trace-index.ts";

/** Bytes before a PLAIN value. */
const LENGTH_BYTES = 4;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** How often a key has a type on the spans of a block. */
export interface AttributeCount {
  readonly key: string;
  readonly type: AttributeType;
  readonly count: number;
}

interface StoredPage {
  readonly offset: number;
  readonly byteLength: number;
  readonly rowCount: number;
}

export class MergeInput {
  readonly owners: ResourceTable;
  readonly attributes: readonly AttributeCount[];
  readonly spanCount: number;
  readonly #source: RangeSource;
  readonly #pages: readonly StoredPage[];
  readonly #scanner = new SpanScanner(undefined);
  #nextPage = 0;
  #rowsLeft = 0;
  /** Trace of the current span: in `page` at `#idAt`, and the one before. */
  #idAt = 0;
  #lastId: Uint8Array = NO_BYTES;
  /** Whether there is a current span. */
  isAtSpan = false;
  /** The page that holds the current span; every page has a buffer of its own. */
  page: Uint8Array = NO_BYTES;
  /** What orders the current span, as in a SpanIndex. */
  readonly entry = new Uint32Array(ENTRY_WORDS);
  /** The current span as it was sent is [start, end) of `page`. */
  start = 0;
  end = 0;
  /** Numbers in `owners`. */
  resource = 0;
  scope = 0;

  private constructor(
    source: RangeSource,
    block: Block,
    parts: {
      readonly owners: ResourceTable;
      readonly pages: readonly StoredPage[];
      readonly attributes: readonly AttributeCount[];
    },
  ) {
    this.#source = source;
    this.spanCount = block.meta.spanCount;
    this.owners = parts.owners;
    this.attributes = parts.attributes;
    this.#pages = parts.pages;
  }

  /** Opens the block at its first span. @throws AppError `corrupt`; what `source` throws */
  static async open(source: RangeSource): Promise<MergeInput> {
    const block = await openBlock(source);
    const { traceIndex, resources } = await block.written();
    const pages = new TraceIndex(traceIndex).pageRuns().flat();
    let rows = 0;
    for (const { rowCount } of pages) rows += rowCount;
    if (rows !== block.meta.spanCount) throw corrupt(`${rows} rows in pages of ${block.meta.spanCount}`);
    const owners = new ResourceTable(resources);
    const input = new MergeInput(source, block, { owners, pages, attributes: await countsOf(block) });
    await input.advance();
    return input;
  }

  /** Steps to the next span within the page; false: `advance` must be awaited. @throws AppError `corrupt` */
  step(): boolean {
    if (this.#rowsLeft === 0) return false;
    this.#rowsLeft--;
    this.#enterSpan(this.isAtSpan ? this.end + SUFFIX_BYTES : 0);
    return true;
  }

  /** Steps to the next span, in the next page if need be. @throws AppError `corrupt`; what the source throws */
  async advance(): Promise<void> {
    if (this.step()) return;
    if (this.isAtSpan && this.end + SUFFIX_BYTES !== this.page.length)
      throw corrupt("page: rows are missing");
    this.#lastId = this.isAtSpan ? this.traceId() : this.#lastId;
    this.isAtSpan = false;
    const page = this.#pages[this.#nextPage++];
    if (page === undefined) return;
    const bytes = await readRange(this.#source, { offset: page.offset, length: page.byteLength });
    const { header, bodyAt } = decodePageHeader(bytes, 0);
    if (header.kind !== "data" || header.encoding !== ENCODING.plain || header.valueCount !== page.rowCount) {
      throw corrupt("page: not of otlp_span");
    }
    this.page = decodePageBody(header, bytes.subarray(bodyAt), "zstd");
    this.#rowsLeft = page.rowCount;
    if (!this.step()) throw corrupt("page: without rows");
  }

  /** Order of the current span's trace against that of `other`: negative, 0 or positive. */
  compare(other: MergeInput): number {
    return compareTraceIds(this.page, this.#idAt, other.page, other.#idAt);
  }

  /** Whether the current span is of the trace. */
  isOf(traceId: Uint8Array): boolean {
    return this.isAtSpan && compareTraceIds(this.page, this.#idAt, traceId, 0) === 0;
  }

  /** A copy of the current span's trace id. */
  traceId(): Uint8Array {
    return this.page.slice(this.#idAt, this.#idAt + TRACE_ID_BYTES);
  }

  #enterSpan(at: number): void {
    const { page } = this;
    if (page.length - at < LENGTH_BYTES) throw corrupt("page: a length is cut short");
    const start = at + LENGTH_BYTES;
    const end = start + wordAt(page, at);
    if (end > page.length || end - start < SUFFIX_BYTES) throw corrupt("page: a span's length");
    const { resource, scope } = readSuffix(page, end);
    this.resource = resource;
    this.scope = scope;
    this.start = start;
    this.end = end - SUFFIX_BYTES;
    const idAt = this.#scan();
    if (this.isAtSpan ? compareTraceIds(page, this.#idAt, page, idAt) > 0 : this.#isBeforeLast(idAt)) {
      throw corrupt("traces out of order");
    }
    this.#idAt = idAt;
    this.isAtSpan = true;
  }

  #isBeforeLast(idAt: number): boolean {
    return this.#lastId.length > 0 && compareTraceIds(this.#lastId, 0, this.page, idAt) > 0;
  }

  /** Reads what orders the span. Returns where its trace id is. */
  #scan(): number {
    const { entry, start, end } = this;
    entry.fill(0);
    entry[WORDS.start] = start;
    entry[WORDS.end] = end;
    try {
      this.#scanner.read(this.page, entry, 0);
    } catch (error) {
      if (!isAppError(error)) throw error;
      throw corrupt(error.message);
    }
    return this.#scanner.traceAt;
  }
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", what);
}

/** Version 1 did not count the values in columns: there they are the rows that are not null. */
async function countsOf(block: Block): Promise<AttributeCount[]> {
  const { columns, rest } = await block.attributes();
  const groups = block.metadata.rowGroups.map(
    (group) => new Map(group.columns.map((column): [string, FileColumn] => [column.schema.name, column])),
  );
  const valuesIn = (name: string): number => {
    let values = 0;
    for (const group of groups) {
      const chunk = group.get(name)?.chunk;
      values += chunk === undefined ? 0 : chunk.valueCount - chunk.nullCount;
    }
    return values;
  };
  return [
    ...columns.map(({ key, type, name, count }) => ({ key, type, count: count ?? valuesIn(name) })),
    ...rest,
  ];
}
