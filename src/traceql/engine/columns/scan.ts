// One source while a query runs over it: the columns that were loaded, and what follows from them for every row.
import type { Codes, Column, ColumnName, SpanSource, TraceTable } from "../../storage.ts";
import { wordsOf } from "./decode.ts";

/** No row, no parent. */
export const NONE = -1;

export class Scan {
  readonly source: SpanSource;
  readonly traces: TraceTable;
  readonly rowCount: number;
  readonly pageCount: number;
  readonly #columns = new Map<ColumnName, Column>();
  readonly #derived = new Map<string, Column>();
  #traceOfRow: Uint32Array | undefined;
  #parents: Int32Array | undefined;
  #isRoot: Uint8Array | undefined;

  /** @param columns by place in `names` */
  constructor(
    source: SpanSource,
    traces: TraceTable,
    names: readonly ColumnName[],
    columns: readonly Column[],
  ) {
    this.source = source;
    this.traces = traces;
    this.rowCount = source.rowCount;
    this.pageCount = source.pageRows.length - 1;
    this.#add(names, columns);
  }

  get traceCount(): number {
    return this.traces.firstRows.length - 1;
  }

  /** First row of page or trace `index`; that of the one behind the last is the number of rows. */
  pageStart(index: number): number {
    return this.source.pageRows[index] ?? this.rowCount;
  }

  traceStart(index: number): number {
    return this.traces.firstRows[index] ?? this.rowCount;
  }

  /** The page that holds the row; `near`: where it may be. */
  pageOf(row: number, near: number): number {
    let index = near;
    while (index > 0 && this.pageStart(index) > row) index--;
    while (this.pageStart(index + 1) <= row) index++;
    return index;
  }

  /** The trace that the row belongs to. */
  traceAt(row: number): number {
    const { firstRows } = this.traces;
    let low = 0;
    let high = this.traceCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((firstRows[middle] ?? 0) <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #add(names: readonly ColumnName[], columns: readonly Column[]): void {
    names.forEach((name, index) => {
      const column = columns[index];
      if (column !== undefined) this.#columns.set(name, column);
    });
  }

  #missing(names: readonly ColumnName[]): ColumnName[] {
    return names.filter((name) => !this.#columns.has(name));
  }

  /** Loads those of the columns that are not there yet, with one call. */
  async load(names: readonly ColumnName[]): Promise<void> {
    const missing = this.#missing(names);
    if (missing.length > 0) this.#add(missing, await this.source.load(missing));
  }

  /** Counts those of the columns as looked at that were not loaded: what is asked of a source says so whatever is noted. */
  async count(names: readonly ColumnName[]): Promise<void> {
    const missing = this.#missing(names);
    if (missing.length > 0) await this.source.load(missing, NO_ROWS);
  }

  /** A column that was loaded. */
  column(name: ColumnName): Column {
    const column = this.#columns.get(name);
    if (column === undefined) throw new Error(`column ${name} was not loaded`);
    return column;
  }

  /** The column that `make` derives from others, made once. */
  derived(name: string, make: () => Column): Column {
    let column = this.#derived.get(name);
    if (column === undefined) {
      column = make();
      this.#derived.set(name, column);
    }
    return column;
  }

  /** Number of the trace of each row. */
  get traceOfRow(): Uint32Array {
    this.#traceOfRow ??= this.#fillTraces();
    return this.#traceOfRow;
  }

  #fillTraces(): Uint32Array {
    const traces = new Uint32Array(this.rowCount);
    for (let trace = 0; trace < this.traceCount; trace++) {
      const end = this.traceStart(trace + 1);
      for (let row = this.traceStart(trace); row < end; row++) traces[row] = trace;
    }
    return traces;
  }

  /** Row of each row's parent, or NONE. From `parentDistance`. */
  get parents(): Int32Array {
    this.#parents ??= this.#fillParents();
    return this.#parents;
  }

