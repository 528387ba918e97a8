// What is set for tenants, in the Worker's memory: shard maps above all.
import type { Limits } from "../model/limits.ts";
import type { TenantView } from "../store/tenant-rpc.ts";
import { AgedCache, type AgedCachePorts } from "./aged-cache.ts";
import { readerMaxAgeMs, WRITER_MAP_MAX_AGE_MS } from "./shard-map.ts";

/** `fetch` asks the Tenant object. */
export type ShardMapPorts = AgedCachePorts<TenantView>;

/**
 * Younger than the TTL a view is used as it is; up to twice the TTL it is used while the next is asked for in the
 * background; after that the request waits.
 */
export class ShardMapCache {
  readonly #views: AgedCache<TenantView>;
  readonly #ttlMs: number;
  readonly #readerMaxAgeMs: number;

  constructor(limits: Pick<Limits, "shardMapTtlMs">, ports: ShardMapPorts) {
    this.#views = new AgedCache(ports, (tenant) => `the shards of tenant "${tenant}"`);
    this.#ttlMs = limits.shardMapTtlMs;
    this.#readerMaxAgeMs = readerMaxAgeMs(limits);
  }

  /**
   * A view that knows every version that any writer may use by now.
   * @throws AppError `unavailable` when there is none so young and none to be had
   */
  async forReading(tenant: string): Promise<TenantView> {
    return this.#views.young(tenant, this.#ttlMs, this.#readerMaxAgeMs) ?? this.#views.ask(tenant);
  }

  /**
   * As `forReading`, but when no new view is to be had the old one serves up to a day: readers ask the shards of older
   * versions, too.
   * @throws AppError `unavailable`
   */
  async forWriting(tenant: string): Promise<TenantView> {
    try {
      return await this.forReading(tenant);
    } catch (error) {
      const old = this.#views.young(tenant, Number.POSITIVE_INFINITY, WRITER_MAP_MAX_AGE_MS);
      if (old === undefined) throw error;
      return old;
    }
  }

  /** A view that is younger than `maxAgeMs`. @throws AppError `unavailable` */
  async youngerThan(tenant: string, maxAgeMs: number): Promise<TenantView> {
    return this.#views.young(tenant, Number.POSITIVE_INFINITY, maxAgeMs) ?? this.#views.ask(tenant);
  }

  /** The next request asks anew: the tenant was changed by this isolate. */
  forget(tenant: string): void {
    this.#views.forget(tenant);
  }
}
