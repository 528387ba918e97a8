// What an object that is no shard costs, until somebody takes it to one.
import type { RowCounts } from "../src/shard/storage.ts";
import { Activity } from "../src/usage/activity.ts";
import type { CounterName } from "../src/usage/counters.ts";
import { dayOf, UsageDays } from "../src/usage/usage-days.ts";
import { systemClock } from "../src/util/clock.ts";

export class ObjectMeter {
  readonly #usage = new UsageDays();
  readonly #activity = new Activity();
  #activeMs = 0;
  #rows: RowCounts = { read: 0, written: 0 };

  /** Counts a call or an alarm, and how long it takes. */
  async run<T>(work: () => T | Promise<T>): Promise<T> {
    this.count("objectRequests", 1);
    this.#activity.enter(systemClock.now());
    try {
      return await work();
    } finally {
      this.#activity.leave(systemClock.now());
    }
  }

  count(name: CounterName, value: number): void {
    this.#usage.on(dayOf(systemClock.now())).add(name, value);
  }

  /** All that was counted since the last time. @param rows all that the object has read and written so far */
  take(rows: RowCounts): UsageDays {
    this.count("rowsRead", rows.read - this.#rows.read);
    this.count("rowsWritten", rows.written - this.#rows.written);
    this.#rows = rows;
    const activeMs = this.#activity.totalMs(systemClock.now());
    this.count("objectMs", activeMs - this.#activeMs);
    this.#activeMs = activeMs;
    return this.#usage.take();
  }
}
