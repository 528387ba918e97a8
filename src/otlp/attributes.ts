// Attributes (KeyValue messages) of each type, for the converters of other formats.
import { ANY_VALUE, ARRAY_VALUE, FIXED64, KEY_VALUE, KEY_VALUE_LIST, LENGTH, VARINT, tagOf } from "./wire.ts";
import type { WireWriter } from "./wire-writer.ts";

// Bytes left for the length of an attribute and of its value; a wrong guess moves it once.
const ROOM = 1;
const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const TWO_32 = 2 ** 32;

/** A bool attribute. `tag` is that of the repeated field it belongs to. */
export function boolAttribute(out: WireWriter, tag: number, key: string, value: boolean): void {
  const body = out.open(tag, ROOM);
  out.string(KEY_TAG, key);
  boolValue(out, value);
  out.close(body, ROOM);
}

/** An int attribute of a number that a double holds exactly. */
export function intAttribute(out: WireWriter, tag: number, key: string, value: number): void {
  const body = out.open(tag, ROOM);
  out.string(KEY_TAG, key);
  intValue(out, value >>> 0, Math.floor(value / TWO_32));
  out.close(body, ROOM);
}

/** The value of an attribute whose key was written: a bool. */
export function boolValue(out: WireWriter, value: boolean): void {
  const body = out.open(VALUE_TAG, ROOM);
  out.varint64(tagOf(ANY_VALUE.boolValue, VARINT), value ? 1 : 0, 0);
  out.close(body, ROOM);
}

/** The value of an attribute whose key was written: an int of 64 bits, as its halves. */
export function intValue(out: WireWriter, low: number, high: number): void {
  const body = out.open(VALUE_TAG, ROOM);
  out.varint64(tagOf(ANY_VALUE.intValue, VARINT), low, high);
  out.close(body, ROOM);
}

/** The value of an attribute whose key was written: a double. */
export function doubleValue(out: WireWriter, value: number): void {
  const body = out.open(VALUE_TAG, ROOM);
  out.double(tagOf(ANY_VALUE.doubleValue, FIXED64), value);
  out.close(body, ROOM);
}

/** The value of an attribute whose key was written: bytes [start, end). */
export function bytesValue(out: WireWriter, bytes: Uint8Array, start: number, end: number): void {
  const body = out.open(VALUE_TAG, ROOM);
  out.blob(tagOf(ANY_VALUE.bytesValue, LENGTH), bytes, start, end);
  out.close(body, ROOM);
}

/** Whether no value lies deeper than `maxDepth` levels; 1 is a value without members. */
export function isWithinDepth(value: unknown, maxDepth: number): boolean {
  if (typeof value !== "object" || value === null) return maxDepth > 0;
  return maxDepth > 0 && Object.values(value).every((member) => isWithinDepth(member, maxDepth - 1));
}

/**
 * The members of a parsed JSON object as attributes: whole numbers as int, others as double, arrays and objects as such,
 * null as a value without type. The caller has checked its depth: this recurses.
 */
export function jsonAttributes(
  out: WireWriter,
  tag: number,
  members: Readonly<Record<string, unknown>>,
): void {
  for (const [key, value] of Object.entries(members)) {
    const body = out.open(tag, ROOM);
    out.string(KEY_TAG, key);
    jsonValue(out, VALUE_TAG, value);
    out.close(body, ROOM);
  }
}

function jsonValue(out: WireWriter, tag: number, value: unknown): void {
  const body = out.open(tag, ROOM);
  if (typeof value === "string") out.string(tagOf(ANY_VALUE.stringValue, LENGTH), value);
  else if (typeof value === "boolean") out.varint64(tagOf(ANY_VALUE.boolValue, VARINT), value ? 1 : 0, 0);
  else if (typeof value === "number") jsonNumber(out, value);
  else if (Array.isArray(value)) {
    const list = out.open(tagOf(ANY_VALUE.arrayValue, LENGTH), ROOM);
    for (const item of value) jsonValue(out, tagOf(ARRAY_VALUE.values, LENGTH), item);
    out.close(list, ROOM);
  } else if (typeof value === "object" && value !== null) {
    const list = out.open(tagOf(ANY_VALUE.kvlistValue, LENGTH), ROOM);
    jsonAttributes(out, tagOf(KEY_VALUE_LIST.values, LENGTH), { ...value });
    out.close(list, ROOM);
  }
  out.close(body, ROOM);
}

function jsonNumber(out: WireWriter, value: number): void {
  // Beyond 2^53 the digits are gone already; a double says so.
  if (Number.isSafeInteger(value)) {
    out.varint64(tagOf(ANY_VALUE.intValue, VARINT), value >>> 0, Math.floor(value / TWO_32));
  } else {
    out.double(tagOf(ANY_VALUE.doubleValue, FIXED64), value);
  }
}
