// One shard with its storage, its bucket, its runtime and its clients, all of them simulated: each method is a step.
import { readTracePages } from "../../src/block/read-trace.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/model/limits.ts";
import { findTrace, type FindTraceDeps, type FoundTrace } from "../../src/query/find-trace.ts";
import { traceBody } from "../../src/query/trace-body.ts";
import { Shard, type ShardPorts } from "../../src/shard/shard.ts";
import type { FindTraceReply, TraceShardRpc } from "../../src/store/rpc.ts";
import type { Random } from "../support/random.ts";
import { type Batch, Batches } from "./batches.ts";
import { Model, Violation } from "./model.ts";
import type { Faults } from "./faults.ts";
import { Scheduler } from "./scheduler.ts";
import { SimStorage } from "./sim-storage.ts";
import { SimStore } from "./sim-store.ts";

const START_MS = Date.UTC(2026, 10, 23);
const IDENTITY = { tenant: "single-tenant", shard: 0 };

/** So small that every limit is reached by tiny spans. */
export const SIM_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  maxRowBytes: 3000,
  maxQueuedBytes: 16_000,
  maxUnflushedBytes: 30_000,
  flushBytes: 4000,
  flushAgeMs: 20_000,
  maxLiveReplyBytes: 1500,
  // Longer than the clock may jump.
  blockRetentionMs: 10 * 366 * 86_400_000,
};

/** The longest that a shard backs off, or waits for a reader. */
const BACKOFF_MAX_MS = 60_000;
const HOLD_MAX_MS = 60_000;
const ALARM_RETRY_MS = 2000;
/** An alarm that is later than this has been lost. */
const ALARM_LATE_MS = 61_000;
const READER_STALLS_MS = 2 * HOLD_MAX_MS;
/** What may hold a flush up beyond its time, for as long as it takes to get over what went wrong. */
const SLACK_MS = BACKOFF_MAX_MS + READER_STALLS_MS;
/** Alarms are of whole milliseconds, and time passes in steps of one at least. */
const IN_TIME_MS = 10;
/** Turns within which a quiet world comes to rest. */
const TURNS_MAX = 20_000;

/** One life of the object, from its start to its crash or eviction. */
class Host {
  isAlive = true;
  /** The runtime will end it soon. */
  isBroken = false;
  alarmsRunning = 0;
  readonly shard: Shard;

  constructor(make: (host: Host) => Shard) {
    this.shard = make(this);
  }
}

interface Call {
  readonly batch: Batch;
  host: Host | undefined;
}

interface Lookup {
  readonly traceId: string;
  readonly must: ReadonlySet<string>;
  readonly abort: AbortController;
  readonly faultsBefore: number;
  readonly startedMs: number;
}

export class World {
  readonly scheduler = new Scheduler(START_MS);
  readonly model = new Model();
  readonly counts = new Map<string, number>();
  readonly storage: SimStorage;
  readonly store: SimStore;
  readonly #faults: Faults;
  readonly #batches = new Batches();
  readonly #calls = new Set<Call>();
  readonly #lookups = new Set<Lookup>();
  /** Delivered once at least: what a client may send again. */
  #sent: Batch[] = [];
  #host: Host | undefined;
  /** An alarm whose handler died is run again. */
  #alarmRetryAt: number | undefined;
  /** When the alarm was to be that the runtime dropped; undefined once the object can know of it. */
  #lostAlarmAt: number | undefined;
  /** Without the alarm that the runtime dropped, nothing wakes the object but a call. */
  #isAsleep = false;
  #latestWallMs = START_MS;
  /** Readers that flushes may have to wait for in vain. */
  #vanished = 0;
  /** Faults so far of which a lookup may tell. */
  #readFaults = 0;
  #failure: Violation | undefined;
  /** Traces that the current step may have changed. */
  readonly #touched = new Set<string>();

