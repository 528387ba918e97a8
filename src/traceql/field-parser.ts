// Conditions on one span: what stands between the braces. Methods are named after the productions of GRAMMAR.md.
import type {
  Arithmetic,
  ArithmeticOperator,
  Comparison,
  Field,
  FieldExpression,
  Literal,
  LogicalOperator,
  NumberLiteral,
  RegexMatch,
  SpansetFilter,
  Unary,
} from "./ast.ts";
import { QueryFault } from "./errors.ts";
import { describeToken, Lexer, type SymbolText, type Token } from "./lexer.ts";
import { compute, negate } from "./numbers.ts";
import { COMPARISONS, INTRINSIC_WORDS, LITERAL_WORDS } from "./words.ts";

/**
 * Levels of the tree, and of parentheses. A level costs the parser up to eight calls, so that this many stay far below
 * the stack of a Worker; people nest five deep.
 */
export const DEPTH_MAX = 128;

export function isNumber(node: { readonly kind: string } | Literal): node is NumberLiteral {
  if (node.kind !== "literal" || !("type" in node)) return false;
  return node.type === "int" || node.type === "float" || node.type === "duration";
}

/** What `&&` and `||` join. */
export interface Chain<T, P> {
  readonly operand: (parser: P) => T;
  /** The operands of a node of this operator. */
  readonly parts: (node: T, op: LogicalOperator) => readonly T[] | undefined;
  readonly join: (op: LogicalOperator, operands: readonly T[], at: number) => T;
}

export class FieldParser {
  private static readonly CONDITIONS: Chain<FieldExpression, FieldParser> = {
    operand: (parser) => parser.fieldComparison(),
    parts: (node, op) => (node.kind === "logical" && node.op === op ? node.operands : undefined),
    join: (op, operands, at) => ({ kind: "logical", op, operands, at }),
  };

  protected token: Token;
  /** Of the expression that was read last: 0 for a leaf, one more for each operation around it. */
  protected height = 0;
  private readonly lexer: Lexer;
  private depth = 0;

  constructor(text: string, start = 0) {
    this.lexer = new Lexer(text, start);
    this.token = this.lexer.next();
  }

  // Filter = "{" [ FieldLogical ] "}"
  filter(): SpansetFilter {
    const { at } = this.token;
    this.expect("{");
    if (this.accept("}")) {
      this.height = 0;
      return { kind: "filter", condition: { kind: "literal", type: "bool", value: true, at }, at };
    }
    const condition = this.fieldLogical();
    this.expect("}");
    this.grow(this.height);
    return { kind: "filter", condition, at };
  }

  // FieldLogical = FieldComparison { ( "&&" | "||" ) FieldComparison }
  fieldLogical(): FieldExpression {
    return this.chain(FieldParser.CONDITIONS);
  }

  // FieldComparison = FieldSum { ( COMPARISON | "=~" | "!~" ) FieldSum }
  private fieldComparison(): FieldExpression {
    let left = this.fieldSum();
    while (this.token.type === "symbol") {
      const { text, at } = this.token;
      const op = COMPARISONS.get(text);
      if (op === undefined && text !== "=~" && text !== "!~") break;
      const leftHeight = this.height;
      this.advance();
      const right = this.fieldSum();
      if (op !== undefined) left = { kind: "comparison", op, left, right, at } satisfies Comparison;
      else left = regexMatch(text === "=~" ? "=~" : "!~", left, right, at);
      this.grow(leftHeight);
    }
    return left;
  }

  // FieldSum = FieldProduct { ( "+" | "-" ) FieldProduct }
  private fieldSum(): FieldExpression {
    let left = this.fieldProduct();
    while (this.token.type === "symbol" && (this.token.text === "+" || this.token.text === "-")) {
      const { text, at } = this.token;
      const leftHeight = this.height;
      this.advance();
      left = fieldArithmetic(text, left, this.fieldProduct(), at);
      this.grow(leftHeight);
    }
    return left;
  }

  // FieldProduct = FieldPower { ( "*" | "/" | "%" ) FieldPower }
  private fieldProduct(): FieldExpression {
    let left = this.fieldPower();
    while (this.token.type === "symbol") {
      const { text, at } = this.token;
      if (text !== "*" && text !== "/" && text !== "%") break;
      const leftHeight = this.height;
      this.advance();
      left = fieldArithmetic(text, left, this.fieldPower(), at);
      this.grow(leftHeight);
    }
    return left;
  }

  // FieldPower = FieldOperand [ "^" FieldPower ]
  private fieldPower(): FieldExpression {
    const left = this.fieldOperand();
    const { at } = this.token;
    const leftHeight = this.height;
    if (!this.accept("^")) return left;
    const right = this.nested(() => this.fieldPower());
    this.grow(leftHeight);
    return fieldArithmetic("^", left, right, at);
  }

  // FieldOperand = "(" FieldLogical ")" | ( "-" | "!" ) FieldProduct | Literal | Field
  private fieldOperand(): FieldExpression {
    const { token } = this;
    if (token.type === "symbol") {
      if (token.text === "(") return this.parenthesized(() => this.fieldLogical());
      if (token.text === "-" || token.text === "!") return this.fieldUnary(token.text);
    }
    const literal = this.literal();
    if (literal !== undefined) return literal;
    return this.field();
  }

  private fieldUnary(op: "-" | "!"): FieldExpression {
    const { at } = this.advance();
    const operand = this.nested(() => this.fieldProduct());
    if (op === "-" && isNumber(operand)) return negate(operand, at);
    this.grow(this.height);
    return { kind: "unary", op, operand, at } satisfies Unary;
  }

