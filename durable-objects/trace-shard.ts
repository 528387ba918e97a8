// TraceShard: the buffer and catalogue of one tenant's shard. A thin shell: storage, alarm, calls.
import { DurableObject } from "cloudflare:workers";
import { TRACE_SHARD_MIGRATIONS } from "../migrations/index.ts";
import { readConfig } from "../src/model/config.ts";
import type { ShardPorts } from "../src/shard/shard.ts";
import { Shard } from "../src/shard/shard.ts";
import type { RowCounts } from "../src/shard/storage.ts";
import type { Bindings } from "../src/store/bindings.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../src/store/catalogue.ts";
import { parseShardName } from "../src/store/keys.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type {
  AppendBatch,
  AppendResult,
  FindTraceReply,
  JobReply,
  SegmentsReply,
  ShardCounts,
  ShardJob,
  ShardSettings,
  ShardSnapshot,
  ShardStats,
  TickReport,
  TraceShardRpc,
  UsageDelta,
} from "../src/store/rpc.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";
import { logError } from "../src/util/log.ts";
import { migrate } from "./migrate.ts";
import { ShardSql } from "./shard-sql.ts";

export class TraceShard extends DurableObject<Bindings> implements TraceShardRpc {
  #shard: Shard | undefined;
  /** Rows that the start read and wrote before there was a shard to count them. */
  #opening: RowCounts | undefined;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    void state.blockConcurrencyWhile(() => this.#start());
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    return this.#run((shard) => shard.append(batch));
  }

  async findTrace(
    traceId: Uint8Array,
    range?: TimeRange,
    usage?: readonly UsageDelta[],
  ): Promise<FindTraceReply> {
    return this.#run((shard) => shard.findTrace(traceId, range, usage));
  }

  async findBeyond(traceIds: Uint8Array, range: TimeRange): Promise<number[]> {
    return this.#run((shard) => shard.findBeyond(traceIds, range));
  }

  async blocksBetween(range: TimeRange): Promise<CatalogueBlock[]> {
    return this.#run((shard) => shard.blocksBetween(range));
  }

  async snapshot(range: TimeRange, usage?: readonly UsageDelta[]): Promise<ShardSnapshot> {
    return this.#run((shard) => shard.snapshot(range, usage));
  }

  async readSegments(epoch: number, fromRow: number): Promise<SegmentsReply> {
    return this.#run((shard) => shard.readSegments(epoch, fromRow));
  }

  async tick(now: number): Promise<TickReport> {
    return this.#run((shard) => shard.tick(now));
  }

  async stats(): Promise<ShardStats> {
    return this.#run((shard) => shard.stats());
  }

  async counts(): Promise<ShardCounts> {
    return this.#run((shard) => shard.insight.counts(systemClock.now()));
  }

  async probe(mark: string): Promise<void> {
    return this.#run((shard) => shard.insight.probe(mark));
  }

  async probed(): Promise<string | undefined> {
    return this.#run((shard) => shard.insight.probed());
  }

  async usage(from: number, to: number, usage?: readonly UsageDelta[]): Promise<Uint8Array> {
    return this.#run((shard) => shard.usage(from, to, usage));
  }

  async noteFailedReads(count: number): Promise<void> {
    return this.#run((shard) => shard.noteFailedReads(count));
  }

  async configure(settings: ShardSettings): Promise<void> {
    return this.#run((shard) => shard.configure(settings));
  }

  async nextJob(now: number, usage?: readonly UsageDelta[]): Promise<ShardJob | undefined> {
    return this.#run((shard) => shard.nextJob(now, usage));
  }

  async commitMerge(id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply> {
    return this.#run((shard) => shard.commitMerge(id, output, tail));
  }

  async commitIndex(id: number, rows: readonly Uint8Array[]): Promise<JobReply> {
    return this.#run((shard) => shard.commitIndex(id, rows));
  }

  async commitSweep(id: number): Promise<JobReply> {
    return this.#run((shard) => shard.commitSweep(id));
  }

  async giveUp(id: number, message: string, culprits?: readonly number[]): Promise<void> {
    return this.#run((shard) => shard.giveUp(id, message, culprits));
  }

  async isKnown(keys: readonly string[]): Promise<boolean[]> {
    return this.#run((shard) => shard.isKnown(keys));
  }

  async adopt(block: CatalogueBlock, tail: BlockTail): Promise<boolean> {
    return this.#run((shard) => shard.adopt(block, tail));
  }

  async discard(
    object: { readonly id: number; readonly key: string },
    by: readonly number[],
  ): Promise<boolean> {
    return this.#run((shard) => shard.discard(object, by));
  }

  async beginRebuild(now: number): Promise<number> {
    return this.#run((shard) => shard.beginRebuild(now));
  }

  async endRebuild(): Promise<void> {
    return this.#run((shard) => shard.endRebuild());
  }

  async destroy(now: number): Promise<{ readonly done: boolean }> {
    return this.#run(async (shard) => {
      const reply = await shard.destroy(now);
      if (reply.done) this.#close(shard);
      return reply;
    });
  }

  override async alarm(): Promise<void> {
    await this.#run(async (shard) => {
      const report = await shard.tick(systemClock.now());
      if (report.error !== undefined) logError("alarm failed, will be repeated", { error: report.error });
      if (shard.isGone) this.#close(shard);
    });
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(state: DurableObjectState, env: Bindings): ShardPorts {
    const name = must(state.id.name, "a shard is reached by its name");
    const { tenant, shard } = parseShardName(name);
    return {
      storage: new ShardSql(state.storage, readConfig(env).limits.maxRowBytes),
      openingRows: this.#opening,
      objects: objectStoreFor(env),
      clock: systemClock,
      pause: () => scheduler.wait(0),
      sleep: (ms) => scheduler.wait(ms),
      wakeCompactor: () => env.COMPACTOR.getByName(name).wake(),
      requestGrowth: async (load) => void (await env.TENANT.getByName(tenant).requestGrowth(shard, load)),
      reportSpend: async (report) => void (await env.TENANT.getByName(tenant).reportSpend(shard, report)),
    };
  }

  async #start(): Promise<Shard> {
    this.#opening = migrate(this.ctx.storage, TRACE_SHARD_MIGRATIONS);
    const { limits } = readConfig(this.env);
    const identity = parseShardName(must(this.ctx.id.name, "a shard is reached by its name"));
    const ports = this.ports(this.ctx, this.env);
    const alarmAt = await ports.storage.getAlarm();
    this.#shard ??= new Shard(identity, limits, ports, alarmAt);
    return this.#shard;
  }

  /** The next call finds a shard that is new: nothing of the old one is left, not even its tables. */
  #close(shard: Shard): void {
    if (this.#shard === shard) this.#shard = undefined;
  }

  async #run<T>(work: (shard: Shard) => T | Promise<T>): Promise<T> {
    return (await this.#open()).run(work);
  }

  #open(): Shard | Promise<Shard> {
    return this.#shard ?? this.#start();
  }
}
