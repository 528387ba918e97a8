// Series are told apart by labels.
import type { CompareMetric, Field, MetricsFunction } from "../../ast.ts";
import { printField } from "../../print.ts";
import type { ResultAttribute, ResultValue } from "../../results.ts";
import { type Mask, nextRow } from "../columns/mask.ts";
import { toResult } from "../columns/result-value.ts";
import { fieldCodes, pageCodes } from "../columns/rows.ts";
import type { Scan } from "../columns/scan.ts";
import { compareText, type Scalar } from "../columns/value.ts";
import { isDuration } from "../spansets/aggregate.ts";

export type Labels = readonly ResultAttribute[];

export const NAME_LABEL = "__name__";

export function textLabel(name: string, value: string): ResultAttribute {
  return { name, value: { type: "string", value } };
}

export function floatLabel(name: string, value: number): ResultAttribute {
  return { name, value: { type: "float", value } };
}

/** Equal for equal labels only. */
export function labelsKey(labels: Labels): string {
  return JSON.stringify(labels.map(({ name, value }) => [name, value.type, valueText(value)]));
}

function valueText(value: ResultValue): string {
  switch (value.type) {
    case "nil":
    case "array":
      return "";
    case "string":
    case "int":
    case "float":
    case "bool":
    case "duration":
    case "status":
    case "kind":
      return String(value.value);
  }
}

function numberOf(value: ResultValue): bigint | number | undefined {
  return value.type === "int" || value.type === "float" || value.type === "duration"
    ? value.value
    : undefined;
}

function compareLabelValues(a: ResultValue, b: ResultValue): number {
  const left = numberOf(a);
  const right = numberOf(b);
  if (left !== undefined && right !== undefined) {
    if (left < right) return -1;
    if (left > right) return 1;
  }
  return compareText(valueText(a), valueText(b)) || compareText(a.type, b.type);
}

/** By number of labels, then their names, then their values. */
export function compareLabels(a: Labels, b: Labels): number {
  if (a.length !== b.length) return a.length - b.length;
  for (const [index, { name }] of a.entries()) {
    const order = compareText(name, b[index]?.name ?? "");
    if (order !== 0) return order;
  }
  for (const [index, { value }] of a.entries()) {
    const order = compareLabelValues(value, b[index]?.value ?? { type: "nil" });
    if (order !== 0) return order;
  }
  return 0;
}

/** The series that each row of a mask belongs to, page by page. */
export interface RowSeries {
  /** Codes so far: more may come with the pages. */
  readonly count: number;
  /** By row of the page, its code. Overwritten by the next page. */
  codesOf(page: number): Uint32Array;
  labelsOf(code: number): Labels;
}

/** The labels of a function's series without `by`: its name, where there is no other. */
export function ungroupedLabels(kind: MetricsFunction["kind"]): Labels {
  const hasOwnLabel = kind === "quantile_over_time" || kind === "histogram_over_time";
  return hasOwnLabel ? [] : [textLabel(NAME_LABEL, kind)];
}

export function seriesOfRows(
  scan: Scan,
  { kind, by }: Exclude<MetricsFunction, CompareMetric>,
  mask: Mask,
): RowSeries {
  const [first, ...others] = by;
  if (first === undefined) {
    const labels = ungroupedLabels(kind);
    const codes = new Uint32Array(longestPage(scan));
    return { count: 1, codesOf: () => codes, labelsOf: () => labels };
  }
  if (others.length === 0) {
    const own = pageCodes(scan, first, mask);
    return {
      get count() {
        return own.values.length;
      },
      codesOf: (page) => own.of(page),
      labelsOf: (code) => labelsOf(by, [own.values[code]]),
    };
  }
  const own = fieldCodes(scan, first, mask);
  let tuples: Tuples = { codes: own.codes, tuples: own.values.map((value) => [value]) };
  for (const field of others) tuples = withField(scan, tuples, field, mask);
  const { codes, tuples: all } = tuples;
  return {
    count: all.length,
    codesOf: (page) => codes.subarray(scan.pageStart(page), scan.pageStart(page + 1)),
    labelsOf: (code) => labelsOf(by, all[code] ?? []),
  };
}

function longestPage(scan: Scan): number {
  let longest = 0;
  for (let page = 0; page < scan.pageCount; page++) {
    longest = Math.max(longest, scan.pageStart(page + 1) - scan.pageStart(page));
  }
  return longest;
}

interface Tuples {
  readonly codes: Uint32Array;
  readonly tuples: (readonly (Scalar | undefined)[])[];
}

function withField(scan: Scan, before: Tuples, field: Field, mask: Mask): Tuples {
  const { codes: own, values } = fieldCodes(scan, field, mask);
  const codes = new Uint32Array(scan.rowCount);
  const tuples: (readonly (Scalar | undefined)[])[] = [];
  const known = new Map<number, number>();
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
    const left = before.codes[row] ?? 0;
    const right = own[row] ?? 0;
    const key = left * values.length + right;
    let code = known.get(key);
    if (code === undefined) {
      code = tuples.length;
      known.set(key, code);
      tuples.push([...(before.tuples[left] ?? []), values[right]]);
    }
    codes[row] = code;
  }
  return { codes, tuples };
}

/** Missing values give no label; when all are missing, the first one is there as "nil". */
function labelsOf(by: readonly Field[], tuple: readonly (Scalar | undefined)[]): Labels {
  const labels = by.flatMap((field, index) => {
    const value = tuple[index];
    return value === undefined
      ? []
      : [{ name: printField(field), value: toResult(value, isDuration(field)) }];
  });
  const [first] = by;
  return labels.length > 0 || first === undefined ? labels : [textLabel(printField(first), "nil")];
}