  // Field = ATTRIBUTE | INTRINSIC
  field(): Field {
    const { token } = this;
    this.height = 0;
    if (token.type === "attribute") {
      this.advance();
      const { scope, parent, name, at } = token;
      // Behind `parent.`, an intrinsic is written like an attribute; in quotes it is one.
      const intrinsic = parent && scope === "any" && !token.quoted ? INTRINSIC_WORDS.get(name) : undefined;
      if (intrinsic !== undefined) return { kind: "intrinsic", name: intrinsic, parent, at };
      return { kind: "attribute", scope, name, parent, at };
    }
    if (token.type !== "word") throw this.unexpected();
    const name = INTRINSIC_WORDS.get(token.text);
    if (name !== undefined) {
      this.advance();
      return { kind: "intrinsic", name, parent: false, at: token.at };
    }
    throw this.unknownWord(token.text);
  }

  // Literal = NUMBER | STRING | "true" | "false" | "nil" | "minInt" | "maxInt" | STATUS | KIND
  protected literal(): Literal | undefined {
    const { token } = this;
    const { at } = token;
    this.height = 0;
    if (token.type === "number") {
      this.advance();
      return token.literal;
    }
    if (token.type === "string") {
      this.advance();
      return { kind: "literal", type: "string", value: token.value, at };
    }
    const word = token.type === "word" ? LITERAL_WORDS.get(token.text) : undefined;
    if (word === undefined) return undefined;
    this.advance();
    return word(at);
  }

  /**
   * Operands joined by `&&` and `||`, which are of one level, from the left. Neighbours with one operator become one
   * node.
   */
  protected chain<T, P extends FieldParser>(this: P, { operand, parts, join }: Chain<T, P>): T {
    let left = operand(this);
    for (;;) {
      const op = this.logicalOperator();
      if (op === undefined) return left;
      const { at } = this.token;
      const operands: T[] = [...(parts(left, op) ?? [left])];
      let leftHeight = this.height;
      while (this.logicalOperator() === op) {
        this.advance();
        const right = operand(this);
        for (const part of parts(right, op) ?? [right]) operands.push(part);
        leftHeight = Math.max(leftHeight, this.height);
      }
      left = join(op, operands, at);
      this.grow(leftHeight);
    }
  }

  private logicalOperator(): LogicalOperator | undefined {
    if (this.token.type !== "symbol") return undefined;
    const { text } = this.token;
    return text === "&&" || text === "||" ? text : undefined;
  }

  protected parenthesized<T>(inner: () => T): T {
    this.expect("(");
    const node = this.nested(inner);
    this.expect(")");
    return node;
  }

  /** Bounds the recursion. */
  protected nested<T>(inner: () => T): T {
    if (++this.depth > DEPTH_MAX) throw this.tooDeep();
    const node = inner();
    this.depth--;
    return node;
  }

  /** One operation around what was read last and what has `otherHeight`. */
  protected grow(otherHeight: number): void {
    this.height = Math.max(this.height, otherHeight) + 1;
    if (this.height > DEPTH_MAX) throw this.tooDeep();
  }

  private tooDeep(): QueryFault {
    return new QueryFault("parse error", this.token.at, `nested deeper than ${DEPTH_MAX} levels`);
  }

  /** The current token, which is replaced by the next one. */
  protected advance(): Token {
    const { token } = this;
    this.token = this.lexer.next();
    return token;
  }

  protected is(symbol: SymbolText): boolean {
    return this.token.type === "symbol" && this.token.text === symbol;
  }

  protected accept(symbol: SymbolText): boolean {
    if (!this.is(symbol)) return false;
    this.advance();
    return true;
  }

  protected expect(symbol: SymbolText): void {
    if (!this.accept(symbol)) throw this.unexpected(`expected "${symbol}"`);
  }

  expectEnd(): void {
    if (this.token.type !== "end") throw this.unexpected();
  }

  protected fault(message: string, at: number = this.token.at): QueryFault {
    return new QueryFault("parse error", at, message);
  }

  protected unexpected(expected?: string): QueryFault {
    const found = `syntax error: unexpected ${describeToken(this.token, this.lexer.text)}`;
    return this.fault(expected === undefined ? found : `${found}, ${expected}`);
  }

  protected unsupported(message: string, at: number = this.token.at): QueryFault {
    return new QueryFault("unsupported", at, message);
  }

  protected unknownWord(word: string): QueryFault {
    if (word === "parent") {
      return this.unsupported("parent without a field is not supported; parent.span:id and the like are");
    }
    return this.fault(`unknown identifier: ${word}`);
  }
}

/** Constants are computed here, so that the tree holds no operation on numbers alone. */
function fieldArithmetic(
  op: ArithmeticOperator,
  left: FieldExpression,
  right: FieldExpression,
  at: number,
): Arithmetic | NumberLiteral {
  if (isNumber(left) && isNumber(right)) return compute(op, left, right, at);
  return { kind: "arithmetic", op, left, right, at };
}

function regexMatch(
  op: RegexMatch["op"],
  operand: FieldExpression,
  pattern: FieldExpression,
  at: number,
): RegexMatch {
  if (pattern.kind !== "literal" || pattern.type !== "string") {
    throw new QueryFault("validation error", pattern.at, `${op} needs a string literal on its right`);
  }
  return { kind: "regex", op, operand, pattern: pattern.value, at };
}
