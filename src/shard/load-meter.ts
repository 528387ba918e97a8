// How busy a shard has been: decides whether its tenant needs more of them.
import type { GrowthLimits } from "../model/limits.ts";
import type { ShardLoad } from "../store/tenant-rpc.ts";

const MINUTE_MS = 60_000;
const MINUTE_SECONDS = 60;

interface Minute {
  /** Minutes since 1970. */
  readonly number: number;
  appends: number;
  rawBytes: number;
}

/** Counts appends by the minute, refused ones too: they are load that wants to come in. In memory only. */
export class LoadMeter {
  readonly #limits: GrowthLimits;
  /** Ascending; at most those that count and the current one. */
  #minutes: Minute[] = [];

  constructor(limits: GrowthLimits) {
    this.#limits = limits;
  }

  /** Counts an append of `rawBytes` inflated bytes at `nowMs`. */
  note(nowMs: number, rawBytes: number): void {
    const number = Math.floor(nowMs / MINUTE_MS);
    let minute = this.#minutes.at(-1);
    if (minute === undefined || minute.number !== number) {
      minute = { number, appends: 0, rawBytes: 0 };
      // After a clock that has gone back nothing is known of the time before.
      const before = this.#minutes.filter((old) => old.number < number && old.number >= number - this.#span);
      this.#minutes = [...before, minute];
    }
    minute.appends++;
    minute.rawBytes += rawBytes;
  }

  /** The mean load when each of the last whole minutes was over the same limit; undefined when not. */
  overload(nowMs: number): ShardLoad | undefined {
    const current = Math.floor(nowMs / MINUTE_MS);
    const whole = this.#minutes.filter(({ number }) => number < current && number >= current - this.#span);
    if (whole.length < this.#span) return undefined;
    const { appendsPerSecond, rawBytesPerSecond } = this.#limits;
    const isOver =
      whole.every(({ appends }) => appends > appendsPerSecond * MINUTE_SECONDS) ||
      whole.every(({ rawBytes }) => rawBytes > rawBytesPerSecond * MINUTE_SECONDS);
    if (!isOver) return undefined;
    const seconds = whole.length * MINUTE_SECONDS;
    return {
      appendsPerSecond: whole.reduce((sum, { appends }) => sum + appends, 0) / seconds,
      rawBytesPerSecond: whole.reduce((sum, { rawBytes }) => sum + rawBytes, 0) / seconds,
    };
  }

  /** Begins anew: it takes as long again until there is an overload. */
  reset(): void {
    this.#minutes = [];
  }

  /** Whole minutes that must be over. */
  get #span(): number {
    return Math.ceil(this.#limits.sustainedMs / MINUTE_MS);
  }
}
