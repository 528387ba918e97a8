// The three kinds of Durable Objects, each around its real state machine as durable-objects/ has them.
import {
  type Attempts,
  Compactor,
  type CompactorPorts,
  type CompactorStorage,
} from "../../src/compaction/compactor.ts";
import { Shard, type ShardLimits, type ShardPorts } from "../../src/shard/shard.ts";
import type { RebuildState } from "../../src/compaction/rebuild.ts";
import type { CompactorRpc } from "../../src/store/compactor-rpc.ts";
import type { BlockTail, CatalogueBlock } from "../../src/store/catalogue.ts";
import type { JobReply, ShardJob, TraceShardRpc } from "../../src/store/rpc.ts";
import type { TenantReply, TenantRpc, TenantView } from "../../src/store/tenant-rpc.ts";
import type { TenantRecord } from "../../src/tenant/storage.ts";
import { Tenant } from "../../src/tenant/tenant.ts";
import type { Random } from "../support/random.ts";
import type { Owner } from "./scheduler.ts";
import { PART_BYTES } from "./sim-limits.ts";
import { SimCell } from "./sim-cell.ts";
import { type Host, type SimContext, SimObject } from "./sim-object.ts";
import { SimStorage } from "./sim-storage.ts";
import type { SimStore } from "./sim-store.ts";

export const TENANT = "single-tenant";

/** How objects find each other. */
export interface Places {
  readonly limits: ShardLimits;
  readonly store: SimStore;
  shard(index: number): ShardObject;
  compactor(index: number): CompactorObject;
  tenant(): TenantObject;
  /** Whether the id is one of a catalogue that was lost. */
  isLost(shard: number, id: number): boolean;
}

async function device<T>(context: SimContext, host: Host<T> | undefined): Promise<void> {
  await context.scheduler.wait("sync", { owner: host });
  if (!context.faults.syncFails()) return;
  context.count("fault: sync");
  // A write that cannot be confirmed breaks the object: what it does until it is gone must not matter.
  if (host !== undefined) host.isBroken = true;
  throw new Error("simulated: sync fails");
}

export type ShardClient = Omit<
  TraceShardRpc,
  "tick" | "stats" | "usage" | "snapshot" | "readSegments" | "findBeyond" | "counts" | "probe" | "probed"
>;

export class ShardObject extends SimObject<Shard> {
  readonly index: number;
  readonly storage: SimStorage;
  readonly #places: Places;

  constructor(index: number, context: SimContext, places: Places) {
    super("shard", context);
    this.index = index;
    this.#places = places;
    this.storage = new SimStorage({
      fault: (call) => {
        if (!context.faults.storageFails(call)) return;
        context.noteReadFault();
        context.count(`fault: ${call}`);
        throw new Error(`simulated: ${call} fails`);
      },
      device: () => device(context, this.host),
      count: context.count,
      fail: context.fail,
    });
  }

  protected override make(owner: Host<Shard>): Shard {
    const { scheduler, faults } = this.context;
    const { limits, store } = this.#places;
    const { index } = this;
    // The shard reads its storage while it is made, which is before anybody can call it.
    const ports: ShardPorts = {
      storage: this.storage,
      objects: store.seenBy(owner),
      clock: { now: () => scheduler.wallMs },
      pause: () => scheduler.wait("pause", { owner }),
      sleep: (ms) => scheduler.wait("sleep", { owner, delayMs: ms }),
      wakeCompactor: () => this.#places.compactor(index).client(owner).wake(),
      requestGrowth: async (load) => {
        await this.#places.tenant().client(owner).requestGrowth(index, load);
      },
      reportSpend: async (report) => {
        await this.#places.tenant().client(owner).reportSpend(index, report);
      },
    };
    const { suspended } = faults;
    faults.suspended = true;
    const shard = new Shard({ tenant: TENANT, shard: index }, limits, ports, this.storage.alarm);
    faults.suspended = suspended;
    return shard;
  }

  protected override async handle(host: Host<Shard>): Promise<void> {
    const { count, scheduler } = this.context;
    const { flushedBlocks, error } = await host.state.tick(scheduler.wallMs);
    const what = `flushed ${flushedBlocks > 0 ? "blocks" : "nothing"}`;
    count(error === undefined ? `shard: tick ${what}` : "shard: tick failed");
    if (host.state.isGone) this.forget(host);
  }

