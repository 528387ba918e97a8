// Exemplars: spans that stand for their interval. Which ones depends on the hash of their trace alone, so that the same
// spans are chosen however they are spread over sources.
import { printField } from "../../print.ts";
import type { Exemplar, ResultAttribute } from "../../results.ts";
import type { SpanSource } from "../../storage.ts";
import { traceHash } from "../../../util/hash.ts";
import { toHex } from "../../../util/hex.ts";
import { columnsOf } from "../columns/fields.ts";
import { rowDecoder } from "../columns/row-decoder.ts";
import { fieldReader } from "../columns/rows.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { intOf } from "../columns/value.ts";
import { isDuration, numbersIn } from "../spansets/aggregate.ts";
import { shownAttributes } from "../spansets/mentions.ts";
import { type Labels, textLabel } from "./labels.ts";
import type { MeasuredRows } from "./measure.ts";
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

/** Finds the candidates of a source. @param labelsAt of the series of a row */
export function findCandidates(
  scan: Scan,
  { intervals }: MeasuredRows,
  labelsAt: (row: number) => Labels,
  take: { mayTake(interval: number, hash: number): boolean; add(candidate: Candidate): void },
): void {
  const { ids } = scan.traces;
  for (let trace = 0; trace < scan.traceCount; trace++) {
    const end = scan.traceStart(trace + 1);
    let hash = -1;
    // Of a trace's spans in one interval the first one counts.
    let before = NONE;
    for (let row = scan.traceStart(trace); row < end; row++) {
      const interval = intervals[row] ?? NONE;
      if (interval === before || interval === NONE) continue;
      before = interval;
      if (hash < 0) hash = traceHash(ids, 16 * trace);
      if (!take.mayTake(interval, hash)) continue;
      const traceId = toHex(ids.subarray(16 * trace, 16 * (trace + 1)));
      take.add({ interval, hash, traceId, row, labels: labelsAt(row) });
    }
  }
}

/** What exemplars say of candidates of one source, in their order. */
export async function showCandidates(
  source: SpanSource,
  { mentions, fn }: LeafPlan,
  candidates: readonly Candidate[],
): Promise<Exemplar[]> {
  const value = "field" in fn ? fn.field : undefined;
  const fields = [...mentions.map(({ field }) => field), ...(value === undefined ? [] : [value])];
  const names = new Set(["start" as const, ...fields.flatMap((field) => columnsOf(source, field))]);
  const rows = Uint32Array.from(candidates, ({ row }) => row).sort();
  const scan = await openScan(source, [...names], rows);
  const startAt = rowDecoder(scan, { column: scan.column("start"), codec: { kind: "int" } });
  const shown = mentions.map((mention) => ({ mention, read: fieldReader(scan, mention.field) }));
  const valueAt = value && fieldReader(scan, value);
  const scale = value !== undefined && isDuration(value) ? 1e9 : 1;
  return candidates.map(({ traceId, row }) => {
    const [number] = valueAt === undefined ? [] : numbersIn(valueAt(row));
    return {
      labels: [
        textLabel("trace:id", traceId),
        ...shown.flatMap(({ mention, read }) =>
          labelled(shownAttributes(mention, read(row)), printField(mention.field)),
        ),
      ],
      timestampMs: Number(intOf(startAt(row)) / 1_000_000n),
      value: number === undefined ? undefined : Number(number) / scale,
    };
  });
}

function labelled(attributes: readonly ResultAttribute[], name: string): ResultAttribute[] {
  return name === "trace:id" ? [] : attributes.map(({ value }) => ({ name, value }));
}
