// What a schema has against a request, in one sentence.
import type { z } from "./schemas.ts";

type Issue = z.core.$ZodIssue;

/** What zod tells; the first is what is told on. */
export interface Misfit {
  readonly issues: readonly Issue[];
}

const KIND_NAMES: Readonly<Record<string, string>> = {
  number: "a number",
  int: "a whole number",
  string: "a text",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** The first thing that is wrong, in a sentence that begins with where it is. */
export function sentence({ issues: [issue] }: Misfit): string {
  return issue === undefined ? "the request is not as it must be" : issueText(issue);
}

function issueText(issue: Issue): string {
  const path = pathText(issue.path);
  switch (issue.code) {
    case "invalid_type":
      return `${path} must be ${KIND_NAMES[issue.expected] ?? issue.expected}`;
    case "unrecognized_keys":
      return `there is no field ${pathText([...issue.path, issue.keys[0] ?? ""])}`;
    case "invalid_value":
      return `${path} must be ${issue.values.map(String).join(" or ")}`;
    case "too_small":
      return `${path} must ${least(issue)}`;
    case "too_big":
      return `${path} must ${bound(issue.origin, "at most", issue.maximum)}`;
    case "custom":
      return issue.message;
    case "invalid_format":
      return issue.format === "datetime"
        ? `${path} must be a time like 2026-12-31T00:00:00Z`
        : `${path} ${issue.message}`;
    case "invalid_key":
    case "invalid_union":
    case "invalid_element":
    case "not_multiple_of":
      return `${path} is not what it may be`;
  }
}

/** `scopes[1].name` */
function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return text === "" ? "the body" : text.replace(/^\./, "");
}

function least({ inclusive, minimum, origin }: z.core.$ZodIssueTooSmall): string {
  return bound(origin, inclusive === false ? "more than" : "at least", minimum);
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === "string") return `have ${relation} ${limit} characters`;
  return origin === "array" ? `have ${relation} ${limit} entries` : `be ${relation} ${limit}`;
}
