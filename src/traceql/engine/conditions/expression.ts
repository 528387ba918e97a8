// Expressions over one span, as functions.
import type { Comparison, Field, FieldExpression, Literal } from "../../ast.ts";
import { compileRegex } from "../../regex.ts";
import { isOfMany } from "../columns/fields.ts";
import {
  compareValues,
  compute,
  holdsFor,
  invertValue,
  isList,
  isTrue,
  literalValue,
  negateValue,
  type Scalar,
  type Value,
} from "../columns/value.ts";

/** The value at the span that the caller is at. */
export type Evaluate = () => Value;

/** What gives the value of a field. */
export type Resolve = (field: Field) => Evaluate;

/** Each field as often as it occurs, from left to right. */
export function fieldsOf(node: FieldExpression): Field[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "attribute":
    case "intrinsic":
      return [node];
    case "unary":
    case "regex":
      return fieldsOf(node.operand);
    case "arithmetic":
    case "comparison":
      return [...fieldsOf(node.left), ...fieldsOf(node.right)];
    case "logical":
      return node.operands.flatMap((operand) => fieldsOf(operand));
  }
}

export function isField(node: FieldExpression): node is Field {
  return node.kind === "attribute" || node.kind === "intrinsic";
}

/** Whether evaluation can fail: at a division by what is not sure to be other than zero. */
export function canFail(node: FieldExpression): boolean {
  switch (node.kind) {
    case "literal":
    case "attribute":
    case "intrinsic":
      return false;
    case "unary":
    case "regex":
      return canFail(node.operand);
    case "arithmetic":
      return (
        ((node.op === "/" || node.op === "%") && !isNonZero(node.right)) ||
        canFail(node.left) ||
        canFail(node.right)
      );
    case "comparison":
      return canFail(node.left) || canFail(node.right);
    case "logical":
      return node.operands.some((operand) => canFail(operand));
  }
}

function isNonZero(node: FieldExpression): boolean {
  return node.kind === "literal" && "value" in node && Number(node.value) !== 0;
}

const ID_DIGITS: Readonly<Record<string, number>> = {
  "trace:id": 32,
  "link:traceID": 32,
  "span:id": 16,
  "span:parentID": 16,
  "link:spanID": 16,
};

/** The literal's value; an id that is compared for equality gets its leading zeros. */
export function comparedValue(
  { op }: Comparison,
  literal: Literal,
  other: FieldExpression,
): Scalar | undefined {
  const value = literalValue(literal);
  const digits = other.kind === "intrinsic" ? ID_DIGITS[other.name] : undefined;
  if (digits === undefined || typeof value !== "string" || value === "") return value;
  return op === "=" || op === "!=" ? value.toLowerCase().padStart(digits, "0") : value;
}

/**
 * Compiles the expression. Comparisons and `&&` and `||` give a boolean, never undefined.
 * @throws AppError `invalid_argument` when the result is called: a division by zero
 */
export function compileExpression(node: FieldExpression, resolve: Resolve): Evaluate {
  switch (node.kind) {
    case "literal": {
      const value = literalValue(node);
      return () => value;
    }
    case "attribute":
    case "intrinsic":
      return resolve(node);
    case "unary":
      return compileUnary(node.op, node.operand, resolve);
    case "arithmetic": {
      const left = compileExpression(node.left, resolve);
      const right = compileExpression(node.right, resolve);
      return () => compute(node.op, left(), right());
    }
    case "comparison":
      return compileComparison(node, resolve);
    case "regex": {
      const regex = compileRegex(node.pattern);
      const operand = compileExpression(node.operand, resolve);
      const negated = node.op === "!~";
      const test = (value: Scalar): boolean | undefined =>
        typeof value === "string" ? regex.matches(value) !== negated : undefined;
      return () => holdsFor(operand(), negated, test);
    }
    case "logical": {
      const operands = node.operands.map((operand) => compileExpression(operand, resolve));
      if (node.op === "&&") return () => operands.every((operand) => isTrue(operand()));
      return () => operands.some((operand) => isTrue(operand()));
    }
  }
}

function compileUnary(op: "-" | "!", operand: FieldExpression, resolve: Resolve): Evaluate {
  const evaluate = compileExpression(operand, resolve);
  return op === "-" ? () => negateValue(evaluate()) : () => invertValue(evaluate());
}

function compileComparison(node: Comparison, resolve: Resolve): Evaluate {
  const { op, left, right } = node;
  if (left.kind === "literal" && left.type === "nil") return compileNil(op, right, resolve);
  if (right.kind === "literal" && right.type === "nil") return compileNil(op, left, resolve);
  const evaluateLeft = compileOperand(node, left, right, resolve);
  const evaluateRight = compileOperand(node, right, left, resolve);
  return () => compareValues(op, evaluateLeft(), evaluateRight());
}

function compileOperand(
  node: Comparison,
  operand: FieldExpression,
  other: FieldExpression,
  resolve: Resolve,
): Evaluate {
  if (operand.kind !== "literal") return compileExpression(operand, resolve);
  const value = comparedValue(node, operand, other);
  return () => value;
}

function compileNil(op: Comparison["op"], operand: FieldExpression, resolve: Resolve): Evaluate {
  if (operand.kind === "literal") return () => false;
  const evaluate = compileExpression(operand, resolve);
  const ofMany = isField(operand) && isOfMany(operand);
  if (op === "=") {
    return () => {
      const value = evaluate();
      if (!isList(value)) return value === undefined && !ofMany;
      return value.length > 0 && value.every((element) => element === undefined);
    };
  }
  return () => {
    const value = evaluate();
    return isList(value) ? value.some((element) => element !== undefined) : value !== undefined;
  };
}
