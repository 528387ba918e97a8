// A source whose failures are told apart from those of others that are read at the same time.
import type { BlockSource } from "../scan/block-source.ts";
import type { Column, ColumnName, ColumnPage, SpanSource } from "../traceql/storage.ts";

/** A source that remembers how it failed, and of which job it is. */
export class WatchedSource<J> implements SpanSource {
  readonly job: J;
  readonly source: BlockSource;
  failure: { readonly reason: unknown } | undefined;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(job: J, source: BlockSource) {
    this.job = job;
    this.source = source;
  }

  get rowCount(): SpanSource["rowCount"] {
    return this.source.rowCount;
  }

  get bounds(): SpanSource["bounds"] {
    return this.source.bounds;
  }

  get pageRows(): SpanSource["pageRows"] {
    return this.source.pageRows;
  }

  get columns(): SpanSource["columns"] {
    return this.source.columns;
  }

  get rest(): SpanSource["rest"] {
    return this.source.rest;
  }

  get notes(): SpanSource["notes"] {
    return this.source.notes;
  }

  traces(): ReturnType<SpanSource["traces"]> {
    return this.#watch(this.source.traces());
  }

  async load(names: readonly ColumnName[], rows?: Uint32Array): Promise<readonly Column[]> {
    const columns = await this.#watch(this.source.load(names, rows));
    return columns.map((column) => new WatchedColumn(column, (reason) => this.#note(reason)));
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }

  async #watch<T>(promise: Promise<T>): Promise<T> {
    this.#pending.add(promise);
    try {
      return await promise;
    } catch (reason) {
      this.#note(reason);
      throw reason;
    } finally {
      this.#pending.delete(promise);
    }
  }

  #note(reason: unknown): void {
    this.failure ??= { reason };
  }
}

/** Pages are decoded, and found to be damaged, when they are asked for. */
class WatchedColumn implements Column {
  readonly codedPageCount: number;
  readonly notes: Column["notes"];
  readonly #column: Column;
  readonly #fail: (reason: unknown) => void;

  constructor(column: Column, fail: (reason: unknown) => void) {
    this.codedPageCount = column.codedPageCount;
    this.notes = column.notes;
    this.#column = column;
    this.#fail = fail;
  }

  get dictionary(): Column["dictionary"] {
    return this.#decode(() => this.#column.dictionary);
  }

  page(index: number): ColumnPage {
    return this.#decode(() => this.#column.page(index));
  }

  #decode<T>(decode: () => T): T {
    try {
      return decode();
    } catch (reason) {
      this.#fail(reason);
      throw reason;
    }
  }
}
