// The shard's account book: what was counted of the tenant, by day. It is written along with rows that are written anyway:
// a commit's row carries what was counted since the last, a flush saves the days whole. ARCHITECTURE.md, "Usage".
import type { UsageDelta } from "../store/rpc.ts";
import type { SpendReport } from "../store/tenant-rpc.ts";
import { Activity } from "../usage/activity.ts";
import { billOf, monthOf } from "../usage/bill.ts";
import { Meter } from "../usage/meter.ts";
import { dayOf, dayStart, decodeUsage, encodeUsage, UsageDays } from "../usage/usage-days.ts";
import { UsageReader, UsageWriter } from "../usage/wire.ts";
import { messageOf } from "../util/errors.ts";
import { logError } from "../util/log.ts";
import type { ShardStorage, UsageRow } from "./storage.ts";

const HOUR_MS = 3_600_000;
/** What is unsaved and rides with nothing is saved by a row of its own, once in this time at most. */
export const SAVE_EVERY_MS = 60_000;
/** Stored bytes are counted when so much time has passed. */
const STORED_EVERY_MS = 60_000;
/** Ids of deltas that are remembered: a repeat comes with the next call, or the one after that. */
const IDS_MAX = 1_024;
/** Of them, those that are saved with a day: 4 KB. */
const IDS_KEPT = 256;
/** What a commit takes from its row to its end, in ms: assumed when the row is written, put right when it is over. */
const COMMIT_MS = 10;

/** What the book counts of a stored batch. */
export interface CountedFrame {
  readonly parsed: { readonly spanCount: number; readonly rawLength: number };
  /** Id of the token that it was sent with. */
  readonly token?: string | undefined;
}

/**
 * What goes along with a write, and what became of it: to be settled without waiting for anything in between. `left`: the
 * batches are stored, the counts are not with them.
 */
export interface Ride {
  readonly usage: Uint8Array;
  settle(outcome: "carried" | "left" | "failed"): void;
}

/** A day that was counted in: what is durable of it. */
interface KeptDay {
  readonly total: Meter;
  /** The last of the rows' numbers whose counts the saved row has. */
  readonly seq: number;
  /** Whether counts came with rows since it was saved. */
  isDirty: boolean;
}

export class UsageBook {
  readonly #storage: ShardStorage;
  readonly #activity = new Activity();
  readonly #kept = new Map<number, KeptDay>();
  /** Counted, durable nowhere. */
  readonly #fresh = new UsageDays();
  #freshIds: string[] = [];
  /** In order of arrival. */
  readonly #ids = new Set<string>();
  /** Number of the last row that carried counts. */
  #seq = 0;
  /** Up to where the storage's and the activity's own counts are in ours. */
  #rowsWritten: number;
  #rowsRead: number;
  #activeMs = 0;
  #storedUntilMs: number;
  /** What the month has cost before this day. */
  #monthBefore: { readonly day: number; readonly usd: number } | undefined;
  /** When a row last carried or saved counts. */
  #savedMs = Number.NEGATIVE_INFINITY;

