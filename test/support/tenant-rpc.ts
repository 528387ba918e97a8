// Tenants and their directory in this process, as calls between Worker and object would reach them.
import { InsightBook } from "../../src/insight/book.ts";
import type { DirectoryRpc } from "../../src/store/directory-rpc.ts";
import type { InsightNote, InsightRpc, InsightView } from "../../src/store/insight-rpc.ts";
import type { TenantRpc } from "../../src/store/tenant-rpc.ts";
import type { Tenant } from "../../src/tenant/tenant.ts";
import { systemClock } from "../../src/util/clock.ts";

/** What isolates told, as an object keeps it until it is put to rest. */
export function memoryBook(): InsightRpc {
  const book = new InsightBook({ load: () => undefined, save: () => {}, clock: systemClock });
  return {
    note: async (note) => {
      book.note(structuredClone(note));
      return undefined;
    },
    insight: async () => structuredClone(book.view()),
  };
}

/** The object's methods over its state; arguments and results are copies, as a call makes them. */
export function tenantRpc(tenant: Tenant, book: InsightRpc = memoryBook()): TenantRpc {
  return {
    ...book,
    view: async () => structuredClone(tenant.view()),
    setShardCount: async (...args) => tenant.setShardCount(...args),
    requestGrowth: async (...args) => tenant.requestGrowth(...args),
    setSpendCap: async (cap, change) => tenant.setSpendCap(cap, change),
    reportSpend: async (shard, report) => tenant.reportSpend(shard, report),
    setRetention: async (...args) => tenant.setRetention(...args),
    setLimits: async (...args) => tenant.setLimits(...structuredClone(args)),
    startDeletion: async (change) => tenant.startDeletion(change),
    addToken: async (...args) => tenant.addToken(...structuredClone(args)),
    revokeToken: async (...args) => tenant.revokeToken(...args),
    create: async (change) => tenant.create(change),
    noteRebuild: async (change) => tenant.noteRebuild(change),
    overrides: async () => tenant.overrides(),
    setOverrides: async (...args) => tenant.setOverrides(...args),
    audit: async (...args) => tenant.audit(...args),
    tick: (now) => tenant.tick(now),
  };
}

/** The list of all tenants, and how often it was asked for. */
export class FakeDirectory implements DirectoryRpc {
  readonly #book = memoryBook();
  readonly names = new Set<string>();
  lists = 0;

  async list(): Promise<string[]> {
    this.lists++;
    return [...this.names].sort();
  }

  async has(tenant: string): Promise<boolean> {
    return this.names.has(tenant);
  }

  async add(tenant: string): ReturnType<DirectoryRpc["add"]> {
    const isNew = !this.names.has(tenant);
    this.names.add(tenant);
    return { ok: true, isNew };
  }

  note(note: InsightNote): Promise<Uint8Array | undefined> {
    return this.#book.note(note);
  }

  insight(): Promise<InsightView> {
    return this.#book.insight();
  }

  async remove(tenant: string): Promise<void> {
    this.names.delete(tenant);
  }
}
