// Tenants' shard maps in the Worker's memory: asked for once in a while, never on every request.
import type { Limits } from "../model/limits.ts";
import type { TenantView } from "../store/tenant-rpc.ts";
import type { Clock } from "../util/clock.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { logWarning } from "../util/log.ts";
import { within } from "../util/parallel.ts";
import { readerMaxAgeMs, WRITER_MAP_MAX_AGE_MS } from "./shard-map.ts";

export interface ShardMapPorts {
  /** Asks the Tenant object. */
  readonly fetch: (tenant: string) => Promise<TenantView>;
  readonly clock: Clock;
  /** Keeps a call going when the request that made it has been answered or given up. */
  readonly keepAlive: (call: Promise<unknown>) => void;
}

// A call that belongs to a request which the runtime has ended may never come back: others wait no longer than this.
const CALL_MAX_MS = 3_000;
/** After a failed call the next is made no earlier than this. */
const RETRY_MS = 1_000;
/** Tenants in memory; of an entry some hundred bytes. */
const MAX_TENANTS = 1_000;

interface Call {
  readonly number: number;
  readonly startedMs: number;
  readonly promise: Promise<TenantView>;
}

interface Entry {
  view: TenantView | undefined;
  /** When `view` was asked for: it knows of everything before that. */
  askedMs: number;
  /** Number of the call that brought `view`. */
  callNumber: number;
  failedMs: number;
  failure: unknown;
  call: Call | undefined;
}

/**
 * Younger than the TTL a map is used as it is; up to twice the TTL it is used while the next is asked for in the
 * background; after that the request waits. One call at a time a tenant.
 */
export class ShardMapCache {
  readonly #ports: ShardMapPorts;
  readonly #ttlMs: number;
  readonly #readerMaxAgeMs: number;
  /** The one used last comes last. */
  readonly #entries = new Map<string, Entry>();
  #calls = 0;

  constructor(limits: Pick<Limits, "shardMapTtlMs">, ports: ShardMapPorts) {
    this.#ports = ports;
    this.#ttlMs = limits.shardMapTtlMs;
    this.#readerMaxAgeMs = readerMaxAgeMs(limits);
  }

  /**
   * A map that knows every version that any writer may use by now.
   * @throws AppError `unavailable` when there is none so young and none to be had
   */
  async forReading(tenant: string): Promise<TenantView> {
    return this.#young(tenant) ?? this.#ask(tenant);
  }

  /**
   * As `forReading`, but when no new map is to be had the old one serves up to a day: readers ask the shards of older
   * versions, too.
   * @throws AppError `unavailable`
   */
  async forWriting(tenant: string): Promise<TenantView> {
    const young = this.#young(tenant);
    if (young !== undefined) return young;
    try {
      return await this.#ask(tenant);
    } catch (error) {
      const entry = this.#entry(tenant);
      if (entry.view === undefined || this.#age(entry) >= WRITER_MAP_MAX_AGE_MS) throw error;
      return entry.view;
    }
  }

  #young(tenant: string): TenantView | undefined {
    const entry = this.#entry(tenant);
    const age = this.#age(entry);
    if (entry.view === undefined || age >= this.#readerMaxAgeMs) return undefined;
    // Nobody waits for it; when it fails, those who come after twice the TTL will see.
    if (age >= this.#ttlMs) this.#ask(tenant).catch(() => undefined);
    return entry.view;
  }

  /** A clock that has gone back makes a map old: nobody knows for how long. */
  #age(entry: Entry): number {
    const age = this.#ports.clock.now() - entry.askedMs;
    return age < 0 ? Number.POSITIVE_INFINITY : age;
  }

  async #ask(tenant: string): Promise<TenantView> {
    const entry = this.#entry(tenant);
    const now = this.#ports.clock.now();
    const sinceFailure = now - entry.failedMs;
    if (sinceFailure >= 0 && sinceFailure < RETRY_MS) throw unreachable(tenant, entry.failure);
    const sinceStart = now - (entry.call?.startedMs ?? 0);
    if (entry.call === undefined || sinceStart < 0 || sinceStart >= CALL_MAX_MS) this.#call(tenant, entry);
    try {
      return await within(entry.call?.promise ?? Promise.reject(entry.failure), CALL_MAX_MS, "tenant");
    } catch (error) {
      throw unreachable(tenant, error);
    }
  }

  #call(tenant: string, entry: Entry): void {
    const startedMs = this.#ports.clock.now();
    const promise = this.#ports.fetch(tenant);
    const call = { number: ++this.#calls, startedMs, promise };
    entry.call = call;
    this.#ports.keepAlive(
      promise.then(
        (view) => {
          if (entry.call === call) entry.call = undefined;
          // One that was given up may come back after its successor.
          if (entry.callNumber < call.number) {
            entry.view = view;
            entry.askedMs = startedMs;
            entry.callNumber = call.number;
          }
          return undefined;
        },
        (error: unknown) => {
          if (entry.call === call) entry.call = undefined;
          entry.failedMs = this.#ports.clock.now();
          entry.failure = error;
          logWarning("the tenant's shard map cannot be had", { tenant, error: messageOf(error) });
        },
      ),
    );
  }

  #entry(tenant: string): Entry {
    const known = this.#entries.get(tenant);
    const entry = known ?? {
      view: undefined,
      askedMs: 0,
      callNumber: 0,
      failedMs: Number.NEGATIVE_INFINITY,
      failure: undefined,
      call: undefined,
    };
    if (known !== undefined) this.#entries.delete(tenant);
    this.#entries.set(tenant, entry);
    if (this.#entries.size > MAX_TENANTS) {
      const [oldest = tenant] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
    return entry;
  }
}

function unreachable(tenant: string, cause: unknown): AppError {
  return new AppError("unavailable", `the shards of tenant "${tenant}" are not known for the moment`, {
    retryAfterMs: RETRY_MS,
    cause,
  });
}
