// Blocks whose spans have been kept long enough leave the catalogue, whole.
import type { Limits } from "../model/limits.ts";
import type { CatalogueBlock } from "../store/catalogue.ts";
import type { Count } from "../usage/meter.ts";
import type { Catalogue } from "./catalogue.ts";
import { retentionStart, type ShardStorage } from "./storage.ts";

/** Blocks of one transaction. */
const BATCH_BLOCKS = 500;

const RETENTION_MS = "retention_ms";

export class Retention {
  readonly #storage: ShardStorage;
  readonly #catalogue: Catalogue;
  readonly #limits: Limits;
  readonly #count: Count;
  /** The tenant's. */
  #setMs: number | undefined;
  /** When the first block ended, or earlier. Infinity when there is none, undefined before anybody has looked. */
  #firstEndMs: number | undefined;

  constructor(storage: ShardStorage, catalogue: Catalogue, limits: Limits, count: Count) {
    this.#count = count;
    this.#storage = storage;
    this.#catalogue = catalogue;
    this.#limits = limits;
    const set = storage.setting(RETENTION_MS);
    this.#setMs = set === undefined ? undefined : Number(set);
  }

  /** When the next block is to go, in ms. */
  get dueAt(): number | undefined {
    const dueMs = (this.#firstEndMs ?? Infinity) + this.#retentionMs;
    return dueMs === Infinity ? undefined : dueMs;
  }

  /** @param ms undefined: the installation's default */
  configure(ms: number | undefined): void {
    if (ms === this.#setMs) return;
    this.#catalogue.change({ settings: { [RETENTION_MS]: ms === undefined ? null : String(ms) } });
    this.#setMs = ms;
  }

  /** Learns of a block that is new in the catalogue. */
  note(block: CatalogueBlock): void {
    if (this.#firstEndMs !== undefined) this.#firstEndMs = Math.min(this.#firstEndMs, retentionStart(block));
  }

  /** Whether the block has been kept long enough. */
  isOver(block: CatalogueBlock, nowMs: number): boolean {
    return retentionStart(block) + this.#retentionMs < nowMs;
  }

  /** Removes what has been kept long enough; the objects follow after the grace time. */
  async expire(nowMs: number, pause: () => Promise<void>): Promise<void> {
    this.#firstEndMs ??= this.#readFirstEnd();
    // Blocks that end at the very moment are kept: so what is due has ended before.
    while (this.#firstEndMs + this.#retentionMs < nowMs) {
      const blocks = this.#storage.blocksEndedBefore(nowMs - this.#retentionMs, BATCH_BLOCKS);
      const deleteAtMs = nowMs + this.#limits.objectGraceMs;
      if (blocks.length > 0) {
        this.#catalogue.change({
          remove: blocks.map(({ id }) => id),
          retire: blocks.map(({ id, key }) => ({ id, key, deleteAtMs })),
        });
        this.#count("expiredBlocks", blocks.length);
      }
      await pause();
      this.#firstEndMs = this.#readFirstEnd();
    }
  }

  get #retentionMs(): number {
    return this.#setMs ?? this.#limits.blockRetentionMs;
  }

  #readFirstEnd(): number {
    return this.#storage.firstEnd() ?? Infinity;
  }
}
