// Traces that several sources have parts of, kept for the next query over the same sources: which these are, in which order
// their rows stand, and the columns that were asked for so far.
import type { ColumnName, SpanSource, TraceTable } from "../../storage.ts";
import { mergeColumn, type MergedRows, mergeRows } from "./merge-tables.ts";
import type { SpanTable, TableColumn } from "./span-table.ts";
import { batchesOf, type ColumnsOf, gatherColumns, partColumns } from "./split-traces.ts";
import { TableSource } from "./table-source.ts";
import { findSplitTraces, findTrace } from "./trace-ids.ts";

/** What is kept of the sets of sources that were asked for last. */
export class SplitCache {
  readonly #maxBytes: number;
  /** The one that was used last comes first. */
  #sets: SplitSet[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get byteLength(): number {
    return this.#sets.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** The traces that more than one of the tables has. @param tables of sources, in their order */
  of(tables: readonly TraceTable[]): SplitSet {
    const set =
      this.#sets.find((known) => known.isOf(tables)) ?? new SplitSet(tables, (grown) => this.#trim(grown));
    this.#sets = [set, ...this.#sets.filter((known) => known !== set)];
    this.#trim(set);
    return set;
  }

  /** A set that finds no room goes on without columns of its own. */
  #trim(used: SplitSet): void {
    while (this.#sets.length > 0 && this.byteLength > this.#maxBytes) this.#sets.pop();
    if (!this.#sets.includes(used)) used.forgetColumns();
  }
}

/** The split traces of a set of sources. */
export class SplitSet {
  /** By source: 1 for each of its traces that another one has too; undefined: it has none of these. */
  readonly flags: readonly (Uint8Array | undefined)[];
  /** Such as have not too many rows to be in memory together. */
  readonly batches: readonly SplitBatch[];
  readonly #tables: readonly WeakRef<TraceTable>[];
  readonly #idBytes: number;

  constructor(tables: readonly TraceTable[], onGrown: (set: SplitSet) => void) {
    const { ids, flags } = findSplitTraces(tables.map((table) => table.ids));
    this.flags = flags;
    this.batches = batchesOf(ids, tables).map((batch) => new SplitBatch(batch, () => onGrown(this)));
    this.#tables = tables.map((table) => new WeakRef(table));
    this.#idBytes = ID_HEAP_BYTES * (ids.length / 16);
  }

  isOf(tables: readonly TraceTable[]): boolean {
    return (
      tables.length === this.#tables.length && tables.every((table, i) => this.#tables[i]?.deref() === table)
    );
  }

  forgetColumns(): void {
    for (const batch of this.batches) batch.forgetColumns();
  }

  get byteLength(): number {
    const flagBytes = this.flags.reduce((sum, flags) => sum + (flags?.length ?? 0), 0);
    const batchBytes = this.batches.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return flagBytes + batchBytes + this.#idBytes;
  }
}

/** Heap of an id as text. */
const ID_HEAP_BYTES = 56;

/** Some of the split traces of a set of sources. */
export class SplitBatch {
  /** 32 hex digits each, ascending. */
  readonly ids: readonly string[];
  readonly #onGrown: () => void;
  #merged: MergedRows | undefined;
  /** Places of the sources that have any of the traces. */
  #holders: ReadonlySet<number> | undefined;
  /** By name and sources that were asked for it: what others have of it is not known. */
  readonly #columns = new Map<string, TableColumn>();
  #columnBytes = 0;

  constructor(ids: readonly string[], onGrown: () => void) {
    this.ids = ids;
    this.#onGrown = onGrown;
  }

  get byteLength(): number {
    return this.#columnBytes + (this.#merged === undefined ? 0 : 16 * this.#merged.rowCount);
  }

  /** The traces, whole, as a source. @param sources those whose tables the set was made of, in the same order */
  async gather(sources: readonly SpanSource[], columnsOf: ColumnsOf): Promise<TableSource> {
    this.#holders ??= await placesWith(sources, this.ids);
    const wanted = wantedColumns(sources, this.#holders, columnsOf);
    const missing = [...wanted].filter(([key]) => this.#merged === undefined || !this.#columns.has(key));
    const parts: (SpanTable | undefined)[] = sources.map(() => undefined);
    // The first comes last: its columns are then still at hand when what was found is shown, and it has the newest traces.
    for (const [index, source] of [...sources.entries()].toReversed()) {
      const names = missing.flatMap(([, { name, places }]) => (places.includes(index) ? [name] : []));
      if (names.length > 0) parts[index] = await gatherColumns(source, this.ids, names);
      // What is known already is looked at as well: a source counts what it is asked for.
      const all = [...wanted.values()].filter(({ places }) => places.includes(index));
      await source.load(
        all.map(({ name }) => name),
        NO_ROWS,
      );
    }
    const tables = parts.map((part) => part ?? NOTHING);
    const merged = (this.#merged ??= mergeRows(tables));
    for (const [key, { name }] of missing) this.#keep(key, mergeColumn(tables, name, merged));
    const columns = [...wanted.keys()].flatMap((key) => this.#columns.get(key) ?? []);
    this.#onGrown();
    const { rowCount, ids, firstRows } = merged;
    const rest = sources.flatMap((source, index) => (this.#holders?.has(index) === true ? source.rest : []));
    return new TableSource({ rowCount, ids, firstRows, columns, rest });
  }

  forgetColumns(): void {
    this.#merged = undefined;
    this.#columns.clear();
    this.#columnBytes = 0;
  }

  #keep(key: string, column: TableColumn): void {
    this.#columns.set(key, column);
    const { dictionary, codes } = column;
    const offsetBytes = dictionary.kind === "bytes" ? dictionary.offsets.byteLength : 0;
    this.#columnBytes += codes.byteLength + dictionary.bytes.length + offsetBytes;
  }
}

const NO_ROWS = new Uint32Array(0);

const NOTHING: SpanTable = {
  rowCount: 0,
  ids: new Uint8Array(0),
  firstRows: new Uint32Array(1),
  columns: [],
  rest: [],
};

async function placesWith(sources: readonly SpanSource[], ids: readonly string[]): Promise<Set<number>> {
  const places = new Set<number>();
  for (const [index, source] of sources.entries()) {
    const table = await source.traces();
    if (ids.some((id) => findTrace(table.ids, id) >= 0)) places.add(index);
  }
  return places;
}

interface WantedColumn {
  readonly name: ColumnName;
  /** The sources that are asked for it. */
  readonly places: number[];
}

/** By what tells them apart. */
function wantedColumns(
  sources: readonly SpanSource[],
  places: ReadonlySet<number>,
  columnsOf: ColumnsOf,
): Map<string, WantedColumn> {
  const byName = new Map<ColumnName, WantedColumn>();
  sources.forEach((source, index) => {
    if (!places.has(index)) return;
    for (const name of partColumns(source, columnsOf)) {
      const known = byName.get(name);
      if (known === undefined) byName.set(name, { name, places: [index] });
      else known.places.push(index);
    }
  });
  return new Map([...byName.values()].map((column) => [`${column.places.join(",")} ${column.name}`, column]));
}
