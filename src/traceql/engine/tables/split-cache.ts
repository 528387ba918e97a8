// Traces that several sources have parts of, kept for the next query over the same sources: which these are, in which order
// their rows stand, and the columns that were asked for so far.
import type { AttributeKey, ColumnName, SpanSource, TraceTable } from "../../storage.ts";
import { findTrace } from "./trace-ids.ts";
import { IDENTITY_COLUMNS, mergeColumn, type MergedRows, mergeRows, mergeTables } from "./merge-tables.ts";
import { type SpanTable, type TableColumn, tableBytes, withoutTraces } from "./span-table.ts";
import {
  batchEnds,
  type ChosenParts,
  type ColumnsOf,
  gatherColumns,
  partColumns,
  partsAt,
  partsBetween,
  type SplitTraces,
  splitTraces,
} from "./split-traces.ts";
import { TableSource } from "./table-source.ts";

/** Columns of some traces of a source. */
export interface WantedPart extends ChosenParts {
  readonly names: readonly ColumnName[];
}

/** Takes them out of their sources. @returns in the order of `wanted` */
export type ReadParts = (wanted: readonly WantedPart[]) => Promise<readonly SpanTable[]>;

/** The columns of a source, by its number, that a query needs. */
export type NamesOf = (source: number) => readonly ColumnName[];

interface Kept {
  readonly set: SplitSet;
  /** What the sources are called, */
  readonly key: string;
  /** or which ones they are. */
  readonly tables: readonly WeakRef<TraceTable>[];
}

/** What is kept of the sets of sources that were asked for last. */
export class SplitCache {
  readonly #maxBytes: number;
  /** The one that was used last comes first. */
  #kept: Kept[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get byteLength(): number {
    return this.#kept.reduce((sum, { set, key }) => sum + set.byteLength + key.length, 0);
  }

  /** The traces that more than one of the tables has. @param tables of sources, in their order */
  of(tables: readonly TraceTable[]): SourceSplits {
    const known = this.#use((kept) => kept.key === "" && isOf(kept.tables, tables));
    const set = known ?? this.#add("", tables, splitOf(tables));
    return new SourceSplits(set, tables);
  }

  /** What is known of sources that are called so. @param key not empty */
  known(key: string): SplitSet | undefined {
    return this.#use((kept) => kept.key === key);
  }

  /** @param key not empty; says of what sources, in their order, the traces are: these never change */
  keep(key: string, traces: SplitTraces): SplitSet {
    return this.#add(key, [], traces);
  }

  #use(isWanted: (kept: Kept) => boolean): SplitSet | undefined {
    const known = this.#kept.find(isWanted);
    if (known === undefined) return undefined;
    this.#kept = [known, ...this.#kept.filter((kept) => kept !== known)];
    return known.set;
  }

  #add(key: string, tables: readonly TraceTable[], traces: SplitTraces): SplitSet {
    const set = new SplitSet(traces, (batch) => this.#trim(set, batch));
    const refs = tables.map((table) => new WeakRef(table));
    // Two queries may have found it out at the same time.
    const others = this.#kept.filter((kept) => key === "" || kept.key !== key);
    this.#kept = [{ set, key, tables: refs }, ...others];
    this.#trim(set);
    return set;
  }

  /** Other sets go first, then what has just come: so of a set that is too large a part stays, and is found again. */
  #trim(used: SplitSet, grown?: SplitBatch): void {
    const isTooMuch = (): boolean => this.byteLength > this.#maxBytes;
    while (isTooMuch() && this.#kept.length > 1) {
      const last = this.#kept.findLastIndex(({ set }) => set !== used);
      for (const { set } of this.#kept.splice(last, 1)) set.forgetColumns();
    }
    if (isTooMuch()) grown?.forgetColumns();
    if (isTooMuch()) this.#kept = [];
    if (!this.#kept.some(({ set }) => set === used)) used.forgetColumns();
  }
}

function isOf(known: readonly WeakRef<TraceTable>[], tables: readonly TraceTable[]): boolean {
  return tables.length === known.length && tables.every((table, i) => known[i]?.deref() === table);
}

function splitOf(tables: readonly TraceTable[]): SplitTraces {
  return splitTraces(
    tables.map(({ ids }) => ids),
    (list, trace) => {
      const firstRows = tables[list]?.firstRows;
      return { trace, rows: (firstRows?.[trace + 1] ?? 0) - (firstRows?.[trace] ?? 0) };
    },
  );
}

/** The split traces of a set of sources. */
export class SplitSet {
  readonly traces: SplitTraces;
  /** Such as have not too many rows to be in memory together. */
  readonly batches: readonly SplitBatch[];

  constructor(traces: SplitTraces, onGrown: (batch: SplitBatch) => void = () => undefined) {
    this.traces = traces;
    const ends = batchEnds(traces);
    this.batches = ends.map((end, i) => new SplitBatch(traces, ends[i - 1] ?? 0, end, onGrown));
  }

