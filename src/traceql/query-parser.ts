// Sets of spans, pipelines and metrics: what stands around the braces. Methods are named after the productions of
// GRAMMAR.md. One set of productions reads spansets, numbers of spansets and series alike, and tells them apart by what
// it got: a parenthesis may begin any of the three, and reading it twice would take exponential time when nested.
import type {
  Aggregate,
  ArithmeticOperator,
  Coalesce,
  CompareMetric,
  Field,
  GroupBy,
  Hint,
  MetricsArithmetic,
  MetricsExpression,
  MetricsFunction,
  MetricsPipeline,
  MetricsStage,
  MetricsStages,
  NumberLiteral,
  Pipeline,
  QuantileMetric,
  Query,
  RankStage,
  ScalarArithmetic,
  ScalarExpression,
  ScalarFilter,
  Select,
  SpansetExpression,
  Stage,
} from "./ast.ts";
import { QueryFault } from "./errors.ts";
import { type Chain, FieldParser, isNumber } from "./field-parser.ts";
import { compute, negate } from "./numbers.ts";
import { AGGREGATES, COMPARISONS, LITERAL_WORDS, METRICS_FUNCTIONS, STRUCTURAL_OPERATORS } from "./words.ts";

/** What an expression may turn out to be. */
type Node = SpansetExpression | Stage | ScalarExpression | MetricsExpression;

type Series = MetricsPipeline | MetricsStages | MetricsArithmetic;

function isSpanset(node: Node): node is SpansetExpression {
  const { kind } = node;
  return kind === "filter" || kind === "combination" || kind === "structural" || kind === "pipeline";
}

function isScalar(node: Node): node is ScalarExpression {
  const { kind } = node;
  if (kind === "aggregate" || kind === "scalar-negation" || kind === "scalar-arithmetic") return true;
  return isNumber(node);
}

function isSeries(node: Node): node is Series {
  const { kind } = node;
  return kind === "metrics-pipeline" || kind === "metrics-stages" || kind === "metrics-arithmetic";
}

/** The node as errors name it. */
function describe(node: Node): string {
  if (isNumber(node)) return "a number";
  if (isSeries(node)) return "a metrics query";
  if (isScalar(node)) return "an aggregate";
  return isSpanset(node) ? "a set of spans" : "a stage of a pipeline";
}

export class QueryParser extends FieldParser {
  private static readonly SPANSETS: Chain<Node, QueryParser> = {
    operand: (parser) => parser.comparison(),
    parts: (node, op) => {
      if (!isSpanset(node)) throw notCombinable(node, op);
      return node.kind === "combination" && node.op === op ? node.operands : undefined;
    },
    join: (op, operands, at) => ({ kind: "combination", op, operands: operands.filter(isSpanset), at }),
  };

  /** Where durations were computed with last. */
  private durationMathAt = -1;

  // Query = Pipe [ Hints ] END
  query(): Query {
    const { at } = this.token;
    const node = this.pipe();
    const hints = this.hints();
    this.expectEnd();
    if (isSeries(node)) return { kind: "metrics", expression: node, hints, at };
    if (isScalar(node)) throw this.fault(`${describe(node)} is no query: compare it with something`, node.at);
    return { kind: "search", pipeline: toPipeline(node), hints, at };
  }

  // Pipe = Pipeline | Logical MetricsStages | Sum
  private pipe(): Node {
    const first = this.stage() ?? this.logical();
    if (isSeries(first)) return this.metricsStages(first);
    if (isScalar(first)) {
      if (this.is("|")) throw this.unexpected(`after ${describe(first)} without a comparison`);
      return first;
    }
    return this.pipeline(first);
  }

  // Pipeline = ( Stage | Logical ) { "|" ( Stage | Logical ) } [ "|" MetricsFunction MetricsStages ]
  private pipeline(first: SpansetExpression | Stage): Node {
    const stages: Stage[] = [...stagesOf(first)];
    if (stages[0]?.kind === "coalesce") throw this.fault("coalesce() cannot be the first stage", first.at);
    let { height } = this;
    while (this.accept("|")) {
      const metrics = this.metrics(stages);
      if (metrics !== undefined) {
        this.grow(height);
        return this.metricsStages(metrics);
      }
      const { at } = this.token;
      const node = this.stage() ?? this.logical();
      if (isSeries(node) || isScalar(node)) throw this.notAStage(node, at);
      for (const stage of stagesOf(node)) stages.push(stage);
      height = Math.max(height, this.height);
    }
    this.height = height;
    const [only] = stages;
    if (stages.length === 1 && only !== undefined && isSpanset(only)) return only;
    this.grow(height);
    return { kind: "pipeline", stages, at: first.at } satisfies Pipeline;
  }

