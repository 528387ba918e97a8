// Random syntax trees of TraceQL, in the form that the parser gives them.
import fc from "fast-check";
import type {
  Aggregate,
  Field,
  FieldExpression,
  Hint,
  Literal,
  MetricsExpression,
  MetricsFunction,
  MetricsPipeline,
  MetricsStage,
  NumberLiteral,
  Pipeline,
  Query,
  ScalarExpression,
  ScalarFilter,
  SpansetExpression,
  SpansetFilter,
  Stage,
} from "../../src/traceql/ast.ts";
import { INTRINSIC_NAMES, KINDS, SCOPES, STATUSES } from "../../src/traceql/ast.ts";
import { INT_MAX, INT_MIN } from "../../src/traceql/numbers.ts";

/** The tree as plain data without `at`, so that two of them can be compared. */
export function withoutPositions(node: unknown): unknown {
  if (Array.isArray(node)) return node.map((part) => withoutPositions(part));
  if (typeof node !== "object" || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).flatMap(([key, value]) => (key === "at" ? [] : [[key, withoutPositions(value)]])),
  );
}

const at = 0;

function isNumber(node: { readonly kind: string; readonly type?: string }): boolean {
  return node.kind === "literal" && ["int", "float", "duration"].includes(node.type ?? "");
}

const arbText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.string({
    unit: fc.constantFrom(...Array.from("ab.\"\\`'{}()= \n\t|&!~<>^,:/*-+%[]0é\u{1F600}\u0085")),
    maxLength: 8,
  }),
);

export const arbNumber: fc.Arbitrary<NumberLiteral> = fc.oneof(
  fc
    .oneof(fc.bigInt({ min: INT_MIN, max: INT_MAX }), fc.bigInt({ min: -9n, max: 999n }))
    .map((value): NumberLiteral => ({ kind: "literal", type: "int", value, at })),
  fc
    .oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0.5, 3, -0, 1e21, 1e-7))
    .map((value): NumberLiteral => ({ kind: "literal", type: "float", value, at })),
  fc
    .oneof(
      fc.bigInt({ min: -INT_MAX, max: INT_MAX }),
      fc.bigInt({ min: -9n, max: 9n }).map((n) => n * 60_000_000_000n),
    )
    .map((value): NumberLiteral => ({ kind: "literal", type: "duration", value, at })),
);

export const arbLiteral: fc.Arbitrary<Literal> = fc.oneof(
  arbNumber,
  arbText.map((value): Literal => ({ kind: "literal", type: "string", value, at })),
  fc.boolean().map((value): Literal => ({ kind: "literal", type: "bool", value, at })),
  fc.constantFrom(...STATUSES).map((value): Literal => ({ kind: "literal", type: "status", value, at })),
  fc.constantFrom(...KINDS).map((value): Literal => ({ kind: "literal", type: "kind", value, at })),
  fc.constant<Literal>({ kind: "literal", type: "nil", at }),
);

const arbName = fc.oneof(
  arbText.filter((name) => name !== ""),
  fc.constantFrom(
    "http.status_code",
    "a-b",
    "name",
    "span:id",
    "span.x",
    "resource.x",
    "parent",
    "5xx",
    "a b",
  ),
);

export const arbField: fc.Arbitrary<Field> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...SCOPES), arbName, fc.boolean())
    .map(([scope, name, parent]): Field => ({ kind: "attribute", scope, name, parent, at })),
  fc
    .tuple(fc.constantFrom(...INTRINSIC_NAMES), fc.boolean())
    .map(([name, parent]): Field => ({ kind: "intrinsic", name, parent, at })),
);

const arbArithmeticOp = fc.constantFrom("+", "-", "*", "/", "%", "^");
const arbComparisonOp = fc.constantFrom("=", "!=", "<", "<=", ">", ">=");
const arbLogicalOp = fc.constantFrom("&&", "||");

