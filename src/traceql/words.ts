// The words of the language and what they stand for.
import {
  type AggregateFunction,
  type ComparisonOperator,
  INTRINSIC_NAMES,
  type IntrinsicName,
  KINDS,
  type Literal,
  type MetricsFunction,
  type Relation,
  STATUSES,
  type StructuralForm,
} from "./ast.ts";
import { INT_MAX, INT_MIN } from "./numbers.ts";

/** The second spelling of the intrinsics that have two. */
const COLON_SPELLINGS: Readonly<Record<string, IntrinsicName>> = {
  "span:duration": "duration",
  "span:name": "name",
  "span:status": "status",
  "span:statusMessage": "statusMessage",
  "span:kind": "kind",
  "trace:duration": "traceDuration",
  "trace:rootName": "rootName",
  "trace:rootService": "rootServiceName",
};

/** Every spelling of every intrinsic. */
export const INTRINSIC_WORDS: ReadonlyMap<string, IntrinsicName> = new Map([
  ...INTRINSIC_NAMES.map((name) => [name, name] as const),
  ...Object.entries(COLON_SPELLINGS),
]);

/** Literals that are words; `at` is put in. */
export const LITERAL_WORDS: ReadonlyMap<string, (at: number) => Literal> = new Map<
  string,
  (at: number) => Literal
>([
  ["true", (at) => ({ kind: "literal", type: "bool", value: true, at })],
  ["false", (at) => ({ kind: "literal", type: "bool", value: false, at })],
  ["nil", (at) => ({ kind: "literal", type: "nil", at })],
  ["minInt", (at) => ({ kind: "literal", type: "int", value: INT_MIN, at })],
  ["maxInt", (at) => ({ kind: "literal", type: "int", value: INT_MAX, at })],
  ...STATUSES.map((value): [string, (at: number) => Literal] => [
    value,
    (at) => ({ kind: "literal", type: "status", value, at }),
  ]),
  ...KINDS.map((value): [string, (at: number) => Literal] => [
    value,
    (at) => ({ kind: "literal", type: "kind", value, at }),
  ]),
]);

export const AGGREGATES: ReadonlyMap<string, AggregateFunction> = new Map(
  (["count", "min", "max", "avg", "sum"] as const).map((fn) => [fn, fn]),
);

export const METRICS_FUNCTIONS: ReadonlyMap<string, MetricsFunction["kind"]> = new Map(
  (
    [
      "rate",
      "count_over_time",
      "min_over_time",
      "max_over_time",
      "avg_over_time",
      "sum_over_time",
      "histogram_over_time",
      "quantile_over_time",
      "compare",
    ] as const
  ).map((fn) => [fn, fn]),
);

export const COMPARISONS: ReadonlyMap<string, ComparisonOperator> = new Map(
  (["=", "!=", "<", "<=", ">", ">="] as const).map((op) => [op, op]),
);

interface StructuralOperator {
  readonly relation: Relation;
  readonly form: StructuralForm;
}

/** `>` and `<` compare numbers and relate spans. */
export const STRUCTURAL_OPERATORS: ReadonlyMap<string, StructuralOperator> = new Map(
  ([">", ">>", "<", "<<", "~"] as const).flatMap((relation): [string, StructuralOperator][] => [
    [relation, { relation, form: "plain" }],
    [`!${relation}`, { relation, form: "negated" }],
    [`&${relation}`, { relation, form: "union" }],
  ]),
);

/** The operator's text. */
export function structuralSymbol(relation: Relation, form: StructuralForm): string {
  return { plain: "", negated: "!", union: "&" }[form] + relation;
}
