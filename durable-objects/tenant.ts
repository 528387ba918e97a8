// Tenant: what is set for one tenant. A thin shell: storage, alarm, calls.
import { DurableObject } from "cloudflare:workers";
import type { TenantLimitOverrides } from "../src/model/tenant-limits.ts";
import { readConfig } from "../src/model/config.ts";
import type { Bindings } from "../src/store/bindings.ts";
import { shardName } from "../src/store/keys.ts";
import { DIRECTORY_NAME } from "../src/store/directory-rpc.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type { TokenRecord } from "../src/model/token.ts";
import type {
  AuditEntry,
  Change,
  OverridesReply,
  ShardLoad,
  StoredOverrides,
  TenantReply,
  TenantRpc,
  TenantView,
} from "../src/store/tenant-rpc.ts";
import { Tenant as TenantState, type TenantPorts } from "../src/tenant/tenant.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";
import { TenantSql } from "./tenant-sql.ts";

export class Tenant extends DurableObject<Bindings> implements TenantRpc {
  readonly #tenant: TenantState;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    const name = must(state.id.name, "a tenant is reached by its name");
    this.#tenant = new TenantState(name, readConfig(env).limits, this.ports(name, state, env));
  }

  async view(): Promise<TenantView> {
    return this.#tenant.view();
  }

  async setShardCount(count: number, change?: Change): Promise<TenantReply> {
    return this.#tenant.setShardCount(count, change);
  }

  async requestGrowth(shard: number, load: ShardLoad): Promise<TenantReply> {
    return this.#tenant.requestGrowth(shard, load);
  }

  async setRetention(ms: number | undefined, change?: Change): Promise<TenantReply> {
    return this.#tenant.setRetention(ms, change);
  }

  async setLimits(limits: TenantLimitOverrides, change?: Change): Promise<TenantReply> {
    return this.#tenant.setLimits(limits, change);
  }

  async startDeletion(change?: Change): Promise<TenantReply> {
    return this.#tenant.startDeletion(change);
  }

  async addToken(token: TokenRecord, change: Change): Promise<TenantReply> {
    return this.#tenant.addToken(token, change);
  }

  async revokeToken(id: string, change: Change): Promise<TenantReply> {
    return this.#tenant.revokeToken(id, change);
  }

  async create(change: Change): Promise<TenantReply> {
    return this.#tenant.create(change);
  }

  async noteRebuild(change: Change): Promise<TenantReply> {
    return this.#tenant.noteRebuild(change);
  }

  async overrides(): Promise<StoredOverrides> {
    return this.#tenant.overrides();
  }

  async setOverrides(json: string | undefined, change: Change): Promise<OverridesReply> {
    return this.#tenant.setOverrides(json, change);
  }

  async audit(limit: number, before?: number): Promise<readonly AuditEntry[]> {
    return this.#tenant.audit(limit, before);
  }

  tick(now: number): Promise<void> {
    return this.#tenant.tick(now);
  }

  override alarm(): Promise<void> {
    return this.tick(systemClock.now());
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(name: string, state: DurableObjectState, env: Bindings): TenantPorts {
    return {
      storage: new TenantSql(state.storage),
      objects: objectStoreFor(env),
      clock: systemClock,
      shardOf: (index) => env.TRACE_SHARD.getByName(shardName(name, index)),
      removeName: () => env.DIRECTORY.getByName(DIRECTORY_NAME).remove(name),
      endCompaction: (index) => env.COMPACTOR.getByName(shardName(name, index)).destroy(),
    };
  }
}
