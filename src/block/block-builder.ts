// Takes spans in row order and makes the file: otlp_span leaves at once, the other columns as compressed pages at the
// end. What feeds it (a flush, later a merge of blocks) decides the order; memory does not grow with the raw bytes.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { assert } from "../util/assert.ts";
import { buildFilter } from "./binary-fuse.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { ColumnPlan } from "./column-plan.ts";
import { FileWriter } from "./file-writer.ts";
import { lastOf, serviceNameOf } from "./json-values.ts";
import type { KeyTable } from "./key-table.ts";
import { COLUMN_PAGE_ROWS } from "./levels.ts";
import type { WrittenBlock } from "./meta.ts";
import { OTLP_COLUMN, OtlpPages } from "./otlp-pages.ts";
import type { Bounds } from "./parquet-metadata.ts";
import type { RowFacts } from "./row-facts.ts";
import { SpanColumns } from "./span-columns.ts";
import { OWNER_TAG } from "./tags.ts";
import { clampSigned, subtract, TimeBounds, toBigInt, type Words } from "./words.ts";

/** Bytes of spans in a column page: bounds what is held for one page of large attributes. */
const COLUMN_PAGE_SPAN_BYTES = 16 * 1024 * 1024;
/** Columns compressed between two pauses: some 5 ms. */
const COLUMNS_PER_PAUSE = 16;

const NO_BYTES: Uint8Array = new Uint8Array(0);

export interface BuilderOptions {
  readonly zstdLevel: number;
  readonly filterBits: 8 | 16;
  readonly arrivedMs: number;
  readonly replaces: readonly number[];
  readonly pause: () => Promise<void>;
}

export class BlockBuilder {
  readonly #file: FileWriter;
  readonly #options: BuilderOptions;
  readonly #plan: ColumnPlan;
  readonly #columns: SpanColumns;
  readonly #otlp: OtlpPages;
  readonly #traceIds = new ByteBuffer();
  readonly #resourceHeads: Uint8Array[] = [];
  readonly #scopeHeads: Uint8Array[] = [];
  readonly #serviceOfResource: number[] = [];
  readonly #duration: Words = { low: 0, high: 0 };
  readonly #startTime: Words = { low: 0, high: 0 };
  /** Of the times as sent, and of the columns' clamped values. */
  readonly #sent = new TimeBounds();
  readonly #starts = new TimeBounds();
  readonly #durations = new TimeBounds();
  readonly #pageRows: number[] = [];
  #rows = 0;
  #rowsInPage = 0;
  #bytesInPage = 0;
  #rawBytes = 0;
  #traceCount = 0;

  /** @param keys the table that `plan` was made from */
  constructor(sink: (bytes: Uint8Array) => void, plan: ColumnPlan, keys: KeyTable, options: BuilderOptions) {
    this.#file = new FileWriter(sink);
    this.#options = options;
    this.#plan = plan;
    this.#columns = new SpanColumns(plan, keys, options.zstdLevel);
    this.#otlp = new OtlpPages((bytes) => this.#file.write(bytes), this.#file.position, options.zstdLevel);
  }

