// Sets of spans of one trace, and the stages of a pipeline.
import type {
  Aggregate,
  ScalarExpression,
  ScalarFilter,
  SpansetExpression,
  Stage,
  Structural,
} from "../../../src/traceql/ast.ts";
import { printFieldExpression } from "../../../src/traceql/print.ts";
import { evaluate, meets } from "./expressions.ts";
import type { Node, Trace } from "./trace.ts";
import {
  compareScalars,
  computeScalars,
  elements,
  isFiniteNumber,
  isNumber,
  negateScalar,
  type Scalar,
  sumOfScalars,
  valueKey,
} from "./values.ts";

/** A value that names a set of spans: what they were grouped by, or an aggregate of them. */
export interface SetAttribute {
  readonly key: string;
  /** Undefined: grouped by something that these spans do not have. */
  readonly value: Scalar | undefined;
}

export interface Spanset {
  /** In pre-order, at least one. */
  readonly nodes: readonly Node[];
  readonly attributes: readonly SetAttribute[];
}

function withNodes(set: Spanset, nodes: Iterable<Node>): Spanset[] {
  const unique = [...new Set(nodes)].sort((a, b) => a.position - b.position);
  return unique.length === 0 ? [] : [{ ...set, nodes: unique }];
}

function withAttribute(set: Spanset, key: string, value: Scalar | undefined): Spanset {
  return { ...set, attributes: [...set.attributes.filter((old) => old.key !== key), { key, value }] };
}

// Structural operators

function isAbove(upper: Node, lower: Node): boolean {
  for (let node = lower.parent; node !== undefined; node = node.parent) if (node === upper) return true;
  return false;
}

/** Under one parent; where it is not there, under one parent id, which may be none: roots are siblings. */
function areSiblings(a: Node, b: Node): boolean {
  if (a === b || a.parent !== b.parent) return false;
  return a.parent !== undefined || a.span.parentSpanId === b.span.parentSpanId;
}

function areRelated(relation: Structural["relation"], left: Node, right: Node): boolean {
  switch (relation) {
    case ">":
      return right.parent === left;
    case ">>":
      return isAbove(left, right);
    case "<":
      return left.parent === right;
    case "<<":
      return isAbove(right, left);
    case "~":
      return areSiblings(left, right);
  }
}

function relate({ relation, form }: Structural, left: readonly Node[], right: readonly Node[]): Node[] {
  const withPartner = right.filter((r) => left.some((l) => areRelated(relation, l, r)));
  if (form === "plain") return withPartner;
  if (form === "negated") return right.filter((r) => !withPartner.includes(r));
  return [...withPartner, ...left.filter((l) => right.some((r) => areRelated(relation, l, r)))];
}

/** The spans that an expression finds in a set. */
function spansOf(expression: SpansetExpression, set: Spanset): readonly Node[] {
  switch (expression.kind) {
    case "filter":
      return set.nodes.filter((node) => meets(node, expression.condition));
    case "combination": {
      const found = expression.operands.map((operand) => spansOf(operand, set));
      if (expression.op === "&&" && found.some(({ length }) => length === 0)) return [];
      return found.flat();
    }
    case "structural":
      return relate(expression, spansOf(expression.left, set), spansOf(expression.right, set));
    case "pipeline":
      return applyStages(expression.stages, [set]).flatMap(({ nodes }) => nodes);
  }
}

// Aggregates

type NumberScalar = Extract<Scalar, { type: "int" | "float" | "duration" }>;

/** That of durations is one, however large their sum. */
function average(numbers: readonly NumberScalar[]): Scalar {
  const isWhole = numbers.every(({ type }) => type !== "float");
  if (isWhole && numbers.some(({ type }) => type === "duration")) {
    const total = numbers.reduce((sum, { value }) => sum + BigInt(value), 0n);
    return { type: "duration", value: total / BigInt(numbers.length) };
  }
  const total = sumOfScalars(numbers);
  return { type: "float", value: isNumber(total) ? Number(total.value) / numbers.length : Number.NaN };
}

/** Undefined when there is nothing to aggregate. */
function aggregate(node: Aggregate, { nodes }: Spanset): Scalar | undefined {
  if (node.fn === "count") return { type: "int", value: BigInt(nodes.length) };
  const { fn, operand } = node;
  const numbers = nodes.flatMap((span) => elements(evaluate(operand, span))).filter(isFiniteNumber);
  const [first, ...others] = numbers;
  if (first === undefined) return undefined;
  if (fn === "min") return others.reduce<Scalar>((a, b) => (compareScalars("<", b, a) ? b : a), first);
  if (fn === "max") return others.reduce<Scalar>((a, b) => (compareScalars(">", b, a) ? b : a), first);
  return fn === "sum" ? sumOfScalars(numbers) : average(numbers);
}

function nameOf(node: Aggregate): string {
  return node.fn === "count" ? "count()" : `${node.fn}(${printFieldExpression(node.operand)})`;
}

function scalarOf(expression: ScalarExpression, set: Spanset, found: SetAttribute[]): Scalar | undefined {
  switch (expression.kind) {
    case "literal":
      return expression;
    case "aggregate": {
      const value = aggregate(expression, set);
      found.push({ key: nameOf(expression), value });
      return value;
    }
    case "scalar-negation": {
      const value = scalarOf(expression.operand, set, found);
      return value && negateScalar(value);
    }
    case "scalar-arithmetic": {
      const left = scalarOf(expression.left, set, found);
      const right = scalarOf(expression.right, set, found);
      return left && right && computeScalars(expression.op, left, right);
    }
  }
}

function filterByScalar({ op, left, right }: ScalarFilter, set: Spanset): Spanset[] {
  const found: SetAttribute[] = [];
  const a = scalarOf(left, set, found);
  const b = scalarOf(right, set, found);
  if (a === undefined || b === undefined || !compareScalars(op, a, b)) return [];
  return [found.reduce((all, { key, value }) => withAttribute(all, key, value), set)];
}

// Stages

function applyStage(stage: Stage, sets: readonly Spanset[]): Spanset[] {
  switch (stage.kind) {
    case "filter":
    case "combination":
    case "structural":
      return sets.flatMap((set) => withNodes(set, spansOf(stage, set)));
    case "scalar-filter":
      return sets.flatMap((set) => filterByScalar(stage, set));
    case "by": {
      const key = `by(${printFieldExpression(stage.expression)})`;
      const groupOf = (node: Node): Scalar | undefined => elements(evaluate(stage.expression, node))[0];
      return sets.flatMap((set) =>
        [...Map.groupBy(set.nodes, (node) => valueKey(groupOf(node))).values()].flatMap((nodes) =>
          withNodes(set, nodes).map((group) => withAttribute(group, key, groupOf(nodes[0]!))),
        ),
      );
    }
    case "coalesce":
      return withNodes(
        { nodes: [], attributes: [] },
        sets.flatMap(({ nodes }) => nodes),
      );
    case "select":
      return [...sets];
  }
}

function applyStages(stages: readonly Stage[], sets: readonly Spanset[]): readonly Spanset[] {
  return stages.reduce((current, stage) => applyStage(stage, current), sets);
}

/** The sets that a pipeline makes of a trace. */
export function spansetsOf(stages: readonly Stage[], trace: Trace): readonly Spanset[] {
  return applyStages(stages, [{ nodes: trace.nodes, attributes: [] }]);
}
