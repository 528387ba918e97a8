// A tenant with its shards, their compactors, its bucket, its Workers and their clients, all of them simulated: each method
// is a step.
import type { ShardLimits } from "../../src/shard/shard.ts";
import { blockKey } from "../../src/store/keys.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { Checks } from "./checks.ts";
import { Clients } from "./clients.ts";
import type { Faults } from "./faults.ts";
import { Violation } from "./model.ts";
import { CompactorObject, type Places, ShardObject, TENANT, TenantObject } from "./objects.ts";
import { readOldBlock } from "./old-block.ts";
import { Rest } from "./rest.ts";
import { Scheduler } from "./scheduler.ts";
import { FIRST_MS, limitsOf, WAIT_MAX_MS } from "./sim-limits.ts";
import type { AlarmKind, SimContext } from "./sim-object.ts";
import { SimStore } from "./sim-store.ts";

const HOUR_MS = 3_600_000;

/** Waits of a compactor between the object store and the catalogue. */
const COMMIT_WAITS = new Set([
  "part",
  "upload",
  "put",
  "put answer",
  "commitMerge call",
  "commitMerge answer",
  "commitIndex call",
]);

/** Waits of a shard between the catalogue and the object store. */
const STORE_WAITS = new Set(["put", "put answer", "delete", "delete answer"]);

export class World implements Places {
  readonly scheduler = new Scheduler(FIRST_MS);
  readonly counts = new Map<string, number>();
  readonly limits: ShardLimits;
  readonly store: SimStore;
  readonly shards: ShardObject[] = [];
  readonly clients: Clients;
  readonly #context: SimContext;
  readonly #faults: Faults;
  readonly #compactors: CompactorObject[] = [];
  readonly #tenant: TenantObject;
  readonly #checks: Checks;
  readonly #rest: Rest;
  #failure: Violation | undefined;
  /** The shortest retention that a shard may have in force, in ms. */
  #retentionMs: number;
  /** By shard: ids up to this one are of a catalogue that was lost. */
  readonly #lostIds = new Map<number, number>();
  /** Shards that are told to rebuild their catalogue. */
  readonly #rebuilding = new Set<number>();
  /** Whether the tenant object knows that it is to be deleted. */
  #isDeletionBegun = false;
  #isLossDue = false;
  #isRebuildDue = false;

  constructor(seed: number, faults: Faults) {
    this.#faults = faults;
    this.limits = limitsOf(seed);
    this.#retentionMs = this.limits.blockRetentionMs;
    const { scheduler } = this;
    this.#context = {
      scheduler,
      faults,
      count: (what) => this.count(what),
      fail: (what) => this.#fail(what),
      noteReadFault: () => void this.clients.readFaults++,
    };
    this.store = this.#makeStore();
    this.#tenant = new TenantObject(this.#context, this);
    this.clients = new Clients(this.#context, this);
    this.#checks = new Checks(this.#context, this, this.clients);
    this.#rest = new Rest(this.#context, this, this.#checks);
    this.shard(0);
  }

