// The Worker as deployed, but for objects into which tests can put faults.
import { Tenant as RealTenant, TraceShard as RealTraceShard } from "../../durable-objects/index.ts";
import type { ShardPorts } from "../../src/shard/shard.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import type { TenantView } from "../../src/store/tenant-rpc.ts";
import type { TenantPorts } from "../../src/tenant/tenant.ts";

export { Compactor } from "../../durable-objects/index.ts";
export { default } from "../../src/index.ts";

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
  /** Called before a tenant tells its shard map. */
  beforeView?: () => Promise<void>;
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

export class Tenant extends RealTenant {
  override async view(): Promise<TenantView> {
    await faults.beforeView?.();
    return super.view();
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
