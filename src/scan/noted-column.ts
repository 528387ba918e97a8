// A column chunk with what is known of it from earlier queries.
import type { ColumnChunk } from "../block/column-chunk.ts";
import type { Column, ColumnPage, Notes } from "../traceql/storage.ts";
import type { LruCache } from "../util/lru-cache.ts";

/** Notes under names of their own. @param name tells what they are of apart from all else */
export function notesOf(cache: LruCache<Uint8Array>, name: string): Notes {
  return {
    get: (note) => cache.get(`${name} ${note}`),
    set: (note, bytes) => cache.set(`${name} ${note}`, bytes),
  };
}

export class NotedColumn implements Column {
  readonly codedPageCount: number;
  readonly notes: Notes;
  readonly #chunk: ColumnChunk;

  /** @param name tells the chunk apart from all others */
  constructor(chunk: ColumnChunk, cache: LruCache<Uint8Array>, name: string) {
    this.codedPageCount = chunk.codedPageCount;
    this.#chunk = chunk;
    this.notes = notesOf(cache, name);
  }

  get dictionary(): Column["dictionary"] {
    return this.#chunk.dictionary;
  }

  page(index: number): ColumnPage {
    return this.#chunk.page(index);
  }
}
