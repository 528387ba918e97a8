// Values of other objects in the Worker's memory: asked for once in a while, never on every request.
import type { Clock } from "../util/clock.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { logWarning } from "../util/log.ts";
import { within } from "../util/parallel.ts";

export interface AgedCachePorts<T> {
  /** Asks the object. */
  readonly fetch: (key: string) => Promise<T>;
  readonly clock: Clock;
  /** Keeps a call going when the request that made it has been answered or given up. */
  readonly keepAlive: (call: Promise<unknown>) => void;
}

// A call that belongs to a request which the runtime has ended may never come back: others wait no longer than this.
const CALL_MAX_MS = 3_000;
/** After a failed call the next is made no earlier than this. */
const RETRY_MS = 1_000;
/** Keys in memory; of an entry some hundred bytes. */
const MAX_ENTRIES = 1_000;

interface Call<T> {
  readonly number: number;
  readonly startedMs: number;
  readonly promise: Promise<T>;
}

interface Entry<T> {
  value: T | undefined;
  /** When `value` was asked for: it knows of everything before that. */
  askedMs: number;
  /** Number of the call that brought `value`, or before which calls bring nothing that is wanted any more. */
  callNumber: number;
  failedMs: number;
  failure: unknown;
  call: Call<T> | undefined;
}

/** One call at a time a key. */
export class AgedCache<T> {
  readonly #ports: AgedCachePorts<T>;
  readonly #describe: (key: string) => string;
  /** The one used last comes last. */
  readonly #entries = new Map<string, Entry<T>>();
  #calls = 0;

  /** @param describe what it is, for errors: "the shards of tenant x" */
  constructor(ports: AgedCachePorts<T>, describe: (key: string) => string) {
    this.#ports = ports;
    this.#describe = describe;
  }

  /**
   * The value as it was less than `maxAgeMs` ago; undefined when it would have to be asked for. One of `ttlMs` or more is
   * asked for anew in the background.
   */
  young(key: string, ttlMs: number, maxAgeMs: number): T | undefined {
    const entry = this.#entry(key);
    const age = this.#age(entry);
    if (entry.value === undefined || age >= maxAgeMs) return undefined;
    // Nobody waits for it; when it fails, those who come after the greatest age will see.
    if (age >= ttlMs) this.ask(key).catch(() => undefined);
    return entry.value;
  }

  /** Asks now, or waits for a call that is under way. @throws AppError `unavailable` */
  async ask(key: string): Promise<T> {
    const entry = this.#entry(key);
    const now = this.#ports.clock.now();
    const sinceFailure = now - entry.failedMs;
    if (sinceFailure >= 0 && sinceFailure < RETRY_MS) throw this.#unreachable(key, entry.failure);
    const sinceStart = now - (entry.call?.startedMs ?? 0);
    if (entry.call === undefined || sinceStart < 0 || sinceStart >= CALL_MAX_MS) this.#call(key, entry);
    try {
      return await within(entry.call?.promise ?? Promise.reject(entry.failure), CALL_MAX_MS, "object");
    } catch (error) {
      throw this.#unreachable(key, error);
    }
  }

  /** What is known, and what calls that are under way will bring, is used no more. */
  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.value = undefined;
    entry.call = undefined;
    entry.callNumber = this.#calls;
  }

  /** A clock that has gone back makes a value old: nobody knows for how long. */
  #age(entry: Entry<T>): number {
    const age = this.#ports.clock.now() - entry.askedMs;
    return age < 0 ? Number.POSITIVE_INFINITY : age;
  }

  #call(key: string, entry: Entry<T>): void {
    const startedMs = this.#ports.clock.now();
    const promise = this.#ports.fetch(key);
    const call = { number: ++this.#calls, startedMs, promise };
    entry.call = call;
    this.#ports.keepAlive(
      promise.then(
        (value) => {
          if (entry.call === call) entry.call = undefined;
          // One that was given up may come back after its successor.
          if (entry.callNumber < call.number) {
            entry.value = value;
            entry.askedMs = startedMs;
            entry.callNumber = call.number;
          }
          return undefined;
        },
        (error: unknown) => {
          if (entry.call === call) entry.call = undefined;
          entry.failedMs = this.#ports.clock.now();
          entry.failure = error;
          logWarning("an object could not be asked", { what: this.#describe(key), error: messageOf(error) });
        },
      ),
    );
  }

  #entry(key: string): Entry<T> {
    const known = this.#entries.get(key);
    const entry = known ?? {
      value: undefined,
      askedMs: 0,
      callNumber: 0,
      failedMs: Number.NEGATIVE_INFINITY,
      failure: undefined,
      call: undefined,
    };
    if (known !== undefined) this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_ENTRIES) {
      const [oldest = key] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
    return entry;
  }

  #unreachable(key: string, cause: unknown): AppError {
    return new AppError("unavailable", `${this.#describe(key)} are not known for the moment`, {
      retryAfterMs: RETRY_MS,
      cause,
    });
  }
}
