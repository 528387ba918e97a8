// Object storage at the end of a bad line: slow, failing, storing and then failing, storing after it has failed.
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ByteRange, ObjectStore, ObjectUpload, StoredObject } from "../../src/store/object-store.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { AppError } from "../../src/util/errors.ts";
import type { DeleteFate } from "./faults.ts";
import type { Owner, Scheduler } from "./scheduler.ts";

export type PutFate = "stored" | "refused" | "stored, answer lost" | "stored late";
export type GetFate = "read" | "refused" | "broken";

export interface StoreHooks {
  readonly put: () => PutFate;
  /** Of the beginning of an upload, and of each part. */
  readonly upload: () => "taken" | "refused";
  readonly get: () => GetFate;
  readonly list: () => "listed" | "refused";
  readonly delete: () => DeleteFate;
  /** Whether a put whose sender died on the way arrives all the same. */
  readonly survivesSender: () => boolean;
  /** How long a put is on its way that nobody waits for any more. */
  readonly lateMs: () => number;
  /** Whether a read by a compactor, which has many, waits at all. */
  readonly pauses: () => boolean;
}

/** Waits of requests that change the bucket. */
const ARRIVALS: ReadonlySet<string> = new Set(["put", "late put", "delete"]);

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

  /** The store as `owner` reaches it. @param isQuick most of its reads do not wait */
  seenBy(owner: Owner | undefined, isQuick = false): ObjectStore {
    const { stored } = this;
    const pace = (label: string): Promise<void> =>
      isQuick && !this.#hooks.pauses() ? Promise.resolve() : this.#scheduler.wait(label, { owner });
    return {
      put: (key, bytes) => this.#put(owner, key, bytes),
      getRange: (key, range, etag) => this.#getRange(pace, { key, range, etag }),
      delete: (keys) => this.#delete(owner, keys),
      list: (prefix) => this.#list(pace, prefix),
      // Nothing in the simulation is stored on a condition.
      putIf: (key, bytes, condition) => stored.putIf(key, bytes, condition),
      startUpload: (key) => this.#startUpload(owner, key),
    };
  }

  /** All that is on its way arrives. */
  land(): void {
    this.#scheduler.hurry(ARRIVALS);
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

  /** Parts may be refused, and their end is like that of a put. */
  async #startUpload(owner: Owner | undefined, key: string): Promise<ObjectUpload> {
    const parts: Uint8Array[] = [];
    await this.#scheduler.wait("upload", { owner });
    if (this.#hooks.upload() === "refused") throw unavailable("the upload is refused");
    return {
      addPart: async (bytes) => {
        parts.push(bytes.slice());
        await this.#scheduler.wait("part", { owner });
        if (this.#hooks.upload() === "refused") throw unavailable("the part is refused");
      },
      complete: () => this.#put(owner, key, concatBytes(parts)),
      abort: async () => {
        await this.#scheduler.wait("abort", { owner });
        parts.length = 0;
      },
    };
  }

  async #putLate(key: string, bytes: Uint8Array, jumpsBack: number): Promise<void> {
    await this.#scheduler.wait("late put", { delayMs: this.#hooks.lateMs() });
    // Known and accepted: an epoch that was due before a crash and is not after it, because the clock went back in
    // between, takes spans again. A put from before the crash that arrives last of all would undo the one with all spans.
    if (jumpsBack === this.#scheduler.jumpsBack) await this.stored.put(key, bytes);
  }

  async #getRange(
    pace: (label: string) => Promise<void>,
    { key, range, etag }: { readonly key: string; readonly range: ByteRange; readonly etag: string },
  ): Promise<ReadableStream<Uint8Array>> {
    await pace("get");
    const fate = this.#hooks.get();
    if (fate === "refused") throw unavailable("the get is refused");
    const parts: Uint8Array[] = [];
    for await (const part of await this.stored.getRange(key, range, etag)) parts.push(part);
    return this.#slowly(pace, concatBytes(parts), fate === "broken");
  }

  /** `bytes` in two chunks, the second of which may fail. */
  #slowly(
    pace: (label: string) => Promise<void>,
    bytes: Uint8Array,
    breaks: boolean,
  ): ReadableStream<Uint8Array> {
    const middle = bytes.length >>> 1;
    const chunks = [bytes.slice(0, middle), bytes.slice(middle)];
    return new ReadableStream(
      {
        pull: async (controller): Promise<void> => {
          await pace("get chunk");
          if (breaks && chunks.length === 1) throw unavailable("the body breaks off");
          const chunk = chunks.shift();
          if (chunk === undefined) controller.close();
          else controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
  }

  async #delete(owner: Owner | undefined, keys: readonly string[]): Promise<void> {
    const survives = this.#hooks.survivesSender();
    const onDeath = (): void => {
      if (survives) void this.stored.delete(keys);
    };
    await this.#scheduler.wait("delete", { owner, onDeath });
    const fate = this.#hooks.delete();
    if (fate === "refused") throw unavailable("the deletion is refused");
    await this.stored.delete(fate === "some deleted" ? keys.slice(0, keys.length >>> 1) : keys);
    if (fate === "some deleted") throw unavailable("the deletion stops half-way");
    await this.#scheduler.wait("delete answer", { owner });
    if (fate === "deleted, answer lost") throw unavailable("the answer to the deletion is lost");
  }

  async *#list(pace: (label: string) => Promise<void>, prefix: string): AsyncGenerator<StoredObject> {
    await pace("list");
    if (this.#hooks.list() === "refused") throw unavailable("the listing is refused");
    yield* this.stored.list(prefix);
  }
}
