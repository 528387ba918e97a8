// Which traces might answer a query otherwise if more of them were known than a window shows.
import type {
  Field,
  FieldExpression,
  IntrinsicName,
  MetricsFunction,
  Pipeline,
  SpansetExpression,
  Stage,
} from "../traceql/ast.ts";
import { mentionsOf } from "../traceql/engine/spansets/mentions.ts";
import { compareNewest } from "../traceql/engine/search.ts";
import { type CutTraces, cutTraces } from "../traceql/engine/tables/cut-traces.ts";
import type { SpanSource } from "../traceql/storage.ts";
import type { ScanLimits } from "../model/limits.ts";
import { marginNs } from "./plan.ts";
import type { ScanWindow } from "./query-scan.ts";

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

/** Whether what a pipeline finds, or how its series are called, depends on all spans of a trace together. */
export function needsWholeTraces({
  source,
  fn,
}: {
  readonly source: Pipeline;
  readonly fn?: MetricsFunction;
}): boolean {
  const isSeries = fn !== undefined && mentionsOf([], fn).some(({ field }) => isOfTrace(field));
  return isSeries || !source.stages.every((stage) => isStageOfSpan(stage));
}

/** Traces that may go on beyond the window, and what was not looked into or is too many. */
export interface Candidates {
  /** Their ids, the newest first. */
  readonly ids: readonly string[];
  /** Older ones, some of them maybe twice. */
  readonly moreTraces: number;
  /** Row groups and groups of live spans, the oldest ones, in which there may be more. */
  readonly moreSources: number;
}

export const NO_CANDIDATES: Candidates = { ids: [], moreTraces: 0, moreSources: 0 };

export type CandidateLimits = Pick<ScanLimits, "traceMarginMs" | "maxCandidateSpans" | "maxCheckedTraces">;

/**
 * Traces that may go on beyond the window: of sources with spans no further from its ends, inside or outside, than the
 * margin, those with a span whose parent is not there, or that lasts longer than the margin.
 * @throws what a source throws
 */
export async function candidateTraces(
  sources: readonly SpanSource[],
  window: ScanWindow,
  limits: CandidateLimits,
): Promise<Candidates> {
  const { looked, moreSources } = sourcesAtEnds(sources, window, limits);
  const cuts: CutTraces[] = [];
  for (const source of looked) {
    cuts.push(await cutTraces(source, marginNs(limits), limits.maxCheckedTraces));
  }
  return { ...newestCut(cuts), moreSources };
}

/** The sources that are looked at, in the order in which they are, and how many are not. */
export function sourcesAtEnds<S extends Pick<SpanSource, "bounds" | "rowCount">>(
  sources: readonly S[],
  { startNs, endNs }: ScanWindow,
  limits: CandidateLimits,
): { readonly looked: S[]; readonly moreSources: number } {
  const margin = marginNs(limits);
  const atEnds = sources
    .filter(({ bounds }) => bounds.minStartNs < startNs + margin || bounds.maxEndNs > endNs - margin)
    .toSorted((a, b) => compareNewest(a.bounds, b.bounds));
  let rows = 0;
  const end = atEnds.findIndex(({ rowCount }) => (rows += rowCount) > limits.maxCandidateSpans);
  const looked = end < 0 ? atEnds : atEnds.slice(0, end);
  return { looked, moreSources: atEnds.length - looked.length };
}

/** @param cuts in the order of their sources */
export function newestCut(cuts: readonly CutTraces[]): Pick<Candidates, "ids" | "moreTraces"> {
  const starts = new Map<string, bigint>();
  for (const { traces } of cuts) for (const { traceId, startNs } of traces) starts.set(traceId, startNs);
  const ids = [...starts].sort(([, a], [, b]) => (a > b ? -1 : Number(a < b))).map(([traceId]) => traceId);
  return { ids, moreTraces: cuts.reduce((sum, { more }) => sum + more, 0) };
}
