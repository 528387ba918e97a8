// What a TraceQL query is, once read. GRAMMAR.md has the text form of each node.

/**
 * Where a node stands: UTF-16 offset into the query's text of the token that gives the node its meaning, which is the
 * operator of an operation and the first character of anything else. Two queries are equal when they are but for `at`.
 */
export interface Positioned {
  readonly at: number;
}

// Values and fields

/** By OTLP's number: `STATUSES[span.status.code]`. */
export const STATUSES = ["unset", "ok", "error"] as const;
export type Status = (typeof STATUSES)[number];

/** By OTLP's number: `KINDS[span.kind]`. */
export const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const;
export type Kind = (typeof KINDS)[number];

/** `int` fits 64 bits with sign, `duration` is nanoseconds. Less than zero only after constants were folded. */
export type NumberLiteral = Positioned & { readonly kind: "literal" } & (
    | { readonly type: "int"; readonly value: bigint }
    | { readonly type: "float"; readonly value: number }
    | { readonly type: "duration"; readonly value: bigint }
  );

export type Literal =
  | NumberLiteral
  | (Positioned & { readonly kind: "literal" } & (
        | { readonly type: "string"; readonly value: string }
        | { readonly type: "bool"; readonly value: boolean }
        | { readonly type: "status"; readonly value: Status }
        | { readonly type: "kind"; readonly value: Kind }
        | { readonly type: "nil" }
      ));

