// How often something may be done that costs a little each time: a few times at once, then at a steady pace.
import type { Clock } from "./clock.ts";

export class Budget {
  readonly #burst: number;
  readonly #everyMs: number;
  readonly #clock: Clock;
  #left: number;
  #countedMs: number;

  /** @param burst times at once; one more is earned in `everyMs` */
  constructor(burst: number, everyMs: number, clock: Clock) {
    this.#burst = burst;
    this.#everyMs = everyMs;
    this.#clock = clock;
    this.#left = burst;
    this.#countedMs = clock.now();
  }

  /** Takes one. @returns false when there is none left */
  take(): boolean {
    const now = this.#clock.now();
    // A clock that went back earns nothing.
    const earned = Math.max(0, now - this.#countedMs) / this.#everyMs;
    this.#left = Math.min(this.#burst, this.#left + earned);
    this.#countedMs = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
