// Metrics queries, compiled: what each source is asked, and what becomes of the answers.
import type {
  Field,
  MetricsExpression,
  MetricsFunction,
  MetricsPipeline,
  MetricsQuery,
  Stage,
} from "../../ast.ts";
import { checkComplexity } from "../../complexity.ts";
import type { ColumnName, SpanSource } from "../../storage.ts";
import { columnsOf } from "../columns/fields.ts";
import { compileCondition, type Condition, conditionFields } from "../conditions/condition.ts";
import { type Mention, mentionsOf } from "../spansets/mentions.ts";
import { compilePipeline, type PipelinePlan, planColumns } from "../spansets/plan.ts";
import { comparedColumns } from "./compared-fields.ts";
import { RunReader } from "./interval-runs.ts";
import type { Intervals } from "./intervals.ts";

/** One pipeline with its function. */
export interface LeafPlan {
  readonly pipeline: PipelinePlan;
  readonly fn: MetricsFunction;
  /** Of compare(): the condition of the selection. */
  readonly selection: Condition | undefined;
  /** What exemplars show. */
  readonly mentions: readonly Mention[];
  /** Whether there is a series of zeros when no span counts. */
  readonly countsNothing: boolean;
}

export interface MetricsPlan {
  readonly expression: MetricsExpression;
  /** By node of the expression. */
  readonly leaves: ReadonlyMap<MetricsPipeline, LeafPlan>;
  /** What the query itself says of the number of exemplars. */
  readonly exemplars: number | undefined;
}

/** @throws AppError `invalid_argument` for a structural operator on groups */
export function compileMetrics(query: MetricsQuery): MetricsPlan {
  checkComplexity(query);
  const { expression, hints } = query;
  const leaves = new Map(pipelinesOf(expression).map((node) => [node, compileLeaf(node)]));
  const hint = hints.findLast(({ name }) => name === "exemplars")?.value;
  let exemplars: number | undefined;
  if (hint?.type === "int") exemplars = Number(hint.value);
  if (hint?.type === "bool" && !hint.value) exemplars = 0;
  return { expression, leaves, exemplars };
}

function pipelinesOf(node: MetricsExpression): MetricsPipeline[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "metrics-pipeline":
      return [node];
    case "metrics-stages":
      return pipelinesOf(node.input);
    case "metrics-arithmetic":
      return [...pipelinesOf(node.left), ...pipelinesOf(node.right)];
  }
}

function compileLeaf({ source, fn }: MetricsPipeline): LeafPlan {
  return {
    pipeline: compilePipeline(source),
    fn,
    selection: fn.kind === "compare" ? compileCondition(fn.selection.condition) : undefined,
    mentions: mentionsOf(source.stages, fn),
    countsNothing: isCount(fn) && !source.stages.some((stage) => isNever(stage)),
  };
}

function isCount(fn: MetricsFunction): boolean {
  return (fn.kind === "rate" || fn.kind === "count_over_time") && fn.by.length === 0;
}

/** `{ false }`, which Tempo answers with nothing at all. */
function isNever(stage: Stage): boolean {
  const condition = stage.kind === "filter" ? stage.condition : undefined;
  return condition?.kind === "literal" && condition.type === "bool" && !condition.value;
}

function functionFields(fn: MetricsFunction): readonly Field[] {
  if (fn.kind === "compare") return [];
  return "field" in fn ? [...fn.by, fn.field] : fn.by;
}

/** The columns that measuring a source looks at. */
export function leafColumns(leaf: LeafPlan, source: SpanSource): ColumnName[] {
  return [...new Set<ColumnName>(["start", ...valueColumns(leaf, source)])];
}

/** Those of them that it loads: not what is noted of the intervals. */
export function loadedToMeasure(leaf: LeafPlan, source: SpanSource, intervals: Intervals): ColumnName[] {
  return notedIntervals(leaf, source, intervals) === undefined
    ? leafColumns(leaf, source)
    : valueColumns(leaf, source);
}

/** What is noted of the source's rows, so that `start` need not be loaded. compare() may read a window of its own in it. */
export function notedIntervals(
  { fn }: LeafPlan,
  source: SpanSource,
  intervals: Intervals,
): RunReader | undefined {
  return fn.kind === "compare" ? undefined : RunReader.open(source, intervals);
}

function valueColumns({ pipeline, fn, selection }: LeafPlan, source: SpanSource): ColumnName[] {
  const names = new Set<ColumnName>(planColumns(pipeline, source));
  const fields = [...functionFields(fn), ...(selection === undefined ? [] : conditionFields(selection))];
  for (const field of fields) for (const name of columnsOf(source, field)) names.add(name);
  if (fn.kind === "compare") for (const name of comparedColumns(source)) names.add(name);
  return [...names];
}

/** The columns of traces that are put together of several sources: their exemplars are made at once. */
export function splitColumns(leaf: LeafPlan, source: SpanSource): ColumnName[] {
  return [...leafColumns(leaf, source), ...leaf.mentions.flatMap(({ field }) => columnsOf(source, field))];
}
