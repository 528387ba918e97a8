// Parquet's hybrid runs as a block uses them: one run per page, so that a page's bytes are a typed array or a bitmap.
import { AppError } from "../util/errors.ts";
import type { ByteBuffer } from "./byte-buffer.ts";

/**
 * Rows of a page at most, but for otlp_span. Pages of 16k to 128k rows make no difference in size; smaller ones bound
 * what a writer holds and what a lying page can make a reader allocate.
 */
export const COLUMN_PAGE_ROWS: number = 32 * 1024;

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

function appendVarint(out: ByteBuffer, value: number): void {
  out.reserve(5);
  let rest = value >>> 0;
  for (; rest > 127; rest >>>= 7) out.bytes[out.length++] = (rest & 127) | 128;
  out.bytes[out.length++] = rest;
}

/** Which rows of a page have a value. */
export interface Presence {
  /** Bit i of byte i / 8, from the lowest, is row i. Rows behind its end have none. */
  readonly bits: Uint8Array;
  readonly rowCount: number;
  readonly valueCount: number;
}

/**
 * Appends the definition levels: 4 bytes of length, then one run. Without gaps (or values) a run of equal levels, otherwise
 * a bit-packed run, which is the bitmap itself.
 */
export function appendLevels(out: ByteBuffer, { bits, rowCount, valueCount }: Presence): void {
  const isRun = valueCount === 0 || valueCount === rowCount;
  const groups = (rowCount + 7) >>> 3;
  const head = isRun ? rowCount << 1 : (groups << 1) | 1;
  out.appendUint32(varintLength(head) + (isRun ? 1 : groups));
  appendVarint(out, head);
  if (isRun) return out.appendByte(valueCount === 0 ? 0 : 1);
  out.append(bits, 0, Math.min(groups, bits.length));
  for (let i = bits.length; i < groups; i++) out.appendByte(0);
}

/** Bytes of a code for a dictionary of `entryCount` entries: 1, 2 or 3. */
export function codeWidth(entryCount: number): 1 | 2 | 3 {
  return entryCount <= 0x100 ? 1 : entryCount <= 0x1_0000 ? 2 : 3;
}

/** Dictionaries end here: a code has 24 bits. */
export const ENTRIES_MAX = 0x100_0000;

/** Appends dictionary codes: the bit width, then one bit-packed run of whole bytes, padded to 8 values. */
export function appendCodes(out: ByteBuffer, codes: Uint32Array, count: number, width: 1 | 2 | 3): void {
  const groups = (count + 7) >>> 3;
  out.appendByte(width * 8);
  appendVarint(out, (groups << 1) | 1);
  out.reserve(groups * 8 * width);
  const { bytes } = out;
  let at = out.length;
  const end = at + groups * 8 * width;
  for (let i = 0; i < count; i++) {
    const code = codes[i] ?? 0;
    bytes[at++] = code;
    if (width > 1) bytes[at++] = code >>> 8;
    if (width > 2) bytes[at++] = code >>> 16;
  }
  bytes.fill(0, at, end);
  out.length = end;
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `page: ${what}`);
}

function readVarint(bytes: Uint8Array, offset: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[offset + i];
    if (byte === undefined) break;
    value |= (byte & 127) << (7 * i);
    if (byte < 128) return { value: value >>> 0, end: offset + i + 1 };
  }
  throw corrupt("bad run header");
}

export interface Levels {
  /** Bit i of byte i / 8, from the lowest, is row i; undefined when every row has a value. Maybe a view. */
  readonly present: Uint8Array | undefined;
  readonly valueCount: number;
  /** Where the values begin. */
  readonly end: number;
}

function countBits(bits: Uint8Array, rowCount: number): number {
  const whole = rowCount >>> 3;
  let count = 0;
  for (let i = 0; i < whole; i++) count += ONES[bits[i] ?? 0] ?? 0;
  const behind = (bits[whole] ?? 0) & ((1 << (rowCount & 7)) - 1);
  return count + (ONES[behind] ?? 0);
}

/** Bits that are set in a byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let bits = byte; bits > 0; bits &= bits - 1) count++;
  return count;
});

/** Reads what `appendLevels` wrote at the start of `page`. @throws AppError `corrupt` */
export function decodeLevels(page: Uint8Array, rowCount: number): Levels {
  if (page.length < 4) throw corrupt("no levels");
  const length = new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
  const end = 4 + length;
  const { value: head, end: at } = readVarint(page, 4);
  const groups = Math.ceil(rowCount / 8);
  if (end > page.length || at > end) throw corrupt("levels exceed the page");
  if ((head & 1) === 1) {
    if (head >>> 1 !== groups || end - at !== groups) throw corrupt("levels of another length");
    const present = page.subarray(at, end);
    return { present, valueCount: countBits(present, rowCount), end };
  }
  if (head >>> 1 !== rowCount || end - at !== 1) throw corrupt("levels of another length");
  if (page[at] === 1) return { present: undefined, valueCount: rowCount, end };
  return { present: new Uint8Array(groups), valueCount: 0, end };
}

export type Codes = Uint8Array | Uint16Array | Uint32Array;

/**
 * Reads `count` codes at `offset`; views of `page` where their alignment allows it.
 * @param entryCount Infinity: they were checked before
 * @throws AppError `corrupt`, also when a code is not below `entryCount`
 */
export function decodeCodes(page: Uint8Array, offset: number, count: number, entryCount: number): Codes {
  const width = (page[offset] ?? 0) / 8;
  const { value: head, end: at } = readVarint(page, offset + 1);
  const groups = Math.ceil(count / 8);
  if (width !== 1 && width !== 2 && width !== 3) throw corrupt(`codes of ${width * 8} bits`);
  if (head !== ((groups << 1) | 1) >>> 0 || page.length - at !== groups * 8 * width) {
    throw corrupt("codes of another length");
  }
  const codes = viewCodes(page, at, count, width);
  if (entryCount === Infinity) return codes;
  let greatest = 0;
  for (let i = 0; i < count; i++) {
    const code = codes[i] ?? 0;
    if (code > greatest) greatest = code;
  }
  if (count > 0 && greatest >= entryCount) throw corrupt(`code ${greatest} of ${entryCount}`);
  return codes;
}

function viewCodes(page: Uint8Array, at: number, count: number, width: 1 | 2 | 3): Codes {
  if (width === 1) return page.subarray(at, at + count);
  if (width === 2) {
    const start = page.byteOffset + at;
    if (start % 2 === 0) return new Uint16Array(page.buffer, start, count);
    return new Uint16Array(new Uint8Array(page.subarray(at, at + 2 * count)).buffer);
  }
  const wide = new Uint32Array(count);
  for (let i = 0, pos = at; i < count; i++, pos += 3) {
    wide[i] = (page[pos] ?? 0) | ((page[pos + 1] ?? 0) << 8) | ((page[pos + 2] ?? 0) << 16);
  }
  return wide;
}
