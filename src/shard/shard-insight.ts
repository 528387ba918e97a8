// What a shard tells of itself: its state, its counts, and whether it writes and reads.
import type { ShardCounts, ShardStats } from "../store/rpc.ts";
import { monthOf } from "../usage/bill.ts";
import { dayOf, encodeUsage, UsageDays } from "../usage/usage-days.ts";
import { assert } from "../util/assert.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Epochs } from "./epochs.ts";
import { NO_CHANGE, type ShardStorage } from "./storage.ts";
import type { UsageBook } from "./usage-book.ts";

const PROBE = "probe";
const PROBE_MAX_CHARS = 64;

export interface InsightContext {
  readonly storage: ShardStorage;
  readonly epochs: Epochs;
  readonly catalogue: Catalogue;
  readonly usage: UsageBook;
  /** Since the object was opened. */
  readonly since: () => Pick<ShardStats, "appends" | "failedReads">;
  readonly isGoing: () => boolean;
}

export class ShardInsight {
  readonly #context: InsightContext;

  constructor(context: InsightContext) {
    this.#context = context;
  }

  stats(): ShardStats {
    const { storage, epochs, catalogue, since } = this.#context;
    return {
      liveSpans: epochs.spanCount,
      liveBytes: epochs.rawBytes,
      epochs: epochs.count,
      blocks: catalogue.count,
      rowsWritten: storage.rowsWritten(),
      rowsRead: storage.rowsRead(),
      ...since(),
    };
  }

  /** Only what is durable: what was told once is never taken back, not even when the object starts anew. */
  counts(nowMs: number): ShardCounts {
    const { catalogue, epochs, storage, usage } = this.#context;
    const today = dayOf(nowMs);
    const month = new UsageDays();
    const days = usage.durable(monthOf(today).first, today);
    for (const day of days.days) month.on(today).merge(days.on(day));
    const { sqlite, blocks } = storage.storedBytes();
    return {
      stats: this.stats(),
      liveTraces: epochs.traceCount,
      youngBlocks: catalogue.young().length,
      blockBytes: blocks,
      sqliteBytes: sqlite,
      usage: encodeUsage(month),
    };
  }

  /** One row, the same each time; no span, and in no span's way. */
  async probe(mark: string): Promise<void> {
    assert(mark.length <= PROBE_MAX_CHARS, `a probe has ${PROBE_MAX_CHARS} characters at most`);
    const { storage, isGoing } = this.#context;
    if (isGoing()) return;
    storage.change({ ...NO_CHANGE, settings: { [PROBE]: mark } });
    await storage.sync();
  }

  probed(): string | undefined {
    return this.#context.storage.setting(PROBE);
  }
}
