// What compare() compares: every attribute of span, resource and instrumentation scope, and some intrinsics.
import type { Attribute, IntrinsicName } from "../../ast.ts";
import { printField } from "../../print.ts";
import type { ResultValue } from "../../results.ts";
import { attributeColumn, type ColumnName, type SpanSource } from "../../storage.ts";
import { columnsOf, intrinsic, openField } from "../columns/fields.ts";
import { findMember, MemberName, membersOf, parseValue, type Range } from "../columns/json.ts";
import { toResult } from "../columns/result-value.ts";
import type { Layer } from "../columns/row-decoder.ts";
import type { Scan } from "../columns/scan.ts";
import { groupValue, isList, type Value } from "../columns/value.ts";

const INTRINSICS = [
  "name",
  "kind",
  "status",
  "statusMessage",
  "rootName",
  "rootServiceName",
  "instrumentation:name",
  "instrumentation:version",
] as const satisfies readonly IntrinsicName[];

/** Texts that are "" for spans that were sent without. */
const OPTIONAL: ReadonlySet<string> = new Set<IntrinsicName>([
  "statusMessage",
  "instrumentation:name",
  "instrumentation:version",
]);

/** The columns that `comparedFields` reads. */
export function comparedColumns(source: SpanSource): ColumnName[] {
  return [
    ...INTRINSICS.flatMap((name) => columnsOf(source, intrinsic(name))),
    ...source.columns.map(({ key, type }) => attributeColumn(key, type)),
    "resource",
    "scope",
    ...(source.rest.length > 0 ? (["rest"] as const) : []),
  ];
}

/** One attribute with one value. */
export interface ComparedValue {
  /** The printed field. */
  readonly name: string;
  readonly value: ResultValue;
}

/** A column whose values are compared. */
export interface ComparedColumn extends Layer {
  /** The attribute that its values are of; undefined: they are objects with any. */
  readonly name: string | undefined;
  /** The attributes that a row with this value has: none, one, or those of an object. */
  attributesOf(value: Value): readonly ComparedValue[];
}

function nameOf(scope: Attribute["scope"], name: string): string {
  return printField({ kind: "attribute", scope, name, parent: false, at: 0 });
}

function ofValues(layer: Layer, name: string): ComparedColumn {
  return {
    ...layer,
    name,
    attributesOf: (value) => {
      const scalar = groupValue(value);
      const isCompared = scalar !== undefined && !(scalar === "" && OPTIONAL.has(name));
      return isCompared ? [{ name, value: toResult(scalar, false) }] : [];
    },
  };
}

/** Where the objects of a scope have its attributes. */
const ATTRIBUTES = new MemberName("attributes");
const SCOPES = { resource: "resource", scope: "instrumentation", rest: "span" } as const;

/** The attributes of JSON objects. Lists are left out. */
function ofObjects(scan: Scan, column: keyof typeof SCOPES): ComparedColumn {
  const encoder = new TextEncoder();
  return {
    column: scan.column(column),
    codec: { kind: "text" },
    name: undefined,
    attributesOf: (text) => {
      if (typeof text !== "string") return [];
      const json = encoder.encode(text);
      const whole = { start: 0, end: json.length };
      const range = column === "scope" ? findMember(json, whole, ATTRIBUTES) : whole;
      return range === undefined ? [] : objectValues(json, range, SCOPES[column]);
    },
  };
}

function objectValues(json: Uint8Array, range: Range, scope: Attribute["scope"]): ComparedValue[] {
  const members = new Map<string, ComparedValue[]>();
  for (const { name, value } of membersOf(json, range)) {
    if (members.has(name)) continue;
    const parsed = parseValue(json, value);
    const isCompared = parsed !== undefined && !isList(parsed);
    members.set(name, isCompared ? [{ name: nameOf(scope, name), value: toResult(parsed, false) }] : []);
  }
  return [...members.values()].flat();
}

/** One column after the other, so that what is derived for one only is in memory. */
export function* comparedFields(scan: Scan): Generator<ComparedColumn> {
  for (const name of INTRINSICS) {
    for (const layer of openField(scan, intrinsic(name)).layers) yield ofValues(layer, name);
  }
  for (const { key, type } of scan.source.columns) {
    const codec = { kind: type === "string" ? "text" : type } as const;
    yield ofValues({ column: scan.column(attributeColumn(key, type)), codec }, nameOf("span", key));
  }
  yield ofObjects(scan, "resource");
  yield ofObjects(scan, "scope");
  if (scan.source.rest.length > 0) yield ofObjects(scan, "rest");
}