  get byteLength(): number {
    const { ids, rows, parts } = this.traces;
    const partBytes = parts.reduce((sum, { places }) => sum + 2 * places.byteLength, 0);
    const batchBytes = this.batches.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return ids.length + rows.byteLength + partBytes + batchBytes;
  }

  /** Some of the traces, whole, as a source: a few that are shown, of which nothing is kept. @param traceIds of the set */
  async show(traceIds: readonly string[], namesOf: NamesOf, read: ReadParts): Promise<TableSource> {
    const wanted = new Set(traceIds.map((id) => findTrace(this.traces.ids, id)));
    const parts = partsAt(this.traces, wanted);
    const tables = await read(
      parts.map(({ source, traces }) => ({
        source,
        traces,
        names: [...new Set([...IDENTITY_COLUMNS, ...namesOf(source)])],
      })),
    );
    const names = new Set(tables.flatMap(({ columns }) => columns.map(({ name }) => name)));
    return new TableSource(mergeTables(tables, [...names.add("parentDistance")]));
  }

  forgetColumns(): void {
    for (const batch of this.batches) batch.forgetColumns();
  }
}

/** Some of the split traces of a set of sources. */
export class SplitBatch {
  readonly #traces: SplitTraces;
  readonly #first: number;
  readonly #end: number;
  readonly #onGrown: (batch: SplitBatch) => void;
  #merged: MergedRows | undefined;
  #rest: readonly AttributeKey[] = [];
  /** By name and sources that were asked for it: what others have of it is not known. */
  readonly #columns = new Map<string, TableColumn>();

  /** @param first place of its first trace in the list @param end place behind its last */
  constructor(traces: SplitTraces, first: number, end: number, onGrown: (batch: SplitBatch) => void) {
    this.#traces = traces;
    this.#first = first;
    this.#end = end;
    this.#onGrown = onGrown;
  }

