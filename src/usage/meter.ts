// Counts of one day by name and labels: added, merged, encoded. Bounded, whatever labels come.
import { assert } from "../util/assert.ts";
import { COUNTERS, type CounterName, OTHER } from "./counters.ts";

/** Characters of a label's value that are kept. */
const LABEL_MAX = 120;
/** Joins labels to a key; it is taken out of values. */
const SEPARATOR = "\u0000";

/** Counts, of a counter without labels. */
export type Count = (name: CounterName, value: number) => void;

/** One count. */
export interface Series {
  readonly labels: readonly string[];
  readonly value: number;
}

/** A mutable set of counts. */
export class Meter {
  /** By counter, then by the joined labels. */
  readonly #counts = new Map<CounterName, Map<string, Series>>();

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  /**
   * Counts.
   * @param value a whole number; a fraction is rounded, a negative one takes back
   * @param labels one for each label of the counter
   */
  add(name: CounterName, value: number, ...labels: readonly string[]): void {
    assert(
      labels.length === COUNTERS[name].labels.length,
      `${name} has ${COUNTERS[name].labels.length} labels`,
    );
    this.#put(name, value, labels);
  }

  /** The value of one series, 0 when there is none. */
  get(name: CounterName, ...labels: readonly string[]): number {
    return this.#counts.get(name)?.get(labels.map(cleaned).join(SEPARATOR))?.value ?? 0;
  }

  /** All series of a counter, in the order of their first count. */
  series(name: CounterName): Series[] {
    return [...(this.#counts.get(name)?.values() ?? [])];
  }

  /** All that was counted. */
  *all(): Generator<readonly [CounterName, Series]> {
    for (const [name, byLabels] of this.#counts) {
      for (const series of byLabels.values()) yield [name, series];
    }
  }

  /** Adds what another one counted. */
  merge(other: Meter): void {
    for (const [name, byLabels] of other.#counts) {
      for (const [key, { labels, value }] of byLabels) this.#addTo(name, value, labels, key);
    }
  }

  /** As `add`, for a name that comes from stored bytes. Another number of labels than the counter has is not counted. */
  put(name: CounterName, value: number, labels: readonly string[]): void {
    if (labels.length === COUNTERS[name].labels.length) this.#put(name, value, labels);
  }

  #put(name: CounterName, value: number, given: readonly string[]): void {
    if (given.length === 0) return this.#addTo(name, value, given, "");
    const labels = given.map(cleaned);
    this.#addTo(name, value, labels, labels.join(SEPARATOR));
  }

  #addTo(name: CounterName, value: number, given: readonly string[], givenKey: string): void {
    const whole = Math.round(value);
    if (whole === 0) return;
    let byLabels = this.#counts.get(name);
    if (byLabels === undefined) this.#counts.set(name, (byLabels = new Map<string, Series>()));
    let labels = given;
    let key = givenKey;
    // The last series is kept for all others.
    if (!byLabels.has(key) && byLabels.size >= COUNTERS[name].maxSeries - 1 && labels.length > 0) {
      labels = labels.map(() => OTHER);
      key = labels.join(SEPARATOR);
    }
    const before = byLabels.get(key)?.value;
    const isMax = COUNTERS[name].merge === "max";
    const after = isMax ? Math.max(before ?? 0, whole) : (before ?? 0) + whole;
    if (after === 0) byLabels.delete(key);
    else byLabels.set(key, { labels, value: after });
    if (byLabels.size === 0) this.#counts.delete(name);
  }
}

function cleaned(label: string): string {
  const short = label.length > LABEL_MAX ? label.slice(0, LABEL_MAX) : label;
  return short.includes(SEPARATOR) ? short.replaceAll(SEPARATOR, "") : short;
}
