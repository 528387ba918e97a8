// The first pass of a search: which traces of one source match, and when they began.
import type { ColumnName, SpanSource } from "../../storage.ts";
import type { ResultAttribute, SearchCursor } from "../../results.ts";
import { toHex } from "../../../util/hex.ts";
import { countRows, isEmpty, type Mask, nextRow } from "../columns/mask.ts";
import { toResult } from "../columns/result-value.ts";
import { openScan, type Scan } from "../columns/scan.ts";
import {
  isLess,
  notedTimes,
  type NotedTimes,
  traceStarts,
  traceTimes,
  wordsToBigInt,
} from "../columns/times.ts";
import { evaluatePipeline, type Spansets, spansetOfRow } from "../spansets/evaluate.ts";
import { type PipelinePlan, planColumns } from "../spansets/plan.ts";

/** What decides which traces are found. */
export interface Window {
  /** A trace must overlap it, both ends included. Unix ns. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Goes on after this trace. */
  readonly cursor?: SearchCursor | undefined;
  /** Traces kept at most. */
  readonly limit: number;
  readonly spansPerSpanset: number;
}

/** A trace that matches. Plain values. */
export interface FoundTrace {
  /** 32 hex digits. */
  readonly traceId: string;
  readonly startNs: bigint;
  readonly spansets: readonly FoundSpanset[];
}

export interface FoundSpanset {
  /** Places of its first spans among the rows of the trace. */
  readonly rows: readonly number[];
  readonly matched: number;
  readonly attributes: readonly ResultAttribute[];
}

export interface FoundTraces {
  /** Matching traces of the window, whatever cursor and limit. */
  readonly total: number;
  /** The newest ones, in the order of results. */
  readonly traces: readonly FoundTrace[];
  readonly inspectedTraces: number;
  readonly inspectedSpans: number;
}

/** Newest first, then by id. */
export function compareFound(a: SearchCursor, b: SearchCursor): number {
  if (a.startNs !== b.startNs) return a.startNs > b.startNs ? -1 : 1;
  return a.traceId < b.traceId ? -1 : a.traceId > b.traceId ? 1 : 0;
}

/** Whether every trace of the source is sure to overlap the window. */
function isInside({ bounds }: SpanSource, { startNs, endNs }: Pick<Window, "startNs" | "endNs">): boolean {
  return bounds.minStartNs >= startNs && bounds.maxStartNs <= endNs;
}

/** A window that no source is known to be inside of, so that both start and duration are at hand. */
export const EVERYTHING = { startNs: 1n, endNs: 0n };

function timeColumns(source: SpanSource, window: Pick<Window, "startNs" | "endNs">): ColumnName[] {
  return isInside(source, window) ? ["start"] : ["start", "duration"];
}

/** The columns that `findTraces` looks at. */
export function findColumns(
  plan: PipelinePlan,
  source: SpanSource,
  window: Pick<Window, "startNs" | "endNs">,
): ColumnName[] {
  return [...new Set([...planColumns(plan, source), ...timeColumns(source, window)])];
}

/** Those of them that it may load: not what the noted times of traces make up for. */
export function loadedToFind(
  plan: PipelinePlan,
  source: SpanSource,
  window: Pick<Window, "startNs" | "endNs">,
): ColumnName[] {
  const isNoted = hasTimes(notedTimes(source), isInside(source, window));
  return isNoted ? [...new Set(planColumns(plan, source))] : findColumns(plan, source, window);
}

function hasTimes({ starts, ends }: NotedTimes, isStartEnough: boolean): boolean {
  return starts !== undefined && (isStartEnough || ends !== undefined);
}

/**
 * Evaluates the pipeline over one source.
 * @param skip 1 for each trace of the source that is left out; undefined: none is
 * @param wantedFromNs only traces that start at this time or later are wanted; others count, but need not be in `traces`
 */
export async function findTraces(
  source: SpanSource,
  plan: PipelinePlan,
  window: Window,
  { skip, wantedFromNs = 0n }: { skip?: Uint8Array | undefined; wantedFromNs?: bigint | undefined } = {},
): Promise<FoundTraces> {
  const scan = await openScan(source, [...new Set(planColumns(plan, source))]);
  const found = await findIn(scan, plan, window, { skip, wantedFromNs });
  await scan.count(findColumns(plan, source, window));
  return { ...found, inspectedTraces: scan.traceCount, inspectedSpans: scan.rowCount };
}

