// Pipelines over the rows of one source: which spans are left, and in which spansets.
import { isField } from "../conditions/expression.ts";
import { evaluateCondition } from "../conditions/evaluate.ts";
import { emptyMask, fullMask, isEmpty, type Mask, nextRow, unite } from "../columns/mask.ts";
import { fieldCodes, readerCodes, type RowCodes } from "../columns/rows.ts";
import type { Scan } from "../columns/scan.ts";
import type { Value } from "../columns/value.ts";
import type { FieldExpression } from "../../ast.ts";
import { aggregate, expressionReader, isDuration, scalarHolds } from "./aggregate.ts";
import type { PipelinePlan, SpansPlan, StagePlan } from "./plan.ts";
import { relate } from "./structural.ts";

/** A spanset is a trace's spans of `mask`, or after `by` those of a group. */
export interface Spansets {
  readonly mask: Mask;
  readonly groups: Groups | undefined;
  readonly attributes: readonly SpansetAttribute[];
}

export interface Groups {
  readonly count: number;
  /** By row of the mask. */
  readonly ofRow: Uint32Array;
}

/** What aggregates and `by` say of spansets. */
export interface SpansetAttribute {
  readonly name: string;
  readonly isDuration: boolean;
  /** By group, or by trace. */
  readonly values: readonly Value[];
}

/** @throws AppError `invalid_argument` for a division by zero, `corrupt` */
export function evaluatePipeline(scan: Scan, plan: PipelinePlan): Spansets {
  return runStages(scan, plan, undefined);
}

function everything(scan: Scan): Spansets {
  return { mask: fullMask(scan.rowCount), groups: undefined, attributes: [] };
}

/** @param input undefined: all spans, by trace. Here and below, so that a first filter need not look at a mask of them */
function runStages(scan: Scan, { stages }: PipelinePlan, input: Spansets | undefined): Spansets {
  let state = input;
  for (const stage of stages) {
    if (state !== undefined && isEmpty(state.mask)) break;
    state = runStage(scan, stage, state);
  }
  return state ?? everything(scan);
}

function runStage(scan: Scan, stage: StagePlan, input: Spansets | undefined): Spansets {
  if (stage.kind === "spans") {
    const mask = selectSpans(scan, stage.plan, input);
    return { groups: input?.groups, attributes: input?.attributes ?? [], mask };
  }
  const before = input ?? everything(scan);
  switch (stage.kind) {
    case "scalar-filter":
      return filterSpansets(scan, stage, before);
    case "by":
      return groupBy(scan, stage, before);
    case "coalesce":
      return { mask: before.mask, groups: undefined, attributes: [] };
  }
}

function selectSpans(scan: Scan, plan: SpansPlan, input: Spansets | undefined): Mask {
  switch (plan.kind) {
    case "filter":
      return evaluateCondition(scan, plan.condition, input?.mask);
    case "structural": {
      const right = selectSpans(scan, plan.right, input);
      // Without a span on the right there is nothing to select, and no form selects from the left alone.
      if (isEmpty(right)) return right;
      return relate(scan, plan.node, selectSpans(scan, plan.left, input), right);
    }
    case "combination":
      return combine(scan, plan, input);
    case "pipeline":
      return runStages(scan, plan, input).mask;
  }
}

function combine(
  scan: Scan,
  plan: SpansPlan & { readonly kind: "combination" },
  input: Spansets | undefined,
): Mask {
  const union = emptyMask(scan.rowCount);
  let inAll: Uint8Array | undefined;
  for (const operand of plan.operands) {
    const spans = selectSpans(scan, operand, input);
    unite(union, spans);
    if (plan.op === "||") continue;
    const has = spansetsWith(scan, input?.groups, spans);
    inAll = inAll === undefined ? has : inAll.map((flag, index) => flag & (has[index] ?? 0));
    if (!inAll.includes(1)) return emptyMask(scan.rowCount);
  }
  return inAll === undefined ? union : keepSpansets(scan, input?.groups, union, inAll);
}

/** Number of the spanset of each row. */
export function spansetOfRow(scan: Scan, groups: Groups | undefined): Uint32Array {
  return groups?.ofRow ?? scan.traceOfRow;
}

/** 1 for each spanset that has one of the spans. */
function spansetsWith(scan: Scan, groups: Groups | undefined, spans: Mask): Uint8Array {
  const has = new Uint8Array(groups?.count ?? scan.traceCount);
  const ofRow = spansetOfRow(scan, groups);
  for (let row = nextRow(spans, 0); row >= 0; row = nextRow(spans, row + 1)) has[ofRow[row] ?? 0] = 1;
  return has;
}