const { expression: arbExpression } = fc.letrec<{ expression: FieldExpression }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    arbField,
    arbLiteral,
    fc
      .tuple(fc.constantFrom("-", "!"), tie("expression"))
      .filter(([op, operand]) => op === "!" || !isNumber(operand))
      .map(([op, operand]): FieldExpression => ({ kind: "unary", op, operand, at })),
    fc
      .tuple(arbArithmeticOp, tie("expression"), tie("expression"))
      .filter(([, left, right]) => !isNumber(left) || !isNumber(right))
      .map(([op, left, right]): FieldExpression => ({ kind: "arithmetic", op, left, right, at })),
    fc
      .tuple(arbComparisonOp, tie("expression"), tie("expression"))
      .map(([op, left, right]): FieldExpression => ({ kind: "comparison", op, left, right, at })),
    fc
      .tuple(fc.constantFrom("=~", "!~"), tie("expression"), arbText)
      .map(([op, operand, pattern]): FieldExpression => ({ kind: "regex", op, operand, pattern, at })),
    fc
      .tuple(arbLogicalOp, fc.array(tie("expression"), { minLength: 2, maxLength: 4 }))
      .filter(
        ([op, operands]) => !operands.some((operand) => operand.kind === "logical" && operand.op === op),
      )
      .map(([op, operands]): FieldExpression => ({ kind: "logical", op, operands, at })),
  ),
}));
export { arbExpression };

const arbFilter: fc.Arbitrary<SpansetFilter> = arbExpression.map((condition) => ({
  kind: "filter",
  condition,
  at,
}));

const arbAggregate: fc.Arbitrary<Aggregate> = fc.oneof(
  fc.constant<Aggregate>({ kind: "aggregate", fn: "count", at }),
  fc
    .tuple(fc.constantFrom("min", "max", "avg", "sum"), arbExpression)
    .map(([fn, operand]): Aggregate => ({ kind: "aggregate", fn, operand, at })),
);

const { scalar: arbScalar } = fc.letrec<{ scalar: ScalarExpression }>((tie) => ({
  scalar: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    arbAggregate,
    arbNumber,
    tie("scalar")
      .filter((operand) => !isNumber(operand))
      .map((operand): ScalarExpression => ({ kind: "scalar-negation", operand, at })),
    fc
      .tuple(arbArithmeticOp, tie("scalar"), tie("scalar"))
      .filter(([, left, right]) => !isNumber(left) || !isNumber(right))
      .map(([op, left, right]): ScalarExpression => ({ kind: "scalar-arithmetic", op, left, right, at })),
  ),
}));

const arbScalarFilter: fc.Arbitrary<ScalarFilter> = fc
  .tuple(arbComparisonOp, arbScalar, arbScalar)
  .filter(([, left, right]) => !isNumber(left) || !isNumber(right))
  .map(([op, left, right]) => ({ kind: "scalar-filter", op, left, right, at }));

const arbFields = fc.array(arbField, { minLength: 1, maxLength: 7 });

const SPANSET_KINDS = new Set(["filter", "combination", "structural"]);

function isStage(node: SpansetExpression): node is Exclude<SpansetExpression, Pipeline> {
  return node.kind !== "pipeline";
}

const { spanset: arbSpanset, pipeline: arbPipeline } = fc.letrec<{
  spanset: SpansetExpression;
  stage: Stage;
  pipeline: Pipeline;
}>((tie) => ({
  spanset: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    arbFilter,
    fc
      .tuple(arbLogicalOp, fc.array(tie("spanset"), { minLength: 2, maxLength: 3 }))
      .filter(
        ([op, operands]) => !operands.some((operand) => operand.kind === "combination" && operand.op === op),
      )
      .map(([op, operands]): SpansetExpression => ({ kind: "combination", op, operands, at })),
    fc
      .tuple(
        fc.constantFrom(">", ">>", "<", "<<", "~"),
        fc.constantFrom("plain", "negated", "union"),
        tie("spanset"),
        tie("spanset"),
      )
      .map(([relation, form, left, right]): SpansetExpression => ({
        kind: "structural",
        relation,
        form,
        left,
        right,
        at,
      })),
    tie("pipeline").filter(({ stages }) => stages.length > 1 || !SPANSET_KINDS.has(stages[0]?.kind ?? "")),
  ),
  stage: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    arbScalarFilter,
    arbFields.map((fields): Stage => ({ kind: "select", fields, at })),
    arbExpression.map((expression): Stage => ({ kind: "by", expression, at })),
    fc.constant<Stage>({ kind: "coalesce", at }),
    tie("spanset").filter(isStage),
  ),
  pipeline: fc
    .array(tie("stage"), { minLength: 1, maxLength: 4 })
    .filter(([first]) => first?.kind !== "coalesce")
    .map((stages): Pipeline => ({ kind: "pipeline", stages, at })),
}));
export { arbPipeline, arbSpanset };

