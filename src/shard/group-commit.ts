// Many appends, one write: rows written are two thirds of the bill, so what arrives while a commit runs shares
// the next one (0.2 rows an append at 16 clients instead of 1).

interface Waiting<T> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export interface GroupCommitOptions<T> {
  /** Bytes at which a group is cut; a larger item goes alone. */
  readonly maxGroupBytes: number;
  /** Gives way to arriving calls once, so that those already at the door join the group. */
  readonly gather: () => Promise<void>;
  /** Makes the items durable, in order; all or none. */
  readonly commit: (items: readonly T[]) => Promise<void>;
}

/** Queues items and commits them in groups, one group at a time, in order of arrival. */
export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>;
  #queue: Waiting<T>[] = [];
  #queuedBytes = 0;
  #running = false;

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options;
  }

  /** Bytes that wait for a commit or are in one. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Resolves once the item is durable; rejects with what `commit` threw for its group. */
  submit(item: T, bytes: number): Promise<void> {
    this.#queuedBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
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
        await this.#options.commit(group.map((waiting) => waiting.item));
        for (const waiting of group) waiting.resolve();
      } catch (error) {
        for (const waiting of group) waiting.reject(error);
      }
      for (const waiting of group) this.#queuedBytes -= waiting.bytes;
    }
    this.#running = false;
  }

  #cut(): Waiting<T>[] {
    let bytes = 0;
    const over = this.#queue.findIndex((waiting, i) => {
      bytes += waiting.bytes;
      return i > 0 && bytes > this.#options.maxGroupBytes;
    });
    return this.#queue.splice(0, over < 0 ? this.#queue.length : over);
  }
}
