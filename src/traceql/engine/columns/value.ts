// Values of fields as JavaScript has them, and what operators make of them.
import {
  type ArithmeticOperator,
  type ComparisonOperator,
  type Kind,
  KINDS,
  type Literal,
  type Status,
  STATUSES,
} from "../../ast.ts";
import { INT_MAX, INT_MIN } from "../../numbers.ts";
import { AppError } from "../../../util/errors.ts";

/** A status or a kind. There is one object for each, so that `===` tells them apart. */
export type Keyword =
  | { readonly type: "status"; readonly value: Status }
  | { readonly type: "kind"; readonly value: Kind };

/** `bigint` is an int or nanoseconds, `number` a float. */
export type Scalar = string | bigint | number | boolean | Keyword;

/** Of a list attribute, or one element for each event or link, undefined where that one has none. */
export type List = readonly (Scalar | undefined)[];

/** Undefined: missing. */
export type Value = Scalar | List | undefined;

const STATUS_VALUES: readonly Keyword[] = STATUSES.map((value) => ({ type: "status", value }));
const KIND_VALUES: readonly Keyword[] = KINDS.map((value) => ({ type: "kind", value }));

/** The status with OTLP's number `code`, "unset" for other numbers. */
export function statusOf(code: number): Keyword | undefined {
  return STATUS_VALUES[code] ?? STATUS_VALUES[0];
}

/** The kind with OTLP's number `code`, "unspecified" for other numbers. */
export function kindOf(code: number): Keyword | undefined {
  return KIND_VALUES[code] ?? KIND_VALUES[0];
}

export function isList(value: Value): value is List {
  return Array.isArray(value);
}

/** A text; "" for anything else. */
export function textOf(value: Value): string {
  return typeof value === "string" ? value : "";
}

/** An int; 0 for anything else. */
export function intOf(value: Value): bigint {
  return typeof value === "bigint" ? value : 0n;
}

/** Undefined for nil. */
export function literalValue(literal: Literal): Scalar | undefined {
  switch (literal.type) {
    case "nil":
      return undefined;
    case "status":
      return statusOf(STATUSES.indexOf(literal.value));
    case "kind":
      return kindOf(KINDS.indexOf(literal.value));
    case "int":
    case "float":
    case "duration":
    case "string":
    case "bool":
      return literal.value;
  }
}

/** A text that is equal for equal values of one type only. */
export function valueKey(value: Value): string {
  if (value === undefined) return "n";
  if (isList(value)) return `[${value.map((element) => valueKey(element)).join("\u0000")}`;
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "bigint") return `i${value}`;
  if (typeof value === "number") return `f${value}`;
  return typeof value === "boolean" ? `b${value}` : `${value.type}:${value.value}`;
}

/** The value that groups and labels are formed by: of a list the first element that is there. */
export function groupValue(value: Value): Scalar | undefined {
  return isList(value) ? value.find((element) => element !== undefined) : value;
}

/** The value with `change` applied, of a list to each element; undefined where there is no result. */
export function mapValue(value: Value, change: (scalar: Scalar) => Scalar | undefined): Value {
  if (value === undefined) return undefined;
  if (!isList(value)) return change(value);
  return value.flatMap((element) => {
    const changed = element === undefined ? undefined : change(element);
    return changed === undefined ? [] : [changed];
  });
}

/** Whether a condition with this result holds: true, or a list with a true in it. */
export function isTrue(value: Value): boolean {
  return isList(value) ? value.includes(true) : value === true;
}

// Comparison

const SURROGATE = /[\ud800-\udfff]/;

/** Order by UTF-8 bytes, which is that of code points: negative, 0 or positive. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : 1;
  const left = Array.from(a, (char) => char.codePointAt(0) ?? 0);
  const right = Array.from(b, (char) => char.codePointAt(0) ?? 0);
  const at = left.findIndex((point, index) => point !== right[index]);
  if (at < 0) return -1;
  return (left[at] ?? 0) - (right[at] ?? -1);
}

function isNumeric(value: Scalar): value is bigint | number {
  return typeof value === "bigint" || typeof value === "number";
}

function holdsOrdered(op: ComparisonOperator, order: number): boolean {
  switch (op) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
  }
}

/** Negative, 0 or positive, and NaN with NaN. JavaScript compares bigint and number by their exact values. */
function orderNumbers(a: bigint | number, b: bigint | number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : 0;
}

