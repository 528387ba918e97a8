// The part of a query that selects spans, compiled once: what each source evaluates.
import type {
  Aggregate,
  FieldExpression,
  Pipeline,
  ScalarExpression,
  ScalarFilter,
  SpansetExpression,
  Stage,
  Structural,
} from "../../ast.ts";
import { printAggregate, printFieldExpression } from "../../print.ts";
import type { ColumnName, SpanSource } from "../../storage.ts";
import { AppError } from "../../../util/errors.ts";
import { columnsOf } from "../columns/fields.ts";
import { compileCondition, type Condition, conditionFields } from "../conditions/condition.ts";
import { fieldsOf } from "../conditions/expression.ts";

export type SpansPlan =
  | { readonly kind: "filter"; readonly condition: Condition }
  | { readonly kind: "combination"; readonly op: "&&" | "||"; readonly operands: readonly SpansPlan[] }
  | {
      readonly kind: "structural";
      readonly node: Structural;
      readonly left: SpansPlan;
      readonly right: SpansPlan;
    }
  | PipelinePlan;

export interface PipelinePlan {
  readonly kind: "pipeline";
  readonly stages: readonly StagePlan[];
}

export type StagePlan =
  | { readonly kind: "spans"; readonly plan: SpansPlan }
  | {
      readonly kind: "scalar-filter";
      readonly node: ScalarFilter;
      readonly aggregates: readonly NamedAggregate[];
    }
  | { readonly kind: "by"; readonly name: string; readonly expression: FieldExpression }
  | { readonly kind: "coalesce" };

export interface NamedAggregate {
  readonly name: string;
  readonly node: Aggregate;
}

/** @throws AppError `invalid_argument` for a structural operator on groups */
export function compilePipeline({ stages }: Pipeline): PipelinePlan {
  const plans: StagePlan[] = [];
  let isGrouped = false;
  for (const stage of stages) {
    if (stage.kind === "select") continue;
    if (stage.kind === "by") isGrouped = true;
    if (stage.kind === "coalesce") isGrouped = false;
    plans.push(compileStage(stage, isGrouped));
  }
  return { kind: "pipeline", stages: plans };
}

function compileStage(stage: Exclude<Stage, { kind: "select" }>, isGrouped: boolean): StagePlan {
  switch (stage.kind) {
    case "by":
      return {
        kind: "by",
        name: `by(${printFieldExpression(stage.expression)})`,
        expression: stage.expression,
      };
    case "coalesce":
      return { kind: "coalesce" };
    case "scalar-filter":
      return {
        kind: "scalar-filter",
        node: stage,
        aggregates: [...aggregatesOf(stage.left), ...aggregatesOf(stage.right)].map((node) => ({
          name: printAggregate(node),
          node,
        })),
      };
    case "filter":
    case "combination":
    case "structural":
      return { kind: "spans", plan: compileSpans(stage, isGrouped) };
  }
}

export function aggregatesOf(node: ScalarExpression): Aggregate[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "aggregate":
      return [node];
    case "scalar-negation":
      return aggregatesOf(node.operand);
    case "scalar-arithmetic":
      return [...aggregatesOf(node.left), ...aggregatesOf(node.right)];
  }
}

function compileSpans(node: SpansetExpression, isGrouped: boolean): SpansPlan {
  switch (node.kind) {
    case "filter":
      return { kind: "filter", condition: compileCondition(node.condition) };
    case "combination": {
      const operands = node.operands.map((operand) => compileSpans(operand, isGrouped));
      return { kind: "combination", op: node.op, operands };
    }
    case "structural": {
      const left = compileSpans(node.left, false);
      const right = compileSpans(node.right, false);
      if (isGrouped || endsGrouped(left) || endsGrouped(right)) {
        throw new AppError(
          "invalid_argument",
          "spanset operators are not supported for multiple spansets per trace. consider using coalesce()",
        );
      }
      return { kind: "structural", node, left, right };
    }
    case "pipeline":
      return compilePipeline(node);
  }
}

function endsGrouped(plan: SpansPlan): boolean {
  if (plan.kind !== "pipeline") return false;
  const last = plan.stages.findLast(({ kind }) => kind === "by" || kind === "coalesce");
  return last?.kind === "by";
}

/** The columns that evaluating the plan over a source reads; some of them maybe twice. */
export function planColumns(plan: SpansPlan, source: SpanSource): ColumnName[] {
  switch (plan.kind) {
    case "filter":
      return conditionFields(plan.condition).flatMap((field) => columnsOf(source, field));
    case "combination":
      return plan.operands.flatMap((operand) => planColumns(operand, source));
    case "structural":
      return [
        "parentDistance",
        ...(plan.node.relation === "~" ? (["parentSpanId"] as const) : []),
        ...planColumns(plan.left, source),
        ...planColumns(plan.right, source),
      ];
    case "pipeline":
      return plan.stages.flatMap((stage) => stageColumns(stage, source));
  }
}

function stageColumns(stage: StagePlan, source: SpanSource): ColumnName[] {
  switch (stage.kind) {
    case "spans":
      return planColumns(stage.plan, source);
    case "by":
      return expressionColumns(stage.expression, source);
    case "scalar-filter":
      return stage.aggregates.flatMap(({ node }) =>
        node.fn === "count" ? [] : expressionColumns(node.operand, source),
      );
    case "coalesce":
      return [];
  }
}

function expressionColumns(node: FieldExpression, source: SpanSource): ColumnName[] {
  return fieldsOf(node).flatMap((field) => columnsOf(source, field));
}

/** Whether spans may be selected, where it is known of each condition whether it may hold. False is certain. */
export function canMatch(plan: SpansPlan, mayHold: (condition: Condition) => boolean): boolean {
  switch (plan.kind) {
    case "filter":
      return mayHold(plan.condition);
    case "combination":
      return plan.op === "&&"
        ? plan.operands.every((operand) => canMatch(operand, mayHold))
        : plan.operands.some((operand) => canMatch(operand, mayHold));
    case "structural":
      return canMatch(plan.right, mayHold) && (plan.node.form === "negated" || canMatch(plan.left, mayHold));
    case "pipeline":
      return plan.stages.every((stage) => stage.kind !== "spans" || canMatch(stage.plan, mayHold));
  }
}

/** The conditions of a plan, in the order of the query's text. */
export function conditionsOf(plan: SpansPlan): Condition[] {
  switch (plan.kind) {
    case "filter":
      return [plan.condition];
    case "combination":
      return plan.operands.flatMap((operand) => conditionsOf(operand));
    case "structural":
      return [...conditionsOf(plan.left), ...conditionsOf(plan.right)];
    case "pipeline":
      return plan.stages.flatMap((stage) => (stage.kind === "spans" ? conditionsOf(stage.plan) : []));
  }
}
