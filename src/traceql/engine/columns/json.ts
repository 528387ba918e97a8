// Single members out of JSON bytes, without parsing the rest. The JSON is that of block/FORMAT.md.
import { AppError } from "../../../util/errors.ts";
import type { Scalar, Value } from "./value.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

const DECODER = new TextDecoder();

/** Bytes [start, end). */
export interface Range {
  readonly start: number;
  readonly end: number;
}

function corrupt(): AppError {
  return new AppError("corrupt", "column: bad JSON");
}

/** Reads forward over one text that ends at `end`. There is no white space. */
class Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, { start, end }: Range) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  peek(): number {
    return this.at < this.end ? (this.bytes[this.at] ?? 0) : 0;
  }

  expect(byte: number): void {
    if (this.peek() !== byte) throw corrupt();
    this.at++;
  }

  skipString(): void {
    this.expect(QUOTE);
    for (; this.at < this.end; this.at++) {
      const byte = this.bytes[this.at];
      if (byte === BACKSLASH) this.at++;
      else if (byte === QUOTE) break;
    }
    this.expect(QUOTE);
  }

  skipValue(): void {
    let depth = 0;
    do {
      const byte = this.peek();
      if (byte === QUOTE) this.skipString();
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        depth++;
        this.at++;
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth--;
        this.at++;
      } else if (depth > 0 && (byte === COMMA || byte === COLON)) this.at++;
      else this.#skipWord();
    } while (depth > 0);
  }

  #skipWord(): void {
    const start = this.at;
    for (; this.at < this.end; this.at++) {
      const byte = this.bytes[this.at];
      if (byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_LIST) break;
    }
    if (this.at === start) throw corrupt();
  }

  /** After a value: true when another one follows, false behind the closing bracket. */
  next(close: number): boolean {
    if (this.peek() === COMMA) {
      this.at++;
      return true;
    }
    this.expect(close);
    return false;
  }
}

function equalBytes(bytes: Uint8Array, start: number, end: number, other: Uint8Array): boolean {
  if (end - start !== other.length) return false;
  for (let i = 0; i < other.length; i++) if (bytes[start + i] !== other[i]) return false;
  return true;
}

/** A member's name, prepared for comparison. */
export class MemberName {
  readonly #name: string;
  /** As it stands between quotes. */
  readonly text: Uint8Array;
  /** Whether the text is sure to be written so: it needs no escape. */
  readonly isPlain: boolean;

  constructor(name: string) {
    this.#name = name;
    this.text = new TextEncoder().encode(name);
    this.isPlain = this.text.every((byte) => byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH);
  }

  matches(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.isPlain) return equalBytes(bytes, start, end, this.text);
    return JSON.parse(`"${DECODER.decode(bytes.subarray(start, end))}"`) === this.#name;
  }
}

/** The value of the first member `name` of the object at `range`; undefined when there is none. */
export function findMember(bytes: Uint8Array, range: Range, name: MemberName): Range | undefined {
  const cursor = new Cursor(bytes, range);
  cursor.expect(OPEN_OBJECT);
  if (cursor.peek() === CLOSE_OBJECT) return undefined;
  do {
    const start = cursor.at + 1;
    cursor.skipString();
    const isWanted = name.matches(bytes, start, cursor.at - 1);
    cursor.expect(COLON);
    const valueStart = cursor.at;
    cursor.skipValue();
    if (isWanted) return { start: valueStart, end: cursor.at };
  } while (cursor.next(CLOSE_OBJECT));
  return undefined;
}

/** All members of the object at `range`, of repeated names too. */
export function membersOf(bytes: Uint8Array, range: Range): { name: string; value: Range }[] {
  const cursor = new Cursor(bytes, range);
  const members: { name: string; value: Range }[] = [];
  cursor.expect(OPEN_OBJECT);
  if (cursor.peek() === CLOSE_OBJECT) return members;
  do {
    const start = cursor.at;
    cursor.skipString();
    const name = parseText(bytes, { start, end: cursor.at });
    cursor.expect(COLON);
    const valueStart = cursor.at;
    cursor.skipValue();
    members.push({ name, value: { start: valueStart, end: cursor.at } });
  } while (cursor.next(CLOSE_OBJECT));
  return members;
}

/** The elements of the list at `range`. */
export function elementsOf(bytes: Uint8Array, range: Range): Range[] {
  const cursor = new Cursor(bytes, range);
  const elements: Range[] = [];
  cursor.expect(OPEN_LIST);
  if (cursor.peek() === CLOSE_LIST) return elements;
  do {
    const start = cursor.at;
    cursor.skipValue();
    elements.push({ start, end: cursor.at });
  } while (cursor.next(CLOSE_LIST));
  return elements;
}

/** The string at `range`, quotes included. */
export function parseText(bytes: Uint8Array, { start, end }: Range): string {
  const text = DECODER.decode(bytes.subarray(start + 1, end - 1));
  if (!text.includes("\\")) return text;
  const parsed: unknown = JSON.parse(`"${text}"`);
  return typeof parsed === "string" ? parsed : "";
}

const DOUBLE = /[.eE]/;

/** The string, number or boolean at `range`; undefined for what else there is. */
function parseScalar(bytes: Uint8Array, range: Range): Scalar | undefined {
  const first = bytes[range.start];
  if (first === QUOTE) return parseText(bytes, range);
  if (first === OPEN_LIST || first === OPEN_OBJECT) return undefined;
  const text = DECODER.decode(bytes.subarray(range.start, range.end));
  if (text === "null") return undefined;
  if (text === "true" || text === "false") return text === "true";
  return DOUBLE.test(text) ? Number(text) : BigInt(text);
}

/** The attribute value at `range`. Empty and mixed lists, maps and `null` are missing. */
export function parseValue(bytes: Uint8Array, range: Range): Value {
  if (bytes[range.start] !== OPEN_LIST) return parseScalar(bytes, range);
  const values = elementsOf(bytes, range).map((element) => parseScalar(bytes, element));
  const type = typeof values[0];
  return type !== "undefined" && values.every((value) => typeof value === type) ? values : undefined;
}