  /** Adds a resource by its head (owner-table.ts). Returns its index in the block. */
  addResource(head: Uint8Array): number {
    const body = lastOf(head, OWNER_TAG) ?? NO_BYTES;
    const { service, resource } = this.#columns.fixed;
    resource.append(this.#columns.resourceJson(body));
    const name = serviceNameOf(body);
    this.#serviceOfResource.push(service.dictionary.intern(name, 0, name.length));
    return this.#resourceHeads.push(new Uint8Array(head)) - 1;
  }

  /** Adds a scope by its head. Returns its index in the block. */
  addScope(head: Uint8Array): number {
    this.#columns.fixed.scope.append(this.#columns.scopeJson(lastOf(head, OWNER_TAG) ?? NO_BYTES));
    return this.#scopeHeads.push(new Uint8Array(head)) - 1;
  }

  /** Begins the next trace, greater than the one before: its spans follow in pre-order. `traceId` is copied. */
  async beginTrace(traceId: Uint8Array, spanCount: number, spanBytes: number): Promise<void> {
    assert(traceId.length === TRACE_ID_BYTES, "a trace id has 16 bytes");
    if (this.#rowsInPage > 0 && this.#rowsInPage + spanCount > COLUMN_PAGE_ROWS) await this.#cut();
    const id = new Uint8Array(traceId);
    this.#otlp.beginTrace(id, spanCount, spanBytes);
    this.#columns.fixed.traceId.append(id);
    this.#traceIds.append(id, 0, TRACE_ID_BYTES);
    this.#traceCount++;
  }

  /** Whether the span of `byteLength` must wait for `cutPage`. */
  isPageFull(byteLength: number): boolean {
    return (
      this.#rowsInPage >= COLUMN_PAGE_ROWS ||
      (this.#rowsInPage > 0 && this.#bytesInPage + byteLength > COLUMN_PAGE_SPAN_BYTES)
    );
  }

  /** Compresses the columns' pages. */
  cutPage(): Promise<void> {
    return this.#cut();
  }

  async #cut(): Promise<void> {
    if (this.#rowsInPage === 0) return;
    for (const [number, column] of this.#columns.all.entries()) {
      if (number % COLUMNS_PER_PAUSE === 0) await this.#options.pause();
      column.cut(this.#rowsInPage);
    }
    this.#pageRows.push(this.#rowsInPage);
    this.#rowsInPage = 0;
    this.#bytesInPage = 0;
  }

  /** Adds the next span of the current trace; the page is not full. */
  addSpan(facts: RowFacts): void {
    const { bytes, start, end, resource, scope } = facts;
    const row = this.#rowsInPage++;
    this.#rows++;
    this.#bytesInPage += end - start;
    this.#rawBytes += end - start;
    this.#otlp.add(facts);
    this.#columns.add(row, bytes, start, end);
    const { fixed } = this.#columns;
    fixed.service.addCode(row, this.#serviceOfResource[resource] ?? 0);
    fixed.resource.addCode(row, resource);
    fixed.scope.addCode(row, scope);
    fixed.traceId.addCode(row, this.#traceCount - 1);
    fixed.parentDistance.add(row, facts.parentDistance, 0);
    fixed.spanId.addWords(row, facts.spanId.low, facts.spanId.high);
    const { low, high } = facts.parentId;
    if ((low | high) !== 0) fixed.parentId.addWords(row, low, high);
    this.#addTimes(row, facts);
  }

  #addTimes(row: number, { startTime, endTime }: RowFacts): void {
    const { fixed } = this.#columns;
    const start = this.#startTime;
    const duration = this.#duration;
    this.#sent.add(startTime);
    this.#sent.addMax(endTime);
    clampSigned(startTime, start);
    this.#starts.add(start);
    fixed.start.addWords(row, start.low, start.high);
    subtract(endTime, startTime, duration);
    clampSigned(duration, duration);
    this.#durations.add(duration);
    fixed.duration.addWords(row, duration.low, duration.high);
  }

  /** Ends the file. The builder is of no more use. */
  async finish(): Promise<WrittenBlock> {
    await this.#cut();
    this.#otlp.cut();
    const { all } = this.#columns;
    const traceIds = this.#traceIds.view();
    const firstTraceId = this.#traceIdAt(0);
    const lastTraceId = this.#traceIdAt(this.#traceCount - 1);
    if (this.#rows > 0) await this.#endGroup({ min: firstTraceId, max: lastTraceId });
    await this.#options.pause();
    const filter = buildFilter({ ids: traceIds }, this.#options.filterBits);
    await this.#options.pause();
    return this.#file.close(
      {
        rawBytes: this.#rawBytes,
        minStartNs: this.#rows === 0 ? 0n : toBigInt(this.#sent.min),
        maxEndNs: toBigInt(this.#sent.max),
        firstTraceId,
        lastTraceId,
        arrivedMs: this.#options.arrivedMs,
        replaces: this.#options.replaces,
      },
      { plan: this.#plan, filter, resources: this.#resourceHeads, scopes: this.#scopeHeads },
      [OTLP_COLUMN, ...all.map(({ schema }) => schema)],
    );
  }

  async #endGroup(traceIds: Bounds): Promise<void> {
    const { fixed, all } = this.#columns;
    fixed.start.bounds = this.#starts.encoded();
    fixed.duration.bounds = this.#durations.encoded();
    fixed.traceId.bounds = traceIds;
    this.#file.addOtlp(this.#otlp);
    for (const [number, column] of all.entries()) {
      if (number % COLUMNS_PER_PAUSE === 0) await this.#options.pause();
      column.finish();
      this.#file.addColumn(column);
    }
    this.#file.endGroup({
      spanCount: this.#rows,
      traceCount: this.#traceCount,
      pageRows: this.#pageRows,
    });
  }

  #traceIdAt(ordinal: number): Uint8Array {
    if (ordinal < 0 || this.#traceCount === 0) return new Uint8Array(TRACE_ID_BYTES);
    const at = ordinal * TRACE_ID_BYTES;
    return this.#traceIds.bytes.slice(at, at + TRACE_ID_BYTES);
  }
}
