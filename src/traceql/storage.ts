// What the engine asks of whatever holds spans: a block, a group of live segments, a table in memory.
//
// The rows of a source are spans in ascending order of trace id, within a trace in pre-order (block/FORMAT.md, "Rows"). A
// source is immutable, and spans that occur twice in it (same trace, span id, kind and content) are one row.

/** Types of attributes that have columns of their own. */
export const ATTRIBUTE_TYPES = ["string", "int", "double", "bool"] as const;
export type AttributeType = (typeof ATTRIBUTE_TYPES)[number];

/**
 * Columns that every source has. "n bytes" are fixed-width values, numbers among them little-endian.
 *
 * | column                    | values  | content                                                                      |
 * | ------------------------- | ------- | ---------------------------------------------------------------------------- |
 * | `name`                    | text    | no row without                                                               |
 * | `kind`, `status`          | 4 bytes | OTLP's number, as sent; no row without                                       |
 * | `statusMessage`           | text    | absent when empty                                                            |
 * | `start`                   | 8 bytes | ns since 1970, at most 2^63 - 1; no row without                              |
 * | `duration`                | 8 bytes | ns, 0 to 2^63 - 1; no row without                                            |
 * | `parentDistance`          | 4 bytes | this row's number less that of its parent; 0: no parent in this source       |
 * | `spanId`                  | 8 bytes | no row without                                                               |
 * | `parentSpanId`            | 8 bytes | absent: the span names no parent                                             |
 * | `resource`                | JSON    | object of the resource's attributes; no row without                          |
 * | `scope`                   | JSON    | `{"name", "version", "attributes"}`, the latter two optional; no row without |
 * | `events`                  | JSON    | list of `{"time_unix_nano", "name", "attributes"}`; absent when empty        |
 * | `links`                   | JSON    | list of `{"trace_id", "span_id", "attributes"}`, ids in hex; absent if empty |
 * | `rest`                    | JSON    | object of the span's attributes without a column; absent when empty          |
 *
 * Text is UTF-8. JSON is that of block/FORMAT.md, "JSON": a double has a fraction or an exponent, an int has neither.
 */
export type SpanColumn =
  | "name"
  | "kind"
  | "status"
  | "statusMessage"
  | "start"
  | "duration"
  | "parentDistance"
  | "spanId"
  | "parentSpanId"
  | "resource"
  | "scope"
  | "events"
  | "links"
  | "rest";

/** The column of a span attribute: `string:http.route`. Text; 8 bytes (`int` signed, `double`); bits (`bool`). */
export type AttributeColumn = `${AttributeType}:${string}`;

export type ColumnName = SpanColumn | AttributeColumn;

export function attributeColumn(key: string, type: AttributeType): AttributeColumn {
  return `${type}:${key}`;
}

/** Values by position. All arrays may be views of larger buffers, at any alignment. */
export type Values =
  /** Text, JSON. Value i is bytes [offsets[2 * i], offsets[2 * i + 1]); offsets ascend. */
  | {
      readonly kind: "bytes";
      readonly count: number;
      readonly bytes: Uint8Array;
      readonly offsets: Uint32Array;
    }
  /** Value i is bytes [width * i, width * (i + 1)). */
  | { readonly kind: "fixed"; readonly count: number; readonly bytes: Uint8Array; readonly width: number }
  /** Value i is bit i of byte i / 8, from the lowest. */
  | { readonly kind: "bits"; readonly count: number; readonly bytes: Uint8Array };

/** Codes into a dictionary. */
export type Codes = Uint8Array | Uint16Array | Uint32Array;

/** Rows [firstRow, firstRow + rowCount) of a column. */
export interface ColumnPage {
  readonly firstRow: number;
  readonly rowCount: number;
  /** Bit i of byte i / 8, from the lowest: row firstRow + i has a value; undefined when all have. */
  readonly present: Uint8Array | undefined;
  /** The values that are there, in row order: codes into the column's dictionary, or the values themselves. */
  readonly content:
    | { readonly kind: "codes"; readonly codes: Codes }
    | { readonly kind: "values"; readonly values: Values };
  /**
   * Gives the memory of the page back at once, when its arrays are not used any more; undefined: it is not its own. Left to
   * a collection, the pages of one query are hundreds of megabytes, and collecting them takes an eighth of its time.
   */
  readonly release?: (() => void) | undefined;
}

/**
 * What was found out about an immutable source, or a column of it, for later queries: the starts of its traces, what a
 * predicate says of values. It may be forgotten at any time.
 */
export interface Notes {
  get(name: string): Uint8Array | undefined;
  /** @param note not changed any more */
  set(name: string, note: Uint8Array): void;
}

/** A column that was loaded: bytes are at hand, decoding is done when asked for. */
export interface Column {
  /** Undefined: nothing would be kept. */
  readonly notes?: Notes | undefined;
  /** Values by code, in no order, maybe with equal ones; undefined when no page has codes. */
  readonly dictionary: Values | undefined;
  /** Pages before this one hold codes, it and those behind it values. */
  readonly codedPageCount: number;
  /**
   * Page `index` of the source's pages, decoded now or earlier. Its arrays stay as they are for as long as a caller
   * holds them; the source itself need not keep them, so that one page of a large column is in memory at a time.
   * @throws AppError `corrupt`
   */
  page(index: number): ColumnPage;
}

/** The traces of a source. */
export interface TraceTable {
  /** Ids in ascending order, 16 bytes each. */
  readonly ids: Uint8Array;
  /** First row of each trace, then the number of rows. */
  readonly firstRows: Uint32Array;
}

/** Unix nanoseconds over all rows of a source; equal to or wider than the truth. */
export interface SourceBounds {
  readonly minStartNs: bigint;
  readonly maxStartNs: bigint;
  readonly maxEndNs: bigint;
  readonly minDurationNs: bigint;
  readonly maxDurationNs: bigint;
}

/** A key and a type that occur on spans of a source. `other`: lists, maps, bytes, empty values. */
export interface AttributeKey {
  readonly key: string;
  readonly type: AttributeType | "other";
}

/** What is known of a source before any of its columns is read. Used to plan and to prune. */
export interface SpanSource {
  readonly rowCount: number;
  readonly bounds: SourceBounds;
  /** First row of each page, then the number of rows; the same for all columns. */
  readonly pageRows: Uint32Array;
  /** What earlier queries found out; undefined: nothing would be kept. */
  readonly notes?: Notes | undefined;
  /** Span attributes that have a column. A pair of key and type is here or in `rest`, never in both. */
  readonly columns: readonly (AttributeKey & { readonly type: AttributeType })[];
  /** Span attributes that are in the column `rest`. */
  readonly rest: readonly AttributeKey[];

  /** @throws AppError `corrupt`, `unavailable` */
  traces(): Promise<TraceTable>;

  /**
   * Fetches several columns at once, so that ranges next to each other are one read.
   * @param names each a SpanColumn or one of `columns`; no duplicates
   * @param rows ascending rows: pages without one of them are not asked for. Undefined: any may be. Without any row the
   *   columns only count as looked at
   * @returns the columns in the order of `names`
   * @throws AppError `corrupt`, `unavailable`
   */
  load(names: readonly ColumnName[], rows?: Uint32Array): Promise<readonly Column[]>;
}