  constructor(storage: ShardStorage) {
    this.#storage = storage;
    this.#rowsWritten = storage.rowsWritten();
    this.#rowsRead = storage.rowsRead();
    // The last counts of the day before the newest may still be in rows. Older days are looked up if rows have any.
    for (const row of storage.newestUsage(2)) this.#load(row);
    const stored = [...this.#kept.values()].map(({ total }) => total.get("storedUntilMs"));
    this.#storedUntilMs = Math.max(0, ...stored);
  }

  /** Begins a call or an alarm, which is billed as a request and lasts until the returned function is called. */
  enter(nowMs: number): (endMs: number) => void {
    this.#fresh.on(dayOf(nowMs)).add("objectRequests", 1);
    return this.stay(nowMs);
  }

  /** What goes on after its call has been answered: a stream. */
  stay(nowMs: number): (endMs: number) => void {
    this.#activity.enter(nowMs);
    let isOver = false;
    return (endMs) => {
      if (!isOver) this.#activity.leave(endMs);
      isOver = true;
    };
  }

  /** Today's counts, to be added to. */
  today(nowMs: number): Meter {
    return this.#fresh.on(dayOf(nowMs));
  }

  /** Counts what others counted, each delta once. */
  receive(deltas: readonly UsageDelta[]): void {
    for (const { id, usage } of deltas) {
      if (this.#ids.has(id)) continue;
      this.#remember(id);
      this.#freshIds.push(id);
      this.#fresh.merge(readable(() => decodeUsage(usage)) ?? new UsageDays());
    }
  }

  /** Takes up again what a row carried. In the order of the rows. */
  restore(carried: Uint8Array): void {
    const read = readable(() => decodeRide(carried));
    if (read === undefined) return;
    const { seq, ids, usage } = read;
    for (const id of ids) this.#remember(id);
    for (const day of usage.days) {
      const kept = this.#day(day);
      if (seq <= kept.seq) continue;
      kept.total.merge(usage.on(day));
      kept.isDirty = true;
      this.#storedUntilMs = Math.max(this.#storedUntilMs, kept.total.get("storedUntilMs"));
    }
    this.#seq = Math.max(this.#seq, seq);
  }

  /**
   * What the row that stores these batches carries: all that is counted and durable nowhere.
   * @param rows that are written with it, itself included
   */
  ride(frames: readonly CountedFrame[], rows: number, nowMs: number): Ride {
    countFrames(this.today(nowMs), frames, 1, nowMs);
    this.#collect(nowMs, rows, this.#activity.totalMs(nowMs) > 0 ? COMMIT_MS : 0);
    const taken = this.#fresh.take();
    const ids = this.#freshIds;
    this.#freshIds = [];
    const seq = this.#seq + 1;
    return {
      usage: encodeRide({ seq, ids, usage: taken }),
      settle: (outcome) => {
        if (outcome !== "carried") {
          this.#takeBack(taken, ids, outcome === "failed" ? rows : 0, nowMs);
          if (outcome === "failed") countFrames(this.today(nowMs), frames, -1, nowMs);
          return;
        }
        this.#seq = seq;
        this.#savedMs = nowMs;
        for (const day of taken.days) {
          const kept = this.#day(day);
          kept.total.merge(taken.on(day));
          kept.isDirty = true;
        }
      },
    };
  }

  /**
   * Saves the days that have changed.
   * @param rows that are written in the same transaction or right behind it, those of the days left out
   * @param write durably, together with whatever makes rows go that carried counts
   * @throws what `write` throws
   */
  save(nowMs: number, rows: number, write: (days: readonly UsageRow[]) => void): void {
    this.#collect(nowMs, rows, 0);
    const dirty = [...this.#kept].flatMap(([day, kept]) => (kept.isDirty ? [day] : []));
    const days = [...new Set([...dirty, ...this.#fresh.days, dayOf(nowMs)])];
    this.#collect(nowMs, rows + days.length, 0);
    const taken = this.#fresh.take();
    const seq = this.#seq;
    const ids = [...this.#ids].slice(-IDS_KEPT);
    const saved = days.map((day) => {
      const usage = new UsageDays();
      usage.on(day).merge(this.#day(day).total);
      usage.on(day).merge(taken.on(day));
      return { day, usage };
    });
    try {
      write(saved.map(({ day, usage }) => ({ day, savedMs: nowMs, usage: encodeRide({ seq, ids, usage }) })));
    } catch (error) {
      this.#takeBack(taken, [], rows + days.length, nowMs);
      throw error;
    }
    this.#freshIds = [];
    this.#savedMs = nowMs;
    for (const { day, usage } of saved) this.#kept.set(day, { total: usage.on(day), seq, isDirty: false });
    for (const day of this.#kept.keys()) if (day < dayOf(nowMs) - 1) this.#kept.delete(day);
  }

  /** Whether it is time for a row of its own, so that what only reads costs is not lost with the object. */
  isSaveDue(nowMs: number): boolean {
    return !this.#fresh.isEmpty && Math.abs(nowMs - this.#savedMs) >= SAVE_EVERY_MS;
  }

  /** All counts of the days from `from` to `to`, both included, up to now. */
  between(from: number, to: number, nowMs: number): UsageDays {
    const usage = this.durable(from, to);
    this.#collect(nowMs, 0, 0);
    for (const day of this.#fresh.days) {
      if (day >= from && day <= to) usage.on(day).merge(this.#fresh.on(day));
    }
    return usage;
  }

  /** What today and its month have cost so far. */
  spent(nowMs: number): SpendReport {
    this.#collect(nowMs, 0, 0);
    const day = dayOf(nowMs);
    if (this.#monthBefore?.day !== day) {
      const before = this.between(monthOf(day).first, day - 1, nowMs);
      this.#monthBefore = { day, usd: billOf(...before.days.map((one) => before.on(one))).usd };
    }
    const dayUsd = billOf(this.#day(day).total, this.#fresh.on(day)).usd;
    return { day, dayUsd, monthUsd: this.#monthBefore.usd + dayUsd };
  }

  /** Of the counts of the same days those that are durable: they never become less, whatever happens to the object. */
  durable(from: number, to: number): UsageDays {
    const usage = new UsageDays();
    for (const row of this.#storage.usageRows(from, to)) {
      if (this.#kept.has(row.day)) continue;
      usage.merge(readable(() => decodeRide(row.usage).usage) ?? new UsageDays());
    }
    for (const [day, { total }] of this.#kept) if (day >= from && day <= to) usage.on(day).merge(total);
    return usage;
  }

  /** Brings what is counted elsewhere into today's counts. */
  #collect(nowMs: number, rows: number, activeMs: number): void {
    this.#collectStored(nowMs);
    const today = this.today(nowMs);
    const written = this.#storage.rowsWritten() + rows;
    const read = this.#storage.rowsRead();
    const active = this.#activity.totalMs(nowMs) + activeMs;
    today.add("rowsWritten", written - this.#rowsWritten);
    today.add("rowsRead", read - this.#rowsRead);
    today.add("objectMs", active - this.#activeMs);
    this.#rowsWritten = written;
    this.#rowsRead = read;
    this.#activeMs = active;
  }

  /** Bytes do not change while the object is at rest, so what is there now was there since the last look. */
  #collectStored(nowMs: number): void {
    const isFirst = this.#storedUntilMs === 0;
    if (isFirst) this.#storedUntilMs = nowMs;
    if (!isFirst && nowMs - this.#storedUntilMs < STORED_EVERY_MS) return;
    const { sqlite, blocks } = this.#storage.storedBytes();
    for (let fromMs = this.#storedUntilMs; fromMs < nowMs;) {
      const day = dayOf(fromMs);
      const toMs = Math.min(nowMs, dayStart(day + 1));
      const hours = (toMs - fromMs) / HOUR_MS;
      this.#fresh.on(day).add("sqliteByteHours", sqlite * hours);
      this.#fresh.on(day).add("r2ByteHours", blocks * hours);
      fromMs = toMs;
    }
    this.#storedUntilMs = nowMs;
    this.today(nowMs).add("storedUntilMs", nowMs);
  }

  #takeBack(taken: UsageDays, ids: readonly string[], rows: number, nowMs: number): void {
    this.#fresh.merge(taken);
    this.#freshIds = [...ids, ...this.#freshIds];
    this.today(nowMs).add("rowsWritten", -rows);
    this.#rowsWritten -= rows;
  }

  #day(day: number): KeptDay {
    const known = this.#kept.get(day);
    if (known !== undefined) return known;
    for (const row of this.#storage.usageRows(day, day)) this.#load(row);
    const kept = this.#kept.get(day) ?? { total: new Meter(), seq: 0, isDirty: false };
    this.#kept.set(day, kept);
    return kept;
  }

  #load({ day, savedMs, usage }: UsageRow): void {
    const read = readable(() => decodeRide(usage)) ?? { seq: 0, ids: [], usage: new UsageDays() };
    this.#kept.set(day, { total: read.usage.on(day), seq: read.seq, isDirty: false });
    this.#seq = Math.max(this.#seq, read.seq);
    for (const id of read.ids) this.#remember(id);
    this.#savedMs = Math.max(this.#savedMs, savedMs);
  }

  #remember(id: string): void {
    this.#ids.add(id);
    if (this.#ids.size <= IDS_MAX) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }
}

/** Counts that cannot be read are given up: no span is lost for them. */
function readable<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    logError("usage cannot be read", { error: messageOf(error) });
    return undefined;
  }
}

function countFrames(meter: Meter, frames: readonly CountedFrame[], sign: 1 | -1, nowMs: number): void {
  for (const { parsed, token } of frames) {
    meter.add("spans", sign * parsed.spanCount);
    meter.add("spanBytes", sign * parsed.rawLength);
    if (token === undefined) continue;
    meter.add("tokenSpans", sign * parsed.spanCount, token);
    meter.add("tokenBytes", sign * parsed.rawLength, token);
    if (sign > 0) meter.add("tokenLastUsedMs", nowMs, token);
  }
}

interface Carried {
  readonly seq: number;
  readonly ids: readonly string[];
  readonly usage: UsageDays;
}

/** segment/FORMAT.md, "usage". */
function encodeRide({ seq, ids, usage }: Carried): Uint8Array {
  const writer = new UsageWriter();
  writer.number(seq);
  writer.number(ids.length);
  for (const id of ids) writer.text(id);
  writer.block(encodeUsage(usage));
  return writer.bytes();
}

function decodeRide(bytes: Uint8Array): Carried {
  const reader = new UsageReader(bytes);
  const seq = reader.number();
  const ids: string[] = [];
  for (let count = reader.number(); count > 0; count--) ids.push(reader.text());
  return { seq, ids, usage: decodeUsage(reader.block()) };
}
