// What an expression says of one span: tempo-compatible rules for fields, missing values and lists.
import {
  type Attribute,
  type Comparison,
  type Field,
  type FieldExpression,
  type Intrinsic,
  type IntrinsicName,
  KINDS,
  type RegexMatch,
  STATUSES,
} from "../../../src/traceql/ast.ts";
import { durationOf, type Node, type PlainAttributes, type PlainScalar, type PlainValue } from "./trace.ts";
import {
  compareValues,
  computeValues,
  elements,
  isTrue,
  mapValue,
  negateScalar,
  type Scalar,
  type Value,
} from "./values.ts";

function toScalar(value: PlainScalar): Scalar {
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "boolean") return { type: "bool", value };
  if (typeof value === "bigint") return { type: "int", value };
  return { type: "float", value };
}

/** Maps, bytes, empty lists, lists of lists and of several types are kept, but not searched: as if they were not there. */
export function toValue(value: PlainValue | undefined): Value | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") return toScalar(value);
  const types = new Set(value.map((element) => typeof element));
  return types.size !== 1 ? undefined : { type: "list", values: value.map(toScalar) };
}

/** What events or links have, as a list. */
function gathered(values: readonly (Value | undefined)[]): Value | undefined {
  const found = values.flatMap(elements);
  return found.length === 0 ? undefined : { type: "list", values: found };
}

/** A list's only element. */
function oneAlone(value: Value | undefined): Value | undefined {
  const [first, second] = elements(value);
  return second === undefined ? first : value;
}

function ofEach(items: readonly { readonly attributes: PlainAttributes }[], name: string): Value | undefined {
  return gathered(items.map(({ attributes }) => toValue(attributes.get(name))));
}

function attributeOf({ span }: Node, scope: Attribute["scope"], name: string): Value | undefined {
  switch (scope) {
    case "span":
      return toValue(span.attributes.get(name));
    case "resource":
      return toValue(span.resource.get(name));
    case "event":
      return ofEach(span.events, name);
    case "link":
      return ofEach(span.links, name);
    case "instrumentation":
      return toValue(span.scope.attributes.get(name));
    case "any":
      return (
        toValue(span.attributes.get(name)) ??
        toValue(span.resource.get(name)) ??
        oneAlone(ofEach(span.events, name)) ??
        oneAlone(ofEach(span.links, name)) ??
        toValue(span.scope.attributes.get(name))
      );
  }
}

function text(value: string | undefined): Value | undefined {
  return value === undefined ? undefined : { type: "string", value };
}

function int(value: number): Value {
  return { type: "int", value: BigInt(value) };
}

function duration(value: bigint): Scalar {
  return { type: "duration", value };
}

/** The service of a span, "" when its resource has none. */
export function serviceOf({ span }: Node): string {
  const service = span.resource.get("service.name");
  return typeof service === "string" ? service : "";
}

const INTRINSIC_VALUES: Readonly<Record<IntrinsicName, (node: Node) => Value | undefined>> = {
  duration: ({ span }) => duration(durationOf(span)),
  name: ({ span }) => text(span.name),
  status: ({ span }) => ({ type: "status", value: STATUSES[span.statusCode] ?? "unset" }),
  statusMessage: ({ span }) => text(span.statusMessage),
  kind: ({ span }) => ({ type: "kind", value: KINDS[span.kind] ?? "unspecified" }),
  "span:id": ({ span }) => text(span.spanId),
  "span:parentID": ({ span }) => text(span.parentSpanId),
  "span:childCount": ({ children }) => int(children.length),
  traceDuration: ({ trace }) => duration(trace.end - trace.start),
  rootName: ({ trace }) => text(trace.root?.span.name),
  rootServiceName: ({ trace }) => text(trace.root === undefined ? undefined : serviceOf(trace.root)),
  "trace:id": ({ trace }) => text(trace.id),
  "event:name": ({ span }) => gathered(span.events.map(({ name }) => text(name))),
  "event:timeSinceStart": ({ span }) => gathered(span.events.map(({ time }) => duration(time - span.start))),
  "link:traceID": ({ span }) => gathered(span.links.map(({ traceId }) => text(traceId))),
  "link:spanID": ({ span }) => gathered(span.links.map(({ spanId }) => text(spanId))),
  "instrumentation:name": ({ span }) => text(span.scope.name),
  "instrumentation:version": ({ span }) => text(span.scope.version),
  nestedSetLeft: ({ left }) => int(left),
  nestedSetRight: ({ right }) => int(right),
  nestedSetParent: ({ parentLeft }) => int(parentLeft),
};

