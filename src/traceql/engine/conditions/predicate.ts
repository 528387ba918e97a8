// Conditions on the value of one field.
import type { ComparisonOperator, Field, FieldExpression } from "../../ast.ts";
import { printFieldExpression } from "../../print.ts";
import { holdsFor, isTrue, type Value } from "../columns/value.ts";
import { comparedValue, compileExpression, isField } from "./expression.ts";

export interface Predicate {
  /** Equal only for conditions that mean the same; undefined: it is too long to tell. */
  readonly key?: string;
  /** Whether the condition holds for a field with this value. */
  readonly test: (value: Value) => boolean;
  /** When it does the same for single values: whether they are one of these texts, or texts but none of them. */
  readonly texts?: { readonly set: ReadonlySet<string>; readonly negated: boolean };
  /** When it does the same for single values: whether they are numbers for which `value op bound` holds. */
  readonly bound?: { readonly op: ComparisonOperator; readonly value: bigint | number };
}

/** Letters of a key at most. */
const KEY_MAX = 500;

const MIRRORED: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  "=": "=",
  "!=": "!=",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
};

/** The condition `node`, in which `field` is the only field. */
export function compilePredicate(node: FieldExpression): Predicate {
  let current: Value;
  const evaluate = compileExpression(node, () => () => current);
  const test = (value: Value): boolean => {
    current = value;
    return isTrue(evaluate());
  };
  const key = printFieldExpression(node);
  return { test, ...(key.length <= KEY_MAX && { key }), ...shortcutOf(node) };
}

function shortcutOf(node: FieldExpression): Pick<Predicate, "texts" | "bound"> {
  if (node.kind !== "comparison") return {};
  const { left, right } = node;
  const isMirrored = left.kind === "literal";
  const operand = isMirrored ? right : left;
  const literal = isMirrored ? left : right;
  if (!isField(operand) || literal.kind !== "literal") return {};
  const op = isMirrored ? MIRRORED[node.op] : node.op;
  const value = comparedValue(node, literal, operand);
  if (typeof value === "bigint" || typeof value === "number") return { bound: { op, value } };
  if (typeof value !== "string" || (op !== "=" && op !== "!=")) return {};
  return { texts: { set: new Set([value]), negated: op === "!=" } };
}

/** `x = "a" || x = "b" ...`, or `x != "a" && x != "b" ...`: one look at a set instead of many comparisons. */
export function oneOfTexts(texts: Iterable<string>, negated: boolean): Predicate {
  const set = new Set(texts);
  const test = (value: Value): boolean =>
    holdsFor(value, negated, (element) =>
      typeof element === "string" ? set.has(element) !== negated : undefined,
    );
  return { test, texts: { set, negated } };
}

export interface FieldPredicate {
  readonly field: Field;
  readonly predicate: Predicate;
}
