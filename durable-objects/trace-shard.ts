// TraceShard: the buffer and catalogue of one tenant's shard. A thin shell: storage, alarm, calls.
import { DurableObject } from "cloudflare:workers";
import { TRACE_SHARD_MIGRATIONS } from "../migrations/index.ts";
import { readConfig } from "../src/model/config.ts";
import type { ShardPorts } from "../src/shard/shard.ts";
import { Shard } from "../src/shard/shard.ts";
import type { Bindings } from "../src/store/bindings.ts";
import { parseShardName } from "../src/store/keys.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type {
  AppendBatch,
  AppendResult,
  FindTraceReply,
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
    void state.blockConcurrencyWhile(async () => {
      migrate(state.storage, TRACE_SHARD_MIGRATIONS);
      const { limits } = readConfig(env);
      const identity = parseShardName(must(state.id.name, "a shard is reached by its name"));
      const ports = this.ports(state, env);
      this.#shard = new Shard(identity, limits, ports, await ports.storage.getAlarm());
    });
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return this.#open().append(batch);
  }

  async findTrace(traceId: Uint8Array): Promise<FindTraceReply> {
    return this.#open().findTrace(traceId);
  }

  tick(now: number): Promise<TickReport> {
    return this.#open().tick(now);
  }

  async stats(): Promise<ShardStats> {
    return this.#open().stats();
  }

  override async alarm(): Promise<void> {
    const report = await this.tick(systemClock.now());
    if (report.error !== undefined) logError("flush failed, will be repeated", { error: report.error });
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(state: DurableObjectState, env: Bindings): ShardPorts {
    return {
      storage: new ShardSql(state.storage, readConfig(env).limits.maxRowBytes),
      objects: objectStoreFor(env),
      clock: systemClock,
      pause: () => scheduler.wait(0),
      sleep: (ms) => scheduler.wait(ms),
    };
  }

  #open(): Shard {
    return must(this.#shard, "calls wait until the shard is open");
  }
}