  private notAStage(node: ScalarExpression | Series, at: number): Error {
    if (isSeries(node)) return this.fault("a metrics query cannot be a stage", at);
    if (this.is(")")) return this.unsupportedScalarPipeline(at);
    return this.fault(`${describe(node)} is no stage: compare it with a number`, at);
  }

  // Stage = "by" "(" FieldLogical ")" | "coalesce" "(" ")" | "select" Fields
  private stage(): Stage | undefined {
    if (this.token.type !== "word") return undefined;
    const { text, at } = this.token;
    if (text === "by") {
      this.advance();
      const expression = this.parenthesized(() => this.fieldLogical());
      return { kind: "by", expression, at } satisfies GroupBy;
    }
    if (text === "coalesce") {
      this.advance();
      this.expect("(");
      this.expect(")");
      return { kind: "coalesce", at } satisfies Coalesce;
    }
    if (text === "select") {
      this.advance();
      return { kind: "select", fields: this.fields(), at } satisfies Select;
    }
    return undefined;
  }

  // Fields = "(" Field { "," Field } ")"
  private fields(): readonly Field[] {
    this.expect("(");
    const fields = [this.field()];
    while (this.accept(",")) fields.push(this.field());
    this.expect(")");
    return fields;
  }

  // Logical = Comparison { ( "&&" | "||" ) Comparison }
  private logical(): Node {
    return this.chain(QueryParser.SPANSETS);
  }

  // Comparison = Sum { STRUCTURAL Sum } | Sum COMPARISON Sum
  private comparison(): Node {
    let left = this.sum();
    while (this.token.type === "symbol") {
      const { text, at } = this.token;
      const leftHeight = this.height;
      const comparison = COMPARISONS.get(text);
      const structural = STRUCTURAL_OPERATORS.get(text);
      if (isSpanset(left) && structural !== undefined) {
        this.advance();
        const right = this.sum();
        if (!isSpanset(right))
          throw this.fault(`${text} relates sets of spans, not ${describe(right)}`, right.at);
        left = { kind: "structural", ...structural, left, right, at };
        this.grow(leftHeight);
      } else if (isScalar(left) && comparison !== undefined) {
        this.advance();
        const right = this.sum();
        if (!isScalar(right)) throw this.fault(`${text} needs a number, not ${describe(right)}`, right.at);
        if (isNumber(left) && isNumber(right)) throw this.fault("no aggregate in this comparison", at);
        this.grow(leftHeight);
        return { kind: "scalar-filter", op: comparison, left, right, at } satisfies ScalarFilter;
      } else {
        return left;
      }
    }
    return left;
  }

  // Sum = Product { ( "+" | "-" ) Product }
  private sum(): Node {
    let left = this.product();
    while (this.token.type === "symbol" && (this.token.text === "+" || this.token.text === "-")) {
      const { text, at } = this.token;
      const leftHeight = this.height;
      this.advance();
      left = this.arithmetic(text, left, this.product(), at);
      this.grow(leftHeight);
    }
    return left;
  }

  // Product = Power { ( "*" | "/" | "%" ) Power }
  private product(): Node {
    let left = this.power();
    while (this.token.type === "symbol") {
      const { text, at } = this.token;
      if (text !== "*" && text !== "/" && text !== "%") break;
      const leftHeight = this.height;
      this.advance();
      left = this.arithmetic(text, left, this.power(), at);
      this.grow(leftHeight);
    }
    return left;
  }

  // Power = Operand [ "^" Power ]
  private power(): Node {
    const left = this.operand();
    const { at } = this.token;
    const leftHeight = this.height;
    if (!this.accept("^")) return left;
    const right = this.nested(() => this.power());
    this.grow(leftHeight);
    return this.arithmetic("^", left, right, at);
  }

  // Operand = Filter | "(" Pipe ")" | "-" Power | NUMBER | "minInt" | "maxInt" | Aggregate
  private operand(): Node {
    const { token } = this;
    if (this.is("{")) return this.filter();
    if (this.is("(")) return this.parenthesized(() => this.pipe());
    if (this.is("-")) return this.negation();
    if (token.type === "word") {
      const aggregate = this.aggregate();
      if (aggregate !== undefined) return aggregate;
    }
    const literal = this.literal();
    if (literal !== undefined) {
      if (isNumber(literal)) return literal;
      throw this.fault("syntax error: a number or a set of spans is expected", literal.at);
    }
    if (token.type === "word" && !isKeyword(token.text)) throw this.unknownWord(token.text);
    throw this.unexpected();
  }

