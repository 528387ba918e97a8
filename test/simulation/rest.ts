// Letting the world come to rest: without new faults everything that runs ends, and what is due is done in time.
import { PLAN_LIMITS, type PlanBlock, planJobs } from "../../src/compaction/plan.ts";
import { retentionStart } from "../../src/shard/storage.ts";
import type { CatalogueBlock } from "../../src/store/catalogue.ts";
import type { Random } from "../support/random.ts";
import type { Checks } from "./checks.ts";
import { Violation } from "./model.ts";
import type { ShardObject } from "./objects.ts";
import { ALARM_LATE_MS, HOLD_MAX_MS, SLACK_MS } from "./sim-limits.ts";
import type { SimContext } from "./sim-object.ts";
import type { World } from "./world.ts";

const DAY_MS = 86_400_000;
/** Alarms are of whole milliseconds, and time passes in steps of one at least. */
const IN_TIME_MS = 10;
/** Turns within which a quiet world comes to rest. */
const TURNS_MAX = 20_000;
/** A sweep and inputs that were left out come a day later; jobs follow from that. */
const UPKEEP_MAX_MS = 4 * DAY_MS;

export class Rest {
  readonly #context: SimContext;
  readonly #world: World;
  readonly #checks: Checks;

  constructor(context: SimContext, world: World, checks: Checks) {
    this.#context = context;
    this.#world = world;
    this.#checks = checks;
  }

  /**
   * Everything that runs comes to its end, and all spans come into blocks, soon.
   * @param isTouched whether a client sends one more batch, which lets a shard see what time it is
   * @param slackMs how much later than `flushAgeMs` that may be
   */
  async drain(random: Random, isTouched: boolean, slackMs = SLACK_MS): Promise<void> {
    const { faults, scheduler } = this.#context;
    const { clients, limits, shards } = this.#world;
    faults.suspended = true;
    this.#endBroken(random);
    this.#wakeLost();
    if (isTouched) clients.append(random);
    // An idle object is woken by its alarm only, which may have been set when the clock was ahead.
    const aheadMs = isTouched && shards.length === 1 ? 0 : Math.max(0, scheduler.latestMs - scheduler.wallMs);
    const endMs = scheduler.steadyMs + aheadMs + limits.flushAgeMs + slackMs + clients.vanished * HOLD_MAX_MS;
    clients.vanished = 0;
    await this.#until(endMs, () => this.#isBusy());
    faults.suspended = false;
  }

