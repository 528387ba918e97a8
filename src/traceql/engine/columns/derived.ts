// Columns that no source has: what follows for each row from the columns of its whole trace.
import type { Column, ColumnName, ColumnPage, Values } from "../../storage.ts";
import { MemberName } from "./json.ts";
import { rowDecoder } from "./row-decoder.ts";
import { NONE, type Scan } from "./scan.ts";
import { traceTimes, wordsToBigInt } from "./times.ts";
import { childCounts, nestedSet } from "./tree.ts";
import { isList } from "./value.ts";

export type DerivedColumn =
  | "traceId"
  | "traceDuration"
  | "rootName"
  | "rootServiceName"
  | "childCount"
  | "nestedSetLeft"
  | "nestedSetRight"
  | "nestedSetParent"
  | "timeSinceStart";

const SOURCES: Readonly<Record<DerivedColumn, readonly ColumnName[]>> = {
  traceId: [],
  traceDuration: ["start", "duration"],
  rootName: ["parentDistance", "parentSpanId", "name"],
  rootServiceName: ["parentDistance", "parentSpanId", "resource"],
  childCount: ["parentDistance"],
  nestedSetLeft: ["parentDistance", "parentSpanId"],
  nestedSetRight: ["parentDistance", "parentSpanId"],
  nestedSetParent: ["parentDistance", "parentSpanId"],
  timeSinceStart: ["events", "start"],
};

function isDerived(column: ColumnName | DerivedColumn): column is DerivedColumn {
  return Object.hasOwn(SOURCES, column);
}

/** The source's columns that `column` is, or is made of. */
export function derivedFrom(column: ColumnName | DerivedColumn): readonly ColumnName[] {
  return isDerived(column) ? SOURCES[column] : [column];
}

export function deriveColumn(scan: Scan, column: ColumnName | DerivedColumn): Column {
  return isDerived(column) ? scan.derived(column, () => MAKERS[column](scan)) : scan.column(column);
}

const MAKERS: Readonly<Record<DerivedColumn, (scan: Scan) => Column>> = {
  traceId: (scan) => ofTraces(scan, fixed(scan.traces.ids, 16)),
  traceDuration: (scan) => ofTraces(scan, fixed(traceDurations(scan), 8)),
  rootName: (scan) =>
    ofRoots(scan, rowDecoder(scan, { column: scan.column("name"), codec: { kind: "text" } })),
  rootServiceName: (scan) => {
    const path = [new MemberName("service.name")];
    const codec = { kind: "json", path, absent: undefined } as const;
    return ofRoots(scan, rowDecoder(scan, { column: scan.column("resource"), codec }));
  },
  childCount: (scan) => ofRows(scan, childCounts(scan)),
  nestedSetLeft: (scan) => ofRows(scan, nestedSet(scan).left),
  nestedSetRight: (scan) => ofRows(scan, nestedSet(scan).right),
  nestedSetParent: (scan) => ofRows(scan, nestedSet(scan).parent),
  timeSinceStart: (scan) => eventTimes(scan),
};

function fixed(bytes: Uint8Array, width: number): Values {
  return { kind: "fixed", count: bytes.length / width, bytes, width };
}

/** A column of one int for each row. */
function ofRows(scan: Scan, values: Int32Array): Column {
  return {
    dictionary: undefined,
    codedPageCount: 0,
    page: (index) => {
      const firstRow = scan.pageStart(index);
      const rows = values.subarray(firstRow, scan.pageStart(index + 1));
      const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
      return page(firstRow, rows.length, { kind: "values", values: fixed(bytes, 4) });
    },
  };
}

function page(
  firstRow: number,
  rowCount: number,
  content: ColumnPage["content"],
  present?: Uint8Array,
): ColumnPage {
  return { firstRow, rowCount, present, content };
}

/** A column whose rows have the value of their trace. `has`: which traces have one; undefined: all. */
function ofTraces(scan: Scan, dictionary: Values, has?: Uint8Array): Column {
  return {
    dictionary,
    codedPageCount: scan.pageCount,
    page: (index) => {
      const firstRow = scan.pageStart(index);
      const traces = scan.traceOfRow.subarray(firstRow, scan.pageStart(index + 1));
      if (has === undefined) return page(firstRow, traces.length, { kind: "codes", codes: traces });
      const present = new Uint8Array((traces.length + 7) >>> 3);
      const codes = new Uint32Array(traces.length);
      let count = 0;
      for (let i = 0; i < traces.length; i++) {
        const trace = traces[i] ?? 0;
        if (has[trace] !== 1) continue;
        present[i >>> 3] = (present[i >>> 3] ?? 0) | (1 << (i & 7));
        codes[count++] = trace;
      }
      const content = { kind: "codes", codes: codes.subarray(0, count) } as const;
      return page(firstRow, traces.length, content, present);
    },
  };
}

/** Text values one behind the other. */
export function textValues(texts: readonly string[]): Values {
  const encoder = new TextEncoder();
  const parts = texts.map((text) => encoder.encode(text));
  const offsets = new Uint32Array(2 * parts.length);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  parts.forEach((part, index) => {
    bytes.set(part, at);
    offsets[2 * index] = at;
    at += part.length;
    offsets[2 * index + 1] = at;
  });
  return { kind: "bytes", count: parts.length, bytes, offsets };
}

function ofRoots(scan: Scan, valueAt: (row: number) => unknown): Column {
  const has = new Uint8Array(scan.traceCount);
  const texts: string[] = [];
  for (let trace = 0; trace < scan.traceCount; trace++) {
    const root = scan.rootOf(trace);
    const value = root === NONE ? "" : valueAt(root);
    has[trace] = root === NONE ? 0 : 1;
    texts.push(typeof value === "string" ? value : "");
  }
  return ofTraces(scan, textValues(texts), has);
}

function traceDurations(scan: Scan): Uint8Array {
  const durations = new BigInt64Array(scan.traceCount);
  const { starts, ends } = traceTimes(scan);
  for (let trace = 0; trace < scan.traceCount; trace++) {
    durations[trace] = wordsToBigInt(ends, trace) - wordsToBigInt(starts, trace);
  }
  return new Uint8Array(durations.buffer);
}

/** Lists of the times of events less the start of their span. */
function eventTimes(scan: Scan): Column {
  const path = [new MemberName("time_unix_nano")];
  const codec = { kind: "json", path, many: "all", absent: undefined } as const;
  const events = scan.column("events");
  const timesAt = rowDecoder(scan, { column: events, codec });
  const startAt = rowDecoder(scan, { column: scan.column("start"), codec: { kind: "int" } });
  return {
    dictionary: undefined,
    codedPageCount: 0,
    page: (index) => {
      const { firstRow, rowCount, present } = events.page(index);
      const texts: string[] = [];
      for (let row = firstRow; row < firstRow + rowCount; row++) {
        const times = timesAt(row);
        const start = startAt(row);
        if (!isList(times) || typeof start !== "bigint") continue;
        texts.push(
          `[${times.map((time) => String(typeof time === "bigint" ? time - start : 0n)).join(",")}]`,
        );
      }
      return page(firstRow, rowCount, { kind: "values", values: textValues(texts) }, present);
    },
  };
}
