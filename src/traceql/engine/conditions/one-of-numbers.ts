// Hundreds of comparisons of one field with numbers as one look at a set.
import { fieldKey } from "../columns/fields.ts";
import { holdsFor } from "../columns/value.ts";
import type { Condition } from "./condition.ts";
import type { Predicate } from "./predicate.ts";

/** Equal for equal numbers, whatever their type. */
function keyOf(value: bigint | number): bigint | number {
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
}

function oneOfNumbers(values: readonly (bigint | number)[], negated: boolean): Predicate {
  const set = new Set(values.map((value) => keyOf(value)));
  const test: Predicate["test"] = (value) =>
    holdsFor(value, negated, (element) =>
      typeof element === "bigint" || typeof element === "number"
        ? set.has(keyOf(element)) !== negated
        : undefined,
    );
  return { test };
}

/** Fewer are left alone: what is known of each alone spares whole pages. */
const JOINED_MIN = 16;

/** Thousands of `x = 1 || x = 2` are one predicate, and so are `x != 1 && x != 2`. */
export function joinNumbers(kind: "and" | "or", operands: readonly Condition[]): readonly Condition[] {
  const op = kind === "or" ? "=" : "!=";
  const numberOf = (condition: Condition): bigint | number | undefined => {
    const bound = condition.kind === "field" ? condition.predicate.bound : undefined;
    return bound?.op === op ? bound.value : undefined;
  };
  const keys = operands.map((operand) =>
    operand.kind === "field" && numberOf(operand) !== undefined ? fieldKey(operand.field) : undefined,
  );
  const places = Map.groupBy(operands.keys(), (index) => keys[index]);
  const replaced = new Map<number, Condition | undefined>();
  for (const [key, indexes] of places) {
    const [first = 0] = indexes;
    const operand = operands[first];
    if (key === undefined || indexes.length < JOINED_MIN || operand?.kind !== "field") continue;
    for (const index of indexes) replaced.set(index, undefined);
    const values = indexes.flatMap((index) => {
      const other = operands[index];
      return (other && numberOf(other)) ?? [];
    });
    replaced.set(first, { ...operand, predicate: oneOfNumbers(values, kind === "and") });
  }
  return operands.flatMap((operand, index) => (replaced.has(index) ? (replaced.get(index) ?? []) : operand));
}
