// Writing one field of a JSON value as protobuf, and saying where a value does not fit.
import type { Limits } from "../model/limits.ts";
import { AppError } from "../util/errors.ts";
import type { Halves } from "./json-values.ts";
import { base64Digits, base64Length, decodeBase64, parseDouble, parseInteger } from "./json-values.ts";
import { FIXED32, FIXED64, LENGTH, VARINT, tagOf } from "./wire.ts";
import type { WireWriter } from "./wire-writer.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Numbers of an enum by name. */
export type Names = ReadonlyMap<string, number>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a JSON value is, for an error that must not quote it. */
export function nameOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** The scalars of the JSON mapping. Each method writes `value` as `field` or throws an error with the path. */
export class FieldWriter {
  protected readonly out: WireWriter;
  protected readonly maxValueDepth: number;
  /** Keys and indexes down to the value at hand, `level` of them; only an error makes text of them. */
  protected readonly path: (string | number)[] = [];
  protected level = 0;
  readonly #halves: Halves = { low: 0, high: 0 };

  constructor(out: WireWriter, limits: Limits) {
    this.out = out;
    this.maxValueDepth = limits.maxValueDepth;
  }

  protected fail(what: string): AppError {
    const path = this.path.slice(0, this.level);
    const text = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("");
    return new AppError("invalid_argument", `${text.slice(1) || "document"}: ${what}`);
  }

  protected wrong(expected: string, value: unknown): AppError {
    return this.fail(`expected ${expected}, got ${nameOf(value)}`);
  }

  // The scalars outside of AnyValue are absent when zero or empty, as every protobuf writer leaves them.

  protected string(field: number, value: unknown): true {
    if (typeof value !== "string") throw this.wrong("a string", value);
    if (value !== "") this.out.string(tagOf(field, LENGTH), value);
    return true;
  }

  /** Hex of any length: an id of a wrong length makes a rejected span, not a refused batch. */
  protected id(field: number, value: unknown): true {
    if (typeof value !== "string") throw this.wrong("a string", value);
    if (value !== "" && !this.out.hex(tagOf(field, LENGTH), value))
      throw this.fail("not pairs of hex digits");
    return true;
  }

  protected uint32(field: number, value: unknown): true {
    const halves = this.integer(value, false);
    if (halves.high !== 0) throw this.fail("exceeds 32 bits");
    if (halves.low !== 0) this.out.varint64(tagOf(field, VARINT), halves.low, 0);
    return true;
  }

  protected fixed32(field: number, value: unknown): true {
    const halves = this.integer(value, false);
    if (halves.high !== 0) throw this.fail("exceeds 32 bits");
    if (halves.low !== 0) this.out.fixed32(tagOf(field, FIXED32), halves.low);
    return true;
  }

  protected fixed64(field: number, value: unknown): true {
    const { low, high } = this.integer(value, false);
    if (low !== 0 || high !== 0) this.out.fixed64(tagOf(field, FIXED64), low, high);
    return true;
  }

  protected int64(field: number, value: unknown): true {
    const { low, high } = this.integer(value, true);
    this.out.varint64(tagOf(field, VARINT), low, high);
    return true;
  }

  protected integer(value: unknown, signed: boolean): Halves {
    if (parseInteger(value, signed, this.#halves)) return this.#halves;
    throw this.fail(`expected ${signed ? "a signed" : "an unsigned"} integer of at most 64 bits`);
  }

  protected enumeration(field: number, value: unknown, names: Names): true {
    const number = typeof value === "string" ? names.get(value) : value;
    if (typeof number !== "number" || (number | 0) !== number) {
      throw this.fail(`expected a 32-bit number or one of ${[...names.keys()].join(", ")}`);
    }
    // A negative enum is written as a 64-bit varint.
    if (number !== 0) this.out.varint64(tagOf(field, VARINT), number, number < 0 ? -1 : 0);
    return true;
  }

  protected double(field: number, value: unknown): true {
    const number = parseDouble(value);
    if (number === undefined) throw this.fail('expected a number, "NaN", "Infinity" or "-Infinity"');
    this.out.double(tagOf(field, FIXED64), number);
    return true;
  }

  protected base64(field: number, value: unknown): true {
    if (typeof value !== "string") throw this.wrong("a string", value);
    const digits = base64Digits(value);
    const length = base64Length(digits);
    if (length < 0 || !decodeBase64(value, digits, this.out.bytes(tagOf(field, LENGTH), length))) {
      throw this.fail("not base64");
    }
    return true;
  }

  protected strings(field: number, value: unknown): true {
    if (!Array.isArray(value)) throw this.wrong("an array", value);
    const level = this.level++;
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      this.path[level] = i;
      if (typeof item !== "string") throw this.wrong("a string", item);
      this.out.string(tagOf(field, LENGTH), item);
    }
    this.level = level;
    return true;
  }
}
