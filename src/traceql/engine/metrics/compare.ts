// compare(): how often each value of each attribute occurs in selected spans and in the others.
import type { ResultValue } from "../../results.ts";
import type { ColumnPage } from "../../storage.ts";
import { decoderOf } from "../columns/decode.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { type Mask, nextRow } from "../columns/mask.ts";
import { compareText, type Value } from "../columns/value.ts";
import { type ComparedColumn, comparedFields } from "./compared-fields.ts";
import { type Labels, textLabel } from "./labels.ts";
import type { MetricSeries } from "./series.ts";

const SIDES = ["baseline", "selection"] as const;

/** Values of one attribute at most: one with more, such as an id, tells nothing and is not compared. */
const VALUES_MAX = 2_000;
/** Values, or objects, without a code of which it is remembered what a row with them counts in. */
const REMEMBERED_MAX = 4_000;
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
    const pages = pagesWithSlots(scan, slots);
    for (const column of comparedFields(scan)) this.#count(pages, column);
  }

  #count(pages: readonly SlotPage[], column: ComparedColumn): void {
    const { codec, column: loaded } = column;
    const decodeEntry = loaded.dictionary && decoderOf(codec, loaded.dictionary);
    /** By code: what a row with it adds to; made when a row is counted. */
    const ofEntries: (readonly Counts[] | undefined)[] = [];
    const ofValues = new Map<Value, readonly Counts[]>();
    for (const { index, slots } of pages) {
      const page = loaded.page(index);
      const { content } = page;
      const totals = this.#totalsOfFull(column);
      if (totals !== undefined) countRows(page, slots, () => totals);
      else if (content.kind === "codes") {
        countRows(page, slots, (position) => {
          const code = content.codes[position] ?? 0;
          return (ofEntries[code] ??= this.#targets(column, decodeEntry?.(code)));
        });
      } else {
        const decode = decoderOf(codec, content.values);
        countRows(page, slots, (position) => {
          const value = decode(position);
          let targets = ofValues.get(value);
          if (targets === undefined) {
            targets = this.#targets(column, value);
            if (ofValues.size < REMEMBERED_MAX) ofValues.set(value, targets);
          }
          return targets;
        });
      }
      page.release?.();
    }
  }

  /** What a row counts in of which only the presence is of interest: its attribute has too many values. */
  #totalsOfFull({ name }: ComparedColumn): readonly Counts[] | undefined {
    const known = name === undefined ? undefined : this.#attributes.get(name);
    return known !== undefined && known.values === undefined ? [known.totals] : undefined;
  }

  /** What a row with the value counts in. */
  #targets(column: ComparedColumn, value: Value): readonly Counts[] {
    return column.attributesOf(value).flatMap((attribute) => {
      const own = this.#attribute(attribute.name);
      const counts = this.#countsOf(own, attribute.value);
      return counts === undefined ? [own.totals] : [own.totals, counts];
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

/** A page with rows that count. */
interface SlotPage {
  readonly index: number;
  /** By row of the page: where it counts; NONE: nowhere. */
  readonly slots: Int32Array;
}

function pagesWithSlots(scan: Scan, slots: Int32Array): SlotPage[] {
  const pages: SlotPage[] = [];
  for (let index = 0; index < scan.pageCount; index++) {
    const own = slots.subarray(scan.pageStart(index), scan.pageStart(index + 1));
    if (own.some((slot) => slot !== NONE)) pages.push({ index, slots: own });
  }
  return pages;
}

/** Adds the rows of a page that have a value and a slot. @param targets of the value at a position among the page's */
function countRows(
  { present, rowCount }: ColumnPage,
  slots: Int32Array,
  targets: (position: number) => readonly Counts[],
): void {
  let position = 0;
  const groups = (rowCount + 7) >>> 3;
  for (let group = 0; group < groups; group++) {
    const all = 8 * group + 8 <= rowCount ? 0xff : (1 << (rowCount & 7)) - 1;
    for (let bits = present === undefined ? all : (present[group] ?? 0); bits !== 0; bits &= bits - 1) {
      const slot = slots[8 * group + 31 - Math.clz32(bits & -bits)] ?? NONE;
      const at = position++;
      if (slot === NONE) continue;
      for (const counts of targets(at)) counts[slot] = (counts[slot] ?? 0) + 1;
    }
  }
}

function addCounts(to: Counts, from: Counts): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) + (from[i] ?? 0);
}

function labelsOf(type: string, name: string, value: ResultValue): Labels {
  return [textLabel("__meta_type", type), { name, value }];
}

function sum(samples: Float64Array): number {
  let total = 0;
  for (const sample of samples) total += sample;
  return total;
}

function valueText(value: ResultValue): string {
  return "value" in value ? `${value.type} ${String(value.value)}` : value.type;
}
