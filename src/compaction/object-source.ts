// A block's object as the block reader wants it: few, large range reads, repeated when the store stumbles.
import type { RangeSource } from "../block/reader.ts";
import type { ByteRange, ObjectStore, StoredObject } from "../store/object-store.ts";
import { AppError, isAppError } from "../util/errors.ts";

/** A merge reads pages of about 100 KB one after another: twenty a request, and ten inputs hold 20 MiB. */
const READ_AHEAD_BYTES = 2 * 1024 * 1024;
/** No part of a block is larger; a damaged footer must not cost more memory than this. */
const READ_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_MS = [250, 1000, 4000];

/** Reads ahead when reads follow one another, and holds one such window. */
export class ObjectSource implements RangeSource {
  readonly byteLength: number;
  readonly #objects: ObjectStore;
  readonly #object: StoredObject;
  readonly #sleep: (ms: number) => Promise<void>;
  #window: Uint8Array = new Uint8Array(0);
  #windowOffset = 0;
  #lastEnd = -1;

  constructor(objects: ObjectStore, object: StoredObject, sleep: (ms: number) => Promise<void>) {
    this.#objects = objects;
    this.#object = object;
    this.#sleep = sleep;
    this.byteLength = object.byteLength;
  }

  /**
   * The bytes are a view, valid for as long as the caller keeps it.
   * @throws AppError `not_found`, `corrupt`, and `unavailable` after several tries
   */
  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    const isNext = offset === this.#lastEnd;
    this.#lastEnd = offset + length;
    const at = offset - this.#windowOffset;
    if (at >= 0 && at + length <= this.#window.length) return this.#window.subarray(at, at + length);
    if (length > READ_BYTES_MAX)
      throw new AppError("corrupt", `${this.#object.key}: a part of ${length} bytes`);
    if (!isNext) return this.#fetch({ offset, length });
    const ahead = Math.min(Math.max(length, READ_AHEAD_BYTES), this.byteLength - offset);
    this.#window = await this.#fetch({ offset, length: ahead });
    this.#windowOffset = offset;
    return this.#window.subarray(0, length);
  }

  async #fetch(range: ByteRange): Promise<Uint8Array> {
    for (const delayMs of RETRY_MS) {
      try {
        return await this.#get(range);
      } catch (error) {
        if (!isAppError(error) || error.kind !== "unavailable") throw error;
        await this.#sleep(delayMs);
      }
    }
    return this.#get(range);
  }

  async #get(range: ByteRange): Promise<Uint8Array> {
    const { key, etag } = this.#object;
    const bytes = new Uint8Array(range.length);
    let at = 0;
    for await (const chunk of await this.#objects.getRange(key, range, etag)) {
      if (at + chunk.length > bytes.length)
        throw new AppError("unavailable", `${key}: more bytes than asked for`);
      bytes.set(chunk, at);
      at += chunk.length;
    }
    if (at < bytes.length)
      throw new AppError("unavailable", `${key}: ${at} bytes instead of ${bytes.length}`);
    return bytes;
  }
}