  constructor(faults: Faults) {
    this.#faults = faults;
    this.storage = new SimStorage({
      fault: (call) => {
        if (!this.#happens(call)) return;
        if (call === "read") this.#readFaults++;
        this.count(`fault: ${call}`);
        throw new Error(`simulated: ${call} fails`);
      },
      device: () => this.#device(),
    });
    this.store = new SimStore(this.scheduler, {
      put: () => {
        const fate = this.#faults.putFate();
        this.count(`put: ${fate}`);
        return fate;
      },
      get: () => {
        const fate = this.#faults.getFate();
        if (fate !== "read") this.#readFaults++;
        this.count(`get: ${fate}`);
        return fate;
      },
      survivesSender: () => this.#faults.putSurvives(),
      lateMs: () => this.#faults.putLateMs(),
    });
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  #happens(call: "append" | "commit" | "read"): boolean {
    return this.#faults.storageFails(call);
  }

  async #device(): Promise<void> {
    const host = this.#host;
    await this.scheduler.wait("sync", { owner: host });
    if (!this.#faults.syncFails()) return;
    this.count("fault: sync");
    // A write that cannot be confirmed breaks the object: what it does until it is gone must not matter.
    if (host !== undefined) host.isBroken = true;
    throw new Error("simulated: sync fails");
  }

  // --- The object's life ---

  #open(): Host {
    if (this.#host !== undefined) return this.#host;
    this.count("start");
    const host = new Host((owner) => {
      // The shard reads its storage while it is made, which is before anybody can call it.
      const ports: ShardPorts = {
        storage: this.storage,
        objects: this.store.seenBy(owner),
        clock: { now: () => this.scheduler.wallMs },
        pause: () => this.scheduler.wait("pause", { owner }),
        sleep: (ms) => this.scheduler.wait("sleep", { owner, delayMs: ms }),
        // Without a compactor in the simulation so far.
        wakeCompactor: async () => undefined,
        requestGrowth: async () => undefined,
      };
      return new Shard(IDENTITY, SIM_LIMITS, ports, this.storage.alarm);
    });
    this.#host = host;
    this.#lostAlarmAt = undefined;
    return host;
  }

  /** Ends the object. With `random`, writes that were not synced may be lost. */
  #die(random: Random | undefined): string {
    const host = this.#host;
    if (host === undefined) return "not running";
    for (const label of new Set(this.scheduler.waiting)) this.count(`crash during ${label}`);
    host.isAlive = false;
    this.#host = undefined;
    this.#readFaults++;
    const lost = this.storage.crash(random);
    this.scheduler.kill(host);
    if (host.alarmsRunning > 0) this.#alarmRetryAt = this.scheduler.wallMs + ALARM_RETRY_MS;
    for (const call of this.#calls) {
      if (call.host !== host) continue;
      this.#calls.delete(call);
      this.count("append: connection lost");
    }
    if (lost > 0) this.count("crash that loses writes");
    this.#touchAll();
    return `${lost} units lost`;
  }

  crash(random: Random): string {
    this.count("crash");
    return this.#die(random);
  }

  /** The moments between the object store and the catalogue are few, and the ones that matter most. */
  crashAtPut(random: Random): string {
    const isPutting = this.scheduler.waiting.some((label) => label === "put" || label === "put answer");
    if (!isPutting) return "no put";
    const told = this.crash(random);
    // Clients come again at once, often before the alarm does.
    if (random.chance(0.5)) this.burst(random);
    return told;
  }

