// The end of a shard: every object, then every row. It may be interrupted anywhere and goes on where it was.
import type { Limits } from "../model/limits.ts";
import { parseBlockKey, tenantPrefix } from "../store/keys.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { NO_CHANGE, type ShardStorage } from "./storage.ts";

/** Objects of one request to the store, which takes no more. */
const BATCH_OBJECTS = 1000;
/** Batches of one step: it stays within a minute. */
const STEP_BATCHES = 10;

/** Not before when, in ms: written first, so that a restart goes on. */
const DELETING = "deleting";

export interface DestructionContext {
  readonly tenant: string;
  readonly shard: number;
  readonly storage: ShardStorage;
  readonly objects: ObjectStore;
  readonly limits: Limits;
}

export class Destruction {
  readonly #context: DestructionContext;
  /** Until then an object may come that is being written. Undefined as long as nothing is to be destroyed. */
  #notBeforeMs: number | undefined;
  #isDone = false;

  constructor(context: DestructionContext) {
    this.#context = context;
    const deleting = context.storage.setting(DELETING);
    this.#notBeforeMs = deleting === undefined ? undefined : Number(deleting);
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  get hasBegun(): boolean {
    return this.#notBeforeMs !== undefined;
  }

  /** From here on there is no way back. */
  begin(nowMs: number): void {
    if (this.hasBegun) return;
    const { limits, storage } = this.#context;
    // A job that is out may be writing its output.
    this.#notBeforeMs = storage.job() === undefined ? nowMs : nowMs + limits.objectGraceMs;
    storage.change({ ...NO_CHANGE, settings: { [DELETING]: String(this.#notBeforeMs) } });
  }

  /**
   * Does a part.
   * @returns when to go on, in ms; undefined when nothing is left
   * @throws AppError `unavailable`
   */
  async step(nowMs: number): Promise<number | undefined> {
    if (this.#isDone) return undefined;
    const { storage } = this.#context;
    await storage.sync();
    if (!(await this.#deleteObjects())) return nowMs;
    if (this.#notBeforeMs !== undefined && nowMs < this.#notBeforeMs) return this.#notBeforeMs;
    await storage.deleteAll();
    this.#isDone = true;
    return undefined;
  }

  /** @returns whether none is left */
  async #deleteObjects(): Promise<boolean> {
    const { objects, tenant, shard } = this.#context;
    let batches = 0;
    let keys: string[] = [];
    const flush = async (): Promise<void> => {
      await objects.delete(keys);
      keys = [];
      batches++;
    };
    for await (const { key } of objects.list(tenantPrefix(tenant))) {
      if (parseBlockKey(key)?.shard !== shard) continue;
      keys.push(key);
      if (keys.length === BATCH_OBJECTS) await flush();
      if (batches === STEP_BATCHES) return false;
    }
    if (keys.length > 0) await flush();
    return true;
  }
}
