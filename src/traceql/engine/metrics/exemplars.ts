// Exemplars: spans that stand for their interval. Which ones depends on the hash of their trace alone, so that the same
// spans are chosen however they are spread over sources.
import type { Field, MetricsFunction } from "../../ast.ts";
import { printField } from "../../print.ts";
import type { Exemplar } from "../../results.ts";
import type { SpanSource } from "../../storage.ts";
import { traceHash } from "../../../util/hash.ts";
import { toHex } from "../../../util/hex.ts";
import { columnsOf, fieldKey } from "../columns/fields.ts";
import { fieldReader } from "../columns/rows.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { isDuration } from "../spansets/aggregate.ts";
import { shownAttributes } from "../spansets/mentions.ts";
import { type Intervals, offsetMs } from "./intervals.ts";
import { type Labels, NAME_LABEL, type RowSeries, textLabel } from "./labels.ts";
import type { MeasuredRows, SeriesFunction, ValueOf } from "./measure.ts";
import type { LeafPlan } from "./plan.ts";

const PER_INTERVAL = 2;

/** A span that may become an exemplar. Plain values. */
export interface Candidate {
  readonly interval: number;
  readonly hash: number;
  /** 32 hex digits. */
  readonly traceId: string;
  /** In its source. */
  readonly row: number;
  /** Of its series. */
  readonly labels: Labels;
  readonly timestampMs: number;
  /** In the unit of the samples. */
  readonly value: number | undefined;
}

function compareCandidates(a: Candidate, b: Candidate): number {
  return (
    a.hash - b.hash || (a.traceId < b.traceId ? -1 : a.traceId > b.traceId ? 1 : a.interval - b.interval)
  );
}

/** The best candidates of each interval, of different traces. */
export class Candidates<T extends Candidate = Candidate> {
  readonly #best = new Map<number, T[]>();

  /** Whether a candidate with this hash may be among the best. */
  mayTake(interval: number, hash: number): boolean {
    const worst = this.#best.get(interval)?.[PER_INTERVAL - 1];
    return worst === undefined || hash <= worst.hash;
  }

  add(candidate: T): void {
    const best = this.#best.get(candidate.interval) ?? [];
    if (best.some(({ traceId }) => traceId === candidate.traceId)) return;
    const better = [...best, candidate].sort(compareCandidates).slice(0, PER_INTERVAL);
    this.#best.set(candidate.interval, better);
  }

  /** At most `limit`, each of another trace. */
  chosen(limit: number): T[] {
    const all = [...this.#best.values()].flat().sort(compareCandidates);
    const byTrace = new Map<string, T>();
    for (const candidate of all)
      if (!byTrace.has(candidate.traceId)) byTrace.set(candidate.traceId, candidate);
    return [...byTrace.values()].slice(0, limit);
  }
}

/** What candidates are made of. */
export interface Observed {
  readonly rows: MeasuredRows;
  readonly series: RowSeries;
  readonly valueOf: ValueOf;
}

/** Finds the candidates of a source. */
export function findCandidates(
  scan: Scan,
  { rows, series, valueOf }: Observed,
  { fn, intervals }: { readonly fn: SeriesFunction; readonly intervals: Intervals },
  take: { mayTake(interval: number, hash: number): boolean; add(candidate: Candidate): void },
): void {
  const { ids } = scan.traces;
  const scale = "field" in fn && isDuration(fn.field) ? 1e9 : 1;
  const candidateAt = (row: number, trace: number, hash: number): Candidate => {
    const value = valueOf(row);
    return {
      interval: rows.intervals[row] ?? NONE,
      hash,
      traceId: toHex(ids.subarray(16 * trace, 16 * (trace + 1))),
      row,
      labels: series.labels[series.codes[row] ?? 0] ?? [],
      timestampMs: offsetMs(intervals, rows.offsets[row] ?? 0),
      value: value === undefined || Number.isNaN(value) ? undefined : value / scale,
    };
  };
  for (let trace = 0; trace < scan.traceCount; trace++) {
    const end = scan.traceStart(trace + 1);
    let hash = -1;
    // Of a trace's spans in one interval the first one counts.
    let before = NONE;
    for (let row = scan.traceStart(trace); row < end; row++) {
      const interval = rows.intervals[row] ?? NONE;
      if (interval === before || interval === NONE) continue;
      before = interval;
      if (hash < 0) hash = traceHash(ids, 16 * trace);
      if (take.mayTake(interval, hash)) take.add(candidateAt(row, trace, hash));
    }
  }
}

/** Fields whose values are known of a candidate without another look at the source. */
function isKnown(field: Field, fn: MetricsFunction): boolean {
  if (fieldKey(field) === "trace:id") return true;
  const known = fn.kind === "compare" ? [] : [...fn.by, ...("field" in fn ? [fn.field] : [])];
  return known.some((each) => fieldKey(each) === fieldKey(field));
}

/** What exemplars say of candidates of one source, in their order. */
export async function showCandidates(
  source: SpanSource,
  { mentions, fn }: LeafPlan,
  candidates: readonly Candidate[],
): Promise<Exemplar[]> {
  const wanted = mentions.filter(({ field }) => !isKnown(field, fn));
  const names = [...new Set(wanted.flatMap(({ field }) => columnsOf(source, field)))];
  const rows = Uint32Array.from(candidates, ({ row }) => row).sort();
  const scan = await openScan(source, names, rows);
  const shown = wanted.map((mention) => ({
    name: printField(mention.field),
    mention,
    read: fieldReader(scan, mention.field),
  }));
  return candidates.map(({ traceId, row, labels, timestampMs, value }) => ({
    labels: [
      textLabel("trace:id", traceId),
      ...labels.filter(({ name }) => name !== NAME_LABEL),
      ...shown.flatMap(({ name, mention, read }) =>
        shownAttributes(mention, read(row)).map((attribute) => ({ name, value: attribute.value })),
      ),
    ],
    timestampMs,
    value,
  }));
}
