// The rows of one row group as they come: whole spans leave for the file, trace and owners go to their columns, and the
// ends of the column pages are decided. The other columns are filled by whoever knows their values, now or later.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { assert } from "../util/assert.ts";
import type { RowGroupFacts } from "./block-facts.ts";
import type { Column } from "./column.ts";
import type { FileWriter } from "./file-writer.ts";
import { lastOf, serviceNameOf } from "./json-values.ts";
import { COLUMN_PAGE_ROWS } from "./levels.ts";
import { OtlpPages } from "./otlp-pages.ts";
import type { OwnedSpan } from "./row-facts.ts";
import type { SpanColumns } from "./span-columns.ts";
import { COST_US, type Stretches } from "./stretches.ts";
import { OWNER_TAG } from "./tags.ts";

/** Bytes of spans in a column page: bounds what is held for one page of large attributes. */
const COLUMN_PAGE_SPAN_BYTES = 16 * 1024 * 1024;
const NO_BYTES: Uint8Array = new Uint8Array(0);

export interface GroupContext {
  /** 0: columns are not compressed. */
  readonly zstdLevel: number;
  /** Bytes before compression at which a page of otlp_span ends. */
  readonly otlpPageBytes: number;
  /** Without otlp_span. */
  readonly isColumnsOnly?: boolean;
  readonly stretches: Stretches;
}

export class GroupRows {
  readonly #columns: SpanColumns;
  readonly #filled: readonly Column[];
  readonly #otlp: OtlpPages | undefined;
  readonly #file: FileWriter;
  readonly #stretches: Stretches;
  readonly #serviceOfResource: number[] = [];
  readonly #pageRows: number[] = [];
  #firstTraceId = NO_BYTES;
  #lastTraceId = NO_BYTES;
  #rowsInPage = 0;
  #bytesInPage = 0;
  #traceCount = 0;
  rowCount = 0;
  /** Bytes of the spans as sent. */
  rawBytes = 0;

  /** @param filled the columns that are filled row by row, so that their pages end when a page does */
  constructor(file: FileWriter, columns: SpanColumns, filled: readonly Column[], context: GroupContext) {
    this.#columns = columns;
    this.#filled = filled;
    this.#file = file;
    this.#stretches = context.stretches;
    if (context.isColumnsOnly !== true) {
      this.#otlp = new OtlpPages((bytes) => file.write(bytes), file.position, context);
    }
  }

  /** Adds a resource of the file by its head (owner-table.ts), in the order of their indexes. */
  addResource(head: Uint8Array): void {
    const body = lastOf(head, OWNER_TAG) ?? NO_BYTES;
    const { service, resource } = this.#columns.fixed;
    resource.append(this.#columns.resourceJson(body));
    const name = serviceNameOf(body);
    this.#serviceOfResource.push(service.dictionary.intern(name, 0, name.length));
  }

  /** Adds a scope of the file by its head. */
  addScope(head: Uint8Array): void {
    this.#columns.fixed.scope.append(this.#columns.scopeJson(lastOf(head, OWNER_TAG) ?? NO_BYTES));
  }

  /**
   * Whether the next trace must wait for `makeTraceRoom`.
   * @param spanBytes of all its spans; Infinity: more than a page of otlp_span
   */
  isTraceFull(spanCount: number, spanBytes: number): boolean {
    return this.#isPageFullFor(spanCount) || this.#otlp?.isFull(spanCount, spanBytes) === true;
  }

  /** Ends the pages that are full for the trace. */
  async makeTraceRoom(spanCount: number, spanBytes: number): Promise<void> {
    if (this.#isPageFullFor(spanCount)) await this.cutPage();
    if (this.#otlp?.isFull(spanCount, spanBytes) === true) await this.#cutOtlp(this.#otlp);
  }

  #isPageFullFor(spanCount: number): boolean {
    return this.#rowsInPage > 0 && this.#rowsInPage + spanCount > COLUMN_PAGE_ROWS;
  }

  /**
   * Begins the next trace, greater than the one before: its spans follow in pre-order. There is room for it.
   * @param traceId is kept
   */
  beginTrace(traceId: Uint8Array): void {
    assert(traceId.length === TRACE_ID_BYTES, "a trace id has 16 bytes");
    this.#otlp?.beginTrace(traceId);
    this.#columns.fixed.traceId.append(traceId);
    if (this.#traceCount++ === 0) this.#firstTraceId = traceId;
    this.#lastTraceId = traceId;
  }

  /** Whether the span of `byteLength` must wait for `makeRoom`. */
  isFull(byteLength: number): boolean {
    return this.#isPageFull(byteLength) || this.#otlp?.isFull(1, byteLength) === true;
  }

  /** Ends the pages that are full for the span. */
  async makeRoom(byteLength: number): Promise<void> {
    if (this.#isPageFull(byteLength)) await this.cutPage();
    if (this.#otlp?.isFull(1, byteLength) === true) await this.#cutOtlp(this.#otlp);
  }

  #isPageFull(byteLength: number): boolean {
    return (
      this.#rowsInPage >= COLUMN_PAGE_ROWS ||
      (this.#rowsInPage > 0 && this.#bytesInPage + byteLength > COLUMN_PAGE_SPAN_BYTES)
    );
  }

  async #cutOtlp(otlp: OtlpPages): Promise<void> {
    await this.#stretches.before(otlp.pageLength * COST_US.compressPerByte);
    otlp.cut();
  }

  /** Ends the columns' page, if it has rows. */
  async cutPage(): Promise<void> {
    if (this.#rowsInPage === 0) return;
    for (const column of this.#filled) {
      await this.#stretches.before(0);
      this.#stretches.did(column.cut(this.#rowsInPage) * COST_US.compressPerByte);
    }
    this.#pageRows.push(this.#rowsInPage);
    this.#rowsInPage = 0;
    this.#bytesInPage = 0;
  }

  /** Adds the next span of the current trace; the page is not full. Returns its row in the page. */
  add(span: OwnedSpan): number {
    const { fixed } = this.#columns;
    const { resource, scope } = span;
    const byteLength = span.end - span.start;
    const row = this.#rowsInPage++;
    this.rowCount++;
    this.#bytesInPage += byteLength;
    this.rawBytes += byteLength;
    this.#otlp?.add(span);
    fixed.service.addCode(row, this.#serviceOfResource[resource] ?? 0);
    fixed.resource.addCode(row, resource);
    fixed.scope.addCode(row, scope);
    fixed.traceId.addCode(row, this.#traceCount - 1);
    return row;
  }

  /** Ends the last pages and puts otlp_span, if there is one, into the file. The other columns follow. */
  async finish(): Promise<RowGroupFacts> {
    await this.cutPage();
    if (this.#otlp !== undefined) {
      await this.#cutOtlp(this.#otlp);
      this.#file.addOtlp(this.#otlp);
    }
    this.#columns.fixed.traceId.bounds = { min: this.#firstTraceId, max: this.#lastTraceId };
    return { spanCount: this.rowCount, traceCount: this.#traceCount, pageRows: this.#pageRows };
  }
}