/** The spans whose spanset has a 1. Changes `spans`. */
function keepSpansets(scan: Scan, groups: Groups | undefined, spans: Mask, keep: Uint8Array): Mask {
  const ofRow = spansetOfRow(scan, groups);
  for (let row = nextRow(spans, 0); row >= 0; row = nextRow(spans, row + 1)) {
    spans[row] = keep[ofRow[row] ?? 0] ?? 0;
  }
  return spans;
}

function filterSpansets(
  scan: Scan,
  { node, aggregates }: StagePlan & { readonly kind: "scalar-filter" },
  input: Spansets,
): Spansets {
  const { mask, groups } = input;
  const spansets = { mask, ofRow: spansetOfRow(scan, groups), count: groups?.count ?? scan.traceCount };
  const added: SpansetAttribute[] = [];
  for (const { name, node: each } of aggregates) {
    if (added.some((attribute) => attribute.name === name)) continue;
    added.push({ name, isDuration: isDuration(each), values: aggregate(scan, each, spansets) });
  }
  const keep = spansetsWith(scan, groups, mask);
  for (let index = nextRow(keep, 0); index >= 0; index = nextRow(keep, index + 1)) {
    const values = new Map(added.map((attribute) => [attribute.name, attribute.values[index]]));
    if (!scalarHolds(node, values)) keep[index] = 0;
  }
  const names = new Set(added.map(({ name }) => name));
  const attributes = [...input.attributes.filter(({ name }) => !names.has(name)), ...added];
  return { mask: keepSpansets(scan, groups, mask.slice(), keep), groups, attributes };
}

function expressionCodes(scan: Scan, expression: FieldExpression, rows: Mask): RowCodes {
  if (isField(expression)) return fieldCodes(scan, expression, rows);
  return readerCodes(scan, expressionReader(scan, expression), rows);
}

/** A group: the spanset that it is a part of, and the code of its value. */
interface Part {
  readonly spanset: number;
  readonly code: number;
}

/** Splits each spanset by the value of the expression. */
function groupBy(
  scan: Scan,
  { name, expression }: StagePlan & { readonly kind: "by" },
  { mask, groups, attributes }: Spansets,
): Spansets {
  const { codes, values } = expressionCodes(scan, expression, mask);
  const { parts, ofRow } = splitSpansets(scan, mask, spansetOfRow(scan, groups), codes);
  const others = attributes.filter((attribute) => attribute.name !== name);
  const inherited = others.map((attribute) => ({
    name: attribute.name,
    isDuration: attribute.isDuration,
    values: parts.map(({ spanset }) => attribute.values[spanset]),
  }));
  const own = {
    name,
    isDuration: isDuration(expression),
    values: parts.map(({ code }) => values[code]),
  };
  return { mask, groups: { count: parts.length, ofRow }, attributes: [...inherited, own] };
}

/** Codes are numbers of distinct values, of which there are fewer than rows. */
const CODE_LIMIT = 2 ** 26;

/** Groups are numbered in the order of the spansets that they are parts of, then of their first rows. */
function splitSpansets(
  scan: Scan,
  mask: Mask,
  before: Uint32Array,
  codes: Uint32Array,
): { parts: readonly Part[]; ofRow: Uint32Array } {
  const ofRow = new Uint32Array(scan.rowCount);
  const found: Part[] = [];
  const { traceOfRow } = scan;
  const known = new Map<number, number>();
  let trace = -1;
  for (let row = nextRow(mask, 0); row >= 0; row = nextRow(mask, row + 1)) {
    if (traceOfRow[row] !== trace) {
      trace = traceOfRow[row] ?? 0;
      known.clear();
    }
    const spanset = before[row] ?? 0;
    const code = codes[row] ?? 0;
    const key = spanset * CODE_LIMIT + code;
    let group = known.get(key);
    if (group === undefined) {
      group = found.length;
      known.set(key, group);
      found.push({ spanset, code });
    }
    ofRow[row] = group;
  }
  const order = found.map((_, group) => group).sort((a, b) => spansetAt(found, a) - spansetAt(found, b));
  const numbers = new Uint32Array(found.length);
  order.forEach((group, number) => {
    numbers[group] = number;
  });
  const parts = order.flatMap((group) => found[group] ?? []);
  return { parts, ofRow: ofRow.map((group) => numbers[group] ?? 0) };
}

function spansetAt(parts: readonly Part[], group: number): number {
  return parts[group]?.spanset ?? 0;
}
