// Writes an object of unknown length in bounded memory: one put when it is small, parts when it is not.
import type { ObjectStore, ObjectUpload, StoredObject } from "../store/object-store.ts";

/** Above the stores' minimum of 5 MiB, since every part is a billed operation; 10,000 of them are 160 GB. */
const PART_BYTES: number = 16 * 1024 * 1024;

/** One call at a time. Ends with `finish` or `abort`. */
export class ObjectWriter {
  readonly #objects: ObjectStore;
  readonly #key: string;
  readonly #part: Uint8Array;
  #used = 0;
  #upload: ObjectUpload | undefined;

  constructor(objects: ObjectStore, key: string, partBytes: number = PART_BYTES) {
    this.#objects = objects;
    this.#key = key;
    this.#part = new Uint8Array(partBytes);
  }

  /** Copies the bytes; waits when a part is sent. @throws AppError `unavailable`: only `abort` makes sense then */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (this.#used === this.#part.length) await this.#sendPart();
      const some = bytes.subarray(at, at + this.#part.length - this.#used);
      this.#part.set(some, this.#used);
      this.#used += some.length;
      at += some.length;
    }
  }

  /** Makes the object appear. @throws AppError `unavailable`: it is then unknown whether it did */
  async finish(): Promise<StoredObject> {
    if (this.#upload === undefined) return this.#objects.put(this.#key, this.#part.subarray(0, this.#used));
    await this.#sendPart();
    return this.#upload.complete();
  }

  /** Frees what was sent. Never throws: what stays behind the store frees by itself in some days. */
  async abort(): Promise<void> {
    await this.#upload?.abort().catch(() => undefined);
  }

  async #sendPart(): Promise<void> {
    this.#upload ??= await this.#objects.startUpload(this.#key);
    await this.#upload.addPart(this.#part.subarray(0, this.#used));
    this.#used = 0;
  }
}
