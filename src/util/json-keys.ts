// Keys of JSON objects that a format knows, found where they stand.
import { assert } from "./assert.ts";
import { ByteKeys } from "./byte-keys.ts";
import { ByteSource } from "./byte-source.ts";

/** A power of 2, several times the number of keys of any object. */
const SLOTS = 64;
const HASH_MULTIPLIER = 0x9e3779b1 | 0;
const HASH_SHIFT = 26;

interface Known {
  /** The key, its closing quote and a colon: all that follows the opening quote when there is no white space. */
  readonly text: ByteSource;
  readonly length: number;
  readonly firstWord: number;
  readonly value: number;
}

/**
 * Numbers (from 0) by key. Nearly every key of a document is known and written without white space or escapes: then
 * its first four bytes tell which it may be, and the rest is compared four at a time, at half the time of reading the
 * key and looking it up.
 */
export class JsonKeys {
  readonly #slots: (Known | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  readonly #byName: ByteKeys;

  /** @param keys names of two bytes or more */
  constructor(keys: Readonly<Record<string, number>>) {
    const entries = Object.entries(keys);
    assert(entries.length < SLOTS / 2, "slots stay free");
    this.#byName = new ByteKeys(entries);
    for (const [name, value] of entries) {
      const text = new ByteSource(new TextEncoder().encode(`${name}":`));
      const firstWord = text.view.getInt32(0);
      let slot = slotOf(firstWord);
      while (this.#slots[slot] !== undefined) slot = (slot + 1) % SLOTS;
      this.#slots[slot] = { text, length: text.bytes.length, firstWord, value };
    }
  }

  /**
   * What stands behind the opening quote before `at` when it is a known key, closed and with its colon. Undefined says
   * nothing: the key may be there in another form.
   */
  at(source: ByteSource, at: number): Known | undefined {
    const rest = source.bytes.length - at;
    if (rest < 4) return undefined;
    const word = source.view.getInt32(at);
    for (let slot = slotOf(word); ; slot = (slot + 1) % SLOTS) {
      const known = this.#slots[slot];
      if (known === undefined) return undefined;
      if (known.firstWord !== word) continue;
      return known.length <= rest && isAt(source, at, known) ? known : undefined;
    }
  }

  /** The number of the key in bytes [start, end), or -1. */
  of(bytes: Uint8Array, start: number, end: number): number {
    return this.#byName.of(bytes, start, end);
  }
}

function slotOf(word: number): number {
  return Math.imul(word, HASH_MULTIPLIER) >>> HASH_SHIFT;
}

/** Whether what is behind the first word of `known` is at `at` too. */
function isAt({ view }: ByteSource, at: number, { text, length }: Known): boolean {
  const last = length - 4;
  for (let i = 4; i < last; i += 4) if (view.getInt32(at + i) !== text.view.getInt32(i)) return false;
  return view.getInt32(at + last) === text.view.getInt32(last);
}
