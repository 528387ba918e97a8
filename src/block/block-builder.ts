// Takes spans in row order and makes a file: of each row group otlp_span leaves at once, the other columns as compressed
// pages at the end. Memory does not grow with the raw bytes.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { type FilterBits, filterSteps } from "./binary-fuse.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { ColumnPlan } from "./column-plan.ts";
import { FileWriter } from "./file-writer.ts";
import { type GroupContext, GroupRows } from "./group-rows.ts";
import { OTLP_COLUMN } from "./otlp-pages.ts";
import type { KeyTable } from "./key-table.ts";
import type { WrittenBlock } from "./meta.ts";
import type { RowFacts } from "./row-facts.ts";
import { SpanColumns } from "./span-columns.ts";
import { COST_US } from "./stretches.ts";
import { TimeBounds, toBigInt } from "./words.ts";

export interface BuilderOptions extends GroupContext {
  readonly filterBits: FilterBits;
  readonly arrivedMs: number;
  /** Ids of the blocks that the spans come from; of a flush none. */
  readonly replaces: readonly number[];
}

export class BlockBuilder {
  readonly #file: FileWriter;
  readonly #options: BuilderOptions;
  readonly #plan: ColumnPlan;
  readonly #keys: KeyTable;
  /** Of the row group that is being filled. */
  #columns: SpanColumns;
  #rows: GroupRows;
  readonly #traceIds = new ByteBuffer();
  readonly #resources: Uint8Array[] = [];
  readonly #scopes: Uint8Array[] = [];
  /** Of the times as sent. */
  readonly #sent = new TimeBounds();
  #rawBytes = 0;

  /** @param keys the table that `plan` was made from */
  constructor(sink: (bytes: Uint8Array) => void, plan: ColumnPlan, keys: KeyTable, options: BuilderOptions) {
    this.#file = new FileWriter(sink, options.isColumnsOnly === true ? [] : [OTLP_COLUMN]);
    this.#options = options;
    this.#plan = plan;
    this.#keys = keys;
    this.#columns = new SpanColumns(plan, keys, options.zstdLevel);
    this.#rows = new GroupRows(this.#file, this.#columns, this.#columns.all, options);
  }

  /** Spans of the row group that is being filled. */
  get groupSpans(): number {
    return this.#rows.rowCount;
  }

  /** Adds a resource by its head (owner-table.ts). Returns its index in the block. */
  addResource(head: Uint8Array): number {
    this.#rows.addResource(head);
    return this.#resources.push(new Uint8Array(head)) - 1;
  }

  /** Adds a scope by its head. Returns its index in the block. */
  addScope(head: Uint8Array): number {
    this.#rows.addScope(head);
    return this.#scopes.push(new Uint8Array(head)) - 1;
  }

  /**
   * Whether the next trace must wait for `makeTraceRoom`.
   * @param spanBytes of all its spans
   */
  isTraceFull(spanCount: number, spanBytes: number): boolean {
    return this.#rows.isTraceFull(spanCount, spanBytes);
  }

  /** Ends the pages that the trace does not fit. */
  makeTraceRoom(spanCount: number, spanBytes: number): Promise<void> {
    return this.#rows.makeTraceRoom(spanCount, spanBytes);
  }

  /**
   * Begins the next trace, greater than the one before: its spans follow in pre-order. There is room for it. `traceId` is
   * copied.
   */
  beginTrace(traceId: Uint8Array): void {
    const id = new Uint8Array(traceId);
    this.#rows.beginTrace(id);
    this.#traceIds.append(id, 0, TRACE_ID_BYTES);
  }

  /** Whether the span of `byteLength` must wait for `makeRoom`. */
  isFull(byteLength: number): boolean {
    return this.#rows.isFull(byteLength);
  }

  /** Ends the pages that the span does not fit. */
  makeRoom(byteLength: number): Promise<void> {
    return this.#rows.makeRoom(byteLength);
  }

  /** Adds the next span of the current trace; there is room. */
  addSpan(facts: RowFacts): void {
    this.#columns.add(this.#rows.add(facts), facts);
    this.#sent.add(facts.startTime);
    this.#sent.addMax(facts.endTime);
  }

  /** Ends the row group, which has spans, and begins the next. Not within a trace. */
  async endGroup(): Promise<void> {
    await this.#writeGroup();
    this.#columns = new SpanColumns(this.#plan, this.#keys, this.#options.zstdLevel);
    this.#rows = new GroupRows(this.#file, this.#columns, this.#columns.all, this.#options);
    const { stretches } = this.#options;
    for (const head of this.#resources) {
      await stretches.before(COST_US.span);
      this.#rows.addResource(head);
    }
    for (const head of this.#scopes) {
      await stretches.before(COST_US.span);
      this.#rows.addScope(head);
    }
  }

  /** Ends the file. The builder is of no more use. */
  async finish(): Promise<WrittenBlock> {
    const { stretches, filterBits, arrivedMs, replaces, isColumnsOnly } = this.#options;
    if (this.#rows.rowCount > 0) await this.#writeGroup();
    await stretches.rest();
    const ids = this.#traceIds.view();
    const filter =
      isColumnsOnly === true ? new Uint8Array(0) : await stretches.run(filterSteps({ ids }, filterBits));
    await stretches.rest();
    return this.#file.close(
      {
        rawBytes: this.#rawBytes,
        minStartNs: ids.length === 0 ? 0n : toBigInt(this.#sent.min),
        maxEndNs: toBigInt(this.#sent.max),
        arrivedMs,
        replaces,
      },
      { plan: this.#plan, traceIds: ids, filter, resources: this.#resources, scopes: this.#scopes },
      this.#columns.all.map(({ schema }) => schema),
    );
  }

  async #writeGroup(): Promise<void> {
    const facts = await this.#rows.finish();
    this.#rawBytes += this.#rows.rawBytes;
    const { stretches } = this.#options;
    for (const column of this.#columns.all) {
      await stretches.before(0);
      stretches.did(column.finish() * COST_US.compressPerByte);
      this.#file.addColumn(column);
    }
    this.#file.endGroup(facts);
  }
}