  #makeStore(): SimStore {
    const tell = <F extends string>(call: string, fate: F, good: F): F => {
      if (fate !== good) this.clients.readFaults++;
      this.count(`${call}: ${fate}`);
      return fate;
    };
    return new SimStore(this.scheduler, {
      put: () => tell("put", this.#faults.putFate(), "stored"),
      upload: () => tell("upload", this.#faults.uploadFails() ? "refused" : "taken", "taken"),
      get: () => tell("get", this.#faults.getFate(), "read"),
      list: () => tell("list", this.#faults.listFails() ? "refused" : "listed", "listed"),
      delete: () => tell("delete", this.#faults.deleteFate(), "deleted"),
      survivesSender: () => this.#faults.putSurvives(),
      lateMs: () => this.#faults.putLateMs(),
      pauses: () => this.#faults.pauses(),
    });
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  #fail(what: string): void {
    this.#failure ??= new Violation(what);
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  // --- Places ---

  shard(index: number): ShardObject {
    for (let next = this.shards.length; next <= index; next++) {
      this.shards.push(new ShardObject(next, this.#context, this));
      this.#compactors.push(new CompactorObject(next, this.#context, this));
    }
    const shard = this.shards[index];
    if (shard === undefined) throw new Error(`no shard ${index}`);
    return shard;
  }

  compactor(index: number): CompactorObject {
    this.shard(index);
    const compactor = this.#compactors[index];
    if (compactor === undefined) throw new Error(`no compactor ${index}`);
    return compactor;
  }

  tenant(): TenantObject {
    return this.#tenant;
  }

  get compactors(): readonly CompactorObject[] {
    return this.#compactors;
  }

  get objects(): readonly (ShardObject | CompactorObject | TenantObject)[] {
    return [...this.shards, ...this.#compactors, this.#tenant];
  }

  // --- Shards ---

  /** Runs the alarm of a shard whose time has come, or, `early`, of any. */
  alarm(random: Random, how: AlarmKind = "due"): string {
    const order = shuffled(this.shards, random);
    const ran = order.find((shard) => shard.alarm(how));
    return ran === undefined ? "none due" : `shard ${ran.index}`;
  }

  loseAlarm(random: Random): string {
    const shard = random.pick(this.shards);
    return `shard ${shard.index}: ${shard.loseAlarm()}`;
  }

  crash(random: Random): string {
    const shard = random.pick(this.shards);
    return `shard ${shard.index}: ${this.#crash(shard, random)}`;
  }

  #crash(shard: ShardObject, random: Random | undefined): string {
    this.#touchOpen();
    return shard.crash(random);
  }

  #touchOpen(): void {
    for (const traceId of this.clients.batches.openTraces) this.clients.touched.add(traceId);
  }

  /** The moments between the object store and the catalogue are few, and the ones that matter most. */
  crashAtPut(random: Random): string {
    const shard = this.shards.find(({ host }) => {
      const waits = host === undefined ? [] : this.scheduler.waitsOf(host);
      return waits.some((label) => STORE_WAITS.has(label));
    });
    if (shard === undefined) return "no put and no deletion";
    const told = this.#crash(shard, random);
    // Clients come again at once, often before the alarm does.
    if (random.chance(0.5)) this.clients.burst(random);
    return `shard ${shard.index}: ${told}`;
  }

  /** The runtime takes an object away that has nothing to do: all is durable, memory is gone. */
  evict(random: Random): string {
    const shard = random.pick(this.shards);
    this.#touchOpen();
    return `shard ${shard.index}: ${shard.evict()}`;
  }

  // --- Compactors ---

  compact(random: Random, how: AlarmKind = "due"): string {
    const ran = shuffled(this.#compactors, random).find((compactor) => compactor.alarm(how));
    return ran === undefined ? "none due" : `compactor ${this.#compactors.indexOf(ran)}`;
  }

  /** Does something to the compactor of some shard. */
  toCompactor(random: Random, act: (compactor: CompactorObject) => string): string {
    const index = random.below(this.#compactors.length);
    return `compactor ${index}: ${act(this.compactor(index))}`;
  }

  #isCommitting({ waiting }: CompactorObject): boolean {
    return waiting.some((label) => COMMIT_WAITS.has(label));
  }

  crashCompactorAtCommit(random: Random): string {
    const compactor = this.#compactors.find((candidate) => this.#isCommitting(candidate));
    if (compactor === undefined) return "no commit";
    return `compactor ${this.#compactors.indexOf(compactor)}: ${compactor.crash(random)}`;
  }

  // --- The tenant ---

  tenantAlarm(): string {
    return this.#tenant.alarm() ? "runs" : "not due";
  }

  /** Somebody at the admin API. Failures are his to see. */
  #admin(run: () => Promise<unknown>): void {
    void run().catch(() => undefined);
  }

  grow(): string {
    const count = Math.min(2 * (this.#tenant.view.versions.at(-1)?.count ?? 1), this.limits.growth.maxShards);
    this.#admin(() => this.#tenant.client().setShardCount(count));
    return `to ${count}`;
  }

  setRetention(random: Random): string {
    const ms = random.pick([undefined, 3 * HOUR_MS, 50 * HOUR_MS, 1000 * 24 * HOUR_MS]);
    // From here on a shard may have heard of it.
    this.#noteRetention(Math.min(this.#retentionMs, ms ?? this.limits.blockRetentionMs));
    this.#admin(() => this.#tenant.client().setRetention(ms));
    return ms === undefined ? "default" : `${ms} ms`;
  }

  #noteRetention(ms: number): void {
    this.#retentionMs = ms;
    this.clients.model.setTime(this.scheduler.latestMs, ms);
  }

  /** At rest every shard knows what is set. */
  retentionIsKnown(): void {
    this.#noteRetention(this.#tenant.view.retentionMs ?? this.limits.blockRetentionMs);
  }

  deleteTenant(): string {
    if (this.clients.model.isDeleting) return "already";
    this.clients.model.beginDeletion();
    this.clients.readFaults++;
    this.#insist(async () => {
      await this.#tenant.client().startDeletion();
      this.#isDeletionBegun = true;
    });
    return "";
  }

  /** Somebody who asks again until there is an answer. */
  #insist(run: () => Promise<unknown>): void {
    this.#admin(async () => {
      for (let isDone = false; !isDone;) {
        isDone = await run().then(
          () => true,
          () => false,
        );
      }
    });
  }

  /** Sees what has come to its end. */
  async noteProgress(): Promise<void> {
    this.#noteRebuilds();
    await this.#noteDeletion();
  }

  async #noteDeletion(): Promise<void> {
    const { model } = this.clients;
    const { storage } = this.#tenant;
    if (!this.#isDeletionBegun || storage.value !== undefined || !storage.isDurable) return;
    this.#isDeletionBegun = false;
    this.count("tenant: deleted");
    model.endDeletion();
    this.clients.readFaults++;
    this.clients.restartWorkers();
    this.#lostIds.clear();
    this.#retentionMs = this.limits.blockRetentionMs;
    for (const traceId of this.clients.batches.traceIds.slice(-50)) this.clients.touched.add(traceId);
    if (this.clients.isSending) return;
    await this.#checks.checkBucket(() => false);
    for (const { storage: rows, index } of this.shards) {
      if (rows.lastId() + rows.epochs().length > 0)
        throw new Violation(`shard ${index} of a deleted tenant has rows`);
    }
  }

  // --- Disasters ---

  /** Some shard is to lose all its rows, soon: what is in no block then is lost for good, so that there must be none. */
  loseRows(): string {
    this.#isLossDue = true;
    return "soon";
  }

  /** Best while the bucket has merges' outputs that the catalogue does not know yet, or inputs that are to be deleted. */
  #loseDue(random: Random): void {
    if (!this.#isLossDue || this.clients.model.isDeleting) return;
    const shard = this.shards.find(
      ({ storage, index }) =>
        storage.epochs().length === 0 &&
        storage.lastId() > 0 &&
        (this.#isCommitting(this.compactor(index)) ||
          random.chance(storage.firstRetired() === undefined ? 0.001 : 0.05)) &&
        !this.clients.hidden.has(index),
    );
    if (shard === undefined) return;
    this.#isLossDue = false;
    const { storage, index } = shard;
    // A clock that lags behind the ids would give them out again.
    this.leap(Math.max(0, storage.lastId() + 1 - this.scheduler.wallMs));
    this.#lostIds.set(index, storage.lastId());
    shard.loseRows();
    this.clients.hidden.add(index);
    this.clients.losses++;
    this.clients.model.noteLoss();
    this.count("shard: rows lost");
    this.#startRebuild(index);
  }

  /** Somebody will ask for a rebuild that is not needed, soon. */
  rebuild(): string {
    this.#isRebuildDue = true;
    return "soon";
  }

  /** Best while a flush has stored a block that the catalogue does not know yet. */
  #rebuildDue(random: Random): void {
    if (!this.#isRebuildDue || this.clients.model.isDeleting) return;
    const shard = this.shards.find(({ storage, index }) =>
      storage.epochs().some((id) => this.store.stored.has(blockKey(TENANT, index, id))),
    );
    if (shard === undefined && !random.chance(0.005)) return;
    this.#isRebuildDue = false;
    this.#startRebuild(shard?.index ?? random.below(this.shards.length));
  }

  /** An installation that had blocks before the format changed: a rebuild finds one. */
  async addOldBlock(): Promise<void> {
    const { bytes, batch, traceIds } = await readOldBlock();
    const id = FIRST_MS - HOUR_MS;
    await this.store.stored.put(blockKey(TENANT, 0, id), bytes);
    this.clients.model.sent(batch);
    this.clients.model.acked(batch, id);
    this.clients.model.ended(batch);
    this.clients.batches.traceIds.push(...traceIds);
    this.clients.hidden.add(0);
    this.#lostIds.set(0, id);
    this.count("block of version 1");
    this.#startRebuild(0);
  }

  #startRebuild(index: number): void {
    this.#insist(async () => {
      // As the admin API does it.
      const { retentionMs } = await this.#tenant.client().view();
      await this.shard(index).client().configure({ retentionMs });
      await this.compactor(index).client().rebuild();
      this.count("rebuild: begun");
      this.#rebuilding.add(index);
    });
  }

  #noteRebuilds(): void {
    for (const index of this.#rebuilding) {
      if (this.compactor(index).isRebuilding) continue;
      this.#rebuilding.delete(index);
      if (this.clients.hidden.delete(index)) this.count("rebuild: whole");
      for (const traceId of this.clients.batches.traceIds.slice(-60)) this.clients.touched.add(traceId);
    }
  }

  isLost(shard: number, id: number): boolean {
    return id <= (this.#lostIds.get(shard) ?? -1);
  }

  // --- Clocks ---

  /** Time passes, on all clocks. */
  pass(ms: number): string {
    this.#beforeLeap(ms);
    this.scheduler.advance(ms);
    this.#afterLeap();
    return `${ms} ms`;
  }

  /** The shards' clock jumps; nothing else does. */
  jump(ms: number): string {
    // A shard that lost its rows has the clock alone for new ids, which must not be old ones.
    if (ms < 0 && this.clients.hidden.size > 0) return "not now";
    this.leap(ms);
    this.count(ms < 0 ? "clock: back" : "clock: forward");
    return `${ms} ms`;
  }

  leap(ms: number): void {
    this.#beforeLeap(Math.abs(ms));
    this.scheduler.jump(ms);
    this.clients.noteJump();
    this.#afterLeap();
  }

  /** No request, and no alarm, lasts as long as objects are kept that nobody needs any more. */
  #beforeLeap(ms: number): void {
    const oldestMs = ms >= this.limits.objectGraceMs / 4 ? 0 : this.limits.objectGraceMs / 4;
    for (const object of this.objects) object.endOlder(oldestMs);
    // Last: what an object waited for must not end together with the object.
    this.scheduler.resumeOlder(WAIT_MAX_MS);
    if (ms >= WAIT_MAX_MS) this.store.land();
  }

  #afterLeap(): void {
    this.clients.model.setTime(this.scheduler.latestMs, this.#retentionMs);
  }

  /** The shards' clock jumps back to the very moment at which an epoch was opened. */
  jumpToEpoch(random: Random): string {
    const ids = random
      .pick(this.shards)
      .storage.youngBlocks()
      .map(({ id }) => id);
    const earlier = ids.filter((id) => id < this.scheduler.wallMs);
    return earlier.length === 0
      ? "no block"
      : this.jump(random.pick(earlier.slice(-3)) - this.scheduler.wallMs);
  }

  // --- What must hold ---

  /** Holds between any two steps. Looks at the traces that the step changed, and at a random one. */
  async check(random: Random): Promise<void> {
    this.throwFailure();
    for (const object of this.objects) {
      if (object.host?.isBroken === true && random.chance(0.3)) object.crash(random);
    }
    await this.noteProgress();
    this.#loseDue(random);
    this.#rebuildDue(random);
    this.#checks.checkAlarms();
    await this.#checks.watch();
    const { openTraces, traceIds } = this.clients.batches;
    if (openTraces.length > 0 && random.chance(0.2)) this.clients.touched.add(random.pick(openTraces));
    if (traceIds.length > 0 && random.chance(0.1)) this.clients.touched.add(random.pick(traceIds));
    await this.#checks.checkTouched();
  }

  /** See Rest. */
  async drain(random: Random, isTouched: boolean): Promise<void> {
    await this.#rest.drain(random, isTouched);
    this.#touchOpen();
    await this.check(random);
  }

  async settle(random: Random): Promise<void> {
    await this.#rest.settle(random);
    this.#touchOpen();
    await this.check(random);
  }

  /** Everything at its end. */
  async end(): Promise<void> {
    const random = makeRandom(this.shards.length);
    await this.drain(random, false);
    await this.settle(random);
    await this.#checks.checkAll();
    await this.#rest.checkAccepts(random);
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const at = random.below(items.length);
  return [...items.slice(at), ...items.slice(0, at)];
}
