// Whether the types of a query fit. What passes here cannot fail for its types at a span: there, values of other types
// than expected just do not match.
import {
  type Aggregate,
  type Comparison,
  type Field,
  type FieldExpression,
  INTRINSICS,
  type IntrinsicName,
  type MetricsExpression,
  type MetricsFunction,
  type MetricsPipeline,
  type MetricsStages,
  type Query,
  type RegexMatch,
  type ScalarExpression,
  type SpansetExpression,
  type SpansetFilter,
  type Stage,
} from "./ast.ts";
import { QueryFault } from "./errors.ts";
import { printField, printFieldExpression } from "./print.ts";
import { regexProblem } from "./regex.ts";

/** `any` is an attribute's, which only spans know. */
type ValueType = "number" | "string" | "bool" | "status" | "kind" | "nil" | "any";

const TRACE_INTRINSICS: ReadonlySet<IntrinsicName> = new Set<IntrinsicName>([
  "traceDuration",
  "rootName",
  "rootServiceName",
  "trace:id",
]);

/** Values of one attribute that compare() may keep. */
const COMPARE_TOP_MAX = 1000;

function fault(node: { readonly at: number }, message: string): QueryFault {
  return new QueryFault("validation error", node.at, message);
}

/** @throws QueryFault that says what does not fit, and where */
export function checkQuery(query: Query): void {
  if (query.kind === "search") checkStages(query.pipeline.stages);
  else checkMetrics(query.expression);
}

function checkStages(stages: readonly Stage[]): void {
  for (const stage of stages) checkStage(stage);
}

function checkStage(stage: Stage): void {
  switch (stage.kind) {
    case "by":
      checkGroup(stage.expression);
      return;
    case "select":
      checkFields(stage.fields);
      return;
    case "coalesce":
      return;
    case "scalar-filter":
      checkScalar(stage.left);
      checkScalar(stage.right);
      return;
    case "filter":
    case "combination":
    case "structural":
      checkSpanset(stage);
  }
}

function checkSpanset(node: SpansetExpression): void {
  switch (node.kind) {
    case "filter":
      checkFilter(node);
      return;
    case "combination":
      for (const operand of node.operands) checkSpanset(operand);
      return;
    case "structural":
      checkSpanset(node.left);
      checkSpanset(node.right);
      return;
    case "pipeline":
      checkStages(node.stages);
  }
}

/** @throws QueryFault when the condition cannot be true or false */
export function checkFilter({ condition }: SpansetFilter): void {
  const type = typeOf(condition);
  if (type === "bool" || type === "any") return;
  throw fault(condition, `span filter field expressions must resolve to a boolean: { ${shown(condition)} }`);
}

function checkGroup(expression: FieldExpression): void {
  typeOf(expression);
  if (!readsSpan(expression)) {
    throw fault(expression, `grouping field expressions must reference the span: ${shown(expression)}`);
  }
}

function checkScalar(node: ScalarExpression): void {
  switch (node.kind) {
    case "literal":
      return;
    case "scalar-negation":
      checkScalar(node.operand);
      return;
    case "scalar-arithmetic":
      checkScalar(node.left);
      checkScalar(node.right);
      return;
    case "aggregate":
      checkAggregate(node);
  }
}

function checkAggregate(node: Aggregate): void {
  if (node.fn === "count") return;
  const type = typeOf(node.operand);
  if (type !== "number" && type !== "any") {
    throw fault(
      node.operand,
      `aggregate field expressions must resolve to a number type: ${node.fn}(${shown(node.operand)})`,
    );
  }
  if (!readsSpan(node.operand)) {
    throw fault(
      node.operand,
      `aggregate field expressions must reference the span: ${node.fn}(${shown(node.operand)})`,
    );
  }
}

// Metrics

function checkMetrics(node: MetricsExpression): void {
  switch (node.kind) {
    case "literal":
      return;
    case "metrics-pipeline":
      checkStages(node.source.stages);
      checkFunction(node.fn);
      return;
    case "metrics-stages":
      refuseCompare(node.input);
      checkMetrics(node.input);
      checkMetricsStages(node);
      return;
    case "metrics-arithmetic":
      for (const operand of [node.left, node.right]) {
        refuseCompare(operand);
        checkMetrics(operand);
      }
  }
}

function refuseCompare(node: MetricsExpression | MetricsPipeline): void {
  if (node.kind === "metrics-pipeline" && node.fn.kind === "compare") {
    throw fault(node, "`compare()` cannot be used with second stage functions or arithmetic");
  }
}

function checkMetricsStages({ stages }: MetricsStages): void {
  for (const stage of stages) {
    if (stage.kind !== "threshold" && stage.limit < 1) {
      throw fault(stage, `${stage.kind}() needs a number of series above 0`);
    }
  }
}

