// The least and the greatest number of each page of values, noted for later queries: pages without a hit are not inflated.
import type { Notes, Values } from "../../storage.ts";
import { doublesOf, wordsOf } from "../columns/decode.ts";
import { fillFrom64 } from "../columns/rows.ts";
import type { Predicate } from "./predicate.ts";

const NAME = "bounds of pages";

/**
 * Bounds as doubles, two for each page. Ints beyond 2^53 are rounded, and so is what they are compared with: rounding keeps
 * the order of what it does not make equal.
 */
export class PageBounds {
  readonly #notes: Notes;
  readonly #known: Float64Array;
  readonly #isInt: boolean;
  #isNew = false;

  private constructor(notes: Notes, isInt: boolean, pageCount: number) {
    this.#notes = notes;
    this.#isInt = isInt;
    const noted = notes.get(NAME);
    this.#known = noted === undefined ? new Float64Array(2 * pageCount) : doublesOf({ bytes: noted }).slice();
    if (noted !== undefined) return;
    for (let page = 0; page < pageCount; page++) this.#set(page, -Infinity, Infinity);
  }

  /** Undefined for a column that is not of 8-byte numbers, and when nothing is noted of it. */
  static of(
    { codec, notes }: { readonly codec: { readonly kind: string }; readonly notes: Notes | undefined },
    pageCount: number,
  ): PageBounds | undefined {
    const isInt = codec.kind === "int";
    return notes === undefined || !(isInt || codec.kind === "double")
      ? undefined
      : new PageBounds(notes, isInt, pageCount);
  }

  /** False: the predicate fails for all values of the page. */
  mayHold(page: number, { bound }: Predicate): boolean {
    if (bound === undefined || bound.op === "!=") return true;
    const least = this.#known[2 * page] ?? -Infinity;
    const greatest = this.#known[2 * page + 1] ?? Infinity;
    const value = Number(bound.value);
    const isBelow = bound.op === ">" || bound.op === ">=" || bound.op === "=" ? greatest < value : false;
    const isAbove = bound.op === "<" || bound.op === "<=" || bound.op === "=" ? least > value : false;
    return !isBelow && !isAbove;
  }

  /** Takes in the values of a page. */
  look(page: number, values: Values): void {
    if (values.kind !== "fixed" || values.width !== 8 || this.#known[2 * page] !== -Infinity) return;
    const doubles = this.#isInt ? new Float64Array(values.count) : doublesOf(values);
    if (this.#isInt) fillFrom64(wordsOf(values), doubles);
    let least = Infinity;
    let greatest = -Infinity;
    for (let i = 0; i < doubles.length; i++) {
      const value = doubles[i] ?? 0;
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
    this.#set(page, least, greatest);
    this.#isNew = true;
  }

  /** Notes what was found out. */
  end(): void {
    if (this.#isNew) this.#notes.set(NAME, new Uint8Array(this.#known.buffer));
  }

  #set(page: number, least: number, greatest: number): void {
    this.#known[2 * page] = least;
    this.#known[2 * page + 1] = greatest;
  }
}
