// The fields that a query mentions: results show them on every span that has them.
import type {
  Field,
  FieldExpression,
  MetricsExpression,
  MetricsFunction,
  Query,
  ScalarExpression,
  SpansetExpression,
  Stage,
} from "../../../src/traceql/ast.ts";
import { printField } from "../../../src/traceql/print.ts";

export interface Mention {
  readonly field: Field;
  /** Whether the query asks somewhere for spans without it. */
  readonly isNil: boolean;
}

function ofField(field: Field): Mention[] {
  return [{ field, isNil: false }];
}

function ofExpression(node: FieldExpression): Mention[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "attribute":
    case "intrinsic":
      return ofField(node);
    case "unary":
    case "regex":
      return ofExpression(node.operand);
    case "logical":
      return node.operands.flatMap(ofExpression);
    case "arithmetic":
      return [node.left, node.right].flatMap(ofExpression);
    case "comparison": {
      const asksForNil =
        node.op === "=" &&
        [node.left, node.right].some((side) => side.kind === "literal" && side.type === "nil");
      return [node.left, node.right]
        .flatMap(ofExpression)
        .map(({ field, isNil }) => ({ field, isNil: isNil || asksForNil }));
    }
  }
}

function ofScalar(node: ScalarExpression): Mention[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "aggregate":
      return node.fn === "count" ? [] : ofExpression(node.operand);
    case "scalar-negation":
      return ofScalar(node.operand);
    case "scalar-arithmetic":
      return [node.left, node.right].flatMap(ofScalar);
  }
}

function ofStage(node: Stage | SpansetExpression): Mention[] {
  switch (node.kind) {
    case "filter":
      return ofExpression(node.condition);
    case "combination":
      return node.operands.flatMap(ofStage);
    case "structural":
      return [node.left, node.right].flatMap(ofStage);
    case "pipeline":
      return node.stages.flatMap(ofStage);
    case "scalar-filter":
      return [node.left, node.right].flatMap(ofScalar);
    case "by":
      return ofExpression(node.expression);
    case "coalesce":
      return [];
    case "select":
      return node.fields.flatMap(ofField);
  }
}

function ofFunction(fn: MetricsFunction): Mention[] {
  if (fn.kind === "compare") return ofExpression(fn.selection.condition);
  return [...("field" in fn ? [fn.field] : []), ...fn.by].flatMap(ofField);
}

function ofMetrics(node: MetricsExpression): Mention[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "metrics-pipeline":
      return [...node.source.stages.flatMap(ofStage), ...ofFunction(node.fn)];
    case "metrics-stages":
      return ofMetrics(node.input);
    case "metrics-arithmetic":
      return [node.left, node.right].flatMap(ofMetrics);
  }
}

/** Each field once, in order of first mention. */
export function mentionsOf(query: Query): Mention[] {
  const all = query.kind === "search" ? query.pipeline.stages.flatMap(ofStage) : ofMetrics(query.expression);
  return [...Map.groupBy(all, ({ field }) => printField(field)).values()].map(([first, ...more]) => ({
    field: first!.field,
    isNil: [first!, ...more].some(({ isNil }) => isNil),
  }));
}