  /** The runtime takes an object away that has nothing to do: all is durable, memory is gone. */
  evict(): string {
    const isIdle = this.#calls.size === 0 && (this.#host?.alarmsRunning ?? 0) === 0;
    if (!isIdle || this.#host === undefined) return "busy";
    this.count("evict");
    return this.#die(undefined);
  }

  // --- Clients ---

  append(random: Random): string {
    const batch = this.#batches.make(random, this.scheduler.wallMs);
    this.#sent.push(batch);
    void this.#deliver(batch);
    return `batch ${batch.number}, ${batch.spans.length} spans`;
  }

  /** Many clients at once: what they send arrives together. */
  burst(random: Random): string {
    for (let left = 2 + random.below(4); left > 0; left--) this.append(random);
    this.scheduler.resumeAll("append call");
    return "";
  }

  /** The same bytes again: a client's retry, or a delivery that the network doubled. */
  redeliver(random: Random): string {
    const recent = this.#sent.slice(-20);
    if (recent.length === 0) return "nothing to send again";
    const batch = random.pick(recent);
    this.count("redelivery");
    void this.#deliver(batch);
    return `batch ${batch.number}`;
  }

  async #deliver(batch: Batch): Promise<void> {
    this.model.sent(batch);
    const call: Call = { batch, host: undefined };
    this.#calls.add(call);
    await this.scheduler.wait("append call");
    const host = this.#open();
    call.host = host;
    try {
      const result = await host.shard.append(batch.frame);
      if (!this.#calls.has(call)) return;
      await this.scheduler.wait("append answer", { owner: host });
      this.#calls.delete(call);
      this.count(result.ok ? "append: acknowledged" : `append: ${result.kind}`);
      if (!result.ok) return;
      this.model.acked(batch);
      for (const { traceId } of batch.spans) this.#touched.add(traceId);
    } catch (error) {
      this.#fail(`append threw ${String(error)}`);
    }
  }

  lookup(random: Random): string {
    const traceId = random.pick(
      random.chance(0.8) ? this.#batches.openTraces : this.#batches.traceIds.slice(-100),
    );
    if (traceId === undefined) return "no trace yet";
    const lookup: Lookup = {
      traceId,
      must: this.model.ackedOf(traceId),
      abort: new AbortController(),
      faultsBefore: this.#readFaults,
      startedMs: this.scheduler.steadyMs,
    };
    this.#lookups.add(lookup);
    void this.#look(lookup).catch((error: unknown) => this.#fail(String(error)));
    return traceId;
  }

  /** A client of a running lookup goes away. */
  abort(random: Random): string {
    const [...running] = this.#lookups;
    if (running.length === 0) return "no lookup";
    const lookup = random.pick(running);
    lookup.abort.abort();
    this.count("lookup: client goes");
    return lookup.traceId;
  }

  async #look(lookup: Lookup): Promise<void> {
    const { traceId, must, abort } = lookup;
    await this.scheduler.wait("lookup call");
    let found: FoundTrace | undefined;
    try {
      found = await this.#find(
        traceId,
        { objects: this.store.seenBy(undefined), shard: { findTrace: (id) => this.#remoteFind(id, lookup) } },
        abort.signal,
      );
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!this.#mayFail(lookup)) throw error;
      this.count("lookup: failed");
      return;
    } finally {
      this.#lookups.delete(lookup);
    }
    if (found.failures.length > 0 && !this.#mayFail(lookup)) {
      this.#fail(`a lookup without a fault is partial: ${JSON.stringify(found.failures)}`);
    }
    this.count(found.failures.length > 0 ? "lookup: partial" : "lookup: whole");
    this.#checkAnswer(traceId, found, found.failures.length > 0 ? new Set() : must);
  }

  #mayFail({ faultsBefore, startedMs }: Lookup): boolean {
    // A reader slower than the shard waits for loses its source, and is told so.
    return this.#readFaults > faultsBefore || this.scheduler.steadyMs - startedMs > HOLD_MAX_MS;
  }

