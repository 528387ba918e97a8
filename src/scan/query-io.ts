// The reading of one query: bounded connections, one retry, and a count of what was looked at.
import type { ByteRange, ObjectStore, StoredObject } from "../store/object-store.ts";
import { PLATFORM } from "../model/limits.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { Gate } from "../util/parallel.ts";

/** What a scan needs of the store. */
export type RangeReader = Pick<ObjectStore, "getRange">;

/** Bytes that were read along for later and that nobody has asked for yet. */
export interface HeldBytes {
  bytes: number;
}

export class QueryIo {
  /** Bytes that the query looked at, from wherever they came: the same for the same query over the same data. */
  inspectedBytes = 0;
  readonly signal: AbortSignal | undefined;
  readonly #objects: RangeReader;
  readonly #held: HeldBytes;
  readonly #gate = new Gate(PLATFORM.connections);

  /** @param held what several queries hold together; default: this one's own */
  constructor(objects: RangeReader, signal: AbortSignal | undefined, held: HeldBytes = { bytes: 0 }) {
    this.#objects = objects;
    this.signal = signal;
    this.#held = held;
  }

  get heldBytes(): number {
    return this.#held.bytes;
  }

  set heldBytes(bytes: number) {
    this.#held.bytes = bytes;
  }

  /** @throws AppError `unavailable` when the client has gone */
  checkAborted(): void {
    if (this.signal?.aborted === true) throw new AppError("unavailable", "the request was cancelled");
  }

  /** Waits for a free connection, which `work` has until it ends. @throws as checkAborted */
  connect<T>(work: () => Promise<T>): Promise<T> {
    return this.#gate.run(() => {
      this.checkAborted();
      return work();
    });
  }

  /**
   * Reads `read` with one request and keeps only `parts` of it, each in a buffer of its own: what lies between them goes by.
   * @param parts ascending, within `read`, without overlap
   * @throws AppError `not_found`, `corrupt`, after a second try `unavailable`
   */
  async readParts(object: StoredObject, read: ByteRange, parts: readonly ByteRange[]): Promise<Uint8Array[]> {
    try {
      return await this.connect(() => this.#get(object, read, parts));
    } catch (error) {
      if (!isAppError(error) || error.kind !== "unavailable") throw error;
      return this.connect(() => this.#get(object, read, parts));
    }
  }

  async #get(
    { key, etag }: StoredObject,
    read: ByteRange,
    parts: readonly ByteRange[],
  ): Promise<Uint8Array[]> {
    const out = parts.map(({ length }) => new Uint8Array(length));
    let first = 0;
    let at = read.offset;
    for await (const chunk of await this.#objects.getRange(key, read, etag)) {
      this.checkAborted();
      const end = at + chunk.length;
      for (let i = first; i < parts.length; i++) {
        const part = parts[i] ?? { offset: end, length: 0 };
        const partEnd = part.offset + part.length;
        if (part.offset >= end) break;
        const from = Math.max(at, part.offset);
        out[i]?.set(chunk.subarray(from - at, Math.min(end, partEnd) - at), from - part.offset);
        if (partEnd <= end) first = i + 1;
      }
      at = end;
    }
    if (at !== read.offset + read.length) {
      throw new AppError("unavailable", `${key}: ${at - read.offset} bytes instead of ${read.length}`);
    }
    return out;
  }
}
