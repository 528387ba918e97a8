// The filter of a query that is still being typed, as editors send it to narrow what they offer.
import { AppError, isAppError } from "../util/errors.ts";
import type { FieldExpression, LogicalOperator } from "./ast.ts";
import { isNameCharacter } from "./lexer.ts";
import { parseCondition } from "./parse.ts";

/** Combinations of alternatives, Tempo's bound. */
const CONDITION_GROUPS_MAX = 100;

/** Parentheses in parentheses: looking for the end of each reads what is within it. */
const GROUPS_DEPTH_MAX = 32;

/** Changes between `&&` and `||`: bounds the depth of the result. Texts with more have too many groups as well. */
const JOINS_MAX = 256;

/** Undefined is a condition that always holds. */
type Condition = FieldExpression | undefined;

/**
 * The condition of the first spanset filter in `text`. Matchers that are not complete, or of types that do not fit, hold
 * for every span, as does an attribute alone. Nodes have no useful positions.
 * @returns undefined when nothing is left to filter by
 * @throws AppError `invalid_argument` when the alternatives combine to more than CONDITION_GROUPS_MAX groups
 */
export function lenientCondition(text: string): FieldExpression | undefined {
  const start = find(text, 0, text.length, "{");
  const end = find(text, start, text.length, "}");
  const condition = new LenientReader().condition(text.slice(start + 1, end), 0);
  if (condition !== undefined && groupsOf(condition) > CONDITION_GROUPS_MAX) {
    throw new AppError(
      "invalid_argument",
      `maximum condition groups reached (limit: ${CONDITION_GROUPS_MAX}). Reduce the number of OR conditions in the query`,
    );
  }
  return condition;
}

/** Behind the quoted text, the comment or the single character at `at`. */
function skip(text: string, at: number): number {
  const char = text[at];
  let end = at + 1;
  if (char === '"') {
    while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    return Math.min(end + 1, text.length);
  }
  if (char === "`") return behind(text, "`", end);
  // Within a name, slashes are part of it.
  if (char === "/" && (at === 0 || !isNameCharacter(text, at - 1))) {
    if (text[end] === "/") return behind(text, "\n", end);
    if (text[end] === "*") return behind(text, "*/", end + 1);
  }
  return end;
}

function behind(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}

/** Where `mark` stands from `at` on, outside of quotes; `end` when it does not. */
function find(text: string, at: number, end: number, mark: string): number {
  let i = at;
  while (i < end && text[i] !== mark) i = skip(text, i);
  return Math.min(i, end);
}

/** Where the matcher or group that begins at `at` ends: at `&&`, `||`, a closing parenthesis that is not its own. */
function termEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i = skip(text, i)) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth < 0) return i;
    else if (depth === 0 && operatorAt(text, i) !== undefined) return i;
  }
  return text.length;
}

function operatorAt(text: string, at: number): LogicalOperator | undefined {
  if (text.startsWith("&&", at)) return "&&";
  return text.startsWith("||", at) ? "||" : undefined;
}

/** Where the parenthesis that was opened before `at` closes; the end of the text when it does not. */
function closing(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i = skip(text, i)) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth < 0) return i;
  }
  return text.length;
}

class LenientReader {
  private joins = 0;

  /** Terms joined from the left, as the strict parser does. */
  condition(text: string, depth: number): Condition {
    let i = termEnd(text, 0);
    let left = this.term(text.slice(0, i), depth);
    for (let op = operatorAt(text, i); op !== undefined; op = operatorAt(text, i)) {
      const run = [left];
      while (operatorAt(text, i) === op) {
        const from = i + op.length;
        i = termEnd(text, from);
        run.push(this.term(text.slice(from, i), depth));
      }
      // Each may be one level around the one before.
      if (++this.joins > JOINS_MAX) return undefined;
      left = join(op, run);
    }
    return left;
  }

  private term(text: string, depth: number): Condition {
    const term = text.trim();
    if (!term.startsWith("(") || depth >= GROUPS_DEPTH_MAX) return readMatcher(term);
    const close = closing(term, 1);
    // What goes on behind its parenthesis is a matcher that begins with one: (.a + 1) * 2 > .b
    return close < term.length - 1 ? readMatcher(term) : this.condition(term.slice(1, close), depth + 1);
  }
}

function readMatcher(text: string): Condition {
  try {
    const condition = parseCondition(text);
    return condition.kind === "attribute" || condition.kind === "intrinsic" ? undefined : condition;
  } catch (error) {
    if (isAppError(error) && error.kind === "invalid_argument") return undefined;
    throw error;
  }
}

function join(op: LogicalOperator, terms: readonly Condition[]): Condition {
  if (op === "||" && terms.includes(undefined)) return undefined;
  const operands = terms.flatMap((term) => {
    if (term === undefined) return [];
    return term.kind === "logical" && term.op === op ? term.operands : [term];
  });
  return operands.length > 1 ? { kind: "logical", op, operands, at: 0 } : operands[0];
}

/** Conjunctions that the condition is the union of. */
function groupsOf(condition: FieldExpression): number {
  if (condition.kind !== "logical") return 1;
  const counts = condition.operands.map((operand) => groupsOf(operand));
  return condition.op === "||" ? counts.reduce((a, b) => a + b) : counts.reduce((a, b) => a * b);
}
