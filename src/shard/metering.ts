// The shard's book with the clock at hand: what a call costs, and when what was counted is written by itself.
import type { Clock } from "../util/clock.ts";
import { messageOf } from "../util/errors.ts";
import { logError } from "../util/log.ts";
import type { CounterName } from "../usage/counters.ts";
import type { RowCounts, ShardStorage, UsageRow } from "./storage.ts";
import { UsageBook } from "./usage-book.ts";

/** Rows of a flush beside those of usage: its block's, and that of the alarm which follows. */
const FLUSH_ROWS = 2;

export class Metering {
  readonly book: UsageBook;
  readonly #storage: ShardStorage;
  readonly #clock: Clock;

  constructor(storage: ShardStorage, clock: Clock, openingRows: RowCounts = { read: 0, written: 0 }) {
    this.book = new UsageBook(storage);
    this.#storage = storage;
    this.#clock = clock;
    this.count("rowsRead", openingRows.read);
    this.count("rowsWritten", openingRows.written);
  }

  count(name: CounterName, value: number): void {
    this.book.today(this.#clock.now()).add(name, value);
  }

  /** Counts a call or an alarm and its time. @param isGone whether nothing may be written any more */
  async run<T>(work: () => T | Promise<T>, isGone: () => boolean): Promise<T> {
    const leave = this.book.enter(this.#clock.now());
    try {
      return await work();
    } finally {
      leave(this.#clock.now());
      if (!isGone()) this.#save();
    }
  }

  /** A stream goes on when its call has been answered. */
  stay(): () => void {
    const leave = this.book.stay(this.#clock.now());
    return () => leave(this.#clock.now());
  }

  /** A flush takes away rows that carried counts: the days are saved with it. */
  flush(commit: (days: readonly UsageRow[]) => void): void {
    this.book.save(this.#clock.now(), FLUSH_ROWS, commit);
  }

  /** Of what rides with no other row, so that it is not lost with the object. */
  #save(): void {
    const nowMs = this.#clock.now();
    if (!this.book.isSaveDue(nowMs)) return;
    try {
      this.book.save(nowMs, 0, (days) => this.#storage.saveUsage(days));
    } catch (error) {
      logError("usage could not be saved", { error: messageOf(error) });
    }
  }
}