  private negation(): ScalarExpression {
    const { at } = this.advance();
    const operand = this.nested(() => this.power());
    if (!isScalar(operand)) throw this.fault(`- needs a number, not ${describe(operand)}`, at);
    if (isNumber(operand)) return negate(operand, at);
    this.grow(this.height);
    return { kind: "scalar-negation", operand, at };
  }

  // Aggregate = "count" "(" ")" | AGGREGATE "(" FieldLogical ")"
  private aggregate(): Aggregate | undefined {
    const fn = this.token.type === "word" ? AGGREGATES.get(this.token.text) : undefined;
    if (fn === undefined) return undefined;
    const { at } = this.advance();
    if (fn === "count") {
      this.expect("(");
      this.expect(")");
      this.height = 0;
      return { kind: "aggregate", fn, at };
    }
    const operand = this.parenthesized(() => this.fieldLogical());
    this.grow(this.height);
    return { kind: "aggregate", fn, operand, at };
  }

  private arithmetic(
    op: ArithmeticOperator,
    left: Node,
    right: Node,
    at: number,
  ): NumberLiteral | ScalarArithmetic | MetricsArithmetic {
    if (isNumber(left) && isNumber(right)) {
      if (left.type === "duration" || right.type === "duration") this.durationMathAt = at;
      return compute(op, left, right, at);
    }
    if (isScalar(left) && isScalar(right)) return { kind: "scalar-arithmetic", op, left, right, at };
    if (op === "%" || op === "^") throw this.fault(`${op} needs numbers`, at);
    return { kind: "metrics-arithmetic", op, left: this.term(left, op), right: this.term(right, op), at };
  }

  /** An operand of arithmetic between metrics queries. */
  private term(node: Node, op: string): MetricsExpression {
    if (isSeries(node)) return node;
    if (!isNumber(node)) throw this.fault(`${op} needs numbers, not ${describe(node)}`, node.at);
    if (node.type !== "duration") return node;
    throw this.fault(`${op} on a metrics query needs a plain number, not a duration`, node.at);
  }

  private unsupportedScalarPipeline(at: number): Error {
    return this.unsupported("an aggregate of a parenthesized pipeline is not supported", at);
  }

  /** A metrics function over the spans of `stages`, when one stands here. */
  private metrics(stages: readonly Stage[]): MetricsPipeline | undefined {
    const { token } = this;
    const kind = token.type === "word" ? METRICS_FUNCTIONS.get(token.text) : undefined;
    if (kind === undefined) return undefined;
    const { at } = this.advance();
    const fn = this.metricsFunction(kind, at);
    return {
      kind: "metrics-pipeline",
      source: { kind: "pipeline", stages, at: stages[0]?.at ?? at },
      fn,
      at,
    };
  }

  // MetricsFunction = COUNT "(" ")" [ By ] | VALUE "(" Field ")" [ By ] | Quantile | Compare
  private metricsFunction(kind: MetricsFunction["kind"], at: number): MetricsFunction {
    this.expect("(");
    switch (kind) {
      case "rate":
      case "count_over_time":
        this.expect(")");
        return { kind, by: this.by(), at };
      case "quantile_over_time":
        return this.quantile(at);
      case "compare":
        return this.compare(at);
      case "min_over_time":
      case "max_over_time":
      case "avg_over_time":
      case "sum_over_time":
      case "histogram_over_time": {
        const field = this.field();
        this.expect(")");
        return { kind, field, by: this.by(), at };
      }
    }
  }

  // By = "by" Fields
  private by(): readonly Field[] {
    if (this.token.type !== "word" || this.token.text !== "by") return [];
    this.advance();
    return this.fields();
  }

  // Quantile = "quantile_over_time" "(" Field { "," NUMBER } ")" [ By ]
  private quantile(at: number): QuantileMetric {
    const field = this.field();
    const quantiles: number[] = [];
    while (this.accept(",")) {
      const literal = this.literal();
      if (literal?.type !== "int" && literal?.type !== "float") throw this.unexpected("expected a quantile");
      const value = Number(literal.value);
      if (value < 0 || value > 1) throw this.fault("a quantile is a number from 0 to 1", literal.at);
      quantiles.push(value);
    }
    if (quantiles.length === 0) throw this.unexpected("expected a quantile");
    this.expect(")");
    return { kind: "quantile_over_time", field, quantiles, by: this.by(), at };
  }

