// Values of TraceQL and what operators make of them. Whole numbers are bigint throughout: exact, and never mind the speed.
import type { ArithmeticOperator, ComparisonOperator, Kind, Status } from "../../../src/traceql/ast.ts";

export type Scalar =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "int"; readonly value: bigint }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "duration"; readonly value: bigint }
  | { readonly type: "status"; readonly value: Status }
  | { readonly type: "kind"; readonly value: Kind };

export interface List {
  readonly type: "list";
  readonly values: readonly Scalar[];
}

/** `undefined` wherever a Value may be missing. */
export type Value = Scalar | List;

export const INT_MAX = 2n ** 63n - 1n;
const INT_MIN = -(2n ** 63n);

export function isNumber(value: Scalar): value is Extract<Scalar, { type: "int" | "float" | "duration" }> {
  return value.type === "int" || value.type === "float" || value.type === "duration";
}

/** A value as the scalars that it holds. */
export function elements(value: Value | undefined): readonly Scalar[] {
  if (value === undefined) return [];
  return value.type === "list" ? value.values : [value];
}

/** Whether a condition with this result holds: true, or a list with a true in it. */
export function isTrue(value: Value | undefined): boolean {
  return elements(value).some((element) => element.type === "bool" && element.value);
}

/** Applies `change` to a scalar, or to each element of a list; elements without a result go, and so does an empty list. */
export function mapValue(
  value: Value | undefined,
  change: (scalar: Scalar) => Scalar | undefined,
): Value | undefined {
  if (value?.type !== "list") return value === undefined ? undefined : change(value);
  const values = value.values.map(change).filter((element) => element !== undefined);
  return values.length === 0 ? undefined : { type: "list", values };
}

/** By code point, which is the order of UTF-8 bytes. */
export function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareOrdered<T extends bigint | number>(op: ComparisonOperator, a: T, b: T): boolean {
  switch (op) {
    case "=":
      // oxlint-disable-next-line eqeqeq -- bigint and number compare by value
      return a == b;
    case "!=":
      // oxlint-disable-next-line eqeqeq -- as above
      return a != b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
  }
}

/** Two scalars. What cannot be compared is false, `!=` as well. */
export function compareScalars(op: ComparisonOperator, a: Scalar, b: Scalar): boolean {
  if (isNumber(a) && isNumber(b)) return compareOrdered<bigint | number>(op, a.value, b.value);
  if (a.type !== b.type) return false;
  if (a.type === "string" && b.type === "string") {
    return compareOrdered(op, compareText(a.value, b.value), 0);
  }
  if (op === "=") return a.value === b.value;
  return op === "!=" && a.value !== b.value;
}

/** Of a list, any element will do; `!=` takes them all. Missing: false. Two lists: false. */
export function compareValues(op: ComparisonOperator, a: Value | undefined, b: Value | undefined): boolean {
  if (a === undefined || b === undefined || (a.type === "list" && b.type === "list")) return false;
  const outcomes = elements(a).flatMap((x) => elements(b).map((y) => compareScalars(op, x, y)));
  return op === "!=" ? outcomes.every(Boolean) : outcomes.some(Boolean);
}

function whole(type: "int" | "duration", value: bigint): Scalar {
  if (value < INT_MIN || value > INT_MAX) return { type: "float", value: Number(value) };
  return { type, value };
}

function wholeResult(op: ArithmeticOperator, a: bigint, b: bigint): bigint | undefined {
  if (op === "+") return a + b;
  if (op === "-") return a - b;
  if (op === "*") return a * b;
  if (op === "/") return a / b;
  if (op === "%") return a % b;
  return b < 0n || b > 63n ? undefined : a ** b;
}

function floatResult(op: ArithmeticOperator, a: number, b: number): number {
  if (op === "+") return a + b;
  if (op === "-") return a - b;
  if (op === "*") return a * b;
  if (op === "/") return a / b;
  if (op === "%") return a % b;
  return a ** b;
}

/**
 * Whole numbers stay whole unless they leave 64 bits; what is no number has no result.
 * @throws for a division by zero, which ends the query
 */
