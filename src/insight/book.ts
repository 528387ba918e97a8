// What isolates told of requests, gathered in an object. It is kept so that a doctor who comes after the object was put to
// rest finds it, and seldom written: the notes may come as often as they like.
import type { BatchSums, InsightNote, InsightView } from "../store/insight-rpc.ts";
import { Budget } from "../util/budget.ts";
import type { Clock } from "../util/clock.ts";
import { messageOf } from "../util/errors.ts";
import { logWarning } from "../util/log.ts";
import { Accepted, Refusals, sumOf } from "./notes.ts";

export interface BookPorts {
  /** What was saved last. */
  readonly load: () => string | undefined;
  /** One row. */
  readonly save: (text: string) => void;
  readonly clock: Clock;
}

/** Lines of refused requests that are kept; some 25 KB. */
export const LINES_MAX = 50;
/** Rows written at once, for somebody who tries one thing after the other; then one a minute: USD 0.0014 a day at most. */
const SAVES_AT_ONCE = 10;
const SAVE_EVERY_MS = 60_000;
/** Batches are counted anew after this time: advice goes by how they are now. */
const BATCHES_MS = 86_400_000;
const CODES_MAX = 100;
const VERSION = 1;

export class InsightBook {
  readonly #ports: BookPorts;
  readonly #saves: Budget;
  readonly #refused = new Refusals(LINES_MAX);
  readonly #accepted = new Accepted();
  #batches: BatchSums | undefined;
  /** Refused requests by code, ever. Codes are a list of ours, but it is others who tell: their number is bounded. */
  readonly #counts = new Map<string, number>();
  #savedCounts: Readonly<Record<string, number>> = {};
  #sinceMs: number;

  constructor(ports: BookPorts) {
    this.#ports = ports;
    this.#saves = new Budget(SAVES_AT_ONCE, SAVE_EVERY_MS, ports.clock);
    this.#sinceMs = ports.clock.now();
    this.#load();
  }

  note(note: InsightNote): void {
    this.#add(note);
    for (const { code, count } of note.refused) {
      const known = this.#counts.get(code);
      if (known !== undefined || this.#counts.size < CODES_MAX) this.#counts.set(code, (known ?? 0) + count);
    }
    // What is not saved now goes with the next note that is.
    if (!this.#saves.take()) return;
    const counts = Object.fromEntries(this.#counts);
    this.#ports.save(JSON.stringify({ version: VERSION, ...this.view(), counts }));
    this.#savedCounts = counts;
  }

  view(): InsightView {
    return {
      refused: this.#refused.newest(),
      accepted: this.#accepted.all(),
      batches: this.#batches,
      sinceMs: this.#sinceMs,
      counts: this.#savedCounts,
    };
  }

  #add({ refused, accepted, batches }: InsightNote): void {
    const now = this.#ports.clock.now();
    if (Math.abs(now - this.#sinceMs) >= BATCHES_MS) {
      this.#batches = undefined;
      this.#sinceMs = now;
    }
    for (const line of refused.slice(-LINES_MAX)) this.#refused.add(line);
    for (const batch of accepted) this.#accepted.add(batch);
    this.#batches = sumOf(this.#batches, batches);
  }

  #load(): void {
    try {
      const text = this.#ports.load();
      if (text === undefined) return;
      const saved: InsightView & { readonly version: number } = JSON.parse(text);
      if (saved.version !== VERSION) return;
      this.#sinceMs = saved.sinceMs;
      this.#add({ ...saved, refused: saved.refused.toReversed() });
      for (const [code, count] of Object.entries(saved.counts)) this.#counts.set(code, count);
      this.#savedCounts = saved.counts;
    } catch (error) {
      logWarning("what was noted of requests cannot be read", { error: messageOf(error) });
    }
  }
}
