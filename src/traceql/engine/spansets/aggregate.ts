// Aggregates of spansets, and comparisons of them.
import type { Aggregate, FieldExpression, ScalarExpression, ScalarFilter } from "../../ast.ts";
import { INTRINSICS } from "../../ast.ts";
import { printAggregate } from "../../print.ts";
import { addExactly, roundedSum, type SumParts, wholeSum } from "../columns/exact-sum.ts";
import { fieldReader, numericRows, type RowReader } from "../columns/rows.ts";
import type { Scan } from "../columns/scan.ts";
import { bounded, compareValues, compute, isList, negateValue, type Value } from "../columns/value.ts";
import { compileExpression, fieldsOf, isField } from "../conditions/expression.ts";
import { type Mask, nextRow } from "../columns/mask.ts";

/** Spans in spansets. */
export interface SpansetRows {
  readonly mask: Mask;
  /** Number of the spanset of each row of the mask. */
  readonly ofRow: Uint32Array;
  readonly count: number;
}

/** Whether the expression's numbers are nanoseconds. */
export function isDuration(node: FieldExpression | Aggregate): boolean {
  switch (node.kind) {
    case "aggregate":
      return node.fn !== "count" && isDuration(node.operand);
    case "literal":
      return node.type === "duration";
    case "intrinsic":
      return INTRINSICS[node.name] === "duration";
    case "unary":
      return isDuration(node.operand);
    case "arithmetic":
      return isDuration(node.left) || isDuration(node.right);
    case "attribute":
    case "comparison":
    case "regex":
    case "logical":
      return false;
  }
}

/** The value of an expression at a row. */
export function expressionReader(scan: Scan, node: FieldExpression): RowReader {
  if (isField(node)) return fieldReader(scan, node);
  let current = 0;
  const readers = new Map(fieldsOf(node).map((field) => [field, fieldReader(scan, field)]));
  const evaluate = compileExpression(node, (field) => {
    const read = readers.get(field);
    return () => read?.(current);
  });
  return (row) => {
    current = row;
    return evaluate();
  };
}

/** The numbers that count of a value: itself, or the elements of a list. */
export function numbersIn(value: Value): readonly (bigint | number)[] {
  const values = isList(value) ? value : [value];
  return values.filter(
    (each): each is bigint | number =>
      typeof each === "bigint" || (typeof each === "number" && Number.isFinite(each)),
  );
}

/** The aggregate by spanset; undefined without numbers. */
export function aggregate(scan: Scan, node: Aggregate, spansets: SpansetRows): Value[] {
  if (node.fn === "count") return Array.from(countSpans(spansets), (count) => BigInt(count));
  const rows = isField(node.operand) ? numericRows(scan, node.operand, spansets.mask) : undefined;
  const isWhole = node.fn === "avg" && isDuration(node);
  const fast = rows?.isInt === true ? aggregateInts(node.fn, rows.values, spansets) : undefined;
  const results = fast ?? aggregateValues(expressionReader(scan, node.operand), spansets);
  return results.map((result) => result && resultOf(node.fn, result, isWhole));
}

function countSpans({ mask, ofRow, count }: SpansetRows): Uint32Array {
  const counts = new Uint32Array(count);
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
    const spanset = ofRow[row] ?? 0;
    counts[spanset] = (counts[spanset] ?? 0) + 1;
  }
  return counts;
}

type NumberFunction = Exclude<Aggregate["fn"], "count">;

interface Numbers {
  count: number;
  isWhole: boolean;
  min: bigint | number;
  max: bigint | number;
  readonly sum: SumParts;
}

/** For ints that doubles hold exactly. Undefined when a sum becomes too large for that. */
function aggregateInts(
  fn: NumberFunction,
  values: Float64Array,
  { mask, ofRow, count }: SpansetRows,
): (Numbers | undefined)[] | undefined {
  const counts = new Uint32Array(count);
  const results = new Float64Array(count);
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
    const value = values[row] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    const spanset = ofRow[row] ?? 0;
    const before = results[spanset] ?? 0;
    const isFirst = counts[spanset] === 0;
    counts[spanset] = (counts[spanset] ?? 0) + 1;
    let after = before + value;
    if (fn === "min") after = isFirst || value < before ? value : before;
    if (fn === "max") after = isFirst || value > before ? value : before;
    if (!Number.isSafeInteger(after)) return undefined;
    results[spanset] = after;
  }
  return Array.from(results, (result, spanset) => {
    const numbers = counts[spanset] ?? 0;
    if (numbers === 0) return undefined;
    return { count: numbers, isWhole: true, min: BigInt(result), max: BigInt(result), sum: [result] };
  });
}

const LOW_BITS = 32n;

/** Adds a number exactly: an int beyond 53 bits as two doubles. */
function addNumber(numbers: Numbers, value: bigint | number): void {
  numbers.count++;
  if (value < numbers.min) numbers.min = value;
  if (value > numbers.max) numbers.max = value;
  if (typeof value === "number") {
    numbers.isWhole = false;
    addExactly(numbers.sum, value);
    return;
  }
  addExactly(numbers.sum, Number((value >> LOW_BITS) << LOW_BITS));
  addExactly(numbers.sum, Number(BigInt.asUintN(32, value)));
}

function aggregateValues(read: RowReader, { mask, ofRow, count }: SpansetRows): (Numbers | undefined)[] {
  const all: (Numbers | undefined)[] = Array.from({ length: count });
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
    const spanset = ofRow[row] ?? 0;
    for (const value of numbersIn(read(row))) {
      const numbers = (all[spanset] ??= { count: 0, isWhole: true, min: value, max: value, sum: [] });
      addNumber(numbers, value);
    }
  }
  return all;
}

/** @param isCut whether the average of whole numbers is one */
function resultOf(fn: NumberFunction, numbers: Numbers, isCut: boolean): bigint | number {
  const { count, isWhole, min, max, sum } = numbers;
  switch (fn) {
    case "min":
      return min;
    case "max":
      return max;
    case "sum":
      return isWhole ? bounded(wholeSum(sum)) : roundedSum(sum);
    case "avg":
      return isWhole && isCut ? wholeSum(sum) / BigInt(count) : roundedSum(sum) / count;
  }
}

/**
 * Whether the comparison holds for a spanset.
 * @param values of its aggregates, by name
 * @throws AppError `invalid_argument` for a division by zero
 */
export function scalarHolds({ op, left, right }: ScalarFilter, values: ReadonlyMap<string, Value>): boolean {
  return compareValues(op, scalarValue(left, values), scalarValue(right, values));
}

function scalarValue(node: ScalarExpression, values: ReadonlyMap<string, Value>): Value {
  switch (node.kind) {
    case "literal":
      return node.value;
    case "aggregate":
      return values.get(printAggregate(node));
    case "scalar-negation":
      return negateValue(scalarValue(node.operand, values));
    case "scalar-arithmetic":
      return compute(node.op, scalarValue(node.left, values), scalarValue(node.right, values));
  }
}
