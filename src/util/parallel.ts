// Several calls at a time, and calls that may never end.
import { AppError } from "./errors.ts";

/** Calls `work` for each item, at most `limit` at a time. The results, in the order of the items; all are settled. */
export async function settleAll<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const results: PromiseSettledResult<R>[] = [];
  const left = items.entries();
  const worker = async (): Promise<void> => {
    for (const [at, item] of left) {
      const [result] = await Promise.allSettled([call(work, item)]);
      results[at] = result;
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

/** Makes a throw a rejection. */
async function call<T, R>(work: (item: T) => Promise<R>, item: T): Promise<R> {
  return work(item);
}

/**
 * Waits for `promise`, but no longer than `ms`.
 * @throws AppError `unavailable` when it takes longer; what it comes to then is of no interest
 */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new AppError("unavailable", `${what} does not answer`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets at most `limit` calls run at a time; the others wait, in order. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
