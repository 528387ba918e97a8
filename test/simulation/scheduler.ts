// Time and order of a simulated world: whatever the code under test waits for is resolved here, in a seeded order.
import type { Random } from "../support/random.ts";

/** Who waits: when it dies, its waits never end. */
export type Owner = object;

interface Wait {
  readonly label: string;
  readonly owner: Owner | undefined;
  /** On the steady clock. */
  readonly dueMs: number;
  readonly resolve: () => void;
  readonly onDeath: (() => void) | undefined;
}

export interface WaitOptions {
  readonly owner?: Owner | undefined;
  readonly delayMs?: number;
  /** Called when the owner dies first: what it set going outside may go on without it. */
  readonly onDeath?: () => void;
}

export class Scheduler {
  /** What shards and compactors read as the time; it may jump. */
  wallMs: number;
  /** What delays are measured by; it only goes forward. */
  steadyMs = 0;
  /** How often the wall clock went back. */
  jumpsBack = 0;
  /** The latest that any clock has shown. */
  latestMs: number;
  readonly #startMs: number;
  #waits: Wait[] = [];
  readonly #dead = new WeakSet<Owner>();

  constructor(wallMs: number) {
    this.wallMs = wallMs;
    this.latestMs = wallMs;
    this.#startMs = wallMs;
  }

  /** What a clock shows that never jumps. */
  get trueMs(): number {
    return this.#startMs + this.steadyMs;
  }

  /** Labels of all waits, oldest first. */
  get waiting(): readonly string[] {
    return this.#waits.map(({ label }) => label);
  }

  /** Labels of the owner's waits, oldest first. */
  waitsOf(owner: Owner): readonly string[] {
    return this.#waits.filter((wait) => wait.owner === owner).map(({ label }) => label);
  }

  /** Resolves when a step of the simulation says so, and not before `delayMs` have passed. */
  wait(label: string, options: WaitOptions = {}): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#add(label, resolve, options);
    return promise;
  }

  #add(label: string, resolve: () => void, { owner, delayMs = 0, onDeath }: WaitOptions): Wait {
    const wait = { label, owner, dueMs: this.steadyMs + delayMs, resolve, onDeath };
    if (!this.isDead(owner)) this.#waits.push(wait);
    return wait;
  }

  /** Ends one wait that may end: any, or, without `random`, the oldest. Undefined when there is none. */
  resume(random?: Random): string | undefined {
    const ready = this.#waits.filter(({ dueMs }) => dueMs <= this.steadyMs);
    const wait = random === undefined || ready.length === 0 ? ready[0] : random.pick(ready);
    if (wait === undefined) return undefined;
    this.#end([wait]);
    return wait.label;
  }

  /** Ends all waits with this label that may end. */
  resumeAll(label: string): void {
    this.#end(this.#waits.filter((wait) => wait.label === label && wait.dueMs <= this.steadyMs));
  }

  /** Ends all waits with such a label, those too that would last longer. */
  hurry(labels: ReadonlySet<string>): void {
    this.#end(this.#waits.filter(({ label }) => labels.has(label)));
  }

  /** Ends all waits that could have ended `ms` ago and have not. */
  resumeOlder(ms: number): void {
    this.#end(this.#waits.filter(({ dueMs }) => dueMs <= this.steadyMs - ms));
  }

  #end(ended: readonly Wait[]): void {
    this.#waits = this.#waits.filter((wait) => !ended.includes(wait));
    for (const { resolve } of ended) resolve();
  }

  /** Lets time pass on all clocks. */
  advance(ms: number): void {
    this.steadyMs += ms;
    this.wallMs += ms;
    this.#noteTime();
  }

  /** The wall clock jumps; delays do not notice. */
  jump(ms: number): void {
    this.wallMs += ms;
    if (ms < 0) this.jumpsBack++;
    this.#noteTime();
  }

  #noteTime(): void {
    this.latestMs = Math.max(this.latestMs, this.wallMs, this.trueMs);
  }

  /** Milliseconds until the next wait may end; undefined when nothing waits. */
  untilReady(): number | undefined {
    if (this.#waits.length === 0) return undefined;
    return Math.max(0, Math.min(...this.#waits.map(({ dueMs }) => dueMs)) - this.steadyMs);
  }

  isDead(owner: Owner | undefined): boolean {
    return owner !== undefined && this.#dead.has(owner);
  }

  /** Takes away the waits of `owner`, and those that it would begin. */
  kill(owner: Owner): void {
    this.#dead.add(owner);
    const lost = this.#waits.filter((wait) => wait.owner === owner);
    this.#waits = this.#waits.filter((wait) => wait.owner !== owner);
    for (const { onDeath } of lost) onDeath?.();
  }

  /** Resolves once all code that can run has run: everything waits for the scheduler again. */
  settle(): Promise<void> {
    // The code under test does nothing that ends later than its microtasks, so one turn of the loop is enough.
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }

  /** Makes the timers of the code under test waits of this scheduler. @returns what gives the real ones back */
  takeTimers(): () => void {
    const { setTimeout: realSet, clearTimeout: realClear } = globalThis;
    const timers = new Map<unknown, Wait>();
    let count = 0;
    const set = (run: () => void, delayMs: number): number => {
      const id = ++count;
      const fire = (): void => {
        timers.delete(id);
        run();
      };
      timers.set(id, this.#add("timer", fire, { delayMs }));
      return id;
    };
    const clear = (id: unknown): void => {
      const wait = timers.get(id);
      if (wait !== undefined) this.#waits = this.#waits.filter((other) => other !== wait);
      timers.delete(id);
    };
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
    return () => Object.assign(globalThis, { setTimeout: realSet, clearTimeout: realClear });
  }
}