  get byteLength(): number {
    if (this.#merged === undefined) return 0;
    const { ids, firstRows, tables, rows, distances } = this.#merged;
    const arrays = [ids, firstRows, tables, rows, distances];
    return (
      arrays.reduce((sum, { byteLength }) => sum + byteLength, 0) +
      KEY_HEAP_BYTES * this.#rest.length +
      tableBytes([...this.#columns.values()])
    );
  }

  /** Rows of all parts. */
  get rows(): number {
    return this.#traces.rows.subarray(this.#first, this.#end).reduce((sum, rows) => sum + rows, 0);
  }

  /** The traces in two batches of which nothing is kept; empty: there is one trace only. */
  halves(): readonly SplitBatch[] {
    const middle = (this.#first + this.#end) >>> 1;
    if (middle === this.#first) return [];
    const half = (first: number, end: number) =>
      new SplitBatch(this.#traces, first, end, (batch) => batch.forgetColumns());
    return [half(this.#first, middle), half(middle, this.#end)];
  }

  /**
   * The traces, whole, as a source.
   * @param namesOf what the query needs; of a source that a column is not asked of it is as if it had no value
   * @param leftOut by place in the set's list: 1 for each trace that is not wanted; undefined: all are
   */
  async gather(namesOf: NamesOf, read: ReadParts, leftOut?: Uint8Array): Promise<TableSource> {
    const parts = partsBetween(this.#traces, this.#first, this.#end);
    // What is known now is known to the end: it may be forgotten while others are waited for.
    const known = this.#merged;
    const columns = new Map(this.#columns);
    const wanted = wantedColumns(parts, namesOf);
    const missing = [...wanted].filter(([key]) => known === undefined || !columns.has(key));
    const tables = await readTables(parts, missing, read, known === undefined ? IDENTITY_COLUMNS : []);
    const merged = known ?? mergeRows(tables);
    if (known === undefined) this.#rest = distinctKeys(tables);
    for (const [key, { name }] of missing) columns.set(key, mergeColumn(tables, name, merged));
    const rest = this.#rest;
    this.#keep(merged, columns);
    const table: SpanTable = {
      rowCount: merged.rowCount,
      ids: merged.ids,
      firstRows: merged.firstRows,
      columns: [
        mergeColumn(tables, "parentDistance", merged),
        ...[...wanted.keys()].flatMap((key) => columns.get(key) ?? []),
      ],
      rest,
    };
    const own = leftOut?.subarray(this.#first, this.#end);
    return new TableSource(own?.includes(1) === true ? withoutTraces(table, own) : table);
  }

  forgetColumns(): void {
    this.#merged = undefined;
    this.#columns.clear();
  }

  #keep(merged: MergedRows, columns: ReadonlyMap<string, TableColumn>): void {
    this.#merged = merged;
    for (const [key, column] of columns) this.#columns.set(key, column);
    this.#onGrown(this);
  }
}

/** Heap of a key of an attribute, about. */
const KEY_HEAP_BYTES = 64;

/** By part: its missing columns. */
async function readTables(
  parts: readonly ChosenParts[],
  missing: readonly (readonly [string, WantedColumn])[],
  read: ReadParts,
  more: readonly ColumnName[],
): Promise<SpanTable[]> {
  const asked = parts.flatMap((part, place) => {
    const own = missing.flatMap(([, { name, sources }]) => (sources.has(part.source) ? [name] : []));
    const names = [...new Set([...more, ...own])];
    return names.length === 0 ? [] : [{ place, part: { ...part, names } }];
  });
  const came = asked.length === 0 ? [] : await read(asked.map(({ part }) => part));
  const tables = parts.map(() => NOTHING);
  asked.forEach(({ place }, i) => (tables[place] = came[i] ?? NOTHING));
  return tables;
}

const NOTHING: SpanTable = {
  rowCount: 0,
  ids: new Uint8Array(0),
  firstRows: new Uint32Array(1),
  columns: [],
  rest: [],
};

function distinctKeys(tables: readonly SpanTable[]): AttributeKey[] {
  const keys = tables.flatMap(({ rest }) => rest);
  return [...new Map(keys.map((each) => [`${each.type} ${each.key}`, each])).values()];
}

interface WantedColumn {
  readonly name: ColumnName;
  /** The sources that are asked for it. */
  readonly sources: ReadonlySet<number>;
}

/** By what tells them apart. Where rows have their parents follows from the order of rows. */
function wantedColumns(parts: readonly ChosenParts[], namesOf: NamesOf): Map<string, WantedColumn> {
  const byName = new Map<ColumnName, Set<number>>();
  for (const { source } of parts) {
    for (const name of new Set(namesOf(source))) {
      if (name === "parentDistance") continue;
      const sources = byName.get(name) ?? new Set();
      byName.set(name, sources.add(source));
    }
  }
  const all = parts.map(({ source }) => source).join();
  return new Map(
    [...byName].map(([name, sources]) => {
      const of = sources.size === parts.length ? all : [...sources].join();
      return [`${of} ${name}`, { name, sources }];
    }),
  );
}

const NO_ROWS = new Uint32Array(0);

/** The split traces of sources that are at hand. */
export class SourceSplits {
  /** By source: 1 for each of its traces that another one has too; undefined: it has none of these. */
  readonly flags: readonly (Uint8Array | undefined)[];
  readonly batches: readonly SourceBatch[];
  readonly #set: SplitSet;

  constructor(set: SplitSet, tables: readonly TraceTable[]) {
    this.#set = set;
    this.flags = set.traces.parts.map(({ traces }, i) =>
      flagsOf(traces, (tables[i]?.firstRows.length ?? 1) - 1),
    );
    this.batches = set.batches.map((batch) => new SourceBatch(set.traces, batch));
  }

  /** Some of the traces, whole: a few that are shown. */
  show(
    sources: readonly SpanSource[],
    traceIds: readonly string[],
    columnsOf: ColumnsOf,
  ): Promise<TableSource> {
    return this.#set.show(traceIds, namesIn(sources, columnsOf), readerOf(sources));
  }
}

export class SourceBatch {
  readonly #traces: SplitTraces;
  readonly #batch: SplitBatch;

  constructor(traces: SplitTraces, batch: SplitBatch) {
    this.#traces = traces;
    this.#batch = batch;
  }

  /**
   * The traces, whole, as a source.
   * @param sources those whose tables the set was made of, in the same order
   * @param beside called with each source before it is read, if it is: what is read for both is read once
   */
  async gather(sources: readonly SpanSource[], columnsOf: ColumnsOf, beside?: Beside): Promise<TableSource> {
    const whole = await this.#batch.gather(namesIn(sources, columnsOf), readerOf(sources, beside));
    // What is known already is looked at as well: a source counts what it is asked for.
    for (const [index, { traces }] of this.#traces.parts.entries()) {
      const source = traces.length > 0 ? sources[index] : undefined;
      if (source !== undefined) await source.load(partColumns(source, columnsOf), NO_ROWS);
    }
    return whole;
  }
}

/** 1 for each of these traces among so many; undefined: there is none. */
export function flagsOf(traces: Uint32Array, count: number): Uint8Array | undefined {
  if (traces.length === 0) return undefined;
  const flags = new Uint8Array(count);
  for (const trace of traces) flags[trace] = 1;
  return flags;
}

function namesIn(sources: readonly SpanSource[], columnsOf: ColumnsOf): NamesOf {
  return (index) => {
    const source = sources[index];
    return source === undefined ? [] : columnsOf(source);
  };
}

/** What else is done with a source. */
export type Beside = (source: SpanSource) => Promise<void>;

function readerOf(sources: readonly SpanSource[], beside?: Beside): ReadParts {
  return async (wanted) => {
    const tables: SpanTable[] = [];
    // The first comes last: its columns are then still at hand when what was found is shown, and it has the newest traces.
    for (const [at, { source: index, traces, names }] of [...wanted.entries()].toReversed()) {
      const source = sources[index];
      if (source === undefined) continue;
      await beside?.(source);
      tables[at] = await gatherColumns(source, traces, names);
    }
    return tables;
  };
}
