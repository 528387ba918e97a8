// A search by tags as the TraceQL query that it means.
import type {
  Attribute,
  FieldExpression,
  Intrinsic,
  IntrinsicName,
  Literal,
  Scope,
  SearchQuery,
  SpansetFilter,
  Status,
} from "../../traceql/ast.ts";
import { STATUSES } from "../../traceql/ast.ts";

export interface TagSearch {
  readonly tags: ReadonlyMap<string, string>;
  /** Bounds of the whole trace's duration in ns, both included. */
  readonly minDurationNs: bigint | undefined;
  readonly maxDurationNs: bigint | undefined;
}

// No part of such a query comes from a text that a position could point into.
const at = 0;

function attribute(scope: Scope, name: string): Attribute {
  return { kind: "attribute", scope, name, parent: false, at };
}

function intrinsic(name: IntrinsicName): Intrinsic {
  return { kind: "intrinsic", name, parent: false, at };
}

/** Tempo compares these by a part of the text, whatever the case. */
const SUBSTRING_FIELDS: Readonly<Record<string, Attribute | Intrinsic>> = {
  "service.name": attribute("resource", "service.name"),
  name: intrinsic("name"),
  "root.name": intrinsic("rootName"),
  "root.service.name": intrinsic("rootServiceName"),
};
/** Attributes that have a column of their own in Tempo: they are compared likewise. */
const SUBSTRING_ATTRIBUTES: ReadonlyMap<string, Scope> = new Map([
  ["k8s.cluster.name", "resource"],
  ["k8s.namespace.name", "resource"],
  ["k8s.pod.name", "resource"],
  ["k8s.container.name", "resource"],
  ["http.request.method", "span"],
  ["url.path", "span"],
  ["url.route", "span"],
  ["server.address", "span"],
  ["http.method", "span"],
  ["http.url", "span"],
  ["http.route", "span"],
]);

function contains(field: Attribute | Intrinsic, text: string): FieldExpression {
  const quoted = text.replace(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`);
  return { kind: "regex", op: "=~", operand: field, pattern: `(?is).*${quoted}.*`, at };
}

function equals(left: Attribute | Intrinsic, right: Literal): FieldExpression {
  return { kind: "comparison", op: "=", left, right, at };
}

function statusIs(status: Status): FieldExpression {
  return equals(intrinsic("status"), { kind: "literal", type: "status", value: status, at });
}

/** The values that a text can stand for: itself, and the number or boolean that it reads as. */
function literalsOf(text: string): Literal[] {
  const literals: Literal[] = [{ kind: "literal", type: "string", value: text, at }];
  if (/^-?\d{1,18}$/.test(text)) {
    literals.push({ kind: "literal", type: "int", value: BigInt(text), at });
  } else if (/^-?\d{1,30}\.\d{1,30}$/.test(text)) {
    literals.push({ kind: "literal", type: "float", value: Number(text), at });
  } else if (text === "true" || text === "false") {
    literals.push({ kind: "literal", type: "bool", value: text === "true", at });
  }
  return literals;
}

function anyOf(operands: readonly FieldExpression[]): FieldExpression {
  const [first] = operands;
  if (operands.length === 1 && first !== undefined) return first;
  return { kind: "logical", op: "||", operands, at };
}

function tagCondition(key: string, value: string): FieldExpression {
  const field = Object.hasOwn(SUBSTRING_FIELDS, key) ? SUBSTRING_FIELDS[key] : undefined;
  if (field !== undefined) return contains(field, value);
  const scope = SUBSTRING_ATTRIBUTES.get(key);
  if (scope !== undefined) return contains(attribute(scope, key), value);
  if (key === "status.code") {
    const status = STATUSES.find((known) => known === value);
    return status === undefined ? { kind: "literal", type: "bool", value: false, at } : statusIs(status);
  }
  const own = literalsOf(value).map((literal) => equals(attribute("any", key), literal));
  return anyOf(key === "error" && value === "true" ? [statusIs("error"), ...own] : own);
}

function traceDuration(op: ">=" | "<=", ns: bigint): FieldExpression {
  const value: Literal = { kind: "literal", type: "duration", value: ns, at };
  return { kind: "comparison", op, left: intrinsic("traceDuration"), right: value, at };
}

/**
 * The query whose traces a search by tags finds: each tag holds for some span of the trace. Numbers and booleans are
 * found by their text as well, which Tempo does not do.
 */
export function tagSearchQuery({ tags, minDurationNs, maxDurationNs }: TagSearch): SearchQuery {
  const conditions = Array.from(tags, ([key, value]) => tagCondition(key, value));
  if (minDurationNs !== undefined) conditions.push(traceDuration(">=", minDurationNs));
  if (maxDurationNs !== undefined) conditions.push(traceDuration("<=", maxDurationNs));
  if (conditions.length === 0) conditions.push({ kind: "literal", type: "bool", value: true, at });
  const operands = conditions.map((condition): SpansetFilter => ({ kind: "filter", condition, at }));
  const [first] = operands;
  const stage =
    operands.length === 1 && first !== undefined
      ? first
      : ({ kind: "combination", op: "&&", operands, at } as const);
  return { kind: "search", pipeline: { kind: "pipeline", stages: [stage], at }, hints: [], at };
}
