// Directory: the names of all tenants. It is asked when a Worker meets a tenant for the first time, not on each request.
import { DurableObject } from "cloudflare:workers";
import { DIRECTORY_MIGRATIONS } from "../migrations/index.ts";
import type { InsightBook } from "../src/insight/book.ts";
import type { Bindings } from "../src/store/bindings.ts";
import type { InsightNote, InsightView } from "../src/store/insight-rpc.ts";
import { type DirectoryReply, type DirectoryRpc, MAX_TENANTS } from "../src/store/directory-rpc.ts";
import { insightBook } from "./insight-kv.ts";
import { migrate } from "./migrate.ts";

export class Directory extends DurableObject<Bindings> implements DirectoryRpc {
  readonly #sql: SqlStorage;
  /** Undefined until somebody notes or asks. */
  #insight: InsightBook | undefined;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#sql = state.storage.sql;
    migrate(state.storage, DIRECTORY_MIGRATIONS);
  }

  async list(): Promise<string[]> {
    return this.#sql
      .exec<{ name: string }>("SELECT name FROM tenant ORDER BY name")
      .toArray()
      .map(({ name }) => name);
  }

  async has(tenant: string): Promise<boolean> {
    return this.#has(tenant);
  }

  async add(tenant: string, nowMs: number): Promise<DirectoryReply> {
    if (this.#has(tenant)) return { ok: true, isNew: false };
    const { count } = this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM tenant").one();
    if (count >= MAX_TENANTS) {
      const message = `there are ${MAX_TENANTS} tenants, the most there may be: delete some`;
      return { ok: false, kind: "rate_limited", message };
    }
    this.#sql.exec("INSERT INTO tenant (name, created_ms) VALUES (?, ?)", tenant, nowMs);
    return { ok: true, isNew: true };
  }

  async note(note: InsightNote): Promise<undefined> {
    this.#book.note(note);
  }

  async insight(): Promise<InsightView> {
    return this.#book.view();
  }

  get #book(): InsightBook {
    this.#insight ??= insightBook(this.ctx.storage);
    return this.#insight;
  }

  async remove(tenant: string): Promise<void> {
    this.#sql.exec("DELETE FROM tenant WHERE name = ?", tenant);
  }

  #has(tenant: string): boolean {
    return this.#sql.exec("SELECT name FROM tenant WHERE name = ?", tenant).toArray().length > 0;
  }
}