export function computeScalars(op: ArithmeticOperator, a: Scalar, b: Scalar): Scalar | undefined {
  if (!isNumber(a) || !isNumber(b)) return undefined;
  if ((op === "/" || op === "%") && Number(b.value) === 0) throw new Error("division by zero");
  if (a.type !== "float" && b.type !== "float") {
    const value = wholeResult(op, a.value, b.value);
    const type = a.type === "duration" || b.type === "duration" ? "duration" : "int";
    if (value !== undefined) return whole(type, value);
  }
  return { type: "float", value: floatResult(op, Number(a.value), Number(b.value)) };
}

/** A list with a scalar: element by element. Two lists: nothing. */
export function computeValues(
  op: ArithmeticOperator,
  a: Value | undefined,
  b: Value | undefined,
): Value | undefined {
  if (a === undefined || b === undefined) return undefined;
  if (b.type !== "list") return mapValue(a, (x) => computeScalars(op, x, b));
  if (a.type !== "list") return mapValue(b, (y) => computeScalars(op, a, y));
  return undefined;
}

export function negateScalar(value: Scalar): Scalar | undefined {
  if (!isNumber(value)) return undefined;
  return value.type === "float" ? { type: "float", value: -value.value } : whole(value.type, -value.value);
}

// Sums without rounding on the way: every double is a whole number of these.

const UNITS_PER_ONE = 2n ** 1074n;

function unitsOf(value: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const exponent = (bits.getUint16(0) >> 4) & 0x7ff;
  const fraction = bits.getBigUint64(0) & (2n ** 52n - 1n);
  const units = exponent === 0 ? fraction : (fraction + 2n ** 52n) << BigInt(exponent - 1);
  return value < 0 ? -units : units;
}

/** The nearest double. Below the 64 bits that decide it, only whether there is anything matters. */
function ofUnits(units: bigint): number {
  const magnitude = units < 0n ? -units : units;
  const dropped = Math.max(0, magnitude.toString(2).length - 64);
  const top = magnitude >> BigInt(dropped);
  const rest = magnitude - (top << BigInt(dropped));
  const nearest = Number(rest === 0n ? top : top | 1n) * 2 ** (dropped - 1074);
  return units < 0n ? -nearest : nearest;
}

/** The double nearest to the sum. */
export function sumOfNumbers(values: readonly number[]): number {
  return ofUnits(values.reduce((sum, value) => sum + unitsOf(value), 0n));
}

/** Of numbers, at least one: whole when all are. */
export function sumOfScalars(numbers: readonly Scalar[]): Scalar {
  const finite = numbers.filter(isNumber);
  if (finite.every(({ type }) => type !== "float")) {
    const type = finite.some((each) => each.type === "duration") ? "duration" : "int";
    return whole(
      type,
      finite.reduce((sum, { value }) => sum + BigInt(value), 0n),
    );
  }
  const units = finite.map(({ value }) =>
    typeof value === "bigint" ? value * UNITS_PER_ONE : unitsOf(value),
  );
  return { type: "float", value: ofUnits(units.reduce((sum, each) => sum + each, 0n)) };
}

/** Numbers that aggregates and metrics take. */
export function isFiniteNumber(
  value: Scalar,
): value is Extract<Scalar, { type: "int" | "float" | "duration" }> {
  return isNumber(value) && (value.type !== "float" || Number.isFinite(value.value));
}

/** Of a metric: durations in seconds. Undefined for what is no number. */
export function metricValue(value: Scalar): number | undefined {
  if (!isFiniteNumber(value)) return undefined;
  return value.type === "duration" ? Number(value.value) / 1e9 : Number(value.value);
}

/** What tells values apart when they group spans, name series and stand in a dictionary. -0 is 0. */
export function valueKey(value: Value | undefined): string {
  if (value === undefined) return "nil";
  if (value.type === "list") return `list(${value.values.map(valueKey).join(",")})`;
  return `${value.type} ${String(value.value)}`;
}