  /** The object as `caller` reaches it. */
  client(caller?: Owner): ShardClient {
    const call = <R>(name: string, run: (shard: Shard) => R | Promise<R>, mayDouble = false): Promise<R> =>
      this.call(name, caller, run, mayDouble);
    return {
      append: (batch) => call("append", (shard) => shard.append(batch)),
      findTrace: (id, range) => call("findTrace", (shard) => shard.findTrace(id, range)),
      blocksBetween: (range) => call("blocksBetween", (shard) => shard.blocksBetween(range)),
      noteFailedReads: (count) => call("noteFailedReads", (shard) => shard.noteFailedReads(count)),
      configure: (settings) => call("configure", (shard) => shard.configure(settings), true),
      nextJob: async (now) => {
        const job = await call("nextJob", (shard) => this.#durableJob(shard, now), true);
        if (job !== undefined) this.context.count(`job: ${job.kind}${job.kind === "index" ? job.bits : ""}`);
        if (job?.kind === "index" && job.blocks.length > 1)
          this.context.count("job: index of several blocks");
        return job;
      },
      commitMerge: (id, output, tail) =>
        this.#commit(
          "merge",
          call("commitMerge", (shard) => this.#commitMerge(shard, id, output, tail), true),
        ),
      commitIndex: (id, rows) =>
        this.#commit(
          "index",
          call("commitIndex", (shard) => shard.commitIndex(id, rows), true),
        ),
      commitSweep: (id) =>
        this.#commit(
          "sweep",
          call("commitSweep", (shard) => shard.commitSweep(id), true),
        ),
      giveUp: (id, message, culprits) => {
        this.context.count("job: given up");
        return call("giveUp", (shard) => shard.giveUp(id, message, culprits), true);
      },
      isKnown: (keys) => call("isKnown", (shard) => shard.isKnown(keys)),
      adopt: async (block, tail) => {
        const isNew = await call("adopt", (shard) => shard.adopt(block, tail), true);
        if (isNew) this.context.count("rebuild: block adopted");
        return isNew;
      },
      discard: (object, by) => call("discard", (shard) => shard.discard(object, by), true),
      beginRebuild: (now) => call("beginRebuild", (shard) => shard.beginRebuild(now), true),
      endRebuild: () => call("endRebuild", (shard) => shard.endRebuild(), true),
      destroy: (now) =>
        call(
          "destroy",
          async (shard) => {
            const reply = await shard.destroy(now);
            if (reply.done && this.host?.state === shard) this.forget(this.host);
            return reply;
          },
          true,
        ),
    };
  }

  /** Whoever knows of a job finds it open again after a crash. */
  async #durableJob(shard: Shard, now: number): Promise<ShardJob | undefined> {
    const job = await shard.nextJob(now);
    if (job !== undefined && this.storage.job()?.id === job.id && !this.storage.hasDurableJob(job.id))
      this.context.fail(`job ${job.id} is given out before it is durable`);
    return job;
  }

  /** What a merge wrote that is not taken is to be deleted soon, not with the next sweep. */
  async #commitMerge(shard: Shard, id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply> {
    const reply = await shard.commitMerge(id, output, tail);
    const { storage } = this;
    const isLeft = !reply.ok && !storage.isRetired(id) && storage.setting("deleting") === undefined;
    // Of a catalogue that was lost it may be all that a rebuild finds; and an object that is deleted is forgotten.
    if (isLeft && !this.#places.isLost(this.index, id) && this.#places.store.stored.has(output.key))
      this.context.fail(`the output of merge ${id} is refused and left`);
    return reply;
  }

  async #commit<R extends { readonly ok: boolean }>(kind: string, reply: Promise<R>): Promise<R> {
    const { ok } = await reply;
    this.context.count(`commit of ${kind}: ${ok ? "done" : "refused"}`);
    return reply;
  }

  /** Storage and memory are as new. Only when everything is durable. */
  loseRows(): void {
    this.crash(undefined);
    this.storage.lose();
  }
}