/** `any` is an attribute without scope (`.x`): the span's, else the resource's, else those of the other scopes. */
export const SCOPES = ["any", "span", "resource", "event", "link", "instrumentation"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Attribute extends Positioned {
  readonly kind: "attribute";
  readonly scope: Scope;
  readonly name: string;
  /** True for `parent.…`: looked up in the span's parent. A root's is missing. */
  readonly parent: boolean;
}

/** The type of each intrinsic, under the one name that labels and results give it. */
export const INTRINSICS = {
  duration: "duration",
  name: "string",
  status: "status",
  statusMessage: "string",
  kind: "kind",
  "span:id": "string",
  "span:parentID": "string",
  "span:childCount": "int",
  traceDuration: "duration",
  rootName: "string",
  rootServiceName: "string",
  "trace:id": "string",
  "event:name": "string",
  "event:timeSinceStart": "duration",
  "link:traceID": "string",
  "link:spanID": "string",
  "instrumentation:name": "string",
  "instrumentation:version": "string",
  nestedSetLeft: "int",
  nestedSetRight: "int",
  nestedSetParent: "int",
} as const;
export type IntrinsicName = keyof typeof INTRINSICS;
// Object.keys is typed for objects that may have more keys than their type.
export const INTRINSIC_NAMES = Object.keys(INTRINSICS).filter(
  (name): name is IntrinsicName => name in INTRINSICS,
);

export interface Intrinsic extends Positioned {
  readonly kind: "intrinsic";
  readonly name: IntrinsicName;
  /** True for `parent.…`: that of the span's parent. A root's is missing. */
  readonly parent: boolean;
}

/** What `by`, `select` and the metrics functions take. */
export type Field = Attribute | Intrinsic;

// Expressions over one span

export type ArithmeticOperator = "+" | "-" | "*" | "/" | "%" | "^";
export type ComparisonOperator = "=" | "!=" | "<" | "<=" | ">" | ">=";
export type RegexOperator = "=~" | "!~";
export type LogicalOperator = "&&" | "||";

export type FieldExpression = Literal | Field | Unary | Arithmetic | Comparison | RegexMatch | Logical;

export interface Unary extends Positioned {
  readonly kind: "unary";
  readonly op: "-" | "!";
  readonly operand: FieldExpression;
}

export interface Arithmetic extends Positioned {
  readonly kind: "arithmetic";
  readonly op: ArithmeticOperator;
  readonly left: FieldExpression;
  readonly right: FieldExpression;
}

export interface Comparison extends Positioned {
  readonly kind: "comparison";
  readonly op: ComparisonOperator;
  readonly left: FieldExpression;
  readonly right: FieldExpression;
}

export interface RegexMatch extends Positioned {
  readonly kind: "regex";
  readonly op: RegexOperator;
  readonly operand: FieldExpression;
  /** RE2 syntax, matched against the whole text. */
  readonly pattern: string;
}

/**
 * Two or more operands. None of them is a `Logical` of the same operator: thousands of alternatives stay one node, and
 * the tree stays as flat as its depth limit.
 */
export interface Logical extends Positioned {
  readonly kind: "logical";
  readonly op: LogicalOperator;
  readonly operands: readonly FieldExpression[];
}

// Sets of spans of one trace

export type SpansetExpression = SpansetFilter | Combination | Structural | Pipeline;

/** `{ condition }`; the condition of `{}` is the literal `true`. */
export interface SpansetFilter extends Positioned {
  readonly kind: "filter";
  readonly condition: FieldExpression;
}

/** Two or more operands, none of them a `Combination` of the same operator. The result is the union of their spans. */
export interface Combination extends Positioned {
  readonly kind: "combination";
  /** `&&` needs spans in every operand. */
  readonly op: LogicalOperator;
  readonly operands: readonly SpansetExpression[];
}

/** What the span on the left is to the one on the right: `>` parent, `>>` ancestor, `<` child, `<<` descendant. */
export type Relation = ">" | ">>" | "<" | "<<" | "~";

/**
 * `plain` is the spans on the right that have a partner on the left, `negated` those that have none, `union` (`&>`) the
 * partners of both sides.
 */
export type StructuralForm = "plain" | "negated" | "union";

export interface Structural extends Positioned {
  readonly kind: "structural";
  readonly relation: Relation;
  readonly form: StructuralForm;
  readonly left: SpansetExpression;
  readonly right: SpansetExpression;
}

// Pipelines

/**
 * Stages from left to right, at least one. The first one gets all spans of the trace as one spanset, each further one
 * the spansets of the one before. As an operand of a `SpansetExpression`, a pipeline has two stages or more, or one that
 * is no `SpansetExpression`; as a stage it does not occur.
 */
export interface Pipeline extends Positioned {
  readonly kind: "pipeline";
  readonly stages: readonly Stage[];
}

export type Stage = SpansetFilter | Combination | Structural | ScalarFilter | GroupBy | Coalesce | Select;

/** Keeps the spansets for which the comparison holds. */
export interface ScalarFilter extends Positioned {
  readonly kind: "scalar-filter";
  readonly op: ComparisonOperator;
  readonly left: ScalarExpression;
  readonly right: ScalarExpression;
}

export type ScalarExpression = NumberLiteral | Aggregate | ScalarNegation | ScalarArithmetic;

export type AggregateFunction = "count" | "min" | "max" | "avg" | "sum";

/** One number of one spanset. */
export type Aggregate = Positioned & { readonly kind: "aggregate" } & (
    | { readonly fn: "count" }
    | { readonly fn: Exclude<AggregateFunction, "count">; readonly operand: FieldExpression }
  );

export interface ScalarNegation extends Positioned {
  readonly kind: "scalar-negation";
  readonly operand: ScalarExpression;
}

export interface ScalarArithmetic extends Positioned {
  readonly kind: "scalar-arithmetic";
  readonly op: ArithmeticOperator;
  readonly left: ScalarExpression;
  readonly right: ScalarExpression;
}

/** Splits each spanset by the value of the expression. */
export interface GroupBy extends Positioned {
  readonly kind: "by";
  readonly expression: FieldExpression;
}

/** Makes one spanset of all. */
export interface Coalesce extends Positioned {
  readonly kind: "coalesce";
}

export interface Select extends Positioned {
  readonly kind: "select";
  readonly fields: readonly Field[];
}

// Metrics

export type MetricsExpression = NumberLiteral | MetricsPipeline | MetricsStages | MetricsArithmetic;

/** The spans of the pipeline's spansets into series. */
export interface MetricsPipeline extends Positioned {
  readonly kind: "metrics-pipeline";
  readonly source: Pipeline;
  readonly fn: MetricsFunction;
}

export type MetricsFunction = CountMetric | ValueMetric | QuantileMetric | CompareMetric;

export interface CountMetric extends Positioned {
  readonly kind: "rate" | "count_over_time";
  readonly by: readonly Field[];
}

export interface ValueMetric extends Positioned {
  readonly kind:
    | "min_over_time"
    | "max_over_time"
    | "avg_over_time"
    | "sum_over_time"
    | "histogram_over_time";
  readonly field: Field;
  readonly by: readonly Field[];
}

export interface QuantileMetric extends Positioned {
  readonly kind: "quantile_over_time";
  readonly field: Field;
  /** At least one, each from 0 to 1. */
  readonly quantiles: readonly number[];
  readonly by: readonly Field[];
}

/** The attributes of the selected spans against those of the others. */
export interface CompareMetric extends Positioned {
  readonly kind: "compare";
  readonly selection: SpansetFilter;
  /** Values kept per attribute, 1 to 1000. */
  readonly topN: number;
  /** Unix nanoseconds: selected are only spans that start within, both ends included. */
  readonly window: { readonly start: bigint; readonly end: bigint } | undefined;
}

/** Series from series, one stage after another, at least one. The input is no `MetricsStages` itself. */
export interface MetricsStages extends Positioned {
  readonly kind: "metrics-stages";
  readonly input: MetricsPipeline | MetricsArithmetic;
  readonly stages: readonly MetricsStage[];
}

export type MetricsStage = RankStage | ThresholdStage;

/** At each point of time, the `limit` largest or smallest series. */
export interface RankStage extends Positioned {
  readonly kind: "topk" | "bottomk";
  /** At least 1. */
  readonly limit: number;
}

/** Keeps the samples for which the comparison holds. A duration stands for its seconds. */
export interface ThresholdStage extends Positioned {
  readonly kind: "threshold";
  readonly op: ComparisonOperator;
  readonly value: NumberLiteral;
}

/** Sample by sample, series matched by their labels. */
export interface MetricsArithmetic extends Positioned {
  readonly kind: "metrics-arithmetic";
  readonly op: "+" | "-" | "*" | "/";
  readonly left: MetricsExpression;
  readonly right: MetricsExpression;
}

// Queries

export interface Hint extends Positioned {
  readonly name: string;
  readonly value: Literal;
}

export type Query = SearchQuery | MetricsQuery;

export interface SearchQuery extends Positioned {
  readonly kind: "search";
  readonly pipeline: Pipeline;
  readonly hints: readonly Hint[];
}

/** The expression holds at least one pipeline. */
export interface MetricsQuery extends Positioned {
  readonly kind: "metrics";
  readonly expression: MetricsExpression;
  readonly hints: readonly Hint[];
}
