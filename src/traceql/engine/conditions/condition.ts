// Conditions of filters, compiled once for a query: a tree of what each source evaluates column by column.
import type { ComparisonOperator, Field, FieldExpression } from "../../ast.ts";
import { isAbsent, fieldKey } from "../columns/fields.ts";
import type { SpanSource } from "../../storage.ts";
import { AppError } from "../../../util/errors.ts";
import { canFail, fieldsOf } from "./expression.ts";
import { joinNumbers } from "./one-of-numbers.ts";
import { compilePredicate, oneOfTexts, type Predicate } from "./predicate.ts";

export type Condition =
  | { readonly kind: "constant"; readonly holds: boolean }
  /** One field: evaluated for each value of its columns, then over rows. */
  | { readonly kind: "field"; readonly field: Field; readonly predicate: Predicate }
  /** Several fields, or what can fail: evaluated row by row, where it matters. */
  | { readonly kind: "rows"; readonly node: FieldExpression; readonly fields: readonly Field[] }
  | { readonly kind: "not"; readonly operand: Condition }
  | { readonly kind: "and" | "or"; readonly operands: readonly Condition[] };

export function compileCondition(node: FieldExpression): Condition {
  if (node.kind === "logical") return compileLogical(node.op === "&&" ? "and" : "or", node.operands);
  if (node.kind === "unary" && node.op === "!" && isDecided(node.operand)) {
    return { kind: "not", operand: compileCondition(node.operand) };
  }
  const fields = fieldsOf(node);
  const [field] = fields;
  if (canFail(node) || new Set(fields.map((each) => fieldKey(each))).size > 1) {
    return { kind: "rows", node, fields };
  }
  const predicate = compilePredicate(node);
  return field === undefined
    ? { kind: "constant", holds: predicate.test(undefined) }
    : { kind: "field", field, predicate };
}

/** Whether the expression is true or false for every span, so that what is not true is false. */
function isDecided(node: FieldExpression): boolean {
  return node.kind === "comparison" || node.kind === "regex" || node.kind === "logical";
}

/** Each is a look at the rows of a source. */
export const CONDITIONS_MAX = 1024;

/** @throws AppError `invalid_argument` */
function compileLogical(kind: "and" | "or", nodes: readonly FieldExpression[]): Condition {
  const compiled = nodes.map((node) => compileCondition(node));
  const operands = joinNumbers(kind, joinTexts(kind, compiled));
  if (conditionFields({ kind, operands }).length > CONDITIONS_MAX) {
    throw new AppError(
      "invalid_argument",
      `invalid TraceQL query: a filter has more than ${CONDITIONS_MAX} conditions besides = and != of the same field`,
    );
  }
  if (operands.length === 1 && operands[0] !== undefined) return operands[0];
  // What can fail may be reached only when what stands before it lets it: the order stays.
  if (nodes.some((node) => canFail(node))) return { kind, operands };
  return { kind, operands: operands.toSorted((a, b) => costOf(a) - costOf(b)) };
}

/** Thousands of `x = "a" || x = "b"` are one predicate, and so are `x != "a" && x != "b"`. */
function joinTexts(kind: "and" | "or", operands: readonly Condition[]): Condition[] {
  const joined: Condition[] = [];
  const places = new Map<string, { readonly at: number; readonly texts: string[]; readonly field: Field }>();
  for (const operand of operands) {
    const texts = operand.kind === "field" ? operand.predicate.texts : undefined;
    if (operand.kind !== "field" || texts === undefined || texts.negated !== (kind === "and")) {
      joined.push(operand);
      continue;
    }
    const key = fieldKey(operand.field);
    const place = places.get(key);
    if (place === undefined) {
      places.set(key, { at: joined.length, texts: [...texts.set], field: operand.field });
      joined.push(operand);
    } else place.texts.push(...texts.set);
  }
  for (const { at, texts, field } of places.values()) {
    if (texts.length < 2) continue;
    joined[at] = { kind: "field", field, predicate: oneOfTexts(texts, kind === "and") };
  }
  return joined;
}

/** Rough order of what a condition costs on a block, so that the cheap ones spare the others their pages. */
function costOf(condition: Condition): number {
  switch (condition.kind) {
    case "constant":
      return 0;
    case "field":
      return fieldCost(condition.field);
    case "rows":
      return 100;
    case "not":
      return costOf(condition.operand);
    case "and":
    case "or":
      return condition.operands.reduce((sum, operand) => sum + costOf(operand), 1);
  }
}

const INTRINSIC_COST: Readonly<Record<string, number>> = {
  name: 1,
  status: 1,
  kind: 1,
  statusMessage: 1,
  duration: 4,
  "instrumentation:name": 1,
  "instrumentation:version": 1,
};
const ATTRIBUTE_COST: Readonly<Record<string, number>> = { resource: 1, instrumentation: 1, span: 2 };
const OTHER_COST = 8;

function fieldCost(field: Field): number {
  const cost = field.kind === "intrinsic" ? INTRINSIC_COST[field.name] : ATTRIBUTE_COST[field.scope];
  return (cost ?? OTHER_COST) + (field.parent ? 4 : 0);
}

/** The fields of a condition, each as often as it occurs. */
export function conditionFields(condition: Condition): readonly Field[] {
  switch (condition.kind) {
    case "constant":
      return [];
    case "field":
      return [condition.field];
    case "rows":
      return condition.fields;
    case "not":
      return conditionFields(condition.operand);
    case "and":
    case "or":
      return condition.operands.flatMap((operand) => conditionFields(operand));
  }
}

/**
 * What is known of the condition before any column is read: true or false for every span of the source, or undefined.
 * Only conditions that cannot fail are decided.
 */
export function foresee(condition: Condition, source: SpanSource): boolean | undefined {
  switch (condition.kind) {
    case "constant":
      return condition.holds;
    case "field":
      return foreseeField(condition.field, condition.predicate, source);
    case "rows":
      return undefined;
    case "not": {
      const operand = foresee(condition.operand, source);
      return operand === undefined ? undefined : !operand;
    }
    case "and":
    case "or": {
      const decisive = condition.kind === "or";
      const operands = new Set(condition.operands.map((operand) => foresee(operand, source)));
      if (operands.has(decisive)) return decisive;
      return operands.has(undefined) ? undefined : !decisive;
    }
  }
}

function foreseeField(field: Field, { test, bound }: Predicate, source: SpanSource): boolean | undefined {
  // A parent may be in another source.
  if (field.parent) return undefined;
  if (isAbsent(source, field)) return test(undefined);
  if (field.kind !== "intrinsic" || field.name !== "duration") return undefined;
  if (bound === undefined) return undefined;
  if (holdsForAll(bound.op, bound.value, source)) return true;
  return holdsForAll(NEGATED[bound.op], bound.value, source) ? false : undefined;
}

const NEGATED: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  "=": "!=",
  "!=": "=",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};

/** Whether every duration of the source is sure to be `op value`. */
function holdsForAll(op: ComparisonOperator, value: bigint | number, { bounds }: SpanSource): boolean {
  const { minDurationNs: min, maxDurationNs: max } = bounds;
  switch (op) {
    case "=":
      return false;
    case "!=":
      return value < min || value > max;
    case "<":
      return max < value;
    case "<=":
      return max <= value;
    case ">":
      return min > value;
    case ">=":
      return min >= value;
  }
}
