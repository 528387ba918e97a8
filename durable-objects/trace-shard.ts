// TraceShard: the buffer and catalogue of one tenant's shard. A thin shell: storage, alarm, calls.
import { DurableObject } from "cloudflare:workers";
import { TRACE_SHARD_MIGRATIONS } from "../migrations/index.ts";
import { readConfig } from "../src/model/config.ts";
import type { ShardPorts } from "../src/shard/shard.ts";
import { Shard } from "../src/shard/shard.ts";
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
  ShardJob,
  ShardSettings,
  ShardSnapshot,
  ShardStats,
  TickReport,
  TraceShardRpc,
} from "../src/store/rpc.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";
import { logError } from "../src/util/log.ts";
import { migrate } from "./migrate.ts";
import { ShardSql } from "./shard-sql.ts";

export class TraceShard extends DurableObject<Bindings> implements TraceShardRpc {
  #shard: Shard | undefined;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    void state.blockConcurrencyWhile(() => this.#start());
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    return (await this.#open()).append(batch);
  }

  async findTrace(traceId: Uint8Array, range?: TimeRange): Promise<FindTraceReply> {
    return (await this.#open()).findTrace(traceId, range);
  }

  async findBeyond(traceIds: Uint8Array, range: TimeRange): Promise<number[]> {
    return (await this.#open()).findBeyond(traceIds, range);
  }

  async blocksBetween(range: TimeRange): Promise<CatalogueBlock[]> {
    return (await this.#open()).blocksBetween(range);
  }

  async snapshot(range: TimeRange): Promise<ShardSnapshot> {
    return (await this.#open()).snapshot(range);
  }

  async readSegments(epoch: number, fromRow: number): Promise<SegmentsReply> {
    return (await this.#open()).readSegments(epoch, fromRow);
  }

  async tick(now: number): Promise<TickReport> {
    return (await this.#open()).tick(now);
  }

  async stats(): Promise<ShardStats> {
    return (await this.#open()).stats();
  }

  async noteFailedReads(count: number): Promise<void> {
    (await this.#open()).noteFailedReads(count);
  }

  async configure(settings: ShardSettings): Promise<void> {
    return (await this.#open()).configure(settings);
  }

  async nextJob(now: number): Promise<ShardJob | undefined> {
    return (await this.#open()).nextJob(now);
  }

  async commitMerge(id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply> {
    return (await this.#open()).commitMerge(id, output, tail);
  }

  async commitIndex(id: number, rows: readonly Uint8Array[]): Promise<JobReply> {
    return (await this.#open()).commitIndex(id, rows);
  }

  async commitSweep(id: number): Promise<JobReply> {
    return (await this.#open()).commitSweep(id);
  }

  async giveUp(id: number, message: string, culprits?: readonly number[]): Promise<void> {
    return (await this.#open()).giveUp(id, message, culprits);
  }

  async isKnown(keys: readonly string[]): Promise<boolean[]> {
    return (await this.#open()).isKnown(keys);
  }

  async adopt(block: CatalogueBlock, tail: BlockTail): Promise<boolean> {
    return (await this.#open()).adopt(block, tail);
  }

  async discard(
    object: { readonly id: number; readonly key: string },
    by: readonly number[],
  ): Promise<boolean> {
    return (await this.#open()).discard(object, by);
  }

  async beginRebuild(now: number): Promise<number> {
    return (await this.#open()).beginRebuild(now);
  }

  async endRebuild(): Promise<void> {
    return (await this.#open()).endRebuild();
  }

  async destroy(now: number): Promise<{ readonly done: boolean }> {
    const shard = await this.#open();
    const reply = await shard.destroy(now);
    if (reply.done) this.#close(shard);
    return reply;
  }

  override async alarm(): Promise<void> {
    const shard = await this.#open();
    const report = await shard.tick(systemClock.now());
    if (report.error !== undefined) logError("alarm failed, will be repeated", { error: report.error });
    if (shard.isGone) this.#close(shard);
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(state: DurableObjectState, env: Bindings): ShardPorts {
    const name = must(state.id.name, "a shard is reached by its name");
    return {
      storage: new ShardSql(state.storage, readConfig(env).limits.maxRowBytes),
      objects: objectStoreFor(env),
      clock: systemClock,
      pause: () => scheduler.wait(0),
      sleep: (ms) => scheduler.wait(ms),
      wakeCompactor: () => env.COMPACTOR.getByName(name).wake(),
      requestGrowth: async (load) => {
        const { tenant, shard } = parseShardName(name);
        await env.TENANT.getByName(tenant).requestGrowth(shard, load);
      },
    };
  }

  async #start(): Promise<Shard> {
    migrate(this.ctx.storage, TRACE_SHARD_MIGRATIONS);
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

  #open(): Shard | Promise<Shard> {
    return this.#shard ?? this.#start();
  }
}
