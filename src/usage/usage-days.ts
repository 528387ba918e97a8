// Meters by day, and their compact form: what rows carry and what calls hand over.
import { COUNTER_NUMBERS, type CounterName } from "./counters.ts";
import { Meter } from "./meter.ts";
import { corruptUsage, UsageReader, UsageWriter } from "./wire.ts";

const DAY_MS = 86_400_000;
const VERSION = 1;

/** The day (UTC) of a time in ms, as a number of days since 1970. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

/** The first ms of a day. */
export function dayStart(day: number): number {
  return day * DAY_MS;
}

/** `2026-11-30`. */
export function dayText(day: number): string {
  return new Date(dayStart(day)).toISOString().slice(0, 10);
}

/** Counts by day. */
export class UsageDays {
  #days = new Map<number, Meter>();

  get isEmpty(): boolean {
    return [...this.#days.values()].every((meter) => meter.isEmpty);
  }

  /** Days with a meter, ascending. */
  get days(): number[] {
    return [...this.#days.keys()].sort((a, b) => a - b);
  }

  /** The meter of a day, made if there is none. */
  on(day: number): Meter {
    const known = this.#days.get(day);
    if (known !== undefined) return known;
    const meter = new Meter();
    this.#days.set(day, meter);
    return meter;
  }

  merge(other: UsageDays): void {
    for (const day of other.days) this.on(day).merge(other.on(day));
  }

  /** Takes everything out. */
  take(): UsageDays {
    const taken = new UsageDays();
    taken.#days = this.#days;
    this.#days = new Map();
    return taken;
  }
}

/**
 * version, days; of each: its number, series; of each: the counter's number, labels, the value. All numbers are varints,
 * values zigzag; a label is a length and UTF-8. What a later version counts and this one does not know is passed over.
 */
export function encodeUsage(usage: UsageDays): Uint8Array {
  const writer = new UsageWriter();
  writer.number(VERSION);
  const days = usage.days.filter((day) => !usage.on(day).isEmpty);
  writer.number(days.length);
  for (const day of days) {
    const series = [...usage.on(day).all()];
    writer.number(day);
    writer.number(series.length);
    for (const [name, { labels, value }] of series) {
      writer.number(COUNTER_NUMBERS.indexOf(name));
      writer.number(labels.length);
      for (const label of labels) writer.text(label);
      writer.signed(value);
    }
  }
  return writer.bytes();
}

/** @throws AppError `corrupt` */
export function decodeUsage(bytes: Uint8Array): UsageDays {
  const usage = new UsageDays();
  const reader = new UsageReader(bytes);
  if (reader.number() !== VERSION) throw corruptUsage("unknown version");
  for (let days = reader.number(); days > 0; days--) {
    const meter = usage.on(reader.number());
    for (let series = reader.number(); series > 0; series--) {
      const name: CounterName | undefined = COUNTER_NUMBERS[reader.number()];
      const labels: string[] = [];
      for (let count = reader.number(); count > 0; count--) labels.push(reader.text());
      const value = reader.signed();
      if (name !== undefined) meter.put(name, value, labels);
    }
  }
  return usage;
}
