// Many appends, one write: rows written are two thirds of the bill, so what arrives while a commit runs shares
// the next one (0.2 rows an append at 16 clients instead of 1).
import { assert } from "../util/assert.ts";

interface Waiting<T, R> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: (result: R) => void;
  readonly reject: (reason: unknown) => void;
}

export interface GroupCommitOptions<T, R> {
  /** Bytes at which a group is cut; a larger item goes alone. */
  readonly maxGroupBytes: number;
  /** Gives way to arriving calls once, so that those already at the door join the group. */
  readonly gather: () => Promise<void>;
  /** Makes the items durable, in order, or says of some that they are not; by item. When it throws none is. */
  readonly commit: (items: readonly T[]) => Promise<readonly R[]>;
}

/** Queues items and commits them in groups, one group at a time, in order of arrival. */
export class GroupCommit<T, R> {
  readonly #options: GroupCommitOptions<T, R>;
  #queue: Waiting<T, R>[] = [];
  #queuedBytes = 0;
  #running = false;

  constructor(options: GroupCommitOptions<T, R>) {
    this.#options = options;
  }

  /** Bytes that wait for a commit or are in one. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Resolves with what `commit` says of the item; rejects with what it threw for its group. */
  submit(item: T, bytes: number): Promise<R> {
    this.#queuedBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    this.#queue.push({ item, bytes, resolve, reject });
    if (!this.#running) void this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0) {
      await this.#options.gather();
      const group = this.#cut();
      try {
        const results = await this.#options.commit(group.map((waiting) => waiting.item));
        group.forEach(({ resolve }, i) => {
          const result = results[i];
          assert(result !== undefined, "a commit says of each item what became of it");
          resolve(result);
        });
      } catch (error) {
        for (const waiting of group) waiting.reject(error);
      }
      for (const waiting of group) this.#queuedBytes -= waiting.bytes;
    }
    this.#running = false;
  }

  #cut(): Waiting<T, R>[] {
    let bytes = 0;
    const over = this.#queue.findIndex((waiting, i) => {
      bytes += waiting.bytes;
      return i > 0 && bytes > this.#options.maxGroupBytes;
    });
    return this.#queue.splice(0, over < 0 ? this.#queue.length : over);
  }
}