interface CompactorState {
  readonly attempts?: Attempts | undefined;
  readonly rebuild?: RebuildState | "begin" | undefined;
}

export class CompactorObject extends SimObject<Compactor> {
  readonly storage: SimCell<CompactorState>;
  readonly #index: number;
  readonly #places: Places;
  /** Instances that go on though another one has been started. */
  readonly #others = new Set<Host<Compactor>>();

  constructor(index: number, context: SimContext, places: Places) {
    super("compactor", context);
    this.#index = index;
    this.#places = places;
    this.storage = new SimCell<CompactorState>({}, () => device(context, this.host));
  }

  protected override make(owner: Host<Compactor>): Compactor {
    const { scheduler } = this.context;
    const { storage } = this;
    const state: CompactorStorage = {
      attempts: () => storage.value.attempts,
      setAttempts: (attempts) => storage.set({ ...storage.value, attempts }),
      rebuild: () => storage.value.rebuild,
      setRebuild: (rebuild) => storage.set({ ...storage.value, rebuild }),
      sync: () => storage.sync(),
      getAlarm: async () => storage.alarm,
      setAlarm: (atMs) => storage.setAlarm(atMs),
    };
    const ports: CompactorPorts = {
      storage: state,
      objects: this.#places.store.seenBy(owner, true),
      shard: this.#places.shard(this.#index).client(owner),
      partBytes: PART_BYTES,
      clock: { now: () => scheduler.wallMs },
      pause: () => scheduler.wait("pause", { owner }),
      sleep: (ms) => scheduler.wait("sleep", { owner, delayMs: ms }),
    };
    return new Compactor({ tenant: TENANT, shard: this.#index }, ports);
  }

  protected override handle(host: Host<Compactor>): Promise<void> {
    return host.state.alarm();
  }

  /** What leaves the object waits until its writes are durable. */
  client(caller?: Owner): Omit<CompactorRpc, "rebuildProgress"> {
    const call = (name: string, run: (compactor: Compactor) => Promise<void> | void): Promise<void> =>
      this.call(
        name,
        caller,
        async (compactor) => {
          await run(compactor);
          await this.storage.sync();
        },
        true,
      );
    return {
      wake: () => call("wake", (compactor) => compactor.wake()),
      rebuild: () => call("rebuild", (compactor) => compactor.rebuild()),
      destroy: () =>
        call("end compaction", () => {
          this.storage.set({});
          this.storage.setAlarm(null);
        }),
    };
  }

  get isRebuilding(): boolean {
    const { rebuild } = this.storage.value;
    return rebuild === "begin" || rebuild?.done === false;
  }

  /** Also when it waits for the time to look once more. */
  get isLookingOver(): boolean {
    const { rebuild } = this.storage.value;
    return rebuild === "begin" || rebuild?.isOver === false;
  }

  /** Another instance takes over; this one does not know and goes on. */
  fork(): string {
    const { host } = this;
    if (host === undefined || host.alarmsRunning === 0) return "not running";
    this.forget(host);
    this.#others.add(host);
    this.context.count("compactor: two at once");
    return "two at once";
  }

  override get isBusy(): boolean {
    return super.isBusy || [...this.#others].some(({ alarmsRunning }) => alarmsRunning > 0);
  }

  /** Also instances that are not the right one. */
  override endOlder(ms: number): void {
    const before = this.context.scheduler.steadyMs - ms;
    for (const host of this.#others) {
      if (host.alarmsRunning > 0 && host.alarmSinceMs > before) continue;
      this.#others.delete(host);
      this.end(host);
    }
    super.endOlder(ms);
  }

  /** Labels of what an instance waits for. */
  get waiting(): readonly string[] {
    return this.host === undefined ? [] : this.context.scheduler.waitsOf(this.host);
  }
}

interface Seen {
  readonly atMs: number;
  readonly record: TenantRecord | undefined;
  readonly view: TenantView;
}

export class TenantObject extends SimObject<Tenant> {
  readonly storage: SimCell<TenantRecord | undefined>;
  readonly #places: Places;
  /** What the tenant was at what time, ascending. */
  #seen: Seen[] = [];

  constructor(context: SimContext, places: Places) {
    super("tenant", context);
    this.#places = places;
    this.storage = new SimCell<TenantRecord | undefined>(undefined, () => device(context, this.host));
    this.#note();
  }

  /** Its clock is as good as the Workers': its shard map takes effect by theirs. */
  override get nowMs(): number {
    return this.context.scheduler.trueMs;
  }

  protected override make(owner: Host<Tenant>): Tenant {
    const { storage } = this;
    return new Tenant(TENANT, this.#places.limits, {
      storage: {
        load: () => storage.value,
        save: (record, { alarmMs } = {}) => {
          storage.set(structuredClone(record));
          if (alarmMs !== undefined) storage.setAlarm(alarmMs);
        },
        audit: () => [],
        saveSpend: () => undefined,
        spendReports: () => new Map(),
        setAlarm: (atMs) => storage.setAlarm(atMs),
        clear: async () => {
          storage.set(undefined);
          storage.setAlarm(null);
          await storage.sync();
        },
      },
      objects: this.#places.store.seenBy(owner),
      clock: { now: () => this.nowMs },
      // What leaves the object waits until its writes are durable.
      shardOf: (index) => {
        const { configure, destroy } = this.#places.shard(index).client(owner);
        return {
          configure: async (settings) => {
            await storage.sync();
            await configure(settings);
          },
          destroy: async (now) => {
            await storage.sync();
            return destroy(now);
          },
        };
      },
      removeName: () => storage.sync(),
      endCompaction: async (index) => {
        await storage.sync();
        await this.#places.compactor(index).client(owner).destroy();
      },
    });
  }

  protected override async handle(host: Host<Tenant>): Promise<void> {
    await host.state.tick(this.nowMs);
    this.#note();
  }

  client(
    caller?: Owner,
  ): Pick<
    TenantRpc,
    | "view"
    | "setShardCount"
    | "requestGrowth"
    | "setSpendCap"
    | "reportSpend"
    | "setRetention"
    | "startDeletion"
  > {
    const call = <R extends TenantReply | TenantView>(name: string, run: (tenant: Tenant) => R): Promise<R> =>
      this.call(
        name,
        caller,
        async (tenant) => {
          const reply = run(tenant);
          this.#note();
          await this.storage.sync();
          if ("ok" in reply) this.context.count(`${name}: ${reply.ok ? "done" : reply.kind}`);
          return reply;
        },
        true,
      );
    return {
      view: () => call("view", (tenant) => tenant.view()),
      setShardCount: (count) => call("set shards", (tenant) => tenant.setShardCount(count)),
      requestGrowth: (shard, load) => call("growth", (tenant) => tenant.requestGrowth(shard, load)),
      setSpendCap: (cap) => call("spend cap", (tenant) => tenant.setSpendCap(cap)),
      reportSpend: (shard, report) => call("spend", (tenant) => tenant.reportSpend(shard, report)),
      setRetention: (ms) => call("retention", (tenant) => tenant.setRetention(ms)),
      startDeletion: () => call("deletion", (tenant) => tenant.startDeletion()),
    };
  }

  override crash(random: Random | undefined): string {
    const told = super.crash(random);
    // What was lost nobody has seen.
    const { value } = this.storage;
    const at = this.#seen.findLastIndex(({ record }) => record === value);
    if (at >= 0) this.#seen = this.#seen.slice(0, at + 1);
    this.#note();
    return told;
  }

  #note(): void {
    const record = this.storage.value;
    if (this.#seen.length > 0 && this.#seen.at(-1)?.record === record) return;
    const { scheduler } = this.context;
    const view = this.open().state.view();
    this.#seen.push({ atMs: scheduler.trueMs, record, view });
  }

  /** What a Worker knows that asked at `ms`. */
  viewAt(ms: number): TenantView {
    const seen = this.#seen.findLast(({ atMs }) => atMs <= ms) ?? this.#seen[0];
    if (seen === undefined) throw new Error("a tenant has a view");
    return seen.view;
  }

  get view(): TenantView {
    return this.viewAt(Infinity);
  }

  get isDeleting(): boolean {
    return this.storage.value?.deletingSinceMs !== undefined;
  }
}