/** Undefined when the types do not compare so. */
function holdsScalar(op: ComparisonOperator, a: Scalar, b: Scalar): boolean | undefined {
  if (isNumeric(a)) return isNumeric(b) ? holdsOrdered(op, orderNumbers(a, b)) : undefined;
  if (typeof a === "string") {
    if (typeof b !== "string") return undefined;
    if (op === "=" || op === "!=") return (a === b) === (op === "=");
    return holdsOrdered(op, compareText(a, b));
  }
  if (op !== "=" && op !== "!=") return undefined;
  if (typeof a === "boolean") return typeof b === "boolean" ? (a === b) === (op === "=") : undefined;
  return typeof b === "object" && a.type === b.type ? (a === b) === (op === "=") : undefined;
}

/**
 * Whether `test` holds for the value, or, of a list, for one element; with `all` for all elements that are there. `test`
 * gives undefined for another type.
 */
export function holdsFor(value: Value, all: boolean, test: (scalar: Scalar) => boolean | undefined): boolean {
  if (value === undefined) return false;
  if (!isList(value)) return test(value) === true;
  if (!all) return value.some((element) => element !== undefined && test(element) === true);
  const there = value.filter((element) => element !== undefined);
  return there.length > 0 && there.every((element) => test(element) === true);
}

/** `a op b`, false for missing values, other types and two lists. */
export function compareValues(op: ComparisonOperator, a: Value, b: Value): boolean {
  if (b === undefined) return false;
  if (!isList(b)) return holdsFor(a, op === "!=", (element) => holdsScalar(op, element, b));
  if (a === undefined || isList(a)) return false;
  return holdsFor(b, op === "!=", (element) => holdsScalar(op, a, element));
}

// Arithmetic

/** Beyond 64 bits, a whole number is the nearest double. */
export function bounded(value: bigint): bigint | number {
  return value > INT_MAX || value < INT_MIN ? Number(value) : value;
}

function computeInts(op: ArithmeticOperator, a: bigint, b: bigint): bigint | number {
  switch (op) {
    case "+":
      return bounded(a + b);
    case "-":
      return bounded(a - b);
    case "*":
      return bounded(a * b);
    case "/":
      return bounded(a / b);
    case "%":
      return a % b;
    case "^":
      // Beyond 64 only 0, 1 and -1 stay within 64 bits, and floats have these exactly.
      return b < 0n || b > 64n ? Number(a) ** Number(b) : bounded(a ** b);
  }
}

function computeFloats(op: ArithmeticOperator, a: number, b: number): number {
  switch (op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "%":
      return a % b;
    case "^":
      return a ** b;
  }
}

function computeScalars(op: ArithmeticOperator, a: Scalar, b: Scalar): bigint | number | undefined {
  if (!isNumeric(a) || !isNumeric(b)) return undefined;
  if ((op === "/" || op === "%") && Number(b) === 0) {
    throw new AppError("invalid_argument", "division by zero");
  }
  if (typeof a === "bigint" && typeof b === "bigint") return computeInts(op, a, b);
  return computeFloats(op, Number(a), Number(b));
}

/**
 * `a op b`, of a list with each element; undefined for what are no numbers and for two lists.
 * @throws AppError `invalid_argument` for a division by zero
 */
export function compute(op: ArithmeticOperator, a: Value, b: Value): Value {
  if (a === undefined || b === undefined) return undefined;
  if (!isList(b)) return mapValue(a, (element) => computeScalars(op, element, b));
  return isList(a) ? undefined : mapValue(b, (element) => computeScalars(op, a, element));
}

/** `-value`, of a list of each element. */
export function negateValue(value: Value): Value {
  return mapValue(value, (element) => {
    if (typeof element === "bigint") return bounded(-element);
    return typeof element === "number" ? -element : undefined;
  });
}

/** `!value`, of a list of each element. */
export function invertValue(value: Value): Value {
  return mapValue(value, (element) => (typeof element === "boolean" ? !element : undefined));
}
