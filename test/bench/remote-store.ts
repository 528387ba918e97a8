// An object store for benches that is another process's work, as R2 is in production: the local R2 runs on the thread of
// the Worker and its objects. This half is in the Worker; remote-store-server.ts is the other.
import type { ByteRange, ObjectStore, ObjectUpload, StoredObject } from "../../src/store/object-store.ts";
import { AppError } from "../../src/util/errors.ts";

/** Enough for flushes, merges and lookups: objects are never replaced, so every etag is the same. */
export class RemoteStore implements ObjectStore {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async #send(method: string, path: string, body?: Uint8Array): Promise<Response> {
    const response = await fetch(`${this.#url}/${path}`, { method, ...(body === undefined ? {} : { body }) });
    if (!response.ok) throw new AppError("unavailable", `bench store: ${response.status}`);
    return response;
  }

  async put(key: string, bytes: Uint8Array): Promise<StoredObject> {
    await this.#send("PUT", key, bytes);
    return { key, etag: "bench", byteLength: bytes.length };
  }

  /** Rubato's objects have one writer each: nobody calls it. */
  async putIf(): Promise<undefined> {
    throw new AppError("internal", "bench store: no conditional put");
  }

  async startUpload(key: string): Promise<ObjectUpload> {
    let parts = 0;
    let byteLength = 0;
    return {
      addPart: async (bytes) => {
        await this.#send("PUT", `${key}?part=${parts++}`, bytes);
        byteLength += bytes.length;
      },
      complete: async () => {
        await this.#send("POST", `${key}?parts=${parts}`);
        return { key, etag: "bench", byteLength };
      },
      abort: async () => undefined,
    };
  }

  async getRange(key: string, { offset, length }: ByteRange): Promise<ReadableStream<Uint8Array>> {
    const { body } = await this.#send("GET", `${key}?offset=${offset}&length=${length}`);
    if (body === null) throw new AppError("unavailable", "bench store: no body");
    return body;
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#send("DELETE", key);
  }

  async *list(): AsyncGenerator<StoredObject> {
    // Nothing that a bench does lists objects.
  }
}
