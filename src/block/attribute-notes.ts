// What the first pass over the spans found out about their attributes, so that the second need not: to find the key of each
// again takes as long as all else that is done with it.
import { VALUE_TYPES } from "./field-cursor.ts";

/** For attributes that nothing was noted of. */
export const NO_NOTE = 0xffff;

/** Keys beyond have no notes: more than any program has, and two bytes an attribute are all that is kept. */
export const NOTED_KEYS: number = Math.floor(NO_NOTE / 2 / VALUE_TYPES);

/** For each attribute, in the order of the bytes: twice its slot (key * VALUE_TYPES + type), and 1 when it is plain. */
export class AttributeNotes {
  #notes = new Uint16Array(1024);
  length = 0;

  /** @param isPlain as AttributeCursor has it */
  add(key: number, type: number, isPlain: boolean): void {
    const at = this.length++;
    if (at === this.#notes.length) {
      const grown = new Uint16Array(2 * at);
      grown.set(this.#notes);
      this.#notes = grown;
    }
    this.#notes[at] = key < NOTED_KEYS ? 2 * (key * VALUE_TYPES + type) + (isPlain ? 1 : 0) : NO_NOTE;
  }

  /** NO_NOTE behind the end. */
  at(index: number): number {
    return index < this.length ? (this.#notes[index] ?? NO_NOTE) : NO_NOTE;
  }
}
