// Object storage at the end of a bad line: slow, failing, storing and then failing, storing after it has failed.
import { MemoryStore } from "../../src/store/memory-store.ts";
import type {
  ByteRange,
  ObjectStore,
  ObjectUpload,
  PutCondition,
  StoredObject,
} from "../../src/store/object-store.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { AppError } from "../../src/util/errors.ts";
import type { Owner, Scheduler } from "./scheduler.ts";

export type PutFate = "stored" | "refused" | "stored, answer lost" | "stored late";
export type GetFate = "read" | "refused" | "broken";

export interface StoreHooks {
  readonly put: () => PutFate;
  readonly get: () => GetFate;
  /** Whether a put whose sender died on the way arrives all the same. */
  readonly survivesSender: () => boolean;
  /** How long a put is on its way that nobody waits for any more. */
  readonly lateMs: () => number;
}

function unavailable(what: string): AppError {
  return new AppError("unavailable", `simulated: ${what}`);
}

export class SimStore {
  /** What is really stored, without faults and delays. */
  readonly stored = new MemoryStore();
  readonly #scheduler: Scheduler;
  readonly #hooks: StoreHooks;

  constructor(scheduler: Scheduler, hooks: StoreHooks) {
    this.#scheduler = scheduler;
    this.#hooks = hooks;
  }

  /** The store as `owner` reaches it. */
  seenBy(owner: Owner | undefined): ObjectStore {
    const { stored } = this;
    return {
      put: (key, bytes) => this.#put(owner, key, bytes),
      getRange: (key, range, etag) => this.#getRange(key, range, etag),
      // Without a caller in the simulation so far; faults come with the first one (compaction).
      putIf: (key: string, bytes: Uint8Array, condition: PutCondition) => stored.putIf(key, bytes, condition),
      startUpload: (key: string): Promise<ObjectUpload> => stored.startUpload(key),
      delete: (keys: readonly string[]) => stored.delete(keys),
      list: (prefix: string) => stored.list(prefix),
    };
  }

  async #put(owner: Owner | undefined, key: string, bytes: Uint8Array): Promise<StoredObject> {
    const sent = bytes.slice();
    const { jumpsBack } = this.#scheduler;
    const { put, survivesSender } = this.#hooks;
    const onDeath = (): void => {
      if (survivesSender()) void this.#putLate(key, sent, jumpsBack);
    };
    await this.#scheduler.wait("put", { owner, onDeath });
    const fate = put();
    if (fate === "refused") throw unavailable("the put is refused");
    if (fate === "stored late") {
      void this.#putLate(key, sent, jumpsBack);
      throw unavailable("the put has timed out");
    }
    const object = await this.stored.put(key, sent);
    await this.#scheduler.wait("put answer", { owner });
    if (fate === "stored, answer lost") throw unavailable("the answer to the put is lost");
    return object;
  }

  async #putLate(key: string, bytes: Uint8Array, jumpsBack: number): Promise<void> {
    await this.#scheduler.wait("late put", { delayMs: this.#hooks.lateMs() });
    // Known and accepted: an epoch that was due before a crash and is not after it, because the clock went back in
    // between, takes spans again. A put from before the crash that arrives last of all would undo the one with all spans.
    if (jumpsBack === this.#scheduler.jumpsBack) await this.stored.put(key, bytes);
  }

  async #getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>> {
    await this.#scheduler.wait("get");
    const fate = this.#hooks.get();
    if (fate === "refused") throw unavailable("the get is refused");
    const parts: Uint8Array[] = [];
    for await (const part of await this.stored.getRange(key, range, etag)) parts.push(part);
    return this.#slowly(concatBytes(parts), fate === "broken");
  }

  /** `bytes` in two chunks, the second of which may fail. */
  #slowly(bytes: Uint8Array, breaks: boolean): ReadableStream<Uint8Array> {
    const middle = bytes.length >>> 1;
    const chunks = [bytes.slice(0, middle), bytes.slice(middle)];
    return new ReadableStream(
      {
        pull: async (controller): Promise<void> => {
          await this.#scheduler.wait("get chunk");
          if (breaks && chunks.length === 1) throw unavailable("the body breaks off");
          const chunk = chunks.shift();
          if (chunk === undefined) controller.close();
          else controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
  }
}
