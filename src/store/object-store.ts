// Object storage as Rubato needs it. Adapters: r2-store.ts (binding), s3-store.ts (S3 API over HTTP),
// memory-store.ts (tests, simulation). test/contract/object-store.ts holds what all of them promise.

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

/** What must be under the key for a conditional put: nothing, or the object with this etag. */
export type PutCondition = { readonly absent: true } | { readonly etag: string };

/**
 * An object written in parts; it appears when it is completed, and not before.
 * R2's rules hold for every adapter: all parts but the last have the same length, which is 5 MiB at least;
 * 10,000 parts at most; one part at least. Breaking them is a bug of the caller.
 * One call at a time. After a failed call only `abort` makes sense.
 */
export interface ObjectUpload {
  /**
   * Appends a part. `bytes` must stay unchanged until the call has ended, and may be reused then.
   * @throws AppError `unavailable`
   */
  addPart(bytes: Uint8Array): Promise<void>;
  /**
   * Makes the object of the parts, replacing what was there.
   * @throws AppError `unavailable`: it is then unknown whether the object appeared
   */
  complete(): Promise<StoredObject>;
  /**
   * Frees the parts. Also when completed or aborted before, to no effect. Uploads that nobody ends are
   * R2's to free after 7 days; other stores need a lifecycle rule for that.
   * @throws AppError `unavailable`
   */
  abort(): Promise<void>;
}

/** Every method may also throw AppError `internal`: the store refuses what only the operator can mend. */
export interface ObjectStore {
  /**
   * Stores `bytes` under `key`, replacing what was there; readers see all or nothing.
   * `bytes` must stay unchanged until the call has ended.
   * @throws AppError `unavailable`: it is then unknown whether the object was stored
   */
  put(key: string, bytes: Uint8Array): Promise<StoredObject>;

  /**
   * Like `put`, if `condition` holds at that moment: of several at once, one wins.
   * @returns undefined when it does not hold. After an `unavailable`, that may be due to the first attempt.
   * @throws AppError `unavailable`
   */
  putIf(key: string, bytes: Uint8Array, condition: PutCondition): Promise<StoredObject | undefined>;

  /**
   * Begins an object that is written in parts.
   * @throws AppError `unavailable`
   */
  startUpload(key: string): Promise<ObjectUpload>;

  /**
   * Streams a range (of at least one byte) of the object, which must still have `etag`. The stream serves
   * readers with and without their own buffer; it fails with the same kinds of error.
   * @throws AppError `not_found` (no such object), `corrupt` (other etag, or shorter than the range), `unavailable`
   */
  getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>>;

  /**
   * Removes the objects; absent ones are no error.
   * @throws AppError `unavailable`: some may be removed
   */
  delete(keys: readonly string[]): Promise<void>;

  /** Objects whose key begins with `prefix`, ascending by key. Fails as `delete` does. */
  list(prefix: string): AsyncIterable<StoredObject>;
}
