// An ObjectStore in memory, for tests and simulation: R2's semantics without R2.
import { createHash } from "node:crypto";
import { concatBytes } from "../util/bytes.ts";
import { AppError } from "../util/errors.ts";
import type { ByteRange, ObjectStore, ObjectUpload, PutCondition, StoredObject } from "./object-store.ts";
import { PartLengths } from "./part-lengths.ts";

// Bytes of one chunk of a range: small enough that a reader cannot take a whole block for one chunk.
const CHUNK_BYTES = 64 * 1024;

interface Entry {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream(
    {
      type: "bytes",
      pull(controller): void {
        if (at < bytes.length) {
          // Copied: a byte stream takes the chunk's buffer away, and this one is the object itself.
          controller.enqueue(bytes.slice(at, at + CHUNK_BYTES));
          at += CHUNK_BYTES;
        }
        if (at >= bytes.length) {
          controller.close();
          controller.byobRequest?.respond(0);
        }
      },
    },
    { highWaterMark: 0 },
  );
}

function md5(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}

export class MemoryStore implements ObjectStore {
  readonly #entries = new Map<string, Entry>();

  /** Stores a copy. Like R2's, the etag is the content's MD5: storing the same bytes again keeps it. */
  async put(key: string, bytes: Uint8Array): Promise<StoredObject> {
    return this.#store(key, bytes.slice(), md5(bytes).toString("hex"));
  }

  async putIf(key: string, bytes: Uint8Array, condition: PutCondition): Promise<StoredObject | undefined> {
    const etag = this.#entries.get(key)?.etag;
    const holds = "etag" in condition ? etag === condition.etag : etag === undefined;
    return holds ? this.put(key, bytes) : undefined;
  }

  /** Whether there is an object under the key. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Like R2's, the etag is the MD5 of the parts' MD5s and their number. */
  async startUpload(key: string): Promise<ObjectUpload> {
    const lengths = new PartLengths();
    const parts: Uint8Array[] = [];
    return {
      addPart: async (bytes) => {
        lengths.add(bytes.length);
        parts.push(bytes.slice());
      },
      complete: async () => {
        lengths.checkComplete();
        lengths.end();
        const etag = md5(concatBytes(parts.map((part) => md5(part)))).toString("hex");
        return this.#store(key, concatBytes(parts), `${etag}-${parts.length}`);
      },
      abort: async () => {
        lengths.end();
        parts.length = 0;
      },
    };
  }

  #store(key: string, bytes: Uint8Array, etag: string): StoredObject {
    this.#entries.set(key, { bytes, etag });
    return { key, etag, byteLength: bytes.length };
  }

  async getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>> {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new AppError("not_found", `no object ${key}`);
    if (entry.etag !== etag) throw new AppError("corrupt", `object ${key} was replaced`);
    const end = range.offset + range.length;
    if (end > entry.bytes.length) {
      throw new AppError("corrupt", `object ${key} has ${entry.bytes.length} bytes, range ends at ${end}`);
    }
    return streamOf(entry.bytes.subarray(range.offset, end));
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#entries.delete(key);
  }

  /** The objects that were there when the iteration began, with what they hold when they are reached. */
  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) yield { key, etag: entry.etag, byteLength: entry.bytes.length };
    }
  }
}
