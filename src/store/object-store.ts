// Object storage as Rubato needs it. Adapters: r2-store.ts (binding), memory-store.ts (tests, simulation).

/** Half-open byte range [offset, offset + length). */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface StoredObject {
  readonly key: string;
  readonly etag: string;
  readonly byteLength: number;
}

export interface ObjectStore {
  /**
   * Stores `bytes` under `key`, replacing what was there; readers see all or nothing.
   * @throws AppError `unavailable`: it is then unknown whether the object was stored
   */
  put(key: string, bytes: Uint8Array): Promise<StoredObject>;

  /**
   * Streams a range of the object, which must still have `etag`.
   * @throws AppError `not_found` (no such object), `corrupt` (other etag, or shorter than the range), `unavailable`
   */
  getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>>;

  /** Removes the objects; absent ones are no error. */
  delete(keys: readonly string[]): Promise<void>;

  /** Objects whose key begins with `prefix`, ascending by key. */
  list(prefix: string): AsyncIterable<StoredObject>;
}
