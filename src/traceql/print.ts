// A query as text: the one text among those that read as it which names, labels and errors show.
import type {
  Aggregate,
  ArithmeticOperator,
  Field,
  FieldExpression,
  Hint,
  Literal,
  MetricsExpression,
  MetricsFunction,
  MetricsStage,
  NumberLiteral,
  Query,
  ScalarExpression,
  SpansetExpression,
  Stage,
} from "./ast.ts";
import { isNumber } from "./field-parser.ts";
import { isNameCharacter } from "./lexer.ts";
import { printNumber } from "./numbers.ts";
import { quote } from "./strings.ts";
import { INTRINSIC_WORDS, structuralSymbol } from "./words.ts";

/**
 * How tight an operator binds, by the parser's levels. A sign before a number or a sum's operand is of level `sign`
 * between braces, where `-a * b` is `-(a * b)`, and of level `scalarSign` around them, where it is `(-a) * b`.
 */
const LEVEL = {
  logical: 1,
  comparison: 2,
  sum: 3,
  sign: 4,
  product: 5,
  scalarSign: 6,
  power: 7,
  operand: 8,
} as const;

const ARITHMETIC_LEVEL: Readonly<Record<ArithmeticOperator, number>> = {
  "+": LEVEL.sum,
  "-": LEVEL.sum,
  "*": LEVEL.product,
  "/": LEVEL.product,
  "%": LEVEL.product,
  "^": LEVEL.power,
};

/** A text and the level of its outermost operator. */
interface Printed {
  readonly text: string;
  readonly level: number;
}

function operand(text: string): Printed {
  return { text, level: LEVEL.operand };
}

/** The text, in parentheses when it binds less tightly than `level`. */
function within(printed: Printed, level: number): string {
  return printed.level < level ? `(${printed.text})` : printed.text;
}

function binary(op: string, left: Printed, right: Printed, level: number): Printed {
  return { text: `${within(left, level)} ${op} ${within(right, level + 1)}`, level };
}

function arithmetic(op: ArithmeticOperator, left: Printed, right: Printed): Printed {
  const level = ARITHMETIC_LEVEL[op];
  if (op !== "^") return binary(op, left, right, level);
  return { text: `${within(left, level + 1)} ^ ${within(right, level)}`, level };
}

function number(literal: NumberLiteral, signLevel: number): Printed {
  const text = printNumber(literal);
  return text.startsWith("-") ? { text, level: signLevel } : operand(text);
}

/** Every query reads as itself again: `parse(printQuery(query))` equals `query`, positions apart. */
export function printQuery(query: Query): string {
  const body = query.kind === "search" ? printStages(query.pipeline.stages) : metrics(query.expression).text;
  return body + printHints(query.hints);
}

function printHints(hints: readonly Hint[]): string {
  if (hints.length === 0) return "";
  return ` with(${hints.map(({ name, value }) => `${name}=${printLiteral(value)}`).join(", ")})`;
}

// Fields and expressions over one span

/** The canonical text of a field: what labels and results call it. */
export function printField(field: Field): string {
  const prefix = field.parent ? "parent." : "";
  if (field.kind === "intrinsic") return prefix + field.name;
  const { scope, name, parent } = field;
  const text = printName(name, parent && scope === "any");
  if (scope !== "any") return `${prefix}${scope}.${text}`;
  return parent ? prefix + text : `.${text}`;
}

/** What begins the name of another field when it stands behind `parent.`. */
const SCOPED = /^(span|resource|event|link|instrumentation)\./;

function printName(name: string, afterParent: boolean): string {
  let bare = name !== "" && !/^\d/.test(name);
  for (let i = 0; bare && i < name.length; i++) bare = isNameCharacter(name, i);
  if (bare && !(afterParent && (INTRINSIC_WORDS.has(name) || SCOPED.test(name)))) return name;
  return `"${name.replace(/["\\]/g, String.raw`\$&`)}"`;
}

export function printLiteral(literal: Literal): string {
  switch (literal.type) {
    case "string":
      return quote(literal.value);
    case "nil":
      return "nil";
    case "bool":
    case "status":
    case "kind":
      return String(literal.value);
    case "int":
    case "float":
    case "duration":
      return printNumber(literal);
  }
}

/** The expression's canonical text, without braces. */
export function printFieldExpression(node: FieldExpression): string {
  return condition(node).text;
}

