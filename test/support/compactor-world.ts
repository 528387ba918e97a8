// A compactor over a shard and a store in memory, whose calls may fail, and which may die at any of them.
import { type Attempts, Compactor, type CompactorPorts } from "../../src/compaction/compactor.ts";
import type { RebuildState } from "../../src/compaction/rebuild.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { ObjectStore, ObjectUpload } from "../../src/store/object-store.ts";
import type { ShardJobsRpc } from "../../src/store/rpc.ts";
import { JobsShard, TARGET } from "./jobs-shard.ts";

/** Called before and after each thing that the compactor waits for. */
export type Hook = (call: string, when: "before" | "after") => Promise<void>;

const noHook: Hook = async () => undefined;

/** What is left of a compactor when it dies. */
export class CompactorWorld {
  readonly objects = new MemoryStore();
  readonly shard: JobsShard;
  hook: Hook = noHook;
  nowMs: number;
  alarmMs: number | null = null;
  attempts: Attempts | undefined;
  progress: RebuildState | "begin" | undefined;
  /** Calls by name. */
  readonly calls = new Map<string, number>();

  constructor(
    nowMs: number,
    makeShard: (objects: ObjectStore) => JobsShard = (objects) => new JobsShard(objects),
  ) {
    this.nowMs = nowMs;
    this.shard = makeShard(this.objects);
  }

  /** A new life of the object. */
  start(): Compactor {
    return new Compactor(TARGET, this.#ports());
  }

  /** Runs alarms, each in its time, until none is set. @returns their number */
  async run(compactor: Compactor = this.start(), alarmsMax = 1000): Promise<number> {
    await compactor.wake();
    let alarms = 0;
    for (; this.alarmMs !== null; alarms++) {
      if (alarms >= alarmsMax) throw new Error("the compactor does not come to rest");
      this.nowMs = Math.max(this.nowMs, this.alarmMs);
      this.alarmMs = null;
      await compactor.alarm();
    }
    return alarms;
  }

  async #call<T>(name: string, call: () => Promise<T>): Promise<T> {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    await this.hook(name, "before");
    const result = await call();
    await this.hook(name, "after");
    return result;
  }

  #ports(): CompactorPorts {
    const { objects } = this;
    const wrap = (upload: ObjectUpload): ObjectUpload => ({
      addPart: (bytes) => this.#call("addPart", () => upload.addPart(bytes)),
      complete: () => this.#call("complete", () => upload.complete()),
      abort: () => this.#call("abort", () => upload.abort()),
    });
    return {
      objects: {
        put: (key, bytes) => this.#call("put", () => objects.put(key, bytes)),
        putIf: (key, bytes, condition) => objects.putIf(key, bytes, condition),
        startUpload: (key) => this.#call("startUpload", async () => wrap(await objects.startUpload(key))),
        getRange: (key, range, etag) => this.#call("getRange", () => objects.getRange(key, range, etag)),
        delete: (keys) => this.#call("delete", () => objects.delete(keys)),
        list: (prefix) => objects.list(prefix),
      },
      shard: this.#shard(),
      storage: {
        attempts: () => this.attempts,
        setAttempts: (attempts) => void (this.attempts = attempts),
        rebuild: () => this.progress,
        setRebuild: (progress) => void (this.progress = progress),
        sync: () => this.#call("sync", async () => undefined),
        getAlarm: async () => this.alarmMs,
        setAlarm: (atMs) => void (this.alarmMs = atMs),
      },
      clock: { now: () => this.nowMs },
      pause: () => this.#call("pause", async () => undefined),
      sleep: async (ms) => void (this.nowMs += ms),
    };
  }

  #shard(): ShardJobsRpc {
    const { shard } = this;
    return {
      nextJob: (now) => this.#call("nextJob", () => shard.nextJob(now)),
      commitMerge: (...args) => this.#call("commitMerge", () => shard.commitMerge(...args)),
      commitIndex: (...args) => this.#call("commitIndex", () => shard.commitIndex(...args)),
      commitSweep: () => this.#call("commitSweep", () => shard.commitSweep()),
      giveUp: (...args) => this.#call("giveUp", () => shard.giveUp(...args)),
      isKnown: (keys) => this.#call("isKnown", () => shard.isKnown(keys)),
      adopt: (...args) => this.#call("adopt", () => shard.adopt(...args)),
      discard: (...args) => this.#call("discard", () => shard.discard(...args)),
      beginRebuild: (now) => this.#call("beginRebuild", () => shard.beginRebuild(now)),
      endRebuild: () => this.#call("endRebuild", () => shard.endRebuild()),
    };
  }
}