  /** Besides, everything is merged, indexed, deleted, swept, kept no longer than it should be, and nothing else lies about. */
  async settle(random: Random): Promise<void> {
    const { faults, scheduler } = this.#context;
    const world = this.#world;
    await this.drain(random, false);
    faults.suspended = true;
    const aheadMs = Math.max(0, scheduler.latestMs - scheduler.wallMs);
    await this.#until(
      scheduler.steadyMs + aheadMs + UPKEEP_MAX_MS,
      () => this.#isBusy() || this.#hasUpkeep(),
    );
    world.retentionIsKnown();
    await this.#checks.checkBucket(() => false);
    faults.suspended = false;
    this.#context.count("settled");
  }

  /** Nothing that went wrong is held against shards that are at rest: they take a batch, and flush it in time. */
  async checkAccepts(random: Random): Promise<void> {
    const { scheduler } = this.#context;
    const { clients } = this.#world;
    const before = clients.model.ackedCount;
    clients.append(random);
    this.#world.leap(Math.max(0, scheduler.latestMs - scheduler.wallMs));
    await this.drain(random, false, IN_TIME_MS);
    if (clients.model.ackedCount === before) throw new Violation("an idle shard takes no batch");
  }

  #endBroken(random: Random): void {
    for (const object of this.#world.objects) if (object.host?.isBroken === true) object.crash(random);
  }

  /** An object whose alarm was lost sees that when it is called, after a while. */
  #wakeLost(): void {
    const lost = this.#world.shards.flatMap(({ lostAlarmAt }) => lostAlarmAt ?? []);
    if (lost.length === 0) return;
    this.#world.pass(Math.max(0, Math.max(...lost) - this.#context.scheduler.wallMs) + ALARM_LATE_MS);
    for (const shard of this.#world.shards) {
      if (shard.lostAlarmAt === undefined) continue;
      shard.lostAlarmAt = undefined;
      const set = shard.storage.setting("retention_ms");
      const retentionMs = set === undefined ? undefined : Number(set);
      void shard
        .client()
        .configure({ retentionMs })
        .catch(() => undefined);
    }
  }

  async #until(endMs: number, isBusy: () => boolean): Promise<void> {
    const { faults, scheduler } = this.#context;
    for (let turn = 0; isBusy(); turn++) {
      if (turn > TURNS_MAX) throw new Violation(`still busy after ${turn} turns: ${this.#told()}`);
      if (scheduler.resume() === undefined && !this.#runAlarm()) this.#passToNext();
      await scheduler.settle();
      // An object that starts now may have brought the faults back.
      faults.suspended = true;
      this.#world.throwFailure();
      await this.#world.noteProgress();
      if (scheduler.steadyMs > endMs) throw new Violation(`not at rest in time: ${this.#told()}`);
    }
  }

  #runAlarm(): boolean {
    return this.#world.objects.some((object) => object.alarm());
  }

  #passToNext(): void {
    const alarms = this.#world.objects.map((object) => (object.nextAlarm ?? Infinity) - object.nowMs);
    const next = Math.min(...alarms, this.#context.scheduler.untilReady() ?? Infinity);
    // An instance that was replaced may wait for what another one was told.
    if (next === Infinity && this.#world.compactors.some(({ isBusy }) => isBusy)) {
      for (const compactor of this.#world.compactors) compactor.endOlder(0);
      return;
    }
    if (next === Infinity) throw new Violation(`nothing will happen any more: ${this.#told()}`);
    this.#world.pass(Math.max(next, 1));
  }

  #told(): string {
    const { shards, clients, compactors } = this.#world;
    return JSON.stringify({
      waits: this.#context.scheduler.waiting.slice(0, 10),
      isSending: clients.isBusy,
      shards: shards.map((shard) => ({
        epochs: shard.storage.epochs(),
        busy: shard.isBusy,
        upkeep: upkeepOf(shard, this.#world),
        alarm: shard.storage.alarm,
      })),
      compactors: compactors.map(({ isBusy, storage }) => ({
        isBusy,
        alarm: storage.alarm,
        state: storage.value,
      })),
      tenant: this.#world.tenant().storage.value,
      now: this.#context.scheduler.wallMs,
    });
  }

  #isBusy(): boolean {
    const { clients, shards, objects } = this.#world;
    return (
      clients.isBusy ||
      this.#context.scheduler.waiting.length > 0 ||
      objects.some(({ isBusy }) => isBusy) ||
      shards.some(({ storage }) => storage.epochs().length > 0 && storage.setting("deleting") === undefined)
    );
  }

  #hasUpkeep(): boolean {
    const { shards, compactors, clients } = this.#world;
    const record = this.#world.tenant().storage.value;
    return (
      clients.model.isDeleting ||
      clients.hidden.size > 0 ||
      record?.isRetentionUnsent === true ||
      compactors.some(({ isLookingOver }) => isLookingOver) ||
      shards.some((shard) => upkeepOf(shard, this.#world) !== undefined)
    );
  }
}

/** What a shard has to do besides flushing. */
function upkeepOf({ storage }: ShardObject, { limits, scheduler }: World): string | undefined {
  const now = scheduler.wallMs;
  if (storage.setting("deleting") !== undefined) return "deletion";
  if (storage.job() !== undefined) return "open job";
  if (storage.firstRetired() !== undefined) return "retired objects";
  if (storage.setting("sweep") !== undefined) return "sweep";
  const retention = Number(storage.setting("retention_ms") ?? limits.blockRetentionMs);
  if (storage.blocksBetween({}).some((block) => retentionStart(block) + retention < now)) return "retention";
  const skipped = new Set(
    (storage.setting("skipped") ?? "")
      .split("\n")
      .map((line) => line.split(" ").map(Number))
      .filter(([, untilMs = 0]) => untilMs > now)
      .map(([id]) => id),
  );
  const young = storage.youngBlocks().filter(({ id }) => !skipped.has(id));
  const planned = planJobs(young.map(asPlanned), now, limits.plan ?? PLAN_LIMITS);
  return planned.length > 0 ? "jobs" : undefined;
}

function asPlanned(block: CatalogueBlock): PlanBlock {
  const { id, arrivedMs, spanCount, traceCount, rawBytes, version } = block;
  return { id, arrivedMs, spanCount, traceCount, rawBytes, version, indexed: false };
}