  #fillParents(): Int32Array {
    const column = this.column("parentDistance");
    const dictionary = column.dictionary && wordsOf(column.dictionary);
    const parents = new Int32Array(this.rowCount);
    for (let index = 0; index < this.pageCount; index++) {
      const { firstRow, rowCount, content } = column.page(index);
      if (content.kind === "values") {
        placeParents(wordsOf(content.values), firstRow, parents.subarray(firstRow, firstRow + rowCount));
        continue;
      }
      const { codes } = content;
      const distances = new Uint32Array(rowCount);
      if (dictionary !== undefined) {
        for (let i = 0; i < rowCount; i++) distances[i] = dictionary[codes[i] ?? 0] ?? 0;
      }
      placeParents(distances, firstRow, parents.subarray(firstRow, firstRow + rowCount));
    }
    return parents;
  }

  /** Finds the parents of some rows: where these are few, and ascend, in a fraction of the time that `parents` takes. */
  parentReader(): (row: number) => number {
    const parents = this.#parents;
    if (parents !== undefined) return (row) => parents[row] ?? NONE;
    const column = this.column("parentDistance");
    const dictionary = column.dictionary && wordsOf(column.dictionary);
    let page = 0;
    let firstRow = 0;
    let distances: Uint32Array | Codes = NO_DISTANCES;
    let isCoded = false;
    return (row) => {
      if (row < firstRow || row >= firstRow + distances.length) {
        page = this.pageOf(row, page);
        const { content } = column.page(page);
        firstRow = this.pageStart(page);
        isCoded = content.kind === "codes";
        distances = content.kind === "codes" ? content.codes : wordsOf(content.values);
      }
      const stored = distances[row - firstRow] ?? 0;
      const distance = (isCoded ? (dictionary?.[stored] ?? 0) : stored) | 0;
      // What a damaged column says of rows before the first one is not believed.
      return distance > 0 && distance <= row ? row - distance : NONE;
    };
  }

  /** 1 for each row without parent that names none. From `parentDistance` and `parentSpanId`. */
  get isRoot(): Uint8Array {
    this.#isRoot ??= this.#fillRoots();
    return this.#isRoot;
  }

  #fillRoots(): Uint8Array {
    const column = this.column("parentSpanId");
    const { parents } = this;
    const isRoot = new Uint8Array(this.rowCount);
    for (let index = 0; index < this.pageCount; index++) {
      const { firstRow, rowCount, present } = column.page(index);
      if (present === undefined) continue;
      for (let i = 0; i < rowCount; i++) {
        const names = ((present[i >>> 3] ?? 0) >>> (i & 7)) & 1;
        if (names === 0 && parents[firstRow + i] === NONE) isRoot[firstRow + i] = 1;
      }
    }
    return isRoot;
  }

  /** The first root of the trace, or NONE. */
  rootOf(trace: number): number {
    const end = this.traceStart(trace + 1);
    const row = this.isRoot.indexOf(1, this.traceStart(trace));
    return row >= 0 && row < end ? row : NONE;
  }
}

const NO_DISTANCES = new Uint32Array(0);

/** Without branches: which spans have a parent is nothing that a processor foresees. */
function placeParents(distances: Uint32Array, firstRow: number, parents: Int32Array): void {
  for (let i = 0; i < parents.length; i++) {
    const distance = (distances[i] ?? 0) | 0;
    // -1, which is NONE, when the distance is 0 or beyond 2^31 ...
    const parent = (firstRow + i - distance) | ((distance - 1) >> 31);
    // ... or more than there are rows: what a damaged column says of them is not believed.
    parents[i] = parent | (parent >> 31);
  }
}

const NO_ROWS = new Uint32Array(0);

/**
 * Loads columns of a source with one call.
 * @param names no duplicates
 * @param rows ascending rows, if only pages with these will be looked at
 */
export async function openScan(
  source: SpanSource,
  names: readonly ColumnName[],
  rows?: Uint32Array,
): Promise<Scan> {
  // In one turn, so that a source may read both at once.
  const [traces, columns] = await Promise.all([source.traces(), source.load(names, rows)]);
  return new Scan(source, traces, names, columns);
}
