// compare(): how often each value of each attribute occurs in selected spans and in the others.
import type { ResultValue } from "../../results.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { type Mask, nextRow } from "../columns/mask.ts";
import { compareText } from "../columns/value.ts";
import { comparedFields, type ComparedRows } from "./compared-fields.ts";
import { type Labels, labelsKey, textLabel } from "./labels.ts";
import type { MeasuredRows } from "./measure.ts";
import type { MetricSeries } from "./series.ts";

const SIDES = ["baseline", "selection"] as const;

/** Values of one attribute at most: one with more, such as an id, tells nothing and is not compared. */
const VALUES_MAX = 10_000;
/** Values of one attribute, times intervals. */
const CELLS_MAX = 1 << 18;

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
  measure(scan: Scan, { mask, intervals }: MeasuredRows, selected: Mask): void {
    const slots = new Int32Array(scan.rowCount).fill(NONE);
    for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
      const interval = intervals[row] ?? NONE;
      if (interval !== NONE) slots[row] = (selected[row] ?? 0) * this.#intervalCount + interval;
    }
    for (const rows of comparedFields(scan, mask)) this.#count(rows, slots);
  }

  #count({ codes, values }: ComparedRows, slots: Int32Array): void {
    const byCode: (Counts | undefined)[] = values.map(() => undefined);
    for (let row = 0; row < slots.length; row++) {
      const slot = slots[row] ?? NONE;
      const code = codes[row] ?? 0;
      if (slot === NONE || values[code]?.length === 0) continue;
      const counts = (byCode[code] ??= this.#noCounts());
      counts[slot] = (counts[slot] ?? 0) + 1;
    }
    values.forEach((attributes, code) => {
      const counts = byCode[code];
      if (counts === undefined) return;
      for (const { name, value } of attributes) {
        const own = this.#attribute(name);
        addCounts(own.totals, counts);
        this.#addValue(own, value, counts);
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

  #addValue(own: AttributeCounts, value: ResultValue, counts: Counts): void {
    const key = labelsKey([{ name: "", value }]);
    const known = own.values?.get(key);
    if (known !== undefined) return addCounts(known.counts, counts);
    own.values?.set(key, { value, counts: counts.slice() });
    if ((own.values?.size ?? 0) > this.#valuesMax) own.values = undefined;
  }

  part(): ComparePart {
    return this.#attributes;
  }

  add(part: ComparePart): void {
    for (const [name, { totals, values }] of part) {
      const own = this.#attribute(name);
      addCounts(own.totals, totals);
      if (values === undefined) own.values = undefined;
      for (const { value, counts } of values?.values() ?? []) this.#addValue(own, value, counts);
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
      .map(({ value, counts }) => ({ value, samples: this.#ofSide(counts, index) }))
      .filter(({ samples }) => sum(samples) > 0)
      .sort((a, b) => sum(b.samples) - sum(a.samples) || compareText(valueText(a.value), valueText(b.value)))
      .slice(0, topN)
      .map(({ value, samples }) => ({ labels: labelsOf(side, name, value), samples }));
    const ofTotal = labelsOf(`${side}_total`, name, { type: "string", value: "nil" });
    return kept.concat({ labels: ofTotal, samples: total });
  }

  #ofSide(counts: Counts, side: number): Float64Array {
    return counts.slice(side * this.#intervalCount, (side + 1) * this.#intervalCount);
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
