// ObjectStore over a Worker's R2 binding.
import { must } from "../util/assert.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { checkedBody } from "./checked-body.ts";
import type { ByteRange, ObjectStore, ObjectUpload, PutCondition, StoredObject } from "./object-store.ts";
import { PartLengths } from "./part-lengths.ts";

// R2 deletes at most 1,000 keys a call. https://developers.cloudflare.com/r2/api/workers/workers-api-reference/
const DELETE_KEYS = 1000;

// "The requested range is not satisfiable": the object ends before the range begins.
const RANGE_ERROR = "(10039)";

// "The specified multipart upload does not exist".
const NO_UPLOAD_ERROR = "(10024)";

function unavailable(action: string, key: string, cause: unknown): AppError {
  return new AppError("unavailable", `${action} ${key}: ${messageOf(cause)}`, { cause });
}

function stored(object: R2Object): StoredObject {
  return { key: object.key, etag: object.etag, byteLength: object.size };
}

class R2Upload implements ObjectUpload {
  readonly #upload: R2MultipartUpload;
  readonly #lengths = new PartLengths();
  readonly #parts: R2UploadedPart[] = [];

  constructor(upload: R2MultipartUpload) {
    this.#upload = upload;
  }

  async addPart(bytes: Uint8Array): Promise<void> {
    const part = this.#lengths.add(bytes.length);
    try {
      this.#parts.push(await this.#upload.uploadPart(part, bytes));
    } catch (error) {
      throw unavailable(`put of part ${part} of`, this.#upload.key, error);
    }
  }

  async complete(): Promise<StoredObject> {
    this.#lengths.checkComplete();
    try {
      const object = stored(await this.#upload.complete(this.#parts));
      this.#lengths.end();
      return object;
    } catch (error) {
      throw unavailable("completion of", this.#upload.key, error);
    }
  }

  async abort(): Promise<void> {
    // R2 takes a second abort for an error.
    if (this.#lengths.ended) return;
    try {
      await this.#upload.abort();
      this.#lengths.end();
    } catch (error) {
      // Completed after all, by a call whose answer was lost.
      if (messageOf(error).includes(NO_UPLOAD_ERROR)) return;
      throw unavailable("abort of the upload of", this.#upload.key, error);
    }
  }
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

  async putIf(key: string, bytes: Uint8Array, condition: PutCondition): Promise<StoredObject | undefined> {
    const onlyIf = "etag" in condition ? { etagMatches: condition.etag } : { etagDoesNotMatch: "*" };
    try {
      const object = await this.#bucket.put(key, bytes, { onlyIf });
      return object === null ? undefined : stored(object);
    } catch (error) {
      throw unavailable("conditional put of", key, error);
    }
  }

  async startUpload(key: string): Promise<ObjectUpload> {
    try {
      return new R2Upload(await this.#bucket.createMultipartUpload(key));
    } catch (error) {
      throw unavailable("start of an upload of", key, error);
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
