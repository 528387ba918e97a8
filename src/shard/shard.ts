// The state machine behind a TraceShard object: buffer, flush, catalogue. Everything outside comes through ports.
import { PLAN_LIMITS, type PlanLimits } from "../compaction/plan.ts";
import type { Limits } from "../model/limits.ts";
import { decodeHead, withTraceSizes } from "../segment/frame.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../store/catalogue.ts";
import type {
  AppendBatch,
  AppendResult,
  FindTraceReply,
  JobReply,
  SegmentsReply,
  ShardJob,
  ShardSettings,
  ShardSnapshot,
  ShardStats,
  TickReport,
  UsageDelta,
} from "../store/rpc.ts";
import { countedStore } from "../usage/counted-store.ts";
import type { Count } from "../usage/meter.ts";
import { encodeUsage } from "../usage/usage-days.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { Admission, sharesOf } from "./admission.ts";
import { Alarm } from "./alarm.ts";
import { Catalogue } from "./catalogue.ts";
import { Destruction } from "./destruction.ts";
import type { ParsedFrame } from "./epochs.ts";
import { Epochs } from "./epochs.ts";
import { findBeyond } from "./find-beyond.ts";
import { findLive } from "./find-live.ts";
import { flushEpoch } from "./flush.ts";
import { GroupCommit } from "./group-commit.ts";
import { Jobs } from "./jobs.ts";
import { LoadMeter } from "./load-meter.ts";
import { Metering } from "./metering.ts";
import { Retention } from "./retention.ts";
import { deleteRetired } from "./retired.ts";
import { NO_SPANS, readSegments, takeSnapshot } from "./snapshot.ts";
import type { ShardPorts } from "./ports.ts";
import { ShardInsight } from "./shard-insight.ts";
import { SpendWatch } from "./spend-watch.ts";
import type { UsageBook } from "./usage-book.ts";

export type { ShardPorts };

export interface ShardLimits extends Limits {
  /** When blocks are merged; default PLAN_LIMITS. */
  readonly plan?: PlanLimits;
}

export interface ShardIdentity {
  readonly tenant: string;
  readonly shard: number;
}

const RETRY_QUEUE_MS = 1_000;
const RETRY_UNFLUSHED_MS = 5_000;
const FLUSH_BACKOFF_MIN_MS = 1_000;
const FLUSH_BACKOFF_MAX_MS = 60_000;
// A stream that still reads epochs delays their drop, by this much in all; one that is slower loses its source and ends
// in an error. So a reader that vanished keeps no row of epochs from being flushed.
const HOLD_MAX_MS = 60_000;
const HOLD_POLL_MS = 250;
const DESTROY_RETRY_MS = 60_000;
/** Of a row's room, what groups leave to the usage that goes along. */
const USAGE_ROOM = 0.01;

const DELETED = "the tenant is being deleted";

/**
 * Buffer, flush and catalogue of one shard. Not durable by itself: built anew from storage after each eviction.
 * The alarm is set once when an epoch opens and once when it is cut by size, and after a flush for what comes later.
 */
export class Shard {
  readonly #identity: ShardIdentity;
  readonly #limits: ShardLimits;
  readonly #ports: ShardPorts;
  readonly #epochs: Epochs;
  readonly #catalogue: Catalogue;
  readonly #jobs: Jobs;
  readonly #retention: Retention;
  readonly #destruction: Destruction;
  readonly #admission: Admission;
  readonly #commits: GroupCommit<ParsedFrame, AppendResult>;
  readonly #load: LoadMeter;
  readonly #metering: Metering;
  readonly #usage: UsageBook;
  readonly #spend: SpendWatch;
  readonly insight: ShardInsight;
  readonly #alarm: Alarm;
  #flushFailures = 0;
  #appends = 0;
  #failedReads = 0;
  /** When something other than a flush is to be done, in ms. */
  #upkeepAt: number | undefined;
  #lastTickMs: number;
  #ticking: Promise<unknown> = Promise.resolve();

