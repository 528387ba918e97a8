// Compactor: carries out the jobs of the shard that has its name, on a thread of its own. A thin shell.
import { DurableObject } from "cloudflare:workers";
import { type Attempts, Compactor as Runner, type CompactorPorts } from "../src/compaction/compactor.ts";
import type { RebuildState } from "../src/compaction/rebuild.ts";
import type { Bindings } from "../src/store/bindings.ts";
import type { CompactorRpc, RebuildProgress } from "../src/store/compactor-rpc.ts";
import { parseShardName } from "../src/store/keys.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";

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

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    const name = must(state.id.name, "a compactor is reached by its name");
    this.#runner = new Runner(parseShardName(name), this.ports(state, env, name));
  }

  wake(): Promise<void> {
    return this.#runner.wake();
  }

  rebuild(): Promise<void> {
    return this.#runner.rebuild();
  }

  async rebuildProgress(): Promise<RebuildProgress | undefined> {
    return this.#runner.rebuildProgress();
  }

  async destroy(): Promise<void> {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  override alarm(): Promise<void> {
    return this.#runner.alarm();
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports({ storage }: DurableObjectState, env: Bindings, name: string): CompactorPorts {
    return {
      storage: {
        attempts: () => storage.kv.get<Attempts>(ATTEMPTS),
        setAttempts: (attempts) => {
          if (attempts === undefined) storage.kv.delete(ATTEMPTS);
          else storage.kv.put(ATTEMPTS, attempts);
        },
        rebuild: () => storage.kv.get<RebuildState | "begin">(REBUILD),
        setRebuild: (state) => storage.kv.put(REBUILD, state),
        sync: () => storage.sync(),
        getAlarm: () => storage.getAlarm(),
        // Part of this turn's commit, as everything above.
        setAlarm: (atMs) => void storage.setAlarm(atMs),
      },
      objects: objectStoreFor(env),
      // A stub is of no use after its object has failed once.
      get shard() {
        return env.TRACE_SHARD.getByName(name);
      },
      clock: systemClock,
      pause,
      sleep: (ms) => scheduler.wait(ms),
    };
  }
}
