// What compare() compares: every attribute of span and resource, and some intrinsics.
import type { Attribute, IntrinsicName } from "../../ast.ts";
import { printField } from "../../print.ts";
import type { ResultValue } from "../../results.ts";
import { attributeColumn, type ColumnName, type SpanSource } from "../../storage.ts";
import { columnsOf, intrinsic } from "../columns/fields.ts";
import { membersOf, parseValue } from "../columns/json.ts";
import type { Mask } from "../columns/mask.ts";
import { toResult } from "../columns/result-value.ts";
import { spread } from "../columns/pages.ts";
import { fieldCodes, layerCodes } from "../columns/rows.ts";
import type { Scan } from "../columns/scan.ts";
import { isList, type Scalar } from "../columns/value.ts";

const INTRINSICS = [
  "name",
  "kind",
  "status",
  "statusMessage",
  "rootName",
  "rootServiceName",
] as const satisfies readonly IntrinsicName[];

/** The columns that `comparedFields` reads. */
export function comparedColumns(source: SpanSource): ColumnName[] {
  return [
    ...INTRINSICS.flatMap((name) => columnsOf(source, intrinsic(name))),
    ...source.columns.map(({ key, type }) => attributeColumn(key, type)),
    "resource",
    ...(source.rest.length > 0 ? (["rest"] as const) : []),
  ];
}

/** One attribute with one value. */
export interface ComparedValue {
  /** The printed field. */
  readonly name: string;
  readonly value: ResultValue;
}

/** A code for each row of a mask, and the attributes that rows with a code have: none, one, or those of an object. */
export interface ComparedRows {
  readonly codes: Uint32Array;
  readonly values: readonly (readonly ComparedValue[])[];
}

function nameOf(scope: Attribute["scope"], name: string): string {
  return printField({ kind: "attribute", scope, name, parent: false, at: 0 });
}

function ofValues(codes: Uint32Array, name: string, values: readonly (Scalar | undefined)[]): ComparedRows {
  const compared = values.map((value) =>
    value === undefined || (name === "statusMessage" && value === "")
      ? []
      : [{ name, value: toResult(value, false) }],
  );
  return { codes, values: compared };
}

/** The attributes of JSON objects. Lists are left out. */
function ofObjects(scan: Scan, column: "resource" | "rest", mask: Mask): ComparedRows {
  const layer = { column: scan.column(column), codec: { kind: "text" } } as const;
  const { codes, values } = layerCodes(scan, layer, undefined, mask);
  const scope = column === "resource" ? "resource" : "span";
  const encoder = new TextEncoder();
  const compared = values.map((text) =>
    typeof text === "string" ? objectValues(encoder.encode(text), scope) : [],
  );
  return { codes, values: compared };
}

function objectValues(json: Uint8Array, scope: Attribute["scope"]): ComparedValue[] {
  const members = new Map<string, ComparedValue[]>();
  for (const { name, value } of membersOf(json, { start: 0, end: json.length })) {
    if (members.has(name)) continue;
    const parsed = parseValue(json, value);
    const isCompared = parsed !== undefined && !isList(parsed);
    members.set(name, isCompared ? [{ name: nameOf(scope, name), value: toResult(parsed, false) }] : []);
  }
  return [...members.values()].flat();
}

/** Whether rows have a value of a column at all: code 1. */
function ofPresence(scan: Scan, column: ColumnName, name: string): ComparedRows {
  const loaded = scan.column(column);
  const codes = new Uint32Array(scan.rowCount);
  for (let index = 0; index < scan.pageCount; index++) {
    const page = loaded.page(index);
    const count = page.content.kind === "values" ? page.content.values.count : loaded.dictionary?.count;
    spread(page, new Uint32Array(count ?? 0).fill(1), codes);
  }
  return { codes, values: [[], [{ name, value: { type: "nil" } }]] };
}

/**
 * One set of attributes after the other, so that codes of one only are in memory.
 * @param isFull whether values of an attribute are no longer of interest, only that it is there
 */
export function* comparedFields(
  scan: Scan,
  mask: Mask,
  isFull: (name: string) => boolean,
): Generator<ComparedRows> {
  for (const name of INTRINSICS) {
    const { codes, values } = fieldCodes(scan, intrinsic(name), mask);
    yield ofValues(codes, name, values);
  }
  for (const { key, type } of scan.source.columns) {
    const name = nameOf("span", key);
    if (isFull(name)) {
      yield ofPresence(scan, attributeColumn(key, type), name);
      continue;
    }
    const codec = { kind: type === "string" ? "text" : type } as const;
    const layer = { column: scan.column(attributeColumn(key, type)), codec };
    const { codes, values } = layerCodes(scan, layer, undefined, mask);
    yield ofValues(codes, name, values);
  }
  yield ofObjects(scan, "resource", mask);
  if (scan.source.rest.length > 0) yield ofObjects(scan, "rest", mask);
}
