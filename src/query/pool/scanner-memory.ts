// What the Scanners of one isolate share, so that together they stay within its memory: the platform puts several objects of
// a class into one isolate, of one tenant or of many. Each has caches of its own; here is only how much they may take. None
// waits for another: a promise that one object waits for must not be resolved by another.
import type { PoolLimits } from "../../model/limits.ts";
import { newReread, type Reread } from "../../scan/chunk-reader.ts";
import type { HeldBytes } from "../../scan/query-io.ts";
import { ScanCache } from "../../scan/scan-cache.ts";

/** Live spans and traces in several sources are the Worker's. */
const ELSEWHERE = { liveCacheBytes: 0, splitCacheBytes: 0 };

export class ScannerMemory {
  readonly held: HeldBytes = { bytes: 0 };
  /** Given up at the end of a session. */
  readonly reread: Reread;
  readonly #limits: PoolLimits;
  /** By Scanner, least recently used first. */
  readonly #caches = new Map<string, ScanCache>();
  #sessions = 0;

  constructor(limits: PoolLimits) {
    this.#limits = limits;
    this.reread = newReread(limits.maxHeldBytes);
  }

  /** Whether one more query may begin: false when too many are under way. */
  begin(): boolean {
    if (this.#sessions >= this.#limits.maxSessions) return false;
    this.#sessions++;
    return true;
  }

  end(): void {
    this.#sessions--;
  }

  /** What a Scanner keeps from query to query. */
  cacheOf(scanner: string): ScanCache {
    const cache = this.#caches.get(scanner) ?? new ScanCache({ ...this.#limits, ...ELSEWHERE });
    this.#caches.delete(scanner);
    this.#caches.set(scanner, cache);
    return cache;
  }

  /** Drops all that a Scanner keeps, the least recently used first, while there is too much. The last one is kept. */
  trim(): void {
    for (const scanner of this.#caches.keys()) {
      const bytes = [...this.#caches.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
      if (bytes <= this.#limits.maxCacheBytes || this.#caches.size === 1) return;
      this.#caches.delete(scanner);
    }
  }
}
