// The state of one pipeline and its function while sources are read.
import type { Exemplar } from "../../results.ts";
import type { SpanSource } from "../../storage.ts";
import { intersect, isEmpty, type Mask } from "../columns/mask.ts";
import { rowDecoder } from "../columns/row-decoder.ts";
import { NONE, openScan, Scan } from "../columns/scan.ts";
import { intOf } from "../columns/value.ts";
import { evaluateCondition } from "../conditions/evaluate.ts";
import { evaluatePipeline } from "../spansets/evaluate.ts";
import { Cells, type CellsPart } from "./cells.ts";
import { type ComparePart, Comparison } from "./compare.ts";
import { type Candidate, CandidateFinder, Candidates, showCandidates } from "./exemplars.ts";
import { type Intervals, intervalsOfRows, PageIntervals } from "./intervals.ts";
import { seriesOfRows, ungroupedLabels } from "./labels.ts";
import { hasStatistics, measureOf, type SeriesFunction } from "./measure.ts";
import type { RunReader } from "./interval-runs.ts";
import { type LeafPlan, leafColumns, loadedToMeasure, notedIntervals } from "./plan.ts";
import { type MetricSeries, seriesOfCells } from "./series.ts";

/** A candidate and where it is, or what is known of it already. */
export interface PlacedCandidate extends Candidate {
  /** Number that the source was measured under; undefined: it is gone. */
  readonly origin: number | undefined;
  readonly exemplar: Exemplar | undefined;
}

/** Plain values. States of disjoint sets of traces add up, in any order, to the same state. */
export interface LeafPart {
  readonly cells: CellsPart;
  readonly compared: ComparePart;
  readonly candidates: readonly PlacedCandidate[];
}

export class LeafState {
  readonly #plan: LeafPlan;
  readonly #intervals: Intervals;
  readonly #cells: Cells;
  readonly #comparison: Comparison;
  readonly #candidates = new Candidates<PlacedCandidate>();
  readonly #hasExemplars: boolean;

  constructor(plan: LeafPlan, intervals: Intervals, hasExemplars: boolean) {
    this.#plan = plan;
    this.#intervals = intervals;
    this.#cells = new Cells(intervals.count, plan.fn.kind !== "compare" && hasStatistics(plan.fn));
    this.#comparison = new Comparison(intervals.count);
    this.#hasExemplars = hasExemplars && plan.fn.kind !== "compare";
  }

  get isTruncated(): boolean {
    return this.#cells.isTruncated;
  }

  /**
   * Adds the spans of a source.
   * @param origin its number; undefined when it will not be there later
   * @param skip 1 for each of its traces that is left out
   */
  async measure(source: SpanSource, origin: number | undefined, skip?: Uint8Array): Promise<void> {
    const noted = notedIntervals(this.#plan, source, this.#intervals);
    const names = loadedToMeasure(this.#plan, source, this.#intervals);
    const scan = await openScan(source, names);
    await scan.count(leafColumns(this.#plan, source));
    const { mask } = evaluatePipeline(scan, this.#plan.pipeline);
    if (skip !== undefined) dropTraces(scan, mask, skip);
    if (isEmpty(mask)) return;
    const { fn } = this.#plan;
    if (fn.kind === "compare") {
      const intervals = intervalsOfRows(scan, mask, this.#intervals);
      this.#comparison.measure(scan, { mask, intervals }, this.#selected(scan, mask));
      return;
    }
    const finder = this.#hasExemplars ? new CandidateFinder(scan, this.#intervals) : undefined;
    this.#measurePages(scan, mask, { fn, noted, finder });
    if (finder === undefined) return;
    const startMsOf = await startReader(noted === undefined ? scan : source, finder.rows());
    await this.#take(source, origin, finder.chosen(fn, startMsOf));
  }

  /** Page by page, so that what is known of rows stays in the processor's cache. */
  #measurePages(
    scan: Scan,
    mask: Mask,
    {
      fn,
      noted,
      finder,
    }: { fn: SeriesFunction; noted: RunReader | undefined; finder: CandidateFinder | undefined },
  ): void {
    const pages = new PageIntervals(scan, this.#intervals, noted);
    const series = seriesOfRows(scan, fn, mask);
    const measure = measureOf(scan, fn, series, this.#cells);
    for (let index = 0; index < scan.pageCount; index++) {
      const first = scan.pageStart(index);
      if (isEmpty(mask, first, scan.pageStart(index + 1))) continue;
      const intervals = pages.of(index, mask);
      const codes = series.codesOf(index);
      measure.add({ index, intervals, codes });
      finder?.look(index, intervals, (i) => ({
        labels: series.labelsOf(codes[i] ?? 0),
        value: measure.valueOf(first + i),
      }));
    }
    measure.end();
    pages.end();
  }

  /** Of a source that will be gone, exemplars are made at once. */
  async #take(
    source: SpanSource,
    origin: number | undefined,
    candidates: readonly Candidate[],
  ): Promise<void> {
    const exemplars = origin === undefined ? await showCandidates(source, this.#plan, candidates) : [];
    candidates.forEach((candidate, index) => {
      this.#candidates.add({ ...candidate, origin, exemplar: exemplars[index] });
    });
  }

  #selected(scan: Scan, mask: Mask): Mask {
    const { fn, selection } = this.#plan;
    if (fn.kind !== "compare" || selection === undefined) return mask;
    const selected = evaluateCondition(scan, selection, mask);
    if (fn.window === undefined) return selected;
    const { start, end } = fn.window;
    const one = { firstNs: start - 1n, stepNs: end - start + 1n, count: 1, rateNs: 1n };
    const inWindow = mask.slice();
    intervalsOfRows(scan, mask, one).forEach((interval, row) => {
      if (interval === NONE) inWindow[row] = 0;
    });
    return intersect(selected, inWindow);
  }

  #zeros(): MetricSeries {
    const samples = new Float64Array(this.#intervals.count);
    return { labels: ungroupedLabels(this.#plan.fn.kind), samples };
  }

  part(): LeafPart {
    return {
      cells: this.#cells.part(),
      compared: this.#comparison.part(),
      candidates: this.#candidates.all(),
    };
  }

  add({ cells, compared, candidates }: LeafPart): void {
    this.#cells.add(cells);
    this.#comparison.add(compared);
    for (const candidate of candidates) this.#candidates.add(candidate);
  }

  candidates(limit: number): PlacedCandidate[] {
    return this.#hasExemplars ? this.#candidates.chosen(limit) : [];
  }

  series(): MetricSeries[] {
    const { fn } = this.#plan;
    if (fn.kind === "compare") return this.#comparison.series(fn.topN);
    const series = seriesOfCells(fn, this.#cells, this.#intervals);
    return series.length === 0 && this.#plan.countsNothing ? [this.#zeros()] : series;
  }
}

/** Start of some rows in Unix ms. @param rows ascending */
async function startReader(from: Scan | SpanSource, rows: Uint32Array): Promise<(row: number) => number> {
  const scan = from instanceof Scan ? from : await openScan(from, ["start"], rows);
  const startAt = rowDecoder(scan, { column: scan.column("start"), codec: { kind: "int" } });
  return (row) => Number(intOf(startAt(row)) / 1_000_000n);
}

function dropTraces(scan: Scan, mask: Mask, skip: Uint8Array): void {
  for (let trace = skip.indexOf(1); trace >= 0; trace = skip.indexOf(1, trace + 1)) {
    mask.fill(0, scan.traceStart(trace), scan.traceStart(trace + 1));
  }
}
