// Carries out a shard's jobs, one an alarm. Everything outside comes through ports; nothing but the rebuild's progress
// and a count of failures is kept here: what is to be done the shard knows.
import { unreachable } from "../util/assert.ts";
import type { RebuildProgress } from "../store/compactor-rpc.ts";
import type { ShardJob } from "../store/rpc.ts";
import type { Clock } from "../util/clock.ts";
import { isAppError, messageOf } from "../util/errors.ts";
import { logError } from "../util/log.ts";
import { runIndex } from "./index-job.ts";
import type { JobOutcome, JobPorts } from "./job-ports.ts";
import { runMerge } from "./merge-job.ts";
import { datesOf, type RebuildState, type RebuildTarget, stepRebuild } from "./rebuild.ts";
import { runSweep } from "./sweep-job.ts";

/** A job that was begun and has not ended, or has failed for no known reason. */
export interface Attempts {
  readonly job: number;
  readonly count: number;
}

/** What survives an eviction. Writes are durable by the end of the alarm. */
export interface CompactorStorage {
  attempts(): Attempts | undefined;
  /** undefined removes. */
  setAttempts(attempts: Attempts | undefined): void;
  /** `begin`: asked for, not begun. */
  rebuild(): RebuildState | "begin" | undefined;
  setRebuild(state: RebuildState | "begin"): void;
  sync(): Promise<void>;
  getAlarm(): Promise<number | null>;
  setAlarm(atMs: number): void;
}

export interface CompactorPorts extends JobPorts {
  readonly storage: CompactorStorage;
  readonly clock: Clock;
}

const BACKOFF_MIN_MS = 2_000;
const BACKOFF_MAX_MS = 300_000;
/** Times that a job may kill its object or fail without a reason that passes, before the shard is told to leave it. */
const ATTEMPTS_MAX = 4;

export class Compactor {
  readonly #target: RebuildTarget;
  readonly #ports: CompactorPorts;
  #failures = 0;

  constructor(target: RebuildTarget, ports: CompactorPorts) {
    this.#target = target;
    this.#ports = ports;
  }

  /** See CompactorRpc. */
  async wake(): Promise<void> {
    const { clock, storage } = this.#ports;
    // An alarm that is set may be a back-off: the store is not asked again before that.
    if ((await storage.getAlarm()) === null) storage.setAlarm(clock.now());
  }

  /** See CompactorRpc. */
  async rebuild(): Promise<void> {
    const { clock, shard, storage } = this.#ports;
    storage.setRebuild("begin");
    storage.setAlarm(clock.now());
    await storage.sync();
    await shard.beginRebuild(clock.now());
  }

  /** See CompactorRpc. */
  rebuildProgress(): RebuildProgress | undefined {
    const state = this.#ports.storage.rebuild();
    if (state === "begin") return { dateMs: 0, adopted: 0, damaged: 0, done: false };
    if (state === undefined) return undefined;
    const { dateMs, adopted, damaged, done } = state;
    return { dateMs, adopted, damaged, done };
  }

  /**
   * Does one job, or one step of a rebuild, and sets the alarm for the next: each has the CPU time of a whole alarm.
   * Never throws: the runtime would give up after six times.
   */
  async alarm(): Promise<void> {
    const { clock, storage } = this.#ports;
    try {
      const nextMs = await this.#work();
      this.#failures = 0;
      if (nextMs !== undefined) storage.setAlarm(Math.max(nextMs, clock.now()));
    } catch (error) {
      this.#failures++;
      const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (this.#failures - 1));
      logError("compaction failed, will be repeated", { error: messageOf(error), delayMs });
      storage.setAlarm(clock.now() + delayMs);
    }
  }

  /** @returns when there may be more to do, in ms */
  async #work(): Promise<number | undefined> {
    const { clock, shard, storage } = this.#ports;
    const state = storage.rebuild();
    if (state === "begin" || state?.isOver === false) {
      const next = await this.#rebuildStep(state);
      // If it was begun anew meanwhile, it shall begin anew.
      if (state === "begin" || storage.rebuild() !== "begin") storage.setRebuild(next);
      return next.dates.length > 0 ? clock.now() : (next.againAtMs ?? clock.now());
    }
    const job = await shard.nextJob(clock.now());
    if (job === undefined) return undefined;
    await this.#attempt(job);
    return clock.now();
  }

  async #rebuildStep(state: RebuildState | "begin"): Promise<RebuildState> {
    const { clock, shard } = this.#ports;
    if (state === "begin") {
      const againAtMs = await shard.beginRebuild(clock.now());
      const dates = await datesOf(this.#ports, this.#target);
      const [dateMs = 0] = dates;
      return { dateMs, dates, adopted: 0, damaged: 0, done: dates.length === 0, againAtMs, isOver: false };
    }
    if (state.dates.length > 0) return stepRebuild(this.#ports, this.#target, state);
    if (state.againAtMs === undefined) {
      await shard.endRebuild();
      return { ...state, isOver: true };
    }
    if (state.againAtMs > clock.now()) return state;
    // The same blocks are found damaged again.
    return { ...state, dates: await datesOf(this.#ports, this.#target), damaged: 0, againAtMs: undefined };
  }

  /** Counts the attempt before it begins: a job that takes too much memory ends the object without a word. */
  async #attempt(job: ShardJob): Promise<void> {
    const { storage } = this.#ports;
    const before = storage.attempts();
    const count = before?.job === job.id ? before.count : 0;
    if (count >= ATTEMPTS_MAX) {
      await this.#giveUp(job, `failed ${count} times`, undefined);
      return;
    }
    storage.setAttempts({ job: job.id, count: count + 1 });
    await storage.sync();
    try {
      const outcome = await this.#run(job);
      if ("damaged" in outcome) await this.#giveUp(job, outcome.message, outcome.damaged);
      else storage.setAttempts(undefined);
    } catch (error) {
      // The store's bad times are not the job's fault.
      if (isAppError(error) && error.kind === "unavailable") storage.setAttempts({ job: job.id, count });
      throw error;
    }
  }

  async #giveUp(job: ShardJob, message: string, culprits: readonly number[] | undefined): Promise<void> {
    logError("compaction leaves blocks as they are", { job: job.id, error: message });
    await this.#ports.shard.giveUp(job.id, message, culprits);
    this.#ports.storage.setAttempts(undefined);
  }

  async #run(job: ShardJob): Promise<JobOutcome> {
    switch (job.kind) {
      case "merge":
        return runMerge(this.#ports, job);
      case "index":
        return runIndex(this.#ports, job);
      case "sweep":
        return runSweep(this.#ports, job);
      default:
        return unreachable(job);
    }
  }
}
