// What a predicate says of each value of a dictionary or a page.
import type { ComparisonOperator } from "../../ast.ts";
import type { Values } from "../../storage.ts";
import { findBytes } from "../../../util/utf8.ts";
import { type Codec, decoderOf, doublesOf, type JsonCodec, wordsOf } from "../columns/decode.ts";
import type { Value } from "../columns/value.ts";
import type { Predicate } from "./predicate.ts";

/** The bytes that a table holds. */
export interface States {
  readonly missing: number;
  readonly fails: number;
  readonly holds: number;
}

/** By position of the value. @throws AppError `corrupt` */
export function entryTable(codec: Codec, values: Values, predicate: Predicate, states: States): Uint8Array {
  if (values.kind === "bytes") {
    const text = codec.kind === "text" ? soleText(predicate) : undefined;
    if (text !== undefined) return textTable(values, text, predicate.texts?.negated === true, states);
    if (codec.kind === "json") return jsonTable(codec, values, predicate, states);
  }
  if (values.kind === "fixed" && predicate.bound !== undefined) {
    if (codec.kind === "int" && values.width === 8) return intTable(values, predicate.bound, states);
    if (codec.kind === "double") return doubleTable(values, predicate.bound, states);
  }
  const decode = decoderOf(codec, values);
  const table = new Uint8Array(values.count);
  for (let i = 0; i < table.length; i++) table[i] = stateOf(decode(i), predicate, states);
  return table;
}

function stateOf(value: Value, { test }: Predicate, { missing, fails, holds }: States): number {
  if (value === undefined) return missing;
  return test(value) ? holds : fails;
}

function soleText({ texts }: Predicate): Uint8Array | undefined {
  if (texts?.set.size !== 1) return undefined;
  const [text = ""] = texts.set;
  // A lone surrogate has no UTF-8 of its own: U+FFFD, which it would be encoded as, is another text.
  return text.isWellFormed() ? new TextEncoder().encode(text) : undefined;
}

