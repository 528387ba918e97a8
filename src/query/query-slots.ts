// How many queries of a tenant run at once in this isolate, which all of them share the memory of.
import { AppError } from "../util/errors.ts";

/** A tenant that a query is over, and how many such queries may run at once. */
export interface QuerySubject {
  readonly tenant: string;
  readonly maxQueries: number;
}

const RETRY_MS = 1_000;

export class QuerySlots {
  /** By tenant, those that run any. */
  readonly #running = new Map<string, number>();

  /**
   * Runs the query, which counts for each of the tenants until it ends.
   * @throws AppError `rate_limited` when one of them runs too many; what `query` throws
   */
  async run<T>(subjects: readonly QuerySubject[], query: () => Promise<T>): Promise<T> {
    for (const { tenant, maxQueries } of subjects) {
      if ((this.#running.get(tenant) ?? 0) < maxQueries) continue;
      const message = `job queue full: ${maxQueries} queries of user ${tenant} run at once, the most there may be`;
      throw new AppError("rate_limited", message, { retryAfterMs: RETRY_MS });
    }
    for (const { tenant } of subjects) this.#running.set(tenant, (this.#running.get(tenant) ?? 0) + 1);
    try {
      return await query();
    } finally {
      for (const { tenant } of subjects) this.#leave(tenant);
    }
  }

  #leave(tenant: string): void {
    const left = (this.#running.get(tenant) ?? 0) - 1;
    if (left > 0) this.#running.set(tenant, left);
    else this.#running.delete(tenant);
  }
}
