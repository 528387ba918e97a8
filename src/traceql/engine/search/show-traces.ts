// The second pass of a search: what results say of the few traces that were found.
import type { ColumnName, SpanSource } from "../../storage.ts";
import type { ResultSpan, ServiceStats, TraceResult } from "../../results.ts";
import { columnsOf, intrinsic, SERVICE_NAME } from "../columns/fields.ts";
import { rowDecoder } from "../columns/row-decoder.ts";
import { fieldReader, type RowReader } from "../columns/rows.ts";
import { NONE, openScan, type Scan } from "../columns/scan.ts";
import { traceTimes, type TraceTimes, wordsToBigInt } from "../columns/times.ts";
import { compareText, intOf, textOf } from "../columns/value.ts";
import { isShown, type Mention, shownAttributes } from "../spansets/mentions.ts";
import { gatherTraces, rowsOfTraces } from "../tables/span-table.ts";
import { TableSource } from "../tables/table-source.ts";
import { findTrace } from "../tables/trace-ids.ts";
import type { FoundTrace } from "./find-traces.ts";

const NEEDED: readonly ColumnName[] = [
  "name",
  "start",
  "duration",
  "status",
  "resource",
  "spanId",
  "parentDistance",
  "parentSpanId",
];

/** The columns that results are made of. */
export function showColumns(mentions: readonly Mention[], source: SpanSource): ColumnName[] {
  return [...new Set([...NEEDED, ...mentions.flatMap(({ field }) => columnsOf(source, field))])];
}

/**
 * Makes the results of traces that `findTraces` found in the same source.
 * @returns in the order of `found`
 */
export async function showTraces(
  source: SpanSource,
  mentions: readonly Mention[],
  found: readonly FoundTrace[],
): Promise<TraceResult[]> {
  const table = await source.traces();
  const numbers = found
    .map(({ traceId }) => findTrace(table.ids, traceId))
    .filter((trace) => trace >= 0)
    .toSorted((a, b) => a - b);
  const names = showColumns(mentions, source);
  const rows = rowsOfTraces({ traceStart: (trace) => table.firstRows[trace] ?? 0 }, numbers);
  const gathered = gatherTraces(await openScan(source, names, rows), names, numbers);
  const scan = await openScan(new TableSource(gathered), names);
  const show = new TraceView(scan, mentions);
  return found.map((trace) => show.result(trace, findTrace(gathered.ids, trace.traceId)));
}

/** Reads results from a table that has all their columns. */
class TraceView {
  readonly #scan: Scan;
  readonly #times: TraceTimes;
  readonly #name: RowReader;
  readonly #service: RowReader;
  readonly #status: RowReader;
  readonly #id: RowReader;
  readonly #start: RowReader;
  readonly #duration: RowReader;
  readonly #isNamed: boolean;
  readonly #shown: readonly { readonly mention: Mention; readonly read: RowReader }[];

  constructor(scan: Scan, mentions: readonly Mention[]) {
    const read = (name: Parameters<typeof intrinsic>[0]): RowReader => fieldReader(scan, intrinsic(name));
    this.#scan = scan;
    this.#times = traceTimes(scan);
    this.#name = read("name");
    this.#service = fieldReader(scan, SERVICE_NAME);
    this.#status = read("status");
    this.#id = read("span:id");
    this.#start = rowDecoder(scan, { column: scan.column("start"), codec: { kind: "int" } });
    this.#duration = read("duration");
    this.#isNamed = mentions.some(
      ({ field }) => field.kind === "intrinsic" && field.name === "name" && !field.parent,
    );
    this.#shown = mentions
      .filter((mention) => isShown(mention))
      .map((mention) => ({ mention, read: fieldReader(scan, mention.field) }));
  }

  result({ traceId, spansets }: FoundTrace, trace: number): TraceResult {
    const first = this.#scan.traceStart(trace);
    const root = this.#scan.rootOf(trace);
    return {
      traceId,
      startNs: wordsToBigInt(this.#times.starts, trace),
      endNs: wordsToBigInt(this.#times.ends, trace),
      root: root === NONE ? undefined : { service: this.#serviceAt(root), name: textOf(this.#name(root)) },
      serviceStats: this.#stats(first, this.#scan.traceStart(trace + 1)),
      spansets: spansets.map(({ rows, matched, attributes }) => ({
        spans: rows.map((row) => this.#span(first + row)),
        matched,
        attributes,
      })),
    };
  }

  #serviceAt(row: number): string {
    return textOf(this.#service(row));
  }

  #stats(first: number, end: number): ServiceStats[] {
    const counts = new Map<string, { spanCount: number; errorCount: number }>();
    for (let row = first; row < end; row++) {
      const service = this.#serviceAt(row);
      const stats = counts.get(service) ?? { spanCount: 0, errorCount: 0 };
      stats.spanCount++;
      const status = this.#status(row);
      if (typeof status === "object" && "value" in status && status.value === "error") stats.errorCount++;
      counts.set(service, stats);
    }
    return [...counts]
      .map(([service, { spanCount, errorCount }]) => ({ service, spanCount, errorCount }))
      .toSorted((a, b) => compareText(a.service, b.service));
  }

  #span(row: number): ResultSpan {
    return {
      spanId: textOf(this.#id(row)),
      name: this.#isNamed ? textOf(this.#name(row)) : undefined,
      startNs: intOf(this.#start(row)),
      durationNs: intOf(this.#duration(row)),
      attributes: this.#shown.flatMap(({ mention, read }) => shownAttributes(mention, read(row))),
    };
  }
}