  /** The shard's answer as it comes through the network. */
  async #remoteFind(id: Uint8Array, lookup: Lookup): Promise<FindTraceReply> {
    const host = this.#open();
    const { live, blocks } = host.shard.findTrace(id);
    const remote = live instanceof Uint8Array ? live : this.#remoteStream(host, live, lookup);
    await this.scheduler.wait("lookup answer");
    if (!host.isAlive) {
      throw new Error("simulated: connection lost");
    }
    return { live: remote, blocks };
  }

  #remoteStream(host: Host, live: ReadableStream<Uint8Array>, lookup: Lookup): ReadableStream<Uint8Array> {
    this.count("lookup: streamed");
    const reader = live.getReader();
    return new ReadableStream({
      type: "bytes",
      pull: async (controller): Promise<void> => {
        const fate = this.#faults.readerFate();
        if (fate === "vanishes") {
          // The other end is gone and nobody has noticed: the stream is neither read on nor cancelled.
          this.count("lookup: vanishes");
          this.#lookups.delete(lookup);
          this.#vanished++;
          await new Promise(() => undefined);
        }
        const delayMs = fate === "stalls" ? READER_STALLS_MS : 0;
        await this.scheduler.wait("live chunk", { delayMs });
        if (!host.isAlive) throw new Error("simulated: connection lost");
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel: () => reader.cancel(),
    });
  }

  #find(
    traceId: string,
    {
      shard,
      ...deps
    }: Pick<FindTraceDeps, "objects" | "readPages"> & {
      readonly shard: Pick<TraceShardRpc, "findTrace">;
    },
    signal?: AbortSignal,
  ): Promise<FoundTrace> {
    const shards = [{ index: 0, shard: { ...shard, noteFailedReads: async () => {} } }];
    return findTrace(
      { limits: SIM_LIMITS, shards, ...deps },
      { traceId: parseTraceId(traceId), mode: "all", startSeconds: 0, endSeconds: 0 },
      signal,
    );
  }

  #checkAnswer(traceId: string, found: FoundTrace, must: ReadonlySet<string>): void {
    const body = traceBody(found, { version: 1, encoding: "protobuf", maxValueDepth: 64 });
    if (!(body instanceof Uint8Array)) throw new Violation("a small trace is not answered at once");
    this.model.check(traceId, body, must);
  }

  // --- The runtime ---

  /** Runs the alarm if its time has come, or, `early`, before that. */
  alarm(how: "due" | "early" | "doubled" = "due"): string {
    const { wallMs } = this.scheduler;
    const isRetry = this.#alarmRetryAt !== undefined && this.#alarmRetryAt <= wallMs;
    const { alarm } = this.storage;
    if (!isRetry && (alarm === null || (alarm > wallMs && how !== "early"))) return "not due";
    this.count(`alarm: ${isRetry ? "again" : how}`);
    if (isRetry) this.#alarmRetryAt = undefined;
    else this.storage.setDurableAlarm(null);
    const host = this.#open();
    void this.#tick(host);
    if (how === "doubled") void this.#tick(host);
    return isRetry ? "again" : how;
  }

  async #tick(host: Host): Promise<void> {
    host.alarmsRunning++;
    this.count("tick");
    try {
      const { flushedBlocks, error } = await host.shard.tick(this.scheduler.wallMs);
      if (flushedBlocks > 0) this.#touchAll();
      this.count(
        error === undefined ? `tick: flushed ${flushedBlocks > 0 ? "blocks" : "nothing"}` : "tick: failed",
      );
    } catch (error) {
      this.#fail(`tick threw ${String(error)}`);
    }
    // The runtime takes an alarm for done when the handler's writes are durable. If they cannot be, the object ends, and
    // the alarm runs again.
    await this.storage.sync().then(
      () => host.alarmsRunning--,
      () => undefined,
    );
  }

  /** The runtime forgets the alarm, as it does after six failures of its handler. */
  loseAlarm(): string {
    const { alarm } = this.storage;
    if (alarm === null) return "none set";
    this.storage.setDurableAlarm(null);
    this.#isAsleep = true;
    // An object that starts looks at its alarm; one that runs can only wonder why it does not come.
    if (this.#host !== undefined) this.#lostAlarmAt = alarm;
    this.count("alarm: lost");
    return "lost";
  }

  /** Time passes, on all clocks. */
  pass(ms: number): string {
    this.scheduler.advance(ms);
    this.#latestWallMs = Math.max(this.#latestWallMs, this.scheduler.wallMs);
    return `${ms} ms`;
  }

  /** The wall clock jumps; nothing else does. */
  jump(ms: number): string {
    this.scheduler.jump(ms);
    this.#latestWallMs = Math.max(this.#latestWallMs, this.scheduler.wallMs);
    this.count(ms < 0 ? "clock: back" : "clock: forward");
    return `${ms} ms`;
  }

  /** The wall clock jumps back to the very moment at which an epoch was opened. */
  jumpToEpoch(random: Random): string {
    const ids = this.storage.youngBlocks().map(({ id }) => id);
    const earlier = ids.filter((id) => id < this.scheduler.wallMs);
    return earlier.length === 0
      ? "no block"
      : this.jump(random.pick(earlier.slice(-3)) - this.scheduler.wallMs);
  }

  // --- What must hold ---

  #fail(what: string): void {
    this.#failure ??= new Violation(what);
  }

  #touchAll(): void {
    for (const traceId of this.#batches.openTraces) this.#touched.add(traceId);
  }

  /** Holds between any two steps. Looks at the traces that the step changed, and at a random one. */
  async check(random: Random): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#host?.isBroken === true && random.chance(0.3)) this.#die(random);
    this.#checkAlarm();
    const open = this.#batches.openTraces;
    if (open.length > 0 && random.chance(0.2)) this.#touched.add(random.pick(open));
    for (const traceId of this.#touched) await this.#checkTrace(traceId);
    this.#touched.clear();
  }

  #checkAlarm(): void {
    if (this.storage.hasDurableAlarm) this.#isAsleep = false;
    const isCovered =
      this.storage.alarm !== null ||
      this.#alarmRetryAt !== undefined ||
      (this.#host?.alarmsRunning ?? 0) > 0 ||
      this.#lostAlarmAt !== undefined ||
      (this.#host === undefined && this.#isAsleep);
    if (!isCovered && this.storage.epochs().length > 0) throw new Violation("spans wait and no alarm is set");
  }

  /** Looks the trace up past all delays and faults. */
  async #checkTrace(traceId: string): Promise<void> {
    const { shard } = this.#open();
    const pieces: Uint8Array[] = [];
    let gets = 0;
    let refs = 0;
    this.#faults.suspended = true;
    this.count("check: traces");
    const found = await this.#find(traceId, {
      objects: {
        getRange: (key, range, etag) => {
          gets++;
          this.count("check: blocks read");
          return this.store.stored.getRange(key, range, etag);
        },
      },
      shard: {
        findTrace: async (id) => {
          const { live, blocks } = shard.findTrace(id);
          refs = blocks.length;
          const whole = live instanceof Uint8Array ? live : await bytesOf(live);
          pieces.push(whole.slice());
          return { live: whole, blocks };
        },
      },
      readPages: async function* readPages(pages, resources, id) {
        for await (const piece of readTracePages(pages, resources, id)) {
          pieces.push(piece.slice());
          yield piece;
        }
      },
    });
    this.#faults.suspended = false;
    if (found.failures.length > 0) throw new Violation(`not readable: ${JSON.stringify(found.failures)}`);
    if (refs > shard.stats().blocks) throw new Violation(`${refs} ranges of ${shard.stats().blocks} blocks`);
    if (gets !== refs) throw new Violation(`${gets} reads for ${refs} blocks`);
    this.#checkAnswer(traceId, found, this.model.ackedOf(traceId));
    this.model.checkCopies(pieces);
  }

  /**
   * Without new faults, everything that runs comes to its end, and all spans come into blocks, soon.
   * @param slackMs how much later than `flushAgeMs` that may be
   * @param isTouched whether a client sends one more batch, which lets the shard see what time it is
   */
  async drain(random: Random, isTouched: boolean, slackMs = SLACK_MS): Promise<void> {
    this.#faults.suspended = true;
    if (this.#host?.isBroken === true) this.#die(random);
    if (this.#lostAlarmAt !== undefined) {
      this.pass(Math.max(0, this.#lostAlarmAt - this.scheduler.wallMs) + ALARM_LATE_MS);
      this.#lostAlarmAt = undefined;
      this.append(random);
    } else if (isTouched) this.append(random);
    // An idle object is woken by its alarm only, which may have been set when the clock was ahead.
    const aheadMs = isTouched ? 0 : this.#latestWallMs - this.scheduler.wallMs;
    const endMs =
      this.scheduler.steadyMs + aheadMs + SIM_LIMITS.flushAgeMs + slackMs + this.#vanished * HOLD_MAX_MS;
    this.#vanished = 0;
    for (let turn = 0; this.#isBusy(); turn++) {
      if (turn > TURNS_MAX) throw new Violation(`still busy after ${turn} turns`);
      if (this.scheduler.resume() === undefined && this.alarm() === "not due") this.#passToNext();
      await this.scheduler.settle();
      this.#faults.suspended = true;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.scheduler.steadyMs > endMs) {
        throw new Violation(
          `spans wait for ${endMs} ms and more: ${JSON.stringify(this.#open().shard.stats())}`,
        );
      }
    }
    await this.#checkBucket();
    for (const traceId of this.#batches.openTraces) this.#touched.add(traceId);
    await this.check(random);
    this.#faults.suspended = false;
  }

  #isBusy(): boolean {
    return (
      this.#calls.size > 0 ||
      this.#lookups.size > 0 ||
      (this.#host?.alarmsRunning ?? 0) > 0 ||
      this.scheduler.waiting.length > 0 ||
      this.storage.epochs().length > 0
    );
  }

  #passToNext(): void {
    const { wallMs } = this.scheduler;
    const times = [this.storage.alarm, this.#alarmRetryAt].flatMap((at) => at ?? []);
    const untilAlarm = times.length === 0 ? undefined : Math.min(...times) - wallMs;
    const untilReady = this.scheduler.untilReady();
    const next = Math.min(untilAlarm ?? Infinity, untilReady ?? Infinity);
    if (next === Infinity) throw new Violation("nothing will happen any more, and spans wait");
    this.pass(Math.max(next, 1));
  }

  /** At rest, the bucket holds the catalogue's blocks and nothing else. */
  async #checkBucket(): Promise<void> {
    const objects: unknown[] = [];
    for await (const { key, etag, byteLength } of this.store.stored.list(""))
      objects.push({ key, etag, byteLength });
    const blocks = this.storage
      .youngBlocks()
      .map(({ key, etag, byteLength }) => ({ key, etag, byteLength }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    if (JSON.stringify(objects) !== JSON.stringify(blocks)) {
      throw new Violation(`bucket and catalogue differ: ${JSON.stringify({ objects, blocks })}`);
    }
  }

  /** Looks every trace up that was ever sent. */
  async checkAll(): Promise<void> {
    for (const traceId of this.#batches.traceIds) await this.#checkTrace(traceId);
  }

  /** Nothing that went wrong is held against a shard that is at rest: it takes a batch, and flushes it in time. */
  async checkAccepts(random: Random): Promise<void> {
    const before = this.model.ackedCount;
    this.append(random);
    this.jump(this.#latestWallMs - this.scheduler.wallMs);
    await this.drain(random, false, IN_TIME_MS);
    if (this.model.ackedCount === before) throw new Violation("an idle shard takes no batch");
  }
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.slice());
  return new Uint8Array(Buffer.concat(parts));
}
