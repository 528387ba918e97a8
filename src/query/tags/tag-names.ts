// The names of the attributes that spans of one source have: from lists and dictionaries, not from rows.
import {
  elementsOf,
  findMember,
  MemberName,
  membersOf,
  type Range,
} from "../../traceql/engine/columns/json.ts";
import type { Condition } from "../../traceql/engine/conditions/condition.ts";
import {
  attributeColumn,
  type Column,
  type ColumnName,
  type SpanSource,
  type Values,
} from "../../traceql/storage.ts";
import { entriesOf, hasAny } from "./entries.ts";
import type { TagScope } from "./tag.ts";
import { openTagRows, type TagRows } from "./tag-rows.ts";

export type TakeName = (scope: TagScope, name: string) => void;

const JSON_COLUMNS: Readonly<Record<Exclude<TagScope, "span">, ColumnName>> = {
  resource: "resource",
  event: "events",
  link: "links",
  instrumentation: "scope",
};
const ATTRIBUTES = new MemberName("attributes");

/** @throws as `openTagRows` does */
export async function readTagNames(
  source: SpanSource,
  scopes: readonly TagScope[],
  filter: Condition | undefined,
  take: TakeName,
): Promise<void> {
  const columns = scopes.flatMap((scope) => columnsOfScope(source, scope, filter !== undefined));
  const opened = await openTagRows(source, columns, filter, false);
  if (opened === undefined) return;
  for (const scope of scopes) {
    for (const name of namesOf(source, scope, opened)) take(scope, name);
  }
}

/** Which span attributes there are is known without a look at them, unless only some rows count. */
function columnsOfScope(source: SpanSource, scope: TagScope, isFiltered: boolean): ColumnName[] {
  if (scope !== "span") return [JSON_COLUMNS[scope]];
  if (!isFiltered) return [];
  const columns: ColumnName[] = source.columns.map(({ key, type }) => attributeColumn(key, type));
  return source.rest.length === 0 ? columns : [...columns, "rest"];
}

function namesOf(source: SpanSource, scope: TagScope, opened: TagRows): Iterable<string> {
  if (scope !== "span") return jsonNames(opened, JSON_COLUMNS[scope], scope);
  if (opened.rows !== undefined) return spanNames(source, opened, opened.rows);
  return [...source.columns, ...source.rest].map(({ key }) => key);
}

function* spanNames(source: SpanSource, opened: TagRows, rows: Uint8Array): Generator<string> {
  const { scan } = opened;
  for (const { key, type } of source.columns) {
    if (hasAny(scan.column(attributeColumn(key, type)), scan.pageCount, rows)) yield key;
  }
  if (source.rest.length > 0) yield* jsonNames(opened, "rest", "span");
}

function* jsonNames({ scan, rows }: TagRows, column: ColumnName, scope: TagScope): Generator<string> {
  for (const { values, range } of jsonEntries(scan.column(column), scan.pageCount, rows)) {
    for (const object of attributesIn(values, range, scope)) {
      for (const { name } of membersOf(values, object)) yield name;
    }
  }
}

function* jsonEntries(
  column: Column,
  pageCount: number,
  rows: TagRows["rows"],
): Generator<{ readonly values: Uint8Array; readonly range: Range }> {
  for (const { values, indexes } of entriesOf(column, pageCount, rows)) {
    if (values.kind !== "bytes") continue;
    for (const index of indexes) yield { values: values.bytes, range: rangeOf(values, index) };
  }
}

function rangeOf({ offsets }: Values & { readonly kind: "bytes" }, index: number): Range {
  return { start: offsets[2 * index] ?? 0, end: offsets[2 * index + 1] ?? 0 };
}

/** The objects of attributes in an entry of the scope's column. */
function attributesIn(bytes: Uint8Array, entry: Range, scope: TagScope): Range[] {
  if (scope === "resource" || scope === "span") return [entry];
  const owners = scope === "instrumentation" ? [entry] : elementsOf(bytes, entry);
  return owners.flatMap((owner) => findMember(bytes, owner, ATTRIBUTES) ?? []);
}
