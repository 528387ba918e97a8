// Which traces might answer a query otherwise if more of them were known than a window shows.
import type {
  Field,
  FieldExpression,
  IntrinsicName,
  MetricsFunction,
  Pipeline,
  SearchQuery,
  SpansetExpression,
  Stage,
} from "../traceql/ast.ts";
import { mentionsOf } from "../traceql/engine/spansets/mentions.ts";

// No part of such a query comes from a text that a position could point into.
const at = 0;

const TRUE: FieldExpression = { kind: "literal", type: "bool", value: true, at };

/** What a span has only together with the others of its trace. */
const OF_TRACE: ReadonlySet<IntrinsicName> = new Set([
  "traceDuration",
  "rootName",
  "rootServiceName",
  "nestedSetLeft",
  "nestedSetRight",
  "nestedSetParent",
  "span:childCount",
]);

function isOfTrace(field: Field): boolean {
  return field.parent || (field.kind === "intrinsic" && OF_TRACE.has(field.name));
}

/** `nestedSetParent < 0`, a root: its span alone tells. */
function isRoot(node: FieldExpression): boolean {
  if (node.kind !== "comparison" || node.op !== "<") return false;
  const { left, right } = node;
  const isZero = right.kind === "literal" && right.type === "int" && right.value === 0n;
  return isZero && left.kind === "intrinsic" && left.name === "nestedSetParent" && !left.parent;
}

/** Whether the condition holds for a span whatever the rest of its trace is. */
function isOfSpan(node: FieldExpression): boolean {
  switch (node.kind) {
    case "literal":
      return true;
    case "attribute":
    case "intrinsic":
      return !isOfTrace(node);
    case "unary":
    case "regex":
      return isOfSpan(node.operand);
    case "logical":
      return node.operands.every((operand) => isOfSpan(operand));
    case "arithmetic":
    case "comparison":
      return isRoot(node) || (isOfSpan(node.left) && isOfSpan(node.right));
  }
}

/** Whether what a stage lets through of a trace depends on one span at a time. */
function isStageOfSpan(stage: Stage | SpansetExpression): boolean {
  switch (stage.kind) {
    case "filter":
      return isOfSpan(stage.condition);
    case "combination":
      return stage.op === "||" && stage.operands.every((operand) => isStageOfSpan(operand));
    case "by":
    case "coalesce":
    case "select":
      return true;
    case "structural":
    case "pipeline":
    case "scalar-filter":
      return false;
  }
}

/** A condition that holds wherever `node` may hold once more of the trace is known. */
function relaxed(node: FieldExpression): FieldExpression {
  if (isOfSpan(node)) return node;
  if (node.kind !== "logical" || node.op !== "&&") return TRUE;
  const operands = node.operands.filter((operand) => isOfSpan(operand));
  const [first] = operands;
  if (first === undefined) return TRUE;
  return operands.length === 1 ? first : { ...node, operands };
}

/** Conditions of which one holds for some span of every trace that the stage lets through. */
function conditionsOf(stage: Stage | SpansetExpression): FieldExpression[] {
  switch (stage.kind) {
    case "filter":
      return [relaxed(stage.condition)];
    case "combination":
      return stage.operands.flatMap((operand) => conditionsOf(operand));
    case "structural":
      return [...conditionsOf(stage.left), ...conditionsOf(stage.right)];
    case "pipeline":
      return stage.stages.slice(0, 1).flatMap((first) => conditionsOf(first));
    case "scalar-filter":
    case "by":
    case "coalesce":
    case "select":
      return [TRUE];
  }
}

/** Of a window that shows this much of a trace around it, ns. */
function incomplete(marginNs: bigint): FieldExpression {
  const intrinsic = (name: IntrinsicName): Field => ({ kind: "intrinsic", name, parent: false, at });
  const orphan = {
    kind: "comparison",
    op: "=",
    left: intrinsic("nestedSetParent"),
    right: { kind: "literal", type: "int", value: 0n, at },
    at,
  } as const;
  const long = {
    kind: "comparison",
    op: ">",
    left: intrinsic("traceDuration"),
    right: { kind: "literal", type: "duration", value: marginNs, at },
    at,
  } as const;
  return { kind: "logical", op: "||", operands: [orphan, long], at };
}

/**
 * A search for the traces that some pipeline might take or leave once they are whole: those that have a span whose parent is
 * not there, or that last longer than the margin, and a span that the pipeline begins with.
 * @returns undefined when the pipelines look at one span at a time
 */
export function candidateQuery(
  pipelines: readonly { readonly source: Pipeline; readonly fn?: MetricsFunction }[],
  marginNs: bigint,
): SearchQuery | undefined {
  const open = pipelines.filter(({ source, fn }) => {
    const isSeries = fn !== undefined && mentionsOf([], fn).some(({ field }) => isOfTrace(field));
    return isSeries || !source.stages.every((stage) => isStageOfSpan(stage));
  });
  if (open.length === 0) return undefined;
  const conditions = open.flatMap(({ source }) => conditionsOf(source));
  const filters = conditions.map((condition) => ({ kind: "filter", condition, at }) as const);
  const [first] = filters;
  const isAny = conditions.some(({ kind }) => kind === "literal");
  const cut = { kind: "filter", condition: incomplete(marginNs), at } as const;
  const wanted =
    filters.length === 1 && first !== undefined
      ? first
      : ({ kind: "combination", op: "||", operands: filters, at } as const);
  const stage = isAny ? cut : ({ kind: "combination", op: "&&", operands: [wanted, cut], at } as const);
  return { kind: "search", pipeline: { kind: "pipeline", stages: [stage], at }, hints: [], at };
}