const arbBy = fc.oneof(fc.constant([]), arbFields);
const arbCount = fc.integer({ min: 0, max: 2000 });

const arbFunction: fc.Arbitrary<MetricsFunction> = fc.oneof(
  fc
    .tuple(fc.constantFrom("rate", "count_over_time"), arbBy)
    .map(([kind, by]): MetricsFunction => ({ kind, by, at })),
  fc
    .tuple(
      fc.constantFrom(
        "min_over_time",
        "max_over_time",
        "avg_over_time",
        "sum_over_time",
        "histogram_over_time",
      ),
      arbField,
      arbBy,
    )
    .map(([kind, field, by]): MetricsFunction => ({ kind, field, by, at })),
  fc
    .tuple(
      arbField,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }).map(Math.abs), { minLength: 1, maxLength: 4 }),
      arbBy,
    )
    .map(([field, quantiles, by]): MetricsFunction => ({
      kind: "quantile_over_time",
      field,
      quantiles,
      by,
      at,
    })),
  fc
    .tuple(
      arbFilter,
      arbCount,
      fc.option(
        fc.record({ start: fc.bigInt({ min: 0n, max: INT_MAX }), end: fc.bigInt({ min: 0n, max: INT_MAX }) }),
        {
          nil: undefined,
        },
      ),
    )
    .map(([selection, topN, window]): MetricsFunction => ({ kind: "compare", selection, topN, window, at })),
);

const arbMetricsPipeline: fc.Arbitrary<MetricsPipeline> = fc
  .tuple(arbPipeline, arbFunction)
  .map(([source, fn]) => ({ kind: "metrics-pipeline", source, fn, at }));

const arbMetricsStage: fc.Arbitrary<MetricsStage> = fc.oneof(
  fc
    .tuple(fc.constantFrom("topk", "bottomk"), arbCount)
    .map(([kind, limit]): MetricsStage => ({ kind, limit, at })),
  fc
    .tuple(arbComparisonOp, arbNumber)
    .map(([op, value]): MetricsStage => ({ kind: "threshold", op, value, at })),
);

const { metrics: arbMetrics } = fc.letrec<{ metrics: MetricsExpression }>((tie) => ({
  metrics: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    arbMetricsPipeline,
    arbNumber.filter(({ type }) => type !== "duration"),
    fc
      .tuple(fc.constantFrom("+", "-", "*", "/"), tie("metrics"), tie("metrics"))
      .filter(([, left, right]) => !isNumber(left) || !isNumber(right))
      .map(([op, left, right]): MetricsExpression => ({ kind: "metrics-arithmetic", op, left, right, at })),
    fc
      .tuple(tie("metrics"), fc.array(arbMetricsStage, { minLength: 1, maxLength: 3 }))
      .map(([input, stages]): MetricsExpression => {
        if (input.kind === "literal" || input.kind === "metrics-stages") return input;
        return { kind: "metrics-stages", input, stages, at };
      }),
  ),
}));

const arbHints: fc.Arbitrary<readonly Hint[]> = fc.array(
  fc
    .tuple(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,6}$/), arbLiteral)
    .map(([name, value]): Hint => ({ name, value, at })),
  { maxLength: 3 },
);

export const arbQuery: fc.Arbitrary<Query> = fc.oneof(
  fc
    .tuple(arbPipeline, arbHints)
    .map(([pipeline, hints]): Query => ({ kind: "search", pipeline, hints, at })),
  fc
    .tuple(
      arbMetrics.filter(({ kind }) => kind !== "literal"),
      arbHints,
    )
    .map(([expression, hints]): Query => ({ kind: "metrics", expression, hints, at })),
);