  // Compare = "compare" "(" Filter [ "," INTEGER [ "," INTEGER "," INTEGER ] ] ")"
  private compare(at: number): CompareMetric {
    const selection = this.filter();
    let topN = 10;
    let window: CompareMetric["window"];
    if (this.accept(",")) {
      topN = Number(this.integer());
      if (this.accept(",")) {
        const start = this.integer();
        this.expect(",");
        window = { start, end: this.integer() };
      }
    }
    this.expect(")");
    return { kind: "compare", selection, topN, window, at };
  }

  private integer(): bigint {
    const { token } = this;
    if (token.type !== "number" || token.literal.type !== "int") throw this.unexpected("expected an integer");
    this.advance();
    return token.literal.value;
  }

  // MetricsStages = { "|" Rank | Threshold }
  private metricsStages(first: Series): Series {
    const stages: MetricsStage[] = [];
    for (;;) {
      const stage = this.accept("|") ? this.rank() : this.threshold();
      if (stage === undefined) break;
      stages.push(stage);
    }
    if (stages.length === 0) return first;
    this.grow(this.height);
    const { at } = first;
    if (first.kind !== "metrics-stages") return { kind: "metrics-stages", input: first, stages, at };
    return { ...first, stages: [...first.stages, ...stages] };
  }

  // Rank = ( "topk" | "bottomk" ) "(" INTEGER ")"
  private rank(): RankStage {
    const { token } = this;
    if (token.type !== "word" || (token.text !== "topk" && token.text !== "bottomk")) {
      throw this.unexpected("only topk and bottomk may follow a metrics function");
    }
    this.advance();
    this.expect("(");
    const limit = Number(this.integer());
    this.expect(")");
    return { kind: token.text, limit, at: token.at };
  }

  // Threshold = COMPARISON Sum
  private threshold(): MetricsStage | undefined {
    const op = this.token.type === "symbol" ? COMPARISONS.get(this.token.text) : undefined;
    if (op === undefined) return undefined;
    const { height } = this;
    const { at } = this.advance();
    const { token: start } = this;
    const value = this.sum();
    if (!isNumber(value))
      throw this.fault(`${op} on a metrics query needs a number, not ${describe(value)}`, at);
    // As in Tempo: 10s * 10s has no unit that could be meant.
    if (this.durationMathAt >= start.at) {
      throw this.fault("a metrics query is compared with a plain duration, not a computed one", value.at);
    }
    this.height = height;
    return { kind: "threshold", op, value, at };
  }

  // Hints = "with" "(" Hint { "," Hint } ")"
  private hints(): readonly Hint[] {
    if (this.token.type !== "word" || this.token.text !== "with") return [];
    this.advance();
    this.expect("(");
    const hints = [this.hint()];
    while (this.accept(",")) hints.push(this.hint());
    this.expect(")");
    return hints;
  }

  // Hint = WORD "=" [ "-" ] Literal
  private hint(): Hint {
    const { token } = this;
    if (token.type !== "word") throw this.unexpected("expected the name of a hint");
    this.advance();
    this.expect("=");
    const negative = this.accept("-");
    const literal = this.literal();
    if (literal === undefined) throw this.unexpected("expected a value");
    if (!negative) return { name: token.text, value: literal, at: token.at };
    if (!isNumber(literal)) throw this.fault("- needs a number", literal.at);
    return { name: token.text, value: negate(literal, literal.at), at: token.at };
  }
}

function notCombinable(node: Node, op: string): QueryFault {
  const hint = node.kind === "scalar-filter" ? "; put the comparison into parentheses" : "";
  return new QueryFault("parse error", node.at, `${op} combines sets of spans, not ${describe(node)}${hint}`);
}

/** A node in parentheses may be a pipeline; its stages go on as those of the pipeline around it. */
function stagesOf(node: SpansetExpression | Stage): readonly Stage[] {
  return node.kind === "pipeline" ? node.stages : [node];
}

function toPipeline(node: SpansetExpression | Stage): Pipeline {
  return node.kind === "pipeline" ? node : { kind: "pipeline", stages: [node], at: node.at };
}

function isKeyword(word: string): boolean {
  return (
    LITERAL_WORDS.has(word) ||
    METRICS_FUNCTIONS.has(word) ||
    ["by", "coalesce", "select", "topk", "bottomk", "with"].includes(word)
  );
}