  /** @param alarmAt the alarm that is set in storage, if any */
  constructor(identity: ShardIdentity, limits: ShardLimits, ports: ShardPorts, alarmAt: number | null) {
    const { storage, clock } = ports;
    const objects = countedStore(ports.objects, (operation) => this.#metering.count(operation, 1));
    this.#identity = identity;
    this.#limits = limits;
    this.#ports = { ...ports, objects };
    this.#metering = new Metering(storage, clock, ports.openingRows);
    this.#usage = this.#metering.book;
    const count: Count = (name, value) => this.#metering.count(name, value);
    this.#epochs = new Epochs(
      {
        storage,
        usage: this.#usage,
        onOpen: () => this.#arm(),
        onRead: () => this.#metering.stay(),
      },
      limits,
      clock.now(),
    );
    this.#catalogue = new Catalogue(storage, limits.catalogueCacheBytes);
    const parts = { storage, catalogue: this.#catalogue, epochs: this.#epochs };
    this.#jobs = new Jobs({
      ...identity,
      ...parts,
      limits,
      plan: limits.plan ?? PLAN_LIMITS,
      count,
    });
    this.#retention = new Retention(storage, this.#catalogue, limits, count);
    this.#destruction = new Destruction({ ...identity, storage, objects, limits });
    this.#admission = new Admission({ ...identity, storage, catalogue: this.#catalogue, limits });
    this.#commits = new GroupCommit({
      maxGroupBytes: Math.floor(limits.maxRowBytes * (1 - USAGE_ROOM)),
      gather: ports.pause,
      commit: (frames) => this.#commit(frames),
    });
    this.#spend = new SpendWatch({ storage, usage: this.#usage, report: ports.reportSpend });
    this.insight = new ShardInsight({
      ...parts,
      usage: this.#usage,
      since: () => ({ appends: this.#appends, failedReads: this.#failedReads }),
      isGoing: () => this.#destruction.hasBegun,
    });
    this.#load = new LoadMeter(limits.growth);
    this.#lastTickMs = clock.now();
    this.#alarm = new Alarm(storage, alarmAt);
    // Its tenant sees to a deletion as well, but need not be the only one.
    if (this.#destruction.hasBegun && alarmAt === null) this.#upkeepAt = this.#lastTickMs;
    this.#arm();
    // What there is to do the first tick finds out: for a shard that was only asked, that would be wasted. Without an
    // alarm either it is lost, which calls see to, or it runs just now, and a tick comes.
    this.#alarm.isLacking = !this.#alarm.isSet && storage.lastId() > 0 && !this.#destruction.hasBegun;
    if (this.#alarm.isLacking) this.#upkeepAt = this.#lastTickMs;
  }

  /** Does what a call or an alarm is for, and counts it and its time. */
  run<T>(work: (shard: Shard) => T | Promise<T>): Promise<T> {
    return this.#metering.run(
      () => work(this),
      () => this.#destruction.hasBegun,
    );
  }

  /** Resolves once the batch is durable and readable, or says why not and when to try again. */
  async append(batch: AppendBatch): Promise<AppendResult> {
    this.#usage.receive(batch.usage ?? []);
    const head = batch.traceSizes === undefined ? batch.head : withTraceSizes(batch.head, batch.traceSizes);
    const parsed = decodeHead(head);
    if (parsed.bodyLength !== batch.body.length) {
      throw new AppError("internal", `frame has ${batch.body.length} of ${parsed.bodyLength} bytes`);
    }
    if (this.#destruction.hasBegun) return { ok: false, kind: "not_found", message: DELETED };
    const now = this.#ports.clock.now();
    const refusal = this.#spend.refusal(now) ?? this.#admission.admit(batch, parsed, now);
    if (refusal !== undefined) return refusal;
    // What is over the tenant's rate is no reason for more shards.
    this.#load.note(now, parsed.rawLength);
    const { body, caller } = batch;
    const shardCount = sharesOf(batch);
    const result = await this.#store({ head, body, parsed, shardCount, token: caller?.tokenId });
    if (result.ok) this.#appends++;
    else this.#admission.giveBack(batch, parsed);
    return result;
  }

  async #store(frame: ParsedFrame): Promise<AppendResult> {
    const bytes = frame.head.length + frame.body.length;
    const refusal = this.#refusal(bytes, frame.parsed.rawLength);
    if (refusal !== undefined) return refusal;
    try {
      return await this.#commits.submit(frame, bytes);
    } catch (error) {
      const message = `storage refused the batch: ${messageOf(error)}`;
      return { ok: false, kind: "unavailable", message, retryAfterMs: RETRY_UNFLUSHED_MS };
    }
  }

  /** Live spans and block references of one moment. @param traceId 16 bytes */
  findTrace(traceId: Uint8Array, range: TimeRange = {}, usage: readonly UsageDelta[] = []): FindTraceReply {
    this.#usage.receive(usage);
    if (this.#alarm.isLacking) this.#arm();
    if (this.#destruction.hasBegun) return { live: new Uint8Array(0), blocks: [] };
    const live = findLive(this.#epochs, traceId, this.#limits.maxLiveReplyBytes);
    return { live, blocks: this.#catalogue.find(traceId, range) };
  }

  /** See TraceShardRpc, as for all that follow. */
  blocksBetween(range: TimeRange): CatalogueBlock[] {
    return this.#destruction.hasBegun ? [] : this.#ports.storage.blocksBetween(range);
  }

  findBeyond(traceIds: Uint8Array, range: TimeRange): number[] {
    if (this.#destruction.hasBegun) return [];
    return findBeyond({ epochs: this.#epochs, catalogue: this.#catalogue }, traceIds, range);
  }

  snapshot(range: TimeRange, usage: readonly UsageDelta[] = []): ShardSnapshot {
    this.#usage.receive(usage);
    if (this.#destruction.hasBegun) return NO_SPANS;
    const { storage } = this.#ports;
    return takeSnapshot({ epochs: this.#epochs, storage, blockCount: this.#catalogue.count }, range);
  }

  readSegments(epoch: number, fromRow: number): SegmentsReply {
    if (this.#destruction.hasBegun) return { kind: "gone" };
    return readSegments(this.#epochs, epoch, fromRow);
  }

  /**
   * Flushes every epoch that is due at `nowMs`, and does what else is due. Never throws for what failed: the alarm is set
   * again.
   */
  async tick(nowMs: number): Promise<TickReport> {
    return this.#inTurn(() => this.#tick(nowMs));
  }

  stats(): ShardStats {
    return this.insight.stats();
  }

  usage(from: number, to: number, usage: readonly UsageDelta[] = []): Uint8Array {
    this.#usage.receive(usage);
    return encodeUsage(this.#usage.between(from, to, this.#ports.clock.now()));
  }

  noteFailedReads(count: number): void {
    this.#failedReads += count;
  }

  configure({ limits, retentionMs, spend }: ShardSettings): Promise<void> {
    this.#retention.configure(retentionMs);
    this.#admission.configure(limits);
    this.#spend.configure(spend);
    return this.#changed();
  }

  async nextJob(nowMs: number, usage: readonly UsageDelta[] = []): Promise<ShardJob | undefined> {
    this.#usage.receive(usage);
    if (this.#destruction.hasBegun) return undefined;
    const job = this.#jobs.next(nowMs);
    await this.#changed();
    return job;
  }

  commitMerge(id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply> {
    return this.#reply((nowMs) => this.#jobs.commitMerge(id, output, tail, nowMs));
  }

  commitIndex(id: number, filters: readonly Uint8Array[]): Promise<JobReply> {
    return this.#reply((nowMs) => this.#jobs.commitIndex(id, filters, nowMs));
  }

  commitSweep(id: number): Promise<JobReply> {
    return this.#reply(() => this.#jobs.commitSweep(id));
  }

  async giveUp(id: number, message: string, culprits?: readonly number[]): Promise<void> {
    if (this.#destruction.hasBegun) return;
    this.#jobs.giveUp(id, message, culprits, this.#ports.clock.now());
    await this.#changed();
  }

  isKnown(keys: readonly string[]): boolean[] {
    return this.#jobs.isKnown(keys);
  }

  async adopt(block: CatalogueBlock, tail: BlockTail): Promise<boolean> {
    if (this.#destruction.hasBegun) return false;
    const nowMs = this.#ports.clock.now();
    // What was deleted or was about to be does not come back.
    const isKept = !this.#retention.isOver(block, nowMs);
    if (!(isKept ? this.#jobs.adopt(block, tail) : this.#jobs.retire(block, nowMs))) return false;
    if (isKept) this.#retention.note(block);
    // What follows from thousands of blocks is planned once, by the next tick or job.
    this.#upkeepAt = nowMs;
    this.#arm();
    await this.#ports.storage.sync();
    return isKept;
  }

  async discard(object: Pick<CatalogueBlock, "id" | "key">, by: readonly number[]): Promise<boolean> {
    if (this.#destruction.hasBegun) return false;
    const isNeedless = this.#jobs.discard(object, by, this.#ports.clock.now());
    await this.#changed();
    return isNeedless;
  }

  async beginRebuild(nowMs: number): Promise<number> {
    if (!this.#destruction.hasBegun) {
      this.#jobs.setRebuilding(true);
      await this.#changed();
    }
    return nowMs + this.#limits.objectGraceMs;
  }

  async endRebuild(): Promise<void> {
    if (this.#destruction.hasBegun) return;
    this.#jobs.setRebuilding(false);
    await this.#changed();
  }

  /** Whether everything is deleted, tables too: this instance can do nothing any more. */
  get isGone(): boolean {
    return this.#destruction.isDone;
  }

  async destroy(nowMs: number): Promise<{ readonly done: boolean }> {
    this.#destruction.begin(nowMs);
    return this.#inTurn(async () => {
      try {
        await this.#destroyStep(nowMs);
      } finally {
        this.#arm();
      }
      return { done: this.isGone };
    });
  }

  async #destroyStep(nowMs: number): Promise<void> {
    this.#upkeepAt = nowMs + DESTROY_RETRY_MS;
    this.#upkeepAt = await this.#destruction.step(nowMs);
  }

  /** Ticks and the like follow each other. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const ran = this.#ticking.then(run);
    this.#ticking = ran.catch(() => undefined);
    return ran;
  }

  /** Makes a change of the catalogue durable, and sees to what follows from it. */
  #changed(): Promise<void> {
    this.#planUpkeep(this.#ports.clock.now());
    this.#arm();
    return this.#ports.storage.sync();
  }

  async #reply(commit: (nowMs: number) => JobReply): Promise<JobReply> {
    if (this.#destruction.hasBegun) return { ok: false, message: DELETED };
    const reply = commit(this.#ports.clock.now());
    await this.#changed();
    return reply;
  }

  #refusal(bytes: number, rawBytes: number): AppendResult | undefined {
    const { maxQueuedBytes, maxUnflushedBytes } = this.#limits;
    if (this.#commits.queuedBytes + bytes > maxQueuedBytes) {
      const message = `shard is overloaded: more than ${maxQueuedBytes} bytes wait to be stored`;
      return { ok: false, kind: "unavailable", message, retryAfterMs: RETRY_QUEUE_MS };
    }
    if (this.#epochs.count > 0 && this.#epochs.rawBytes + rawBytes > maxUnflushedBytes) {
      // Refused calls are then the only ones that come: they notice, too, when the alarm does not.
      this.#arm();
      const message = `more than ${maxUnflushedBytes} bytes of spans wait to be written to blocks`;
      return { ok: false, kind: "rate_limited", message, retryAfterMs: RETRY_UNFLUSHED_MS };
    }
    return undefined;
  }

  async #commit(frames: readonly ParsedFrame[]): Promise<readonly AppendResult[]> {
    if (this.#destruction.hasBegun) throw new AppError("not_found", DELETED);
    const results = this.#admission.judge(frames, this.#epochs);
    const taken = frames.filter((_, i) => results[i]?.ok === true);
    if (taken.length > 0) this.#epochs.append(taken, this.#ports.clock.now());
    // Too many traces: they are written to a block now, not when their time has come.
    if (results.some((result) => !result.ok && result.kind === "rate_limited")) this.#epochs.cutOpen();
    this.#arm();
    // Nobody waits for it: it never fails, and what is capped by it is what comes next.
    void this.#spend.look(this.#ports.clock.now());
    if (taken.length > 0) await this.#ports.storage.sync();
    return results;
  }

  /**
   * Sets the alarm for what is next, after failed flushes with back-off. The runtime drops an alarm after six failures of its own; ours goes on for as long as there is data.
   */
  #arm(): void {
    const now = this.#ports.clock.now();
    const at = this.#nextAlarm(now);
    if (at !== undefined) this.#alarm.arm(at, now);
  }

  #nextAlarm(now: number): number | undefined {
    if (this.#destruction.hasBegun)
      return this.#upkeepAt === undefined ? undefined : Math.max(this.#upkeepAt, now);
    const due = this.#epochs.nextDue(now);
    const flushAt = due === undefined ? undefined : Math.max(due, now + this.#backoffMs());
    if (this.#upkeepAt === undefined) return flushAt;
    // What is no flush can wait: for one, or for the hour.
    const idleAt = Math.max(this.#upkeepAt, Math.min(this.#lastTickMs, now) + this.#limits.idleAlarmMs);
    return flushAt === undefined ? idleAt : Math.min(flushAt, idleAt);
  }

  #backoffMs(): number {
    if (this.#flushFailures === 0) return 0;
    return Math.min(FLUSH_BACKOFF_MAX_MS, FLUSH_BACKOFF_MIN_MS * 2 ** (this.#flushFailures - 1));
  }

  async #tick(nowMs: number): Promise<TickReport> {
    this.#alarm.noteRun();
    this.#lastTickMs = this.#ports.clock.now();
    let flushedBlocks = 0;
    let flushedSpans = 0;
    let error: string | undefined;
    for (const epoch of this.#destruction.hasBegun ? [] : this.#epochs.due(nowMs)) {
      const spans = this.#epochs.spanCountOf(epoch);
      try {
        await this.#flush(epoch);
        flushedBlocks++;
        flushedSpans += spans;
      } catch (failure) {
        this.#metering.count("flushErrors", 1);
        error ??= messageOf(failure);
      }
    }
    this.#flushFailures = error === undefined ? 0 : this.#flushFailures + 1;
    try {
      await this.#upkeep(nowMs);
      await this.#askForGrowth();
      await this.#spend.look(this.#ports.clock.now());
    } catch (failure) {
      error ??= messageOf(failure);
    }
    this.#arm();
    return { flushedBlocks, flushedSpans, ...(error === undefined ? {} : { error }) };
  }

  async #askForGrowth(): Promise<void> {
    const load = this.#load.overload(this.#ports.clock.now());
    if (load === undefined || this.#destruction.hasBegun) return;
    await this.#ports.requestGrowth(load);
    this.#load.reset();
  }

  /** All that is no flush. What fails is due again with the next tick. */
  async #upkeep(nowMs: number): Promise<void> {
    const { objects, pause, storage, wakeCompactor } = this.#ports;
    if (this.#destruction.hasBegun) {
      await this.#destroyStep(nowMs);
      return;
    }
    this.#upkeepAt = nowMs;
    await this.#retention.expire(nowMs, pause);
    // An object is deleted only when it is certain that the catalogue does not know it any more.
    await storage.sync();
    const retired = { storage, catalogue: this.#catalogue, epochs: this.#epochs, objects };
    this.#metering.count("deletedObjects", await deleteRetired(retired, nowMs));
    const jobsAt = this.#planUpkeep(nowMs);
    if (jobsAt !== undefined && jobsAt <= nowMs) await wakeCompactor();
  }

  /** @returns when there is a job, in ms */
  #planUpkeep(nowMs: number): number | undefined {
    const jobsAt = this.#jobs.dueAt(nowMs);
    const times = [jobsAt, this.#retention.dueAt, this.#ports.storage.firstRetired()];
    const next = Math.min(...times.map((time) => time ?? Infinity));
    this.#upkeepAt = next === Infinity ? undefined : next;
    return jobsAt;
  }

  async #flush(epoch: number): Promise<void> {
    this.#epochs.cut(epoch);
    const { tenant, shard } = this.#identity;
    const { objects, pause, sleep, storage } = this.#ports;
    // A repeated flush, after a crash too, must find the same spans: the object it writes is then the same.
    await storage.sync();
    const { block, tail } = await flushEpoch({ tenant, shard, epochs: this.#epochs, objects, pause }, epoch);
    // Nothing is awaited between the last look for readers and the drop of what they read.
    while (this.#epochs.isHeld(epoch, HOLD_MAX_MS)) {
      await sleep(HOLD_POLL_MS);
      this.#epochs.noteWait(epoch, HOLD_POLL_MS);
    }
    this.#metering.count("flushedBlocks", 1);
    this.#metering.flush((days) => this.#catalogue.commitEpoch(epoch, block, tail, days));
    this.#retention.note(block);
    this.#epochs.forget(epoch);
    await storage.sync();
  }
}
