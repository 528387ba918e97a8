// ObjectStore over a Worker's R2 binding.
import { must } from "../util/assert.ts";
import { AppError, messageOf } from "../util/errors.ts";
import type { ByteRange, ObjectStore, StoredObject } from "./object-store.ts";

// R2 deletes at most 1,000 keys a call. https://developers.cloudflare.com/r2/api/workers/workers-api-reference/
const DELETE_KEYS = 1000;

// A native body read without a buffer comes in chunks of 4 KiB; with one of 64 KiB it takes a sixteenth of the reads.
const READ_BYTES = 64 * 1024;

// "The requested range is not satisfiable": the object ends before the range begins.
const RANGE_ERROR = "(10039)";

function unavailable(action: string, key: string, cause: unknown): AppError {
  return new AppError("unavailable", `${action} ${key}: ${messageOf(cause)}`, { cause });
}

function stored(object: R2Object): StoredObject {
  return { key: object.key, etag: object.etag, byteLength: object.size };
}

/** Passes a body on, and fails as `corrupt` when it ends before `length` bytes, as `unavailable` when it breaks. */
function checkedBody(key: string, body: ReadableStream, length: number): ReadableStream<Uint8Array> {
  const reader = body.getReader({ mode: "byob" });
  let left = length;
  return new ReadableStream(
    {
      type: "bytes",
      async pull(controller): Promise<void> {
        const chunk = await reader.read(new Uint8Array(READ_BYTES)).catch((error: unknown) => {
          throw unavailable("read of", key, error);
        });
        if (chunk.value !== undefined && chunk.value.length > 0) {
          left -= chunk.value.length;
          controller.enqueue(chunk.value);
        }
        if (!chunk.done) return;
        if (left !== 0) {
          throw new AppError("corrupt", `object ${key} gave ${length - left} bytes for a range of ${length}`);
        }
        controller.close();
        controller.byobRequest?.respond(0);
      },
      async cancel(reason: unknown): Promise<void> {
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

export class R2Store implements ObjectStore {
  readonly #bucket: R2Bucket;

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket;
  }

  async put(key: string, bytes: Uint8Array): Promise<StoredObject> {
    try {
      // Null is the answer to a condition that does not hold, and there is none.
      return stored(must(await this.#bucket.put(key, bytes), "a put without condition stores"));
    } catch (error) {
      throw unavailable("put of", key, error);
    }
  }

  async getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>> {
    const { offset, length } = range;
    let object: R2ObjectBody | R2Object | null;
    try {
      object = await this.#bucket.get(key, { range: { offset, length }, onlyIf: { etagMatches: etag } });
    } catch (error) {
      if (messageOf(error).includes(RANGE_ERROR)) {
        throw new AppError("corrupt", `object ${key} ends before offset ${offset}`, { cause: error });
      }
      throw unavailable("get of", key, error);
    }
    if (object === null) throw new AppError("not_found", `no object ${key}`);
    // A condition that does not hold gives the object without its body.
    if (!("body" in object)) throw new AppError("corrupt", `object ${key} was replaced`);
    if (object.size < offset + length) {
      await object.body.cancel();
      throw new AppError(
        "corrupt",
        `object ${key} has ${object.size} bytes, range ends at ${offset + length}`,
      );
    }
    return checkedBody(key, object.body, length);
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETE_KEYS) {
      const some = keys.slice(at, at + DELETE_KEYS);
      try {
        await this.#bucket.delete(some);
      } catch (error) {
        throw unavailable("delete of", some[0] ?? "", error);
      }
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    let cursor: string | undefined;
    do {
      const page: R2Objects = await this.#page(prefix, cursor);
      for (const object of page.objects) yield stored(object);
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor !== undefined);
  }

  async #page(prefix: string, cursor: string | undefined): Promise<R2Objects> {
    try {
      return await this.#bucket.list(cursor === undefined ? { prefix } : { prefix, cursor });
    } catch (error) {
      throw unavailable("list of", prefix, error);
    }
  }
}
