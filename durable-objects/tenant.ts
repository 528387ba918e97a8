// Tenant: what is set for one tenant. A thin shell: storage, alarm, calls.
import { DurableObject } from "cloudflare:workers";
import type { TenantLimitOverrides } from "../src/model/tenant-limits.ts";
import { readConfig } from "../src/model/config.ts";
import type { Bindings } from "../src/store/bindings.ts";
import { shardName } from "../src/store/keys.ts";
import { DIRECTORY_NAME } from "../src/store/directory-rpc.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type { SpendCap } from "../src/model/spend.ts";
import type { InsightBook } from "../src/insight/book.ts";
import type { InsightNote, InsightView } from "../src/store/insight-rpc.ts";
import type { TokenRecord } from "../src/model/token.ts";
import type {
  AuditEntry,
  Change,
  OverridesReply,
  ShardLoad,
  SpendReport,
  StoredOverrides,
  TenantReply,
  TenantRpc,
  TenantView,
} from "../src/store/tenant-rpc.ts";
import { Tenant as TenantState, type TenantPorts } from "../src/tenant/tenant.ts";
import { countedStore } from "../src/usage/counted-store.ts";
import { encodeUsage } from "../src/usage/usage-days.ts";
import { must } from "../src/util/assert.ts";
import { systemClock } from "../src/util/clock.ts";
import { CountedSql } from "./counted-sql.ts";
import { ObjectMeter } from "./object-meter.ts";
import { insightBook } from "./insight-kv.ts";
import { TenantSql } from "./tenant-sql.ts";

export class Tenant extends DurableObject<Bindings> implements TenantRpc {
  readonly #tenant: TenantState;
  readonly #sql: CountedSql;
  readonly #meter = new ObjectMeter();
  /** Undefined until somebody notes or asks. */
  #insight: InsightBook | undefined;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#sql = new CountedSql(state.storage);
    const name = must(state.id.name, "a tenant is reached by its name");
    this.#tenant = new TenantState(name, readConfig(env).limits, this.ports(name, state, env));
  }

  async view(takesUsage = false): Promise<TenantView> {
    return this.#meter.run(() => {
      const view = this.#tenant.view();
      return takesUsage ? { ...view, usage: encodeUsage(this.#meter.take(this.#sql.counts)) } : view;
    });
  }

  async setShardCount(count: number, change?: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.setShardCount(count, change));
  }

  async requestGrowth(shard: number, load: ShardLoad): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.requestGrowth(shard, load));
  }

  async setRetention(ms: number | undefined, change?: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.setRetention(ms, change));
  }

  async setLimits(limits: TenantLimitOverrides, change?: Change): Promise<TenantReply> {
    return this.#tenant.setLimits(limits, change);
  }

  async startDeletion(change?: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.startDeletion(change));
  }

  async setSpendCap(cap: SpendCap | undefined, change?: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.setSpendCap(cap, change));
  }

  async reportSpend(shard: number, report: SpendReport): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.reportSpend(shard, report));
  }

  async addToken(token: TokenRecord, change: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.addToken(token, change));
  }

  async revokeToken(id: string, change: Change): Promise<TenantReply> {
    return this.#meter.run(() => this.#tenant.revokeToken(id, change));
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
    return this.#meter.run(() => this.#tenant.audit(limit, before));
  }

  async note(note: InsightNote): Promise<Uint8Array> {
    return this.#meter.run(() => {
      // What comes late must not outlive the tenant.
      if (this.#tenant.view().state === "active") this.#book.note(note);
      return encodeUsage(this.#meter.take(this.#sql.counts));
    });
  }

  async insight(): Promise<InsightView> {
    return this.#meter.run(() => this.#book.view());
  }

  tick(now: number): Promise<void> {
    return this.#meter.run(() => this.#tenant.tick(now));
  }

  override alarm(): Promise<void> {
    return this.tick(systemClock.now());
  }

  get #book(): InsightBook {
    this.#insight ??= insightBook(this.ctx.storage, (rows, value) => this.#meter.count(rows, value));
    return this.#insight;
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(name: string, state: DurableObjectState, env: Bindings): TenantPorts {
    return {
      storage: new TenantSql(state.storage, this.#sql),
      objects: countedStore(objectStoreFor(env), (operation) => this.#meter.count(operation, 1)),
      clock: systemClock,
      shardOf: (index) => env.TRACE_SHARD.getByName(shardName(name, index)),
      removeName: () => env.DIRECTORY.getByName(DIRECTORY_NAME).remove(name),
      endCompaction: (index) => env.COMPACTOR.getByName(shardName(name, index)).destroy(),
    };
  }
}