async function findIn(
  scan: Scan,
  plan: PipelinePlan,
  window: Window,
  { skip, wantedFromNs }: { readonly skip: Uint8Array | undefined; readonly wantedFromNs: bigint },
): Promise<Pick<FoundTraces, "total" | "traces">> {
  const { source } = scan;
  const spansets = evaluatePipeline(scan, plan);
  if (isEmpty(spansets.mask)) return { total: 0, traces: [] };
  const matches = matchingTraces(scan, spansets.mask, skip);
  const isAll = isInside(source, window);
  if (isAll && source.bounds.maxStartNs < wantedFromNs) {
    return { total: countRows(matches, 0, matches.length), traces: [] };
  }
  // Not before it is known that they are needed: of older blocks traces are only counted.
  const noted = notedTimes(source);
  if (!hasTimes(noted, isAll)) await scan.load(timeColumns(source, window));
  const starts = isAll ? traceStarts(scan, matches, noted) : startsInside(scan, matches, window, noted);
  const newest = newestTraces(scan, matches, starts, window);
  const traces = newest.map((trace) => ({
    traceId: idOf(scan.traces.ids, trace),
    startNs: wordsToBigInt(starts, trace),
    spansets: foundSpansets(scan, spansets, trace, window.spansPerSpanset),
  }));
  return { total: countRows(matches, 0, matches.length), traces };
}

/** 1 for each trace with a row of the mask. */
function matchingTraces({ traces, traceCount }: Scan, mask: Mask, skip?: Uint8Array): Uint8Array {
  const { firstRows } = traces;
  const matches = new Uint8Array(traceCount);
  let trace = 0;
  // Of a trace that has one, the other rows are passed over.
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, firstRows[trace + 1] ?? mask.length)) {
    while ((firstRows[trace + 1] ?? Infinity) <= row) trace++;
    matches[trace] = 1;
  }
  for (let at = skip?.indexOf(1) ?? -1; at >= 0; at = skip?.indexOf(1, at + 1) ?? -1) matches[at] = 0;
  return matches;
}

/** The starts of the traces that overlap the window; the others no longer match. */
function startsInside(
  scan: Scan,
  matches: Uint8Array,
  { startNs, endNs }: Window,
  noted: NotedTimes,
): Uint32Array {
  const { starts, ends } = traceTimes(scan, matches, noted);
  for (let trace = matches.indexOf(1); trace >= 0; trace = matches.indexOf(1, trace + 1)) {
    const isOutside = wordsToBigInt(starts, trace) > endNs || wordsToBigInt(ends, trace) < startNs;
    if (isOutside) matches[trace] = 0;
  }
  return starts;
}

/** Traces collected between two sorts, at least: after the first one, few of those that follow are new enough. */
const SORT_MIN = 128;

/** The first `limit` traces behind the cursor in the order of results. Ids ascend with the traces' numbers. */
function newestTraces(
  { traces }: Scan,
  matches: Uint8Array,
  starts: Uint32Array,
  { cursor, limit }: Window,
): number[] {
  const isNewer = (a: number, b: number): boolean =>
    isLess(starts[2 * b + 1] ?? 0, starts[2 * b] ?? 0, starts[2 * a + 1] ?? 0, starts[2 * a] ?? 0);
  const compare = (a: number, b: number): number => (isNewer(a, b) ? -1 : isNewer(b, a) ? 1 : a - b);
  const isBehind = (trace: number): boolean =>
    cursor === undefined ||
    compareFound({ startNs: wordsToBigInt(starts, trace), traceId: idOf(traces.ids, trace) }, cursor) > 0;
  let newest: number[] = [];
  let worst: number | undefined;
  for (let trace = matches.indexOf(1); trace >= 0; trace = matches.indexOf(1, trace + 1)) {
    if (worst !== undefined && !isNewer(trace, worst)) continue;
    if (!isBehind(trace)) continue;
    newest.push(trace);
    if (newest.length < Math.max(SORT_MIN, 2 * limit)) continue;
    newest = newest.sort(compare).slice(0, limit);
    worst = newest.at(-1);
  }
  return newest.sort(compare).slice(0, limit);
}

function idOf(ids: Uint8Array, trace: number): string {
  return toHex(ids.subarray(16 * trace, 16 * (trace + 1)));
}

function foundSpansets(
  scan: Scan,
  { mask, groups, attributes }: Spansets,
  trace: number,
  spansMax: number,
): FoundSpanset[] {
  const first = scan.traceStart(trace);
  const end = scan.traceStart(trace + 1);
  const ofRow = groups === undefined ? undefined : spansetOfRow(scan, groups);
  const spansets = new Map<number, { rows: number[]; matched: number }>();
  for (let row = nextRow(mask, first); row >= 0 && row < end; row = nextRow(mask, row + 1)) {
    const number = ofRow === undefined ? trace : (ofRow[row] ?? 0);
    let spanset = spansets.get(number);
    if (spanset === undefined) {
      spanset = { rows: [], matched: 0 };
      spansets.set(number, spanset);
    }
    if (spanset.matched++ < spansMax) spanset.rows.push(row - first);
  }
  return [...spansets.keys()]
    .sort((a, b) => a - b)
    .map((number) => ({
      rows: spansets.get(number)?.rows ?? [],
      matched: spansets.get(number)?.matched ?? 0,
      attributes: attributes.map(({ name, isDuration, values }) => ({
        name,
        value: toResult(values[number], isDuration),
      })),
    }));
}
