// How long an object is active: what its duration is billed by.

/**
 * Milliseconds in which at least one call, alarm or stream was under way. Between them the object may be put to rest by
 * the platform, which then charges nothing: nothing of ours (timers, sockets, open requests) keeps it from that.
 */
export class Activity {
  #running = 0;
  #sinceMs = 0;
  #totalMs = 0;

  enter(nowMs: number): void {
    if (this.#running === 0) this.#sinceMs = nowMs;
    this.#running++;
  }

  leave(nowMs: number): void {
    this.#running--;
    if (this.#running === 0) this.#totalMs += Math.max(0, nowMs - this.#sinceMs);
  }

  /** Up to `nowMs`, what is under way included. */
  totalMs(nowMs: number): number {
    return this.#totalMs + (this.#running > 0 ? Math.max(0, nowMs - this.#sinceMs) : 0);
  }
}
