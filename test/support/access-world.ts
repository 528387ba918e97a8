// An installation with tenants and tokens in this process: what one isolate sees of it.
import { Authenticator } from "../../src/access/authenticator.ts";
import type { AccessSettings } from "../../src/model/config.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { makeToken, type TokenRecord, type TokenRequest } from "../../src/model/token.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import { MemoryTenantStorage } from "../../src/tenant/memory-storage.ts";
import { ShardMapCache } from "../../src/tenant/shard-map-cache.ts";
import { TenantNames } from "../../src/tenant/tenant-names.ts";
import { Tenant } from "../../src/tenant/tenant.ts";
import { FakeDirectory, tenantRpc } from "./tenant-rpc.ts";

export const ADMIN_TOKEN = "an admin secret of some length".replaceAll(" ", "-");
export const CHANGE = { actor: "operator" };

export class AccessWorld {
  nowMs = Date.UTC(2026, 10, 30);
  readonly clock = { now: (): number => this.nowMs };
  readonly directory = new FakeDirectory();
  readonly tenants = new Map<string, Tenant>();
  /** Tenants whose objects were asked, one entry a call. */
  readonly asked: string[] = [];
  isReachable = true;

  tenant(name: string): Tenant {
    const tenant =
      this.tenants.get(name) ??
      new Tenant(name, DEFAULT_LIMITS, {
        storage: new MemoryTenantStorage(),
        objects: new MemoryStore(),
        clock: this.clock,
        shardOf: () => ({ configure: async () => {}, destroy: async () => ({ done: true }) }),
        removeName: () => this.directory.remove(name),
        endCompaction: async () => {},
      });
    this.tenants.set(name, tenant);
    return tenant;
  }

  /** A token of a tenant, which is made known if need be. */
  async token(
    tenant: string,
    more: Partial<TokenRequest> = {},
  ): Promise<{ readonly text: string; readonly record: TokenRecord }> {
    this.directory.names.add(tenant);
    const request = { name: "test", scopes: ["ingest"], tenants: [], origins: [], ...more } as const;
    const made = await makeToken(tenant, request, this.nowMs);
    const reply = this.tenant(tenant).addToken(made.record, CHANGE);
    if (!reply.ok) throw new Error(reply.message);
    return made;
  }

  /** What one isolate keeps, and its authenticator. */
  isolate(settings: Partial<AccessSettings> = {}) {
    const reach = <T>(value: T): T => {
      if (!this.isReachable) throw new Error("out of reach");
      return value;
    };
    const ports = { clock: this.clock, keepAlive: () => undefined };
    const views = new ShardMapCache(DEFAULT_LIMITS, {
      ...ports,
      fetch: async (name) => {
        this.asked.push(name);
        return tenantRpc(reach(this.tenant(name))).view();
      },
    });
    const names = new TenantNames({ ...ports, fetch: async () => reach(this.directory).list() });
    const authenticator = new Authenticator(
      { mode: "tokens", isMultitenant: true, adminToken: ADMIN_TOKEN, ...settings },
      { views, names, clock: this.clock },
    );
    return { views, names, authenticator };
  }
}
