// How much a query may ask for. Each of these costs a look at every span, or at every value of a dictionary.
import type { Attribute, FieldExpression, Intrinsic, Query } from "./ast.ts";
import { printField } from "./print.ts";
import { AppError } from "../util/errors.ts";

export interface ComplexityLimits {
  /** Different fields. */
  readonly fields: number;
  /** Fields in a list: of `by` or of `select`. */
  readonly listedFields: number;
  /** Filters `{ … }`. */
  readonly filters: number;
  /** Regular expressions. */
  readonly regexes: number;
  /** Stages of all pipelines. */
  readonly stages: number;
  /** Aggregates such as `max(duration)`. */
  readonly aggregates: number;
  /** Quantiles of one function. */
  readonly quantiles: number;
}

/** Far beyond what people and their tools ask for; comparisons within a filter are bounded when it is compiled. */
export const COMPLEXITY_LIMITS: ComplexityLimits = {
  fields: 64,
  listedFields: 64,
  filters: 256,
  regexes: 128,
  stages: 128,
  aggregates: 128,
  quantiles: 64,
};

const NAMES: Readonly<Record<keyof ComplexityLimits, string>> = {
  fields: "different fields",
  listedFields: "fields in one list",
  filters: "filters { … }",
  regexes: "regular expressions",
  stages: "stages",
  aggregates: "aggregates",
  quantiles: "quantiles",
};

class Counts {
  readonly #counts = new Map<keyof ComplexityLimits, number>();
  readonly #fields = new Set<string>();

  add(what: keyof ComplexityLimits, count: number): void {
    const sum = (this.#counts.get(what) ?? 0) + count;
    this.#counts.set(what, sum);
    check(what, sum);
  }

  addField(field: Attribute | Intrinsic): void {
    this.#fields.add(printField(field));
    check("fields", this.#fields.size);
  }
}

function check(what: keyof ComplexityLimits, count: number): void {
  const limit = COMPLEXITY_LIMITS[what];
  if (count <= limit) return;
  throw new AppError(
    "invalid_argument",
    `invalid TraceQL query: it has more than ${limit} ${NAMES[what]}, ask for less at once`,
  );
}

/** All that the tree is made of: nodes have a kind. */
type Node = Readonly<Record<string, unknown>> & { readonly kind: string };

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "kind" in value && typeof value.kind === "string";
}

function isField(node: object): node is Attribute | Intrinsic {
  return "kind" in node && (node.kind === "attribute" || node.kind === "intrinsic");
}

function countNode(node: Node, counts: Counts): void {
  if (isField(node)) counts.addField(node);
  if (node.kind === "filter") counts.add("filters", 1);
  if (node.kind === "regex") counts.add("regexes", 1);
  if (node.kind === "aggregate") counts.add("aggregates", 1);
  for (const [name, part] of Object.entries(node)) {
    if (!Array.isArray(part)) continue;
    if (name === "stages") counts.add("stages", part.length);
    else if (name === "by" || name === "fields") check("listedFields", part.length);
    else if (name === "quantiles") check("quantiles", part.length);
  }
}

/**
 * Refuses what would keep an isolate busy for minutes.
 * @throws AppError `invalid_argument`
 */
export function checkComplexity(query: Query | FieldExpression): void {
  const counts = new Counts();
  const waiting: unknown[] = [query];
  while (waiting.length > 0) {
    const part = waiting.pop();
    if (Array.isArray(part)) for (const each of part) waiting.push(each);
    else if (isNode(part)) {
      countNode(part, counts);
      for (const each of Object.values(part)) waiting.push(each);
    }
  }
}