/** Compares bytes, so that no text is decoded. */
function textTable(
  { count, bytes, offsets }: Values & { readonly kind: "bytes" },
  text: Uint8Array,
  negated: boolean,
  { fails, holds }: States,
): Uint8Array {
  const table = new Uint8Array(count).fill(negated ? holds : fails);
  const { length } = text;
  const last = text[length - 1];
  for (let i = 0; i < count; i++) {
    const start = offsets[2 * i] ?? 0;
    const end = offsets[2 * i + 1] ?? 0;
    // The last byte first: texts of equal length often begin alike.
    if (end - start !== length || (length > 0 && bytes[end - 1] !== last)) continue;
    let at = 0;
    while (at < length && bytes[start + at] === text[at]) at++;
    if (at === length) table[i] = negated ? fails : holds;
  }
  return table;
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** The ints for which `int op bound` holds, both ends included, or (`negated`) does not hold. */
function intRange(
  op: ComparisonOperator,
  bound: bigint | number,
): { low: bigint; high: bigint; negated: boolean } {
  const negated = op === "!=";
  if (typeof bound === "number" && Number.isNaN(bound)) return { low: 1n, high: 0n, negated };
  const floor = toBigInt(typeof bound === "bigint" ? bound : Math.floor(bound));
  const ceil = toBigInt(typeof bound === "bigint" ? bound : Math.ceil(bound));
  switch (op) {
    case "=":
    case "!=":
      return { low: ceil, high: floor, negated };
    case "<":
      return { low: INT64_MIN, high: ceil - 1n, negated };
    case "<=":
      return { low: INT64_MIN, high: floor, negated };
    case ">":
      return { low: floor + 1n, high: INT64_MAX, negated };
    case ">=":
      return { low: ceil, high: INT64_MAX, negated };
  }
}

/** A little beyond 64 bits is as good as infinity. */
function toBigInt(value: bigint | number): bigint {
  if (typeof value === "bigint") return value;
  if (value > 2 ** 64) return 2n ** 64n;
  return value < -(2 ** 64) ? -(2n ** 64n) : BigInt(value);
}

/** A bound with which doubles compare as ints do: rounding moves an int beyond 2^53, but not across one below it. */
function toDouble(bound: bigint): number | undefined {
  const double = Number(bound);
  return Number.isSafeInteger(double) ? double : undefined;
}

function wordsToInt(words: Uint32Array, index: number): bigint {
  return BigInt.asIntN(64, (BigInt(words[2 * index + 1] ?? 0) << 32n) | BigInt(words[2 * index] ?? 0));
}

function intTable(
  values: Values & { readonly kind: "fixed" },
  bound: NonNullable<Predicate["bound"]>,
  { fails, holds }: States,
): Uint8Array {
  const { low, high, negated } = intRange(bound.op, bound.value);
  const inside = negated ? fails : holds;
  const outside = negated ? holds : fails;
  const table = new Uint8Array(values.count);
  if (low > high || low > INT64_MAX || high < INT64_MIN) return table.fill(outside);
  const words = wordsOf(values);
  const from = low <= INT64_MIN ? -Infinity : toDouble(low);
  const to = high >= INT64_MAX ? Infinity : toDouble(high);
  if (from === undefined || to === undefined) {
    for (let i = 0; i < table.length; i++) {
      const value = wordsToInt(words, i);
      table[i] = value >= low && value <= high ? inside : outside;
    }
  } else fillBetween(words, { from, to, inside, outside }, table);
  return table;
}

interface Between {
  readonly from: number;
  readonly to: number;
  readonly inside: number;
  readonly outside: number;
}

/** Without branches: which values are hits a processor does not foresee, and takes three times as long. */
function fillBetween(words: Uint32Array, { from, to, inside, outside }: Between, table: Uint8Array): void {
  const difference = inside - outside;
  for (let i = 0; i < table.length; i++) {
    const value = ((words[2 * i + 1] ?? 0) | 0) * 0x1_0000_0000 + (words[2 * i] ?? 0);
    table[i] = outside + difference * (Number(value >= from) & Number(value <= to));
  }
}

function doubleTable(
  values: Values & { readonly kind: "fixed" },
  { op, value }: NonNullable<Predicate["bound"]>,
  { fails, holds }: States,
): Uint8Array {
  const test = doubleTest(op, value);
  const doubles = doublesOf(values);
  const table = new Uint8Array(values.count);
  for (let i = 0; i < table.length; i++) table[i] = test(doubles[i] ?? 0) ? holds : fails;
  return table;
}

/** JavaScript compares a double and a bigint exactly. */
function doubleTest(op: ComparisonOperator, bound: bigint | number): (value: number) => boolean {
  switch (op) {
    case "=":
      return (value) => value >= bound && !(value > bound);
    case "!=":
      return (value) => !(value >= bound) || value > bound;
    case "<":
      return (value) => value < bound;
    case "<=":
      return (value) => value <= bound;
    case ">":
      return (value) => value > bound;
    case ">=":
      return (value) => value >= bound;
  }
}

/** Entries that do not hold the name as text are not parsed: of 8,000 lists of events, few have a given attribute. */
function jsonTable(
  codec: JsonCodec,
  values: Values & { readonly kind: "bytes" },
  predicate: Predicate,
  states: States,
): Uint8Array {
  const { bytes, offsets, count } = values;
  const decode = decoderOf(codec, values);
  const name = codec.path.at(-1);
  const table = new Uint8Array(count);
  if (name?.isPlain !== true || codec.absent !== undefined) {
    for (let i = 0; i < count; i++) table[i] = stateOf(decode(i), predicate, states);
    return table;
  }
  table.fill(stateOf(codec.many === "all" ? [undefined] : undefined, predicate, states));
  const needle = new TextEncoder().encode(`"${new TextDecoder().decode(name.text)}":`);
  let entry = 0;
  for (let at = findBytes(bytes, needle, 0); at >= 0;) {
    while (entry < count && (offsets[2 * entry + 1] ?? 0) <= at) entry++;
    if (entry >= count) break;
    const start = offsets[2 * entry] ?? 0;
    if (at >= start) table[entry] = stateOf(decode(entry), predicate, states);
    at = findBytes(bytes, needle, at >= start ? (offsets[2 * entry + 1] ?? 0) : at + 1);
  }
  return table;
}
