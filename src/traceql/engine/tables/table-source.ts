// A table as a source.
import {
  type AttributeKey,
  ATTRIBUTE_TYPES,
  type AttributeType,
  type Column,
  type ColumnName,
  type SourceBounds,
  type SpanSource,
  type TraceTable,
} from "../../storage.ts";
import type { SpanTable, TableColumn } from "./span-table.ts";

const TIME_MAX = 2n ** 63n - 1n;

/** Nothing is pruned of what is in memory. */
const BOUNDS: SourceBounds = {
  minStartNs: 0n,
  maxStartNs: TIME_MAX,
  maxEndNs: 2n * TIME_MAX,
  minDurationNs: 0n,
  maxDurationNs: TIME_MAX,
};

export class TableSource implements SpanSource {
  readonly rowCount: number;
  readonly bounds = BOUNDS;
  readonly pageRows: Uint32Array;
  readonly columns: readonly (AttributeKey & { readonly type: AttributeType })[];
  readonly rest: readonly AttributeKey[];
  readonly #table: SpanTable;
  readonly #byName: ReadonlyMap<ColumnName, TableColumn>;

  constructor(table: SpanTable) {
    this.#table = table;
    this.#byName = new Map(table.columns.map((column) => [column.name, column]));
    this.rowCount = table.rowCount;
    this.pageRows = Uint32Array.of(0, table.rowCount);
    this.columns = table.columns.flatMap(({ name }) => attributeOf(name));
    this.rest = table.rest;
  }

  async traces(): Promise<TraceTable> {
    return this.#table;
  }

  async load(names: readonly ColumnName[]): Promise<readonly Column[]> {
    return names.map((name) => {
      const column = this.#byName.get(name);
      if (column === undefined) throw new Error(`the table has no column ${name}`);
      return asColumn(column);
    });
  }
}

function attributeOf(name: ColumnName): { key: string; type: AttributeType }[] {
  const at = name.indexOf(":");
  const type = ATTRIBUTE_TYPES.find((each) => each === name.slice(0, Math.max(at, 0)));
  return type === undefined ? [] : [{ key: name.slice(at + 1), type }];
}

function asColumn({ dictionary, codes: rows }: TableColumn): Column {
  const hasGaps = rows.includes(0);
  const present = hasGaps ? new Uint8Array((rows.length + 7) >>> 3) : undefined;
  if (present !== undefined) {
    rows.forEach((code, row) => {
      if (code > 0) present[row >>> 3] = (present[row >>> 3] ?? 0) | (1 << (row & 7));
    });
  }
  const codes = (hasGaps ? rows.filter((code) => code > 0) : rows).map((code) => code - 1);
  const page = { firstRow: 0, rowCount: rows.length, present, content: { kind: "codes", codes } } as const;
  return { dictionary, codedPageCount: 1, page: () => page };
}
