// Numbers and durations: their text, and arithmetic on those that are known when a query is read.
import type { ArithmeticOperator, NumberLiteral } from "./ast.ts";
import { QueryFault } from "./errors.ts";

export const INT_MAX = (1n << 63n) - 1n;
export const INT_MIN = -(1n << 63n);

/** Characters of a number: more than anyone means, and few enough that reading them costs nothing. */
const DIGITS_MAX = 64;

const NUMBER = /(\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![\w.]))?/y;
/** What continues a number into a duration or makes it no number at all. Both signs for micro are in use. */
const TAIL = /[\w.\u00b5\u03bc]*/y;
const SEGMENT = /(\d*)(?:\.(\d*))?([a-z\u00b5\u03bc]+)/y;

const NS_PER_UNIT: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n,
  "\u03bcs": 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
  y: 31_536_000_000_000_000n,
};

/** Once a duration holds a day or longer it is of Prometheus' kind: whole numbers, these units, in this order. */
const LONG_UNITS = "ywd";
const ORDERED_UNITS = ["y", "w", "d", "h", "m", "s", "ms"];

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/**
 * Reads the number or duration that begins at `at` with a digit, or a dot and a digit.
 * @returns its literal, and the offset behind it
 */
export function readNumber(text: string, at: number): { literal: NumberLiteral; end: number } {
  const number = matchAt(NUMBER, text, at)?.[0] ?? "";
  const numberEnd = at + number.length;
  const tail = matchAt(TAIL, text, numberEnd)?.[0] ?? "";
  if (tail !== "") {
    const end = numberEnd + tail.length;
    return {
      literal: { kind: "literal", at, type: "duration", value: readDuration(text.slice(at, end), at) },
      end,
    };
  }
  if (number.length > DIGITS_MAX) throw new QueryFault("parse error", at, "the number is too long");
  if (/^\d+$/.test(number)) {
    const value = BigInt(number);
    if (value > INT_MAX) throw new QueryFault("parse error", at, `integer ${number} exceeds 64 bits`);
    return { literal: { kind: "literal", at, type: "int", value }, end: numberEnd };
  }
  const value = Number(number);
  if (!Number.isFinite(value)) throw new QueryFault("parse error", at, `number ${number} is too large`);
  return { literal: { kind: "literal", at, type: "float", value }, end: numberEnd };
}

/** Nanoseconds of a duration's text. */
function readDuration(text: string, at: number): bigint {
  if (text.length > DIGITS_MAX) throw durationFault(text, at, "it is too long");
  const units: string[] = [];
  let total = 0n;
  for (let i = 0; i < text.length;) {
    const [segment, whole = "", fraction = "", unit = ""] = matchAt(SEGMENT, text, i) ?? [""];
    const ns = NS_PER_UNIT[unit];
    if (ns === undefined || (whole === "" && fraction === "")) {
      throw durationFault(text, at, "a number with one of the units ns us ms s m h d w y is expected");
    }
    total += BigInt(whole) * ns + (BigInt(fraction) * ns) / 10n ** BigInt(fraction.length);
    if (total > INT_MAX) throw durationFault(text, at, "it exceeds 292 years");
    units.push(unit);
    i += segment.length;
  }
  if (units.some((unit) => LONG_UNITS.includes(unit))) checkLongDuration(text, units, at);
  return total;
}

function checkLongDuration(text: string, units: readonly string[], at: number): void {
  if (text.includes(".")) throw durationFault(text, at, "days and longer units are whole numbers");
  const ranks = units.map((unit) => ORDERED_UNITS.indexOf(unit));
  if (ranks.some((rank, i) => rank < 0 || rank <= (ranks[i - 1] ?? -1))) {
    throw durationFault(text, at, "beside days and longer units, the order is y w d h m s ms");
  }
}

function durationFault(text: string, at: number, reason: string): QueryFault {
  return new QueryFault("parse error", at, `invalid duration "${text.slice(0, DIGITS_MAX)}": ${reason}`);
}

const PRINT_UNITS = ["h", "m", "s", "ms", "us", "ns"];

/** The literal's text, which reads as the same literal. A negative one reads so where a sign may stand. */
export function printNumber(literal: NumberLiteral): string {
  if (literal.type === "int") {
    return literal.value === INT_MIN ? "minInt" : String(literal.value);
  }
  if (literal.type === "float") {
    const text = Object.is(literal.value, -0) ? "-0" : String(literal.value);
    return /[.e]/.test(text) ? text : `${text}.0`;
  }
  const { value } = literal;
  const unit = PRINT_UNITS.find((name) => value % (NS_PER_UNIT[name] ?? 1n) === 0n) ?? "ns";
  return `${value / (NS_PER_UNIT[unit] ?? 1n)}${unit}`;
}

/** `-literal`. */
export function negate(literal: NumberLiteral, at: number): NumberLiteral {
  if (literal.type === "float") return { kind: "literal", at, type: "float", value: -literal.value };
  return exact(literal.type, -literal.value, at);
}

/**
 * `left op right`: with a float the result is a float; otherwise a whole number, cut towards zero, of a duration when
 * one of the two is; what exceeds 64 bits becomes a float.
 * @throws QueryFault when the divisor is zero or there is no finite result
 */
export function compute(
  op: ArithmeticOperator,
  left: NumberLiteral,
  right: NumberLiteral,
  at: number,
): NumberLiteral {
  if ((op === "/" || op === "%") && Number(right.value) === 0) {
    throw new QueryFault("validation error", at, "division by zero");
  }
  if (left.type !== "float" && right.type !== "float") {
    const value = computeExact(op, left.value, right.value);
    const type = left.type === "duration" || right.type === "duration" ? "duration" : "int";
    if (value !== undefined) return exact(type, value, at);
  }
  const value = computeFloat(op, Number(left.value), Number(right.value));
  if (!Number.isFinite(value)) throw new QueryFault("validation error", at, "the result is no finite number");
  return { kind: "literal", at, type: "float", value };
}

function exact(type: "int" | "duration", value: bigint, at: number): NumberLiteral {
  // A duration has no text for INT_MIN.
  const min = type === "int" ? INT_MIN : -INT_MAX;
  if (value < min || value > INT_MAX) return { kind: "literal", at, type: "float", value: Number(value) };
  return { kind: "literal", at, type, value };
}

/** Undefined when the result is no whole number or would take much more than 64 bits to write. */
function computeExact(op: ArithmeticOperator, left: bigint, right: bigint): bigint | undefined {
  switch (op) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
    case "^":
      return right < 0n || right > 63n ? undefined : left ** right;
  }
}

function computeFloat(op: ArithmeticOperator, left: number, right: number): number {
  switch (op) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
    case "^":
      return left ** right;
  }
}
