// What an isolate counts of its tenants until a call goes to one of their shards anyway: that takes it along.
import type { UsageDelta } from "../store/rpc.ts";
import type { Clock } from "../util/clock.ts";
import type { Meter } from "./meter.ts";
import { dayOf, encodeUsage, UsageDays } from "./usage-days.ts";

/** Tenants in memory; what was counted of the one that was silent longest is given up. */
const TENANTS_MAX = 1_000;
/** Deltas of failed calls to one shard that are kept, and shards that they are kept for. */
const UNSURE_MAX = 8;
const UNSURE_SHARDS_MAX = 1_000;
const TAKE_EVERY_MS = 1_000;

/** Takes along the deltas. */
type Call<T> = (usage: readonly UsageDelta[]) => Promise<T>;

/**
 * Counts by tenant and day. What a call takes along is counted once: when the call fails nobody knows whether it had
 * arrived, so the same delta goes again, with the next call to the same shard, which knows it by its id.
 */
export class UsageLedger {
  readonly #clock: Clock;
  readonly #isolate: string;
  readonly #tenants = new Map<string, UsageDays>();
  /** By shard. */
  readonly #unsure = new Map<string, readonly UsageDelta[]>();
  /** By tenant, when a call last took what was counted. */
  readonly #takenMs = new Map<string, number>();
  #count = 0;

  /** @param isolate names this ledger among all that ever are */
  constructor(clock: Clock, isolate: string) {
    this.#clock = clock;
    this.#isolate = isolate;
  }

  /** Where to count what happens to a tenant now. To be asked for anew after each wait: the day ends, counts are taken. */
  meter(tenant: string): Meter {
    return this.#usage(tenant).on(dayOf(this.#clock.now()));
  }

  /** Counts what was counted somewhere else. */
  add(tenant: string, usage: UsageDays): void {
    this.#usage(tenant).merge(usage);
  }

  #usage(tenant: string): UsageDays {
    const usage = this.#tenants.get(tenant) ?? new UsageDays();
    // The one counted last comes last.
    this.#tenants.delete(tenant);
    this.#tenants.set(tenant, usage);
    dropOldest(this.#tenants, TENANTS_MAX);
    return usage;
  }

  /**
   * Makes a call to a shard of the tenant and lets it take along what was counted, once a second at most: where calls are
   * many, so is what each would take.
   * @param shard its name among all
   * @throws what `call` throws
   */
  carry<T>(tenant: string, shard: string, call: Call<T>): Promise<T> {
    const since = this.#clock.now() - (this.#takenMs.get(tenant) ?? Number.NEGATIVE_INFINITY);
    const isEarly = since >= 0 && since < TAKE_EVERY_MS;
    return this.#carry(shard, isEarly ? undefined : this.#take(tenant), call);
  }

  /** As `carry`, but takes all there is. */
  carryAll<T>(tenant: string, shard: string, call: Call<T>): Promise<T> {
    return this.#carry(shard, this.#take(tenant), call);
  }

  async #carry<T>(shard: string, fresh: UsageDelta | undefined, call: Call<T>): Promise<T> {
    const again = this.#unsure.get(shard) ?? [];
    this.#unsure.delete(shard);
    const usage = fresh === undefined ? again : [...again, fresh];
    try {
      return await call(usage);
    } catch (error) {
      const all = [...usage, ...(this.#unsure.get(shard) ?? [])];
      if (all.length > 0) this.#unsure.set(shard, all.slice(-UNSURE_MAX));
      dropOldest(this.#unsure, UNSURE_SHARDS_MAX);
      throw error;
    }
  }

  #take(tenant: string): UsageDelta | undefined {
    const usage = this.#tenants.get(tenant);
    if (usage === undefined || usage.isEmpty) return undefined;
    this.#takenMs.set(tenant, this.#clock.now());
    dropOldest(this.#takenMs, TENANTS_MAX);
    return { id: `${this.#isolate}-${++this.#count}`, usage: encodeUsage(usage.take()) };
  }
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  if (map.size <= max) return;
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
