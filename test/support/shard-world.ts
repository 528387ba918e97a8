// A shard with its bucket and its compactor, over memory; the test holds the clock and restarts it at will.
import { readTracePages } from "../../src/block/read-trace.ts";
import { runIndex } from "../../src/compaction/index-job.ts";
import type { JobPorts } from "../../src/compaction/job-ports.ts";
import { runMerge } from "../../src/compaction/merge-job.ts";
import { PLAN_LIMITS } from "../../src/compaction/plan.ts";
import { runSweep } from "../../src/compaction/sweep-job.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { MemoryShardStorage } from "../../src/shard/memory-storage.ts";
import { Shard, type ShardLimits, type ShardPorts } from "../../src/shard/shard.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ShardJob, ShardJobsRpc } from "../../src/store/rpc.ts";
import type { SpendReport } from "../../src/store/tenant-rpc.ts";
import { unreachable } from "../../src/util/assert.ts";
import { frameOf } from "./frames.ts";
import { type Generator, makeGenerator } from "./generator.ts";
import { spanBag } from "./span-bag.ts";

export const START_MS = Date.UTC(2026, 10, 23);
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** Two flushes of 100 spans make a pair, two pairs a full block; two of those make a group. */
const SMALL_PLAN = {
  ...PLAN_LIMITS,
  rowGroupWeight: 300,
  blockWeight: 600,
  fanIn: 2,
  inputsMax: 4,
  smallInputsMax: 4,
  groupTraces: 60_000,
  groupBlocks: 2,
};

export class ShardWorld {
  readonly storage = new MemoryShardStorage();
  readonly objects = new MemoryStore();
  readonly clock = { ms: START_MS, now: (): number => this.clock.ms };
  readonly limits: ShardLimits;
  /** All spans that were sent. */
  readonly batches: Uint8Array[] = [];
  /** Times that the shard called for the compactor. */
  wakes = 0;
  /** Whose shard it is; to be set before the shard is used. */
  tenant = "t";
  /** What it said that it costs. */
  readonly reports: SpendReport[] = [];
  readonly #generator: Generator;
  #shard: Shard | undefined;

  constructor(seed: number, overrides: Partial<ShardLimits> = {}) {
    this.limits = { ...DEFAULT_LIMITS, plan: SMALL_PLAN, ...overrides };
    this.#generator = makeGenerator({ seed, spansPerTrace: 5 });
  }

  get shard(): Shard {
    this.#shard ??= new Shard({ tenant: this.tenant, shard: 0 }, this.limits, this.ports, this.alarm);
    return this.#shard;
  }

  get ports(): ShardPorts {
    return {
      storage: this.storage,
      objects: this.objects,
      clock: this.clock,
      pause: () => Promise.resolve(),
      sleep: () => Promise.resolve(),
      wakeCompactor: async () => void this.wakes++,
      requestGrowth: () => Promise.resolve(),
      reportSpend: async (report) => void this.reports.push(report),
    };
  }

  get alarm(): number | null {
    return this.storage.alarm;
  }

  get traceIds(): readonly string[] {
    return this.#generator.traceIds();
  }

  /** What the shard has in memory is lost. */
  restart(): void {
    this.#shard = undefined;
  }

  async append(spanCount = 100): Promise<void> {
    await this.appendBatch(this.#generator.batch(spanCount));
  }

  async appendBatch(batch: Uint8Array): Promise<void> {
    const result = await this.shard.append(frameOf(batch));
    if (!result.ok) throw new Error(result.message);
    this.batches.push(batch);
  }

  /** Makes `count` blocks of 100 spans, and lets as much time go by as flushes need. */
  async flush(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.append();
      this.clock.ms += this.limits.flushAgeMs;
      await this.tick();
    }
  }

  async tick(): Promise<void> {
    const { error } = await this.shard.tick(this.clock.ms);
    if (error !== undefined) throw new Error(error);
  }

  /** The runtime takes the alarm away and calls its handler, on an object that starts for it if it was `evicted`. */
  async runAlarm(evicted = false): Promise<void> {
    this.clock.ms = Math.max(this.clock.ms, this.alarm ?? 0);
    this.storage.setAlarm(null);
    if (evicted) this.restart();
    await this.tick();
  }

  nextJob(): Promise<ShardJob | undefined> {
    return this.shard.nextJob(this.clock.ms);
  }

  /** Does jobs until there is none. */
  async runJobs(): Promise<ShardJob[]> {
    const done: ShardJob[] = [];
    for (let job = await this.nextJob(); job !== undefined; job = await this.nextJob()) {
      await this.run(job);
      done.push(job);
      if (done.length > 200) throw new Error("jobs without end");
    }
    return done;
  }

  /** As the compactor does it. */
  async run(job: ShardJob): Promise<void> {
    const outcome = await this.#outcome(job);
    if ("damaged" in outcome) await this.shard.giveUp(job.id, outcome.message, outcome.damaged);
  }

  #outcome(job: ShardJob) {
    const { objects } = this;
    const { pause, sleep } = this.ports;
    const ports: JobPorts = { objects, shard: this.rpc, pause, sleep };
    switch (job.kind) {
      case "merge":
        return runMerge(ports, job);
      case "index":
        return runIndex(ports, job);
      case "sweep":
        return runSweep(ports, job);
      default:
        return unreachable(job);
    }
  }

  get rpc(): ShardJobsRpc {
    return {
      nextJob: (now) => this.shard.nextJob(now),
      commitMerge: (id, output, tail) => this.shard.commitMerge(id, output, tail),
      commitIndex: (id, rows) => this.shard.commitIndex(id, rows),
      commitSweep: (id) => this.shard.commitSweep(id),
      giveUp: (id, message, culprits) => this.shard.giveUp(id, message, culprits),
      isKnown: async (keys) => this.shard.isKnown(keys),
      adopt: (block, tail) => this.shard.adopt(block, tail),
      discard: (object, by) => this.shard.discard(object, by),
      beginRebuild: (now) => this.shard.beginRebuild(now),
      endRebuild: () => this.shard.endRebuild(),
    };
  }

  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.objects.list("")) keys.push(key);
    return keys;
  }

  /** Keys of the catalogue's blocks, sorted. */
  blockKeys(): string[] {
    return this.shard
      .blocksBetween({})
      .map(({ key }) => key)
      .sort();
  }

  /** The spans of a trace, once for each place where the shard says they are. */
  async read(traceId: string): Promise<string[]> {
    const id = parseTraceId(traceId);
    const { live, blocks } = this.shard.findTrace(id);
    const parts: Uint8Array[] = [];
    if (live instanceof Uint8Array) parts.push(live);
    else for await (const chunk of live) parts.push(chunk);
    for (const { key, range, etag, resources } of blocks) {
      const pages = await this.objects.getRange(key, range, etag);
      for await (const part of readTracePages(pages, resources, id)) parts.push(part);
    }
    return spanBag(parts);
  }

  /** The traces whose spans are not each found exactly once; `count` of them are looked at. */
  async wrongTraces(count = 60): Promise<string[]> {
    const all = this.traceIds;
    const step = Math.max(1, Math.floor(all.length / count));
    const wrong: string[] = [];
    for (const traceId of all.filter((_, i) => i % step === 0)) {
      const found = (await this.read(traceId)).join();
      if (found !== spanBag(this.batches, traceId).join()) wrong.push(traceId);
    }
    return wrong;
  }
}
