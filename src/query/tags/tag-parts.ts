// Names and values of attributes, gathered from one source or many.
import type { Field } from "../../traceql/ast.ts";
import type { Condition } from "../../traceql/engine/conditions/condition.ts";
import type { SpanSource } from "../../traceql/storage.ts";
import { Distinct, type DistinctKind, type DistinctLimits, type DistinctPart } from "./distinct.ts";
import { TAG_SCOPES, type TagScope, type TagValue } from "./tag.ts";
import { readTagNames } from "./tag-names.ts";
import { readTagValues } from "./tag-values.ts";

const NAMES: DistinctKind<string> = { keyOf: (name) => name, textOf: (name) => name };
const VALUES: DistinctKind<TagValue> = {
  keyOf: ({ type, value }) => `${type} ${value}`,
  textOf: ({ value }) => value,
};

/** By scope. */
export type NamesPart = ReadonlyMap<TagScope, DistinctPart<string>>;
export type ValuesPart = DistinctPart<TagValue>;

/** Whose names are wanted. */
export interface NamesQuery {
  readonly scopes: readonly TagScope[];
  /** Only spans for which it holds count; undefined: all. */
  readonly filter: Condition | undefined;
  /** Of each scope. */
  readonly limits: DistinctLimits;
}

/** Which values are wanted. */
export interface ValuesQuery {
  readonly field: Field;
  readonly filter: Condition | undefined;
  readonly limits: DistinctLimits;
}

/** @throws as `openTagRows` does */
export async function namesIn(
  source: SpanSource,
  { scopes, filter, limits }: NamesQuery,
): Promise<NamesPart> {
  const found = new Map(TAG_SCOPES.map((scope) => [scope, new Distinct(NAMES, limits)]));
  await readTagNames(source, scopes, filter, (scope, name) => found.get(scope)?.add(name));
  return new Map([...found].map(([scope, names]) => [scope, names.part()]));
}

/** @throws as `openTagRows` does */
export async function valuesIn(
  source: SpanSource,
  { field, filter, limits }: ValuesQuery,
): Promise<ValuesPart> {
  const found = new Distinct(VALUES, limits);
  await readTagValues(source, field, filter, (value) => found.add(value));
  return found.part();
}

export function addNames(parts: readonly NamesPart[], limits: DistinctLimits): NamesPart {
  return new Map(
    TAG_SCOPES.map((scope) => {
      const names = new Distinct(NAMES, limits);
      for (const part of parts) names.addPart(part.get(scope) ?? { values: [], end: undefined });
      return [scope, names.part()];
    }),
  );
}

export function addValues(parts: readonly ValuesPart[], limits: DistinctLimits): ValuesPart {
  const values = new Distinct(VALUES, limits);
  for (const part of parts) values.addPart(part);
  return values.part();
}