export function fieldOf(node: Node, field: Field): Value | undefined {
  const owner = field.parent ? node.parent : node;
  if (owner === undefined) return undefined;
  return field.kind === "attribute"
    ? attributeOf(owner, field.scope, field.name)
    : INTRINSIC_VALUES[field.name](owner);
}

// Ids: hex, whatever the case, leading zeros or not.

const ID_DIGITS: Partial<Record<IntrinsicName, number>> = {
  "trace:id": 32,
  "link:traceID": 32,
  "span:id": 16,
  "span:parentID": 16,
  "link:spanID": 16,
};

function digitsOf(expression: FieldExpression): number | undefined {
  return expression.kind === "intrinsic" ? ID_DIGITS[(expression satisfies Intrinsic).name] : undefined;
}

function asId(value: Value | undefined, digits: number): Value | undefined {
  return mapValue(value, (scalar) => {
    if (scalar.type !== "string" || scalar.value === "") return scalar;
    return { type: "string", value: scalar.value.toLowerCase().replace(/^0+/, "").padStart(digits, "0") };
  });
}

// Expressions

function isNil(expression: FieldExpression): boolean {
  return expression.kind === "literal" && expression.type === "nil";
}

/** A span without events (links) has nothing that an attribute could be missing from. */
function hasOwner(node: Node, expression: FieldExpression): boolean {
  if (expression.kind !== "attribute") return true;
  const owner = expression.parent ? node.parent : node;
  if (expression.scope === "event") return (owner?.span.events.length ?? 0) > 0;
  if (expression.scope === "link") return (owner?.span.links.length ?? 0) > 0;
  return true;
}

function compareToNil(node: Node, op: Comparison["op"], operand: FieldExpression): boolean {
  if (isNil(operand)) return false;
  const value = evaluate(operand, node);
  if (op === "!=") return value !== undefined;
  return op === "=" && value === undefined && hasOwner(node, operand);
}

function compare(node: Node, { op, left, right }: Comparison): boolean {
  if (isNil(left)) return compareToNil(node, op, right);
  if (isNil(right)) return compareToNil(node, op, left);
  const a = evaluate(left, node);
  const b = evaluate(right, node);
  const digits = digitsOf(left) ?? digitsOf(right);
  if (digits === undefined || (op !== "=" && op !== "!=")) return compareValues(op, a, b);
  return compareValues(op, asId(a, digits), asId(b, digits));
}

/** RE2 over the whole text. Of RE2's own syntax only leading flags are known here. */
export function wholeMatch(pattern: string): (text: string) => boolean {
  const [, flags = "", rest = pattern] = /^\(\?([ims]+)\)(.*)$/su.exec(pattern) ?? [];
  const regex = new RegExp(`^(?:${rest})$`, `u${flags}`);
  return (value) => regex.test(value);
}

function match(node: Node, { op, operand, pattern }: RegexMatch): boolean {
  const value = evaluate(operand, node);
  if (value === undefined) return false;
  const matches = wholeMatch(pattern);
  const isText = (scalar: Scalar): scalar is Scalar & { type: "string" } => scalar.type === "string";
  const scalars = elements(value);
  if (op === "=~") return scalars.some((scalar) => isText(scalar) && matches(scalar.value));
  return scalars.every((scalar) => isText(scalar) && !matches(scalar.value));
}

function not(value: Value | undefined): Value | undefined {
  return mapValue(value, (scalar) =>
    scalar.type === "bool" ? { type: "bool", value: !scalar.value } : undefined,
  );
}

function evaluateExpression(node: Node, expression: FieldExpression): Value | boolean | undefined {
  switch (expression.kind) {
    case "literal":
      return expression.type === "nil" ? undefined : expression;
    case "attribute":
    case "intrinsic":
      return fieldOf(node, expression);
    case "unary": {
      const operand = evaluate(expression.operand, node);
      return expression.op === "!" ? not(operand) : mapValue(operand, negateScalar);
    }
    case "arithmetic":
      return computeValues(expression.op, evaluate(expression.left, node), evaluate(expression.right, node));
    case "comparison":
      return compare(node, expression);
    case "regex":
      return match(node, expression);
    case "logical": {
      // From the left, no further than needed: what comes behind may divide by zero.
      const holds = (operand: FieldExpression): boolean => isTrue(evaluate(operand, node));
      return expression.op === "&&" ? expression.operands.every(holds) : expression.operands.some(holds);
    }
  }
}

/** The expression's value for a span; undefined: missing. */
export function evaluate(expression: FieldExpression, node: Node): Value | undefined {
  const value = evaluateExpression(node, expression);
  return typeof value === "boolean" ? { type: "bool", value } : value;
}

/** Whether a span meets the condition of a filter. */
export function meets(node: Node, condition: FieldExpression): boolean {
  return isTrue(evaluate(condition, node));
}
