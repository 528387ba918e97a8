// Compactor: carries out the jobs of the shard that has its name, on a thread of its own. A thin shell.
import { DurableObject } from "cloudflare:workers";
import {
  type Attempts,
  Compactor as Runner,
  type CompactorPorts,
  type CompactorStorage,
} from "../src/compaction/compactor.ts";
import type { RebuildState } from "../src/compaction/rebuild.ts";
import type { Bindings } from "../src/store/bindings.ts";
import type { CompactorRpc, RebuildProgress } from "../src/store/compactor-rpc.ts";
import { parseShardName } from "../src/store/keys.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type { ShardJobsRpc } from "../src/store/rpc.ts";
import { countedStore } from "../src/usage/counted-store.ts";
import { UsageLedger } from "../src/usage/ledger.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";
import { ObjectMeter } from "./object-meter.ts";

/**
 * Turns of the event loop that a pause lasts. A request that shares the thread, where that is so, passes some six of them
 * between its arrival and its answer, and waits for a stretch of work at each pause.
 */
const PAUSE_TURNS = 3;

async function pause(): Promise<void> {
  for (let turn = 0; turn < PAUSE_TURNS; turn++) await scheduler.wait(0);
}

const ATTEMPTS = "attempts";
const REBUILD = "rebuild";

export class Compactor extends DurableObject<Bindings> implements CompactorRpc {
  readonly #runner: Runner;
  readonly #tenant: string;
  /** What it costs goes to its shard, with the question for the next job. */
  readonly #ledger = new UsageLedger(systemClock, crypto.randomUUID());
  readonly #meter = new ObjectMeter();
  readonly #rows = { read: 0, written: 0 };

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    const name = must(state.id.name, "a compactor is reached by its name");
    this.#tenant = parseShardName(name).tenant;
    this.#runner = new Runner(parseShardName(name), this.ports(state, env, name));
  }

  wake(): Promise<void> {
    return this.#meter.run(() => this.#runner.wake());
  }

  rebuild(): Promise<void> {
    return this.#meter.run(() => this.#runner.rebuild());
  }

  async rebuildProgress(): Promise<RebuildProgress | undefined> {
    return this.#meter.run(async () => this.#runner.rebuildProgress());
  }

  async destroy(): Promise<void> {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  override alarm(): Promise<void> {
    return this.#meter.run(() => this.#runner.alarm());
  }

  #shard(env: Bindings, name: string): ShardJobsRpc {
    const shard = env.TRACE_SHARD.getByName(name);
    return {
      nextJob: (now) => {
        this.#ledger.add(this.#tenant, this.#meter.take({ ...this.#rows }));
        return this.#ledger.carryAll(this.#tenant, name, (usage) => shard.nextJob(now, usage));
      },
      commitMerge: (id, output, tail) => shard.commitMerge(id, output, tail),
      commitIndex: (id, rows) => shard.commitIndex(id, rows),
      commitSweep: (id) => shard.commitSweep(id),
      giveUp: (id, message, culprits) => shard.giveUp(id, message, culprits),
      isKnown: (keys) => shard.isKnown(keys),
      adopt: (block, tail) => shard.adopt(block, tail),
      discard: (object, by) => shard.discard(object, by),
      beginRebuild: (now) => shard.beginRebuild(now),
      endRebuild: () => shard.endRebuild(),
    };
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports({ storage }: DurableObjectState, env: Bindings, name: string): CompactorPorts {
    const shard = (): ShardJobsRpc => this.#shard(env, name);
    return {
      storage: this.#storage(storage),
      objects: countedStore(objectStoreFor(env), (operation) => this.#meter.count(operation, 1)),
      // A stub is of no use after its object has failed once.
      get shard() {
        return shard();
      },
      clock: systemClock,
      pause,
      sleep: (ms) => scheduler.wait(ms),
    };
  }

  /** Each value is a row: read, written or deleted. */
  #storage(storage: DurableObjectStorage): CompactorStorage {
    const read = (): void => void this.#rows.read++;
    const written = (): void => void this.#rows.written++;
    return {
      attempts: () => {
        read();
        return storage.kv.get<Attempts>(ATTEMPTS);
      },
      setAttempts: (attempts) => {
        written();
        if (attempts === undefined) storage.kv.delete(ATTEMPTS);
        else storage.kv.put(ATTEMPTS, attempts);
      },
      rebuild: () => {
        read();
        return storage.kv.get<RebuildState | "begin">(REBUILD);
      },
      setRebuild: (progress) => {
        written();
        storage.kv.put(REBUILD, progress);
      },
      sync: () => storage.sync(),
      getAlarm: () => storage.getAlarm(),
      // Part of this turn's commit, as everything above.
      setAlarm: (atMs) => {
        written();
        void storage.setAlarm(atMs);
      },
    };
  }
}
