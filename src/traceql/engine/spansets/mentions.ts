// The fields that a query mentions: what results show of each span.
import type { Field, FieldExpression, MetricsFunction, SpansetExpression, Stage } from "../../ast.ts";
import type { ResultAttribute } from "../../results.ts";
import { printField } from "../../print.ts";
import { isOfMany } from "../columns/fields.ts";
import { toResult } from "../columns/result-value.ts";
import { isList, type Value } from "../columns/value.ts";
import { fieldsOf } from "../conditions/expression.ts";
import { isDuration } from "./aggregate.ts";
import { aggregatesOf } from "./plan.ts";

export interface Mention {
  readonly field: Field;
  /** Whether the query asks somewhere for spans without it. */
  readonly isNil: boolean;
}

function ofExpression(node: FieldExpression): Mention[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "attribute":
    case "intrinsic":
      return [{ field: node, isNil: false }];
    case "unary":
    case "regex":
      return ofExpression(node.operand);
    case "logical":
      return node.operands.flatMap((operand) => ofExpression(operand));
    case "arithmetic":
    case "comparison": {
      const sides = [node.left, node.right];
      const isNil = node.op === "=" && sides.some((side) => side.kind === "literal" && side.type === "nil");
      if (isNil) return fieldsOf(node).map((field) => ({ field, isNil }));
      return sides.flatMap((side) => ofExpression(side));
    }
  }
}

function ofStage(node: Stage | SpansetExpression): Mention[] {
  switch (node.kind) {
    case "filter":
      return ofExpression(node.condition);
    case "combination":
      return node.operands.flatMap((operand) => ofStage(operand));
    case "structural":
      return [...ofStage(node.left), ...ofStage(node.right)];
    case "pipeline":
      return node.stages.flatMap((stage) => ofStage(stage));
    case "scalar-filter":
      return [...aggregatesOf(node.left), ...aggregatesOf(node.right)].flatMap((aggregate) =>
        aggregate.fn === "count" ? [] : ofExpression(aggregate.operand),
      );
    case "by":
      return ofExpression(node.expression);
    case "coalesce":
      return [];
    case "select":
      return node.fields.map((field) => ({ field, isNil: false }));
  }
}

/** Each field once, in the order of the query's text. */
export function mentionsOf(stages: readonly Stage[], fn?: MetricsFunction): Mention[] {
  const mentions = stages.flatMap((stage) => ofStage(stage));
  if (fn?.kind === "compare") mentions.push(...ofExpression(fn.selection.condition));
  else if (fn !== undefined) {
    const fields = "field" in fn ? [fn.field, ...fn.by] : fn.by;
    mentions.push(...fields.map((field) => ({ field, isNil: false })));
  }
  const byName = Map.groupBy(mentions, ({ field }) => printField(field));
  return [...byName.values()].flatMap((same) => {
    const [first] = same;
    return first ? [{ field: first.field, isNil: same.some(({ isNil }) => isNil) }] : [];
  });
}

/** What a result has in places of its own, or not at all. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "name",
  "duration",
  "traceDuration",
  "rootName",
  "rootServiceName",
  "trace:id",
  "span:id",
]);

/** Whether a mention is an attribute of result spans. */
export function isShown({ field }: Mention): boolean {
  return field.parent || field.kind === "attribute" || !LEFT_OUT.has(field.name);
}

/** A field's value as attributes of a span: one for each event or link that has it. */
export function shownAttributes({ field, isNil }: Mention, value: Value): ResultAttribute[] {
  const name = field.parent ? `parent.${field.name}` : field.name;
  const show = (each: Value): ResultAttribute => ({ name, value: toResult(each, isDuration(field)) });
  const elements = isList(value) ? value.filter((element) => element !== undefined) : [];
  const isMissing = value === undefined || (isList(value) && elements.length === 0);
  if (isMissing) return isNil ? [show(undefined)] : [];
  return isOfMany(field) && isList(value) ? elements.map((element) => show(element)) : [show(value)];
}
