// The names of all tenants in the Worker's memory: whoever guesses names reaches no tenant's object.
import { SINGLE_TENANT } from "../model/ids.ts";
import { AgedCache, type AgedCachePorts } from "./aged-cache.ts";

const TTL_MS = 30_000;
const MAX_AGE_MS = 60_000;
/** A name that is not in the list is looked for in a new one, once in so many ms: a tenant just made is found soon. */
const REFRESH_MS = 2_000;
/** There is one list. */
const KEY = "";

export class TenantNames {
  readonly #lists: AgedCache<ReadonlySet<string>>;

  /** @param ports `fetch` asks the Directory object */
  constructor(ports: Omit<AgedCachePorts<unknown>, "fetch"> & { readonly fetch: () => Promise<string[]> }) {
    this.#lists = new AgedCache(
      { ...ports, fetch: async () => new Set(await ports.fetch()) },
      () => "the tenants",
    );
  }

  /** @throws AppError `unavailable` when there is no list younger than a minute */
  async has(tenant: string): Promise<boolean> {
    if (tenant === SINGLE_TENANT) return true;
    const list = this.#lists.young(KEY, TTL_MS, MAX_AGE_MS) ?? (await this.#lists.ask(KEY));
    if (list.has(tenant)) return true;
    const newer =
      this.#lists.young(KEY, Number.POSITIVE_INFINITY, REFRESH_MS) ?? (await this.#lists.ask(KEY));
    return newer.has(tenant);
  }

  /** The next request asks anew: a tenant was made by this isolate. */
  forget(): void {
    this.#lists.forget(KEY);
  }
}