function checkFunction(fn: MetricsFunction): void {
  if (fn.kind === "compare") {
    checkFilter(fn.selection);
    if (fn.topN < 1 || fn.topN > COMPARE_TOP_MAX) {
      throw fault(fn, `compare() keeps 1 to ${COMPARE_TOP_MAX} values of an attribute, not ${fn.topN}`);
    }
    if (fn.window !== undefined && fn.window.end <= fn.window.start) {
      throw fault(fn, "compare() needs a start before its end");
    }
    return;
  }
  checkFields(fn.by);
  if (!("field" in fn)) return;
  const type = typeOf(fn.field);
  if (type !== "number" && type !== "any") {
    throw fault(fn.field, `${fn.kind}() needs numbers: ${printField(fn.field)} is of type ${type}`);
  }
}

// Expressions over one span

function checkFields(fields: readonly Field[]): void {
  for (const field of fields) fieldType(field);
}

function fieldType(field: Field): ValueType {
  if (field.kind === "attribute") return "any";
  if (field.parent && TRACE_INTRINSICS.has(field.name)) {
    throw fault(field, `${field.name} is the trace's: write it without parent.`);
  }
  const type = INTRINSICS[field.name];
  return type === "int" || type === "duration" ? "number" : type;
}

function readsSpan(node: FieldExpression): boolean {
  switch (node.kind) {
    case "literal":
      return false;
    case "attribute":
    case "intrinsic":
      return true;
    case "unary":
    case "regex":
      return readsSpan(node.operand);
    case "arithmetic":
    case "comparison":
      return readsSpan(node.left) || readsSpan(node.right);
    case "logical":
      return node.operands.some((operand) => readsSpan(operand));
  }
}

/** Each node is visited once: operators take their operands' types, never the operands again. */
function typeOf(node: FieldExpression): ValueType {
  switch (node.kind) {
    case "literal":
      return node.type === "int" || node.type === "float" || node.type === "duration" ? "number" : node.type;
    case "attribute":
    case "intrinsic":
      return fieldType(node);
    case "unary":
      return operandType(node, typeOf(node.operand), node.op === "-" ? "number" : "bool");
    case "arithmetic": {
      const left = typeOf(node.left);
      const right = typeOf(node.right);
      requireSame(node, left, right);
      operandType(node, left, "number");
      return operandType(node, right, "number");
    }
    case "comparison":
      checkComparison(node, typeOf(node.left), typeOf(node.right));
      return "bool";
    case "regex":
      operandType(node, typeOf(node.operand), "string");
      checkPattern(node);
      return "bool";
    case "logical":
      for (const operand of node.operands) operandType(node, typeOf(operand), "bool");
      return "bool";
  }
}

/** `wanted`, which an operand has or, being an attribute, may turn out to have. */
function operandType(node: FieldExpression, type: ValueType, wanted: ValueType): ValueType {
  if (type !== wanted && type !== "any") throw illegal(node);
  return wanted;
}

function requireSame(node: FieldExpression, left: ValueType, right: ValueType): void {
  if (left === right || left === "any" || right === "any") return;
  throw fault(node, `binary operations must operate on the same type: ${shown(node)}`);
}

function checkComparison(node: Comparison, left: ValueType, right: ValueType): void {
  const equality = node.op === "=" || node.op === "!=";
  if (left === "nil" || right === "nil") {
    if (!equality) throw illegal(node);
    if (node.op === "=") {
      refuseNil(node.left);
      refuseNil(node.right);
    }
    return;
  }
  requireSame(node, left, right);
  if (!equality && (!isOrdered(left) || !isOrdered(right))) throw illegal(node);
}

function isOrdered(type: ValueType): boolean {
  return type === "number" || type === "string" || type === "any";
}

/** `= nil` asks whether a field is missing. Those that every span has are not worth asking for. */
function refuseNil(node: FieldExpression): void {
  if ((node.kind !== "attribute" && node.kind !== "intrinsic") || node.parent) return;
  if (node.kind === "intrinsic") {
    throw fault(node, `${node.name} = nil is not valid because intrinsics cannot be nil`);
  }
  if (node.scope === "resource" && node.name === "service.name") {
    throw fault(node, "resource.service.name = nil is not valid because resource.service.name cannot be nil");
  }
}

function checkPattern(node: RegexMatch): void {
  const problem = regexProblem(node.pattern);
  if (problem !== undefined) throw fault(node, `invalid regex: ${problem}`);
}

function illegal(node: FieldExpression): QueryFault {
  return fault(node, `illegal operation for the given types: ${shown(node)}`);
}

const SHOWN_CHARACTERS = 200;

/** The expression as errors show it. */
function shown(node: FieldExpression): string {
  const text = printFieldExpression(node);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