function condition(node: FieldExpression): Printed {
  switch (node.kind) {
    case "literal":
      return isNumber(node) ? number(node, LEVEL.sign) : operand(printLiteral(node));
    case "attribute":
    case "intrinsic":
      return operand(printField(node));
    case "unary":
      return { text: node.op + within(condition(node.operand), LEVEL.product), level: LEVEL.sign };
    case "arithmetic":
      return arithmetic(node.op, condition(node.left), condition(node.right));
    case "comparison":
      return binary(node.op, condition(node.left), condition(node.right), LEVEL.comparison);
    case "regex":
      return binary(node.op, condition(node.operand), operand(quote(node.pattern)), LEVEL.comparison);
    case "logical":
      return {
        text: node.operands.map((part) => within(condition(part), LEVEL.comparison)).join(` ${node.op} `),
        level: LEVEL.logical,
      };
  }
}

// Sets of spans and pipelines

function printFilter(expression: FieldExpression): string {
  return `{ ${printFieldExpression(expression)} }`;
}

function spanset(node: SpansetExpression): Printed {
  switch (node.kind) {
    case "filter":
      return operand(printFilter(node.condition));
    case "structural":
      return binary(
        structuralSymbol(node.relation, node.form),
        spanset(node.left),
        spanset(node.right),
        LEVEL.comparison,
      );
    case "combination":
      return {
        text: node.operands.map((part) => within(spanset(part), LEVEL.comparison)).join(` ${node.op} `),
        level: LEVEL.logical,
      };
    case "pipeline":
      return operand(`(${printStages(node.stages)})`);
  }
}

function printStages(stages: readonly Stage[]): string {
  return stages.map((stage) => printStage(stage)).join(" | ");
}

function printStage(stage: Stage): string {
  switch (stage.kind) {
    case "by":
      return `by(${printFieldExpression(stage.expression)})`;
    case "coalesce":
      return "coalesce()";
    case "select":
      return `select(${printFields(stage.fields)})`;
    case "scalar-filter":
      return binary(stage.op, scalar(stage.left), scalar(stage.right), LEVEL.comparison).text;
    case "filter":
    case "combination":
    case "structural":
      return spanset(stage).text;
  }
}

function printFields(fields: readonly Field[]): string {
  return fields.map((each) => printField(each)).join(", ");
}

/** The aggregate's text, which is also the name of its value in results. */
export function printAggregate(node: Aggregate): string {
  return node.fn === "count" ? "count()" : `${node.fn}(${printFieldExpression(node.operand)})`;
}

function scalar(node: ScalarExpression): Printed {
  switch (node.kind) {
    case "literal":
      return number(node, LEVEL.scalarSign);
    case "aggregate":
      return operand(printAggregate(node));
    case "scalar-negation":
      return { text: `-${within(scalar(node.operand), LEVEL.power)}`, level: LEVEL.scalarSign };
    case "scalar-arithmetic":
      return arithmetic(node.op, scalar(node.left), scalar(node.right));
  }
}

// Metrics

/** A pipeline and what follows it bind less tightly than any operator. */
const PIPE = 0;

function metrics(node: MetricsExpression): Printed {
  switch (node.kind) {
    case "literal":
      return number(node, LEVEL.scalarSign);
    case "metrics-pipeline":
      return { text: `${printStages(node.source.stages)} | ${printFunction(node.fn)}`, level: PIPE };
    case "metrics-stages":
      return {
        text: metrics(node.input).text + node.stages.map((stage) => printMetricsStage(stage)).join(""),
        level: PIPE,
      };
    case "metrics-arithmetic":
      return arithmetic(node.op, metrics(node.left), metrics(node.right));
  }
}

function printMetricsStage(stage: MetricsStage): string {
  return stage.kind === "threshold"
    ? ` ${stage.op} ${printNumber(stage.value)}`
    : ` | ${stage.kind}(${stage.limit})`;
}

/** The function with its arguments and groups. */
function printFunction(fn: MetricsFunction): string {
  if (fn.kind === "compare") {
    const { start, end } = fn.window ?? {};
    const window = start === undefined ? "" : `, ${start}, ${end}`;
    return `compare(${printFilter(fn.selection.condition)}, ${fn.topN}${window})`;
  }
  const by = fn.by.length === 0 ? "" : ` by(${printFields(fn.by)})`;
  return `${fn.kind}(${printArguments(fn)})${by}`;
}

function printArguments(fn: Exclude<MetricsFunction, { readonly kind: "compare" }>): string {
  switch (fn.kind) {
    case "rate":
    case "count_over_time":
      return "";
    case "quantile_over_time":
      return [printField(fn.field), ...fn.quantiles.map(String)].join(", ");
    case "min_over_time":
    case "max_over_time":
    case "avg_over_time":
    case "sum_over_time":
    case "histogram_over_time":
      return printField(fn.field);
  }
}
