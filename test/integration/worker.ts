// The Worker as deployed, but for objects into which tests can put faults.
import {
  Compactor as RealCompactor,
  Scanner as RealScanner,
  Tenant as RealTenant,
  TraceShard as RealTraceShard,
} from "../../durable-objects/index.ts";
import type { CompactorPorts } from "../../src/compaction/compactor.ts";
import type { PoolLimits } from "../../src/model/limits.ts";
import type { ScannerPorts } from "../../src/query/pool/scanner.ts";
import type { ShardPorts } from "../../src/shard/shard.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import type { ObjectStore } from "../../src/store/object-store.ts";
import type { ShardJobsRpc } from "../../src/store/rpc.ts";
import type { TenantView } from "../../src/store/tenant-rpc.ts";
import type { TenantPorts } from "../../src/tenant/tenant.ts";

export { Directory } from "../../durable-objects/index.ts";
export { default } from "../../src/index.ts";

/** What a compactor waits for and can die or fail at. */
export type CompactorCall =
  | "nextJob"
  | "getRange"
  | "put"
  | "startUpload"
  | "complete"
  | "commitMerge"
  | "adopt";

/** What a test sets; read at each use, so that faults come and go while an object lives. */
export interface Faults {
  /** Called before a put; throwing makes it fail without storing. */
  beforePut?: (key: string) => Promise<void>;
  /** Called after a put was stored; throwing makes it fail all the same. */
  afterPut?: (key: string) => Promise<void>;
  /** Called before a block is committed; throwing is a crash between put and commit. */
  beforeCommit?: () => void;
  /** Called before rows are appended. */
  beforeAppend?: () => void;
  /** Called before a scanner reads a range of a block; throwing makes it fail. */
  beforeScan?: (key: string) => Promise<void> | void;
  /** Limits of the scan pool. */
  pool?: Partial<PoolLimits>;
  /** Called before a tenant tells its shard map. */
  beforeView?: () => Promise<void>;
  /** Called around a compactor's calls; throwing makes them fail. `abort` ends the object there and then. */
  aroundCompactor?: (
    call: CompactorCall,
    when: "before" | "after",
    abort: () => void,
  ) => Promise<void> | void;
  /** Milliseconds added to the clock. */
  clockOffsetMs?: number;
}

export const faults: Faults = {};

export class TraceShard extends RealTraceShard {
  protected override ports(state: DurableObjectState, env: Bindings): ShardPorts {
    const real = super.ports(state, env);
    return {
      ...real,
      clock: { now: () => real.clock.now() + (faults.clockOffsetMs ?? 0) },
      objects: wrap(real.objects, {
        put: async (key, bytes) => {
          await faults.beforePut?.(key);
          const stored = await real.objects.put(key, bytes);
          await faults.afterPut?.(key);
          return stored;
        },
      }),
      storage: wrap(real.storage, {
        appendRows: (...args) => {
          faults.beforeAppend?.();
          real.storage.appendRows(...args);
        },
        commitBlock: (...args) => {
          faults.beforeCommit?.();
          real.storage.commitBlock(...args);
        },
      }),
    };
  }
}

type Around = <T>(call: CompactorCall, run: () => Promise<T>) => Promise<T>;

export class Compactor extends RealCompactor {
  protected override ports(state: DurableObjectState, env: Bindings, name: string): CompactorPorts {
    const real = super.ports(state, env, name);
    const abort = (): void => state.abort("simulated death");
    const around: Around = async (call, run) => {
      await faults.aroundCompactor?.(call, "before", abort);
      const result = await run();
      await faults.aroundCompactor?.(call, "after", abort);
      return result;
    };
    return {
      ...real,
      clock: { now: () => real.clock.now() + (faults.clockOffsetMs ?? 0) },
      // No back-off between the tries of one range.
      sleep: () => scheduler.wait(1),
      objects: objectsAround(real.objects, around),
      get shard() {
        return shardAround(real.shard, around);
      },
    };
  }
}

function objectsAround(real: ObjectStore, around: Around): ObjectStore {
  return wrap(real, {
    getRange: (...args) => around("getRange", () => real.getRange(...args)),
    put: (...args) => around("put", () => real.put(...args)),
    startUpload: (key) =>
      around("startUpload", async () => {
        const upload = await real.startUpload(key);
        return wrap(upload, { complete: () => around("complete", () => upload.complete()) });
      }),
  });
}

function shardAround(real: ShardJobsRpc, around: Around): ShardJobsRpc {
  return {
    nextJob: (now) => around("nextJob", () => real.nextJob(now)),
    commitMerge: (...args) => around("commitMerge", () => real.commitMerge(...args)),
    commitIndex: (...args) => real.commitIndex(...args),
    commitSweep: (id) => real.commitSweep(id),
    giveUp: (...args) => real.giveUp(...args),
    isKnown: (keys) => real.isKnown(keys),
    adopt: (...args) => around("adopt", () => real.adopt(...args)),
    discard: (...args) => real.discard(...args),
    beginRebuild: (now) => real.beginRebuild(now),
    endRebuild: () => real.endRebuild(),
  };
}

export class Scanner extends RealScanner {
  protected override ports(env: Bindings): ScannerPorts {
    const real = super.ports(env);
    const pool = { ...real.limits.scan.pool, ...faults.pool };
    return {
      ...real,
      limits: { ...real.limits, scan: { ...real.limits.scan, pool } },
      objects: {
        getRange: async (key, range, etag) => {
          await faults.beforeScan?.(key);
          return real.objects.getRange(key, range, etag);
        },
      },
    };
  }
}

export class Tenant extends RealTenant {
  override async view(takesUsage?: boolean): Promise<TenantView> {
    await faults.beforeView?.();
    return super.view(takesUsage);
  }

  protected override ports(name: string, state: DurableObjectState, env: Bindings): TenantPorts {
    const real = super.ports(name, state, env);
    return { ...real, clock: { now: () => real.clock.now() + (faults.clockOffsetMs ?? 0) } };
  }
}

/** `target` with some methods replaced; the others keep their `this`. */
function wrap<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get(object, name) {
      if (name in replaced) return replaced[name as keyof T];
      const value: unknown = Reflect.get(object, name);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}
