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
  /** What the code under test reads as the time; it may jump. */
  wallMs: number;
  /** What delays are measured by; it only goes forward. */
  steadyMs = 0;
  /** How often the wall clock went back. */
  jumpsBack = 0;
  #waits: Wait[] = [];

  constructor(wallMs: number) {
    this.wallMs = wallMs;
  }

  /** Labels of all waits, oldest first. */
  get waiting(): readonly string[] {
    return this.#waits.map(({ label }) => label);
  }

  /** Resolves when a step of the simulation says so, and not before `delayMs` have passed. */
  wait(label: string, { owner, delayMs = 0, onDeath }: WaitOptions = {}): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waits.push({ label, owner, dueMs: this.steadyMs + delayMs, resolve, onDeath });
    return promise;
  }

  /** Ends one wait that may end: any, or, without `random`, the oldest. Undefined when there is none. */
  resume(random?: Random): string | undefined {
    const ready = this.#waits.filter(({ dueMs }) => dueMs <= this.steadyMs);
    const wait = random === undefined || ready.length === 0 ? ready[0] : random.pick(ready);
    if (wait === undefined) return undefined;
    this.#waits.splice(this.#waits.indexOf(wait), 1);
    wait.resolve();
    return wait.label;
  }

  /** Ends all waits with this label. */
  resumeAll(label: string): void {
    const waits = this.#waits.filter((wait) => wait.label === label && wait.dueMs <= this.steadyMs);
    this.#waits = this.#waits.filter((wait) => !waits.includes(wait));
    for (const { resolve } of waits) resolve();
  }

  /** Lets time pass on both clocks. */
  advance(ms: number): void {
    this.steadyMs += ms;
    this.wallMs += ms;
  }

  /** The wall clock jumps; delays do not notice. */
  jump(ms: number): void {
    this.wallMs += ms;
    if (ms < 0) this.jumpsBack++;
  }

  /** Milliseconds until the next wait may end; undefined when nothing waits. */
  untilReady(): number | undefined {
    if (this.#waits.length === 0) return undefined;
    return Math.max(0, Math.min(...this.#waits.map(({ dueMs }) => dueMs)) - this.steadyMs);
  }

  /** Takes away the waits of `owner`. */
  kill(owner: Owner): void {
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
}
