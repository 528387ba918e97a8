// The object's one alarm: what is known of it.
import type { ShardStorage } from "./storage.ts";

// An alarm that is late by more than this does not come any more.
const ALARM_LOST_MS = 60_000;

export class Alarm {
  /** None is set, and one may be needed. */
  isLacking = false;
  readonly #storage: Pick<ShardStorage, "setAlarm">;
  #atMs: number | null;

  /** @param atMs the one that is set in storage, if any */
  constructor(storage: Pick<ShardStorage, "setAlarm">, atMs: number | null) {
    this.#storage = storage;
    this.#atMs = atMs;
  }

  get isSet(): boolean {
    return this.#atMs !== null;
  }

  /** Sets it. One that is set and earlier is left: it finds nothing due. */
  arm(atMs: number, nowMs: number): void {
    if (this.#atMs !== null && this.#atMs <= atMs && this.#atMs > nowMs - ALARM_LOST_MS) return;
    this.#atMs = atMs;
    this.isLacking = false;
    this.#storage.setAlarm(atMs);
  }

  /** The runtime took it away: it runs. */
  noteRun(): void {
    this.#atMs = null;
    this.isLacking = false;
  }
}
