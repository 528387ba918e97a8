// A column chunk with what is known of it from earlier queries.
import type { ColumnChunk } from "../block/column-chunk.ts";
import type { Column, ColumnPage, Notes } from "../traceql/storage.ts";
import type { LruCache } from "../util/lru-cache.ts";

export class NotedColumn implements Column {
  readonly codedPageCount: number;
  readonly notes: Notes;
  readonly #chunk: ColumnChunk;

  /** @param name tells the chunk apart from all others */
  constructor(chunk: ColumnChunk, cache: LruCache<Uint8Array>, name: string) {
    this.codedPageCount = chunk.codedPageCount;
    this.#chunk = chunk;
    this.notes = {
      get: (note) => cache.get(`${name} ${note}`),
      set: (note, bytes) => cache.set(`${name} ${note}`, bytes),
    };
  }

  get dictionary(): Column["dictionary"] {
    return this.#chunk.dictionary;
  }

  page(index: number): ColumnPage {
    return this.#chunk.page(index);
  }
}
