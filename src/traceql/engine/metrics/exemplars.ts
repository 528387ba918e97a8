// Exemplars: spans that stand for their interval. Which ones depends on the hash of their trace alone, so that the same
// spans are chosen however they are spread over sources.
import type { Field, MetricsFunction } from "../../ast.ts";
import { printField } from "../../print.ts";
import type { Exemplar } from "../../results.ts";
import type { SpanSource } from "../../storage.ts";
import { TRACE_ID_BYTES } from "../../../model/ids.ts";
import { traceHashOfWords } from "../../../util/hash.ts";
import { toHex } from "../../../util/hex.ts";
import { wordsOf } from "../columns/decode.ts";
import { columnsOf, fieldKey } from "../columns/fields.ts";
import { fieldReader } from "../columns/rows.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { isDuration } from "../spansets/aggregate.ts";
import { shownAttributes } from "../spansets/mentions.ts";
import { type Labels, NAME_LABEL, textLabel } from "./labels.ts";
import type { SeriesFunction } from "./measure.ts";
import { intervalAt, type Intervals } from "./intervals.ts";
import type { LeafPlan } from "./plan.ts";

const PER_INTERVAL = 2;
const ID_WORDS = TRACE_ID_BYTES / 4;
/** Intervals that a page is searched for, at most: each takes some 5 us. */
const OPEN_MAX = 4;

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

  add(candidate: T): void {
    const best = this.#best.get(candidate.interval) ?? [];
    if (best.some(({ traceId }) => traceId === candidate.traceId)) return;
    const better = [...best, candidate].sort(compareCandidates).slice(0, PER_INTERVAL);
    this.#best.set(candidate.interval, better);
  }

  /** All of them: which one stands for a trace of several intervals is only known where none are missing. */
  all(): T[] {
    return [...this.#best.values()].flat().sort(compareCandidates);
  }

  /** At most `limit`, each of another trace. */
  chosen(limit: number): T[] {
    const byTrace = new Map<string, T>();
    for (const candidate of this.all())
      if (!byTrace.has(candidate.traceId)) byTrace.set(candidate.traceId, candidate);
    return [...byTrace.values()].slice(0, limit);
  }
}

/** What a candidate is made of, where it stands. */
export interface Observed {
  readonly labels: Labels;
  /** In the unit of the function's field. */
  readonly value: number | undefined;
}

interface FoundCandidate extends Observed {
  readonly hash: number;
  readonly trace: number;
  readonly row: number;
}

/** Finds the candidates of a source, page by page. */
export class CandidateFinder {
  readonly #scan: Scan;
  readonly #idWords: Uint32Array;
  /** By interval: the best ones, the best first. */
  readonly #best: FoundCandidate[][];
  /** By interval: the hash that a trace must be below to be among them. */
  readonly #below: Float64Array;
  /** Intervals that the source may have spans in and that have too few candidates as yet. */
  #open: readonly number[];
  /** The greatest hash of those that have enough: most traces are not below it. */
  #greatest = 0;

  constructor(scan: Scan, intervals: Intervals) {
    this.#scan = scan;
    this.#idWords = wordsOf({ bytes: scan.traces.ids });
    this.#best = Array.from({ length: intervals.count }, () => []);
    this.#below = new Float64Array(intervals.count).fill(Infinity);
    const { minStartNs, maxStartNs } = scan.source.bounds;
    const first = Math.max(0, intervalAt(intervals, minStartNs));
    const last = Math.min(intervals.count - 1, intervalAt(intervals, maxStartNs));
    this.#open = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  }

  /** @param intervals by row of the page, NONE without one. @param observe of row `i` of the page */
  look(page: number, intervals: Int32Array, observe: (i: number) => Observed): void {
    const { firstRows } = this.#scan.traces;
    const below = this.#below;
    const words = this.#idWords;
    const first = this.#scan.pageStart(page);
    const isOpen =
      this.#open.length > OPEN_MAX || this.#open.some((interval) => intervals.includes(interval));
    let i = 0;
    for (let trace = this.#scan.traceAt(first); i < intervals.length; trace++) {
      const end = Math.min(intervals.length, (firstRows[trace + 1] ?? Infinity) - first);
      const hash = traceHashOfWords(words, ID_WORDS * trace);
      if (!isOpen && hash >= this.#greatest) i = end;
      for (; i < end; i++) {
        const interval = intervals[i] ?? NONE;
        if (interval !== NONE && hash < (below[interval] ?? 0)) {
          // Of a trace's spans in one interval the first one counts.
          if (this.#best[interval]?.some((known) => known.trace === trace) === true) continue;
          this.#take(interval, { hash, trace, row: first + i, ...observe(i) });
        }
      }
    }
  }

  /** Later traces have greater ids: of equal hashes the one that is there is the better one. */
  #take(interval: number, found: FoundCandidate): void {
    const best = this.#best[interval] ?? [];
    const place = best.findIndex(({ hash }) => found.hash < hash);
    best.splice(place < 0 ? best.length : place, 0, found);
    if (best.length > PER_INTERVAL) best.pop();
    if (best.length < PER_INTERVAL) return;
    this.#below[interval] = best.at(-1)?.hash ?? 0;
    this.#open = this.#open.filter((open) => open !== interval);
    this.#greatest = this.#below.reduce(
      (greatest, below) => (below < Infinity ? Math.max(greatest, below) : greatest),
      0,
    );
  }

  /** Rows of the best, ascending. */
  rows(): Uint32Array {
    return Uint32Array.from(new Set(this.#best.flatMap((best) => best.map(({ row }) => row)))).sort();
  }

  /** The best of each interval. @param startMsOf the start of one of `rows()` */
  chosen(fn: SeriesFunction, startMsOf: (row: number) => number): Candidate[] {
    const { ids } = this.#scan.traces;
    const scale = "field" in fn && isDuration(fn.field) ? 1e9 : 1;
    const candidates = new Candidates();
    this.#best.forEach((best, interval) => {
      for (const { hash, trace, row, labels, value } of best) {
        candidates.add({
          interval,
          hash,
          traceId: toHex(ids.subarray(TRACE_ID_BYTES * trace, TRACE_ID_BYTES * (trace + 1))),
          row,
          labels,
          timestampMs: startMsOf(row),
          value: value === undefined || Number.isNaN(value) ? undefined : value / scale,
        });
      }
    });
    return candidates.all();
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
