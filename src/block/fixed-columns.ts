// The columns that every block has. FORMAT.md, "Columns", says what they hold.
import {
  BytesColumn,
  type ColumnContext,
  FixedColumn,
  OrdinalColumn,
  TimeColumn,
  WordColumn,
} from "./column.ts";
import type { ColumnSchema } from "./parquet-schema.ts";

function schema(name: string, rest: Partial<ColumnSchema> & Pick<ColumnSchema, "physical">): ColumnSchema {
  return { name, optional: false, compression: "zstd", ...rest };
}

const INT32 = { physical: "int32" } as const;
const INT64 = { physical: "int64" } as const;
const TEXT = { physical: "bytes", logical: "string" } as const;
const OPTIONAL_TEXT = { ...TEXT, optional: true } as const;
const JSON_TEXT = { physical: "bytes", logical: "json" } as const;
const OPTIONAL_JSON = { ...JSON_TEXT, optional: true } as const;

export const TRACE_ID_COLUMN = "trace_id";

export interface FixedColumns {
  readonly service: OrdinalColumn;
  readonly name: BytesColumn;
  readonly kind: WordColumn;
  readonly statusCode: WordColumn;
  readonly duration: TimeColumn;
  readonly start: TimeColumn;
  readonly parentDistance: WordColumn;
  readonly traceId: OrdinalColumn;
  readonly resource: OrdinalColumn;
  readonly scope: OrdinalColumn;
  readonly spanId: FixedColumn;
  readonly parentId: FixedColumn;
  readonly statusMessage: BytesColumn;
  readonly traceState: BytesColumn;
  readonly events: BytesColumn;
  readonly links: BytesColumn;
  readonly attributesRest: BytesColumn;
}

/** All but otlp_span, in the order of the file: what most queries read lies together. */
export function makeFixedColumns(context: ColumnContext): FixedColumns {
  return {
    service: new OrdinalColumn(schema("service", TEXT), context),
    name: new BytesColumn(schema("name", TEXT), context),
    kind: new WordColumn(schema("kind", INT32), context),
    statusCode: new WordColumn(schema("status_code", INT32), context),
    duration: new TimeColumn(schema("duration_nano", INT64), context),
    start: new TimeColumn(schema("start_time_unix_nano", { ...INT64, logical: "timestamp_ns" }), context),
    parentDistance: new WordColumn(schema("parent_row_distance", INT32), context),
    traceId: new OrdinalColumn(schema(TRACE_ID_COLUMN, { physical: "fixed", width: 16 }), context),
    resource: new OrdinalColumn(schema("resource", JSON_TEXT), context),
    scope: new OrdinalColumn(schema("scope", JSON_TEXT), context),
    // Random bytes: zstd would only cost time.
    spanId: new FixedColumn(schema("span_id", { physical: "fixed", width: 8, compression: "none" }), context),
    // Half of the ids are those of the rows before: 5.4 bytes a span.
    parentId: new FixedColumn(
      schema("parent_span_id", { physical: "fixed", width: 8, optional: true }),
      context,
    ),
    statusMessage: new BytesColumn(schema("status_message", OPTIONAL_TEXT), context),
    traceState: new BytesColumn(schema("trace_state", OPTIONAL_TEXT), context),
    events: new BytesColumn(schema("events", OPTIONAL_JSON), context),
    links: new BytesColumn(schema("links", OPTIONAL_JSON), context),
    attributesRest: new BytesColumn(schema("attributes_rest", OPTIONAL_JSON), context),
  };
}
