// compare(): how often each value of each attribute occurs in selected spans and in the others.
import type { ResultValue } from "../../results.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { type Mask, nextRow } from "../columns/mask.ts";
import { compareText } from "../columns/value.ts";
import { comparedFields, type ComparedRows } from "./compared-fields.ts";
import { type Labels, textLabel } from "./labels.ts";
import type { MetricSeries } from "./series.ts";

const SIDES = ["baseline", "selection"] as const;

/** Values of one attribute at most: one with more, such as an id, tells nothing and is not compared. */
const VALUES_MAX = 2_000;
/** Values of one attribute, times intervals. */
const CELLS_MAX = 1 << 18;

/** Spans in time. */
interface TimedRows {
  readonly mask: Mask;
  /** By row: its interval; NONE without one. */
  readonly intervals: Int32Array;
}

/** Counts by side, then by interval. */
type Counts = Float64Array;

interface AttributeCounts {
  readonly totals: Counts;
  /** By label; undefined: too many. */
  values: Map<string, { readonly value: ResultValue; readonly counts: Counts }> | undefined;
}

/** Plain values: by attribute. */
export type ComparePart = ReadonlyMap<string, AttributeCounts>;

export class Comparison {
  readonly #intervalCount: number;
  readonly #valuesMax: number;
  readonly #attributes = new Map<string, AttributeCounts>();

  constructor(intervalCount: number) {
    this.#intervalCount = intervalCount;
    this.#valuesMax = Math.max(100, Math.min(VALUES_MAX, Math.floor(CELLS_MAX / intervalCount)));
  }

  /** Counts spans of a source. @param selected which of them are selected */
  measure(scan: Scan, { mask, intervals }: TimedRows, selected: Mask): void {
    const slots = new Int32Array(scan.rowCount).fill(NONE);
    for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
      const interval = intervals[row] ?? NONE;
      if (interval !== NONE) slots[row] = (selected[row] ?? 0) * this.#intervalCount + interval;
    }
    const isFull = (name: string): boolean => {
      const known = this.#attributes.get(name);
      return known !== undefined && known.values === undefined;
    };
    for (const rows of comparedFields(scan, mask, isFull)) this.#count(rows, slots);
  }

  #count({ codes, values }: ComparedRows, slots: Int32Array): void {
    const { starts, sorted } = sortByCode(codes, values, slots);
    values.forEach((attributes, code) => {
      const own = sorted.subarray(starts[code], starts[code + 1]);
      if (own.length === 0) return;
      for (const { name, value } of attributes) {
        const attribute = this.#attribute(name);
        countSlots(attribute.totals, own);
        const counts = this.#countsOf(attribute, value);
        if (counts !== undefined) countSlots(counts, own);
      }
    });
  }

  #noCounts(): Counts {
    return new Float64Array(SIDES.length * this.#intervalCount);
  }

  #attribute(name: string): AttributeCounts {
    let own = this.#attributes.get(name);
    if (own === undefined) {
      own = { totals: this.#noCounts(), values: new Map() };
      this.#attributes.set(name, own);
    }
    return own;
  }

  /** The counts of a value; undefined when there are too many values. */
  #countsOf(own: AttributeCounts, value: ResultValue): Counts | undefined {
    if (own.values === undefined) return undefined;
    const key = valueText(value);
    let known = own.values.get(key);
    if (known === undefined) {
      if (own.values.size >= this.#valuesMax) {
        own.values = undefined;
        return undefined;
      }
      known = { value, counts: this.#noCounts() };
      own.values.set(key, known);
    }
    return known.counts;
  }

  part(): ComparePart {
    return this.#attributes;
  }

  add(part: ComparePart): void {
    for (const [name, { totals, values }] of part) {
      const own = this.#attribute(name);
      addCounts(own.totals, totals);
      if (values === undefined) own.values = undefined;
      for (const { value, counts } of values?.values() ?? []) {
        const known = this.#countsOf(own, value);
        if (known !== undefined) addCounts(known, counts);
      }
    }
  }

  /** Series with a sample for each interval. Of values only the `topN` most frequent of each side. */
  series(topN: number): MetricSeries[] {
    return [...this.#attributes].flatMap(([name, counts]) =>
      SIDES.flatMap((side, index) => this.#seriesOf(name, counts, { side, index }, topN)),
    );
  }

  #seriesOf(
    name: string,
    { totals, values }: AttributeCounts,
    { side, index }: { readonly side: string; readonly index: number },
    topN: number,
  ): MetricSeries[] {
    const total = this.#ofSide(totals, index);
    if (sum(total) === 0) return [];
    const kept = [...(values?.values() ?? [])]
      .map(({ value, counts }) => ({ value, counts, total: sum(this.#ofSide(counts, index)) }))
      .filter((each) => each.total > 0)
      .sort((a, b) => b.total - a.total || compareText(valueText(a.value), valueText(b.value)))
      .slice(0, topN)
      .map(({ value, counts }) => ({
        labels: labelsOf(side, name, value),
        samples: this.#ofSide(counts, index).slice(),
      }));
    const ofTotal = labelsOf(`${side}_total`, name, { type: "string", value: "nil" });
    return kept.concat({ labels: ofTotal, samples: total.slice() });
  }

  #ofSide(counts: Counts, side: number): Float64Array {
    return counts.subarray(side * this.#intervalCount, (side + 1) * this.#intervalCount);
  }
}

/** The slots of rows that count and have something to count, those of one code next to each other. */
function sortByCode(
  codes: Uint32Array,
  values: ComparedRows["values"],
  slots: Int32Array,
): { starts: Uint32Array; sorted: Int32Array } {
  const isCounted = Uint8Array.from(values, (attributes) => (attributes.length > 0 ? 1 : 0));
  const own = slots.map((slot, row) => (isCounted[codes[row] ?? 0] === 1 ? slot : NONE));
  const starts = new Uint32Array(values.length + 1);
  for (let row = 0; row < own.length; row++) {
    const code = codes[row] ?? 0;
    if (own[row] !== NONE) starts[code + 1] = (starts[code + 1] ?? 0) + 1;
  }
  for (let code = 0; code < values.length; code++) {
    starts[code + 1] = (starts[code + 1] ?? 0) + (starts[code] ?? 0);
  }
  const next = starts.slice();
  const sorted = new Int32Array(starts[values.length] ?? 0);
  own.forEach((slot, row) => {
    if (slot === NONE) return;
    const code = codes[row] ?? 0;
    const at = next[code] ?? 0;
    next[code] = at + 1;
    sorted[at] = slot;
  });
  return { starts, sorted };
}

function countSlots(counts: Counts, slots: Int32Array): void {
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i] ?? 0;
    counts[slot] = (counts[slot] ?? 0) + 1;
  }
}

function addCounts(to: Counts, from: Counts): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) + (from[i] ?? 0);
}

function labelsOf(type: string, name: string, value: ResultValue): Labels {
  return [textLabel("__meta_type", type), { name, value }];
}

function sum(samples: Float64Array): number {
  return samples.reduce((total, sample) => total + sample, 0);
}

function valueText(value: ResultValue): string {
  return "value" in value ? `${value.type} ${String(value.value)}` : value.type;
}
