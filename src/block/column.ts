// Columns being written: rows come in order, pages leave compressed.
import { assert } from "../util/assert.ts";
import { ByteBuffer, grownUint32 } from "./byte-buffer.ts";
import { ByteDictionary, type Dictionary, WordDictionary } from "./dictionary.ts";
import { appendCodes, appendLevels, codeWidth, ENTRIES_MAX } from "./levels.ts";
import { type EncodedPage, encodePage } from "./page.ts";
import type { Bounds } from "./parquet-metadata.ts";
import { type ColumnSchema, ENCODING } from "./parquet-schema.ts";
import { appendText } from "./utf8.ts";
import { TimeBounds, type Words } from "./words.ts";

// From here on a dictionary would cost more than it saves: most values of the page were never seen before.
const NEW_SHARE_MAX = 0.7;
// Below this many values the share says little.
const NEW_MIN = 256;

/**
 * zstd level of codes and numbers at most: level 6 takes three times as long for 1 % of them, where it takes 5 % off texts.
 */
const NUMBERS_LEVEL_MAX = 3;
/** Large dictionaries are mostly ids, for which the same holds; and a page is compressed in one piece. */
const LARGE_DICTIONARY_BYTES = 512 * 1024;

const NO_BYTES = new Uint8Array(0);

/** What the columns of one block share. */
export interface ColumnContext {
  /** 0: pages are not compressed. */
  readonly zstdLevel: number;
  /** Where a page is put together before it is compressed; what it holds matters within a call only. */
  readonly scratch: ByteBuffer;
}

/** What all columns have: which rows of the page have a value, and the pages so far. */
export abstract class Column {
  readonly schema: ColumnSchema;
  /** Set by whoever knows, before the footer is written. */
  bounds: Bounds | undefined;
  readonly pages: EncodedPage[] = [];
  dictionaryPage: EncodedPage | undefined;
  readonly encodings = new Set<number>();
  /** Rows of the pages so far, and how many of them have no value. */
  rowCount = 0;
  nullCount = 0;
  /** Values of the current page. */
  protected count = 0;
  protected readonly context: ColumnContext;
  /** As the schema has it: schemas are objects of many shapes, and this is asked for with every value. */
  readonly #isOptional: boolean;
  /** The row in the page that got a value last. */
  #lastRow = -1;
  #present: Uint8Array = NO_BYTES;

  constructor(schema: ColumnSchema, context: ColumnContext) {
    this.schema = context.zstdLevel === 0 ? { ...schema, compression: "none" } : schema;
    this.context = context;
    this.#isOptional = schema.optional;
  }

  /**
   * Notes that `row` of the page gets a value.
   * @returns false when it has one already: of a repeated attribute the first counts
   */
  protected mark(row: number): boolean {
    if (row === this.#lastRow) return false;
    this.#lastRow = row;
    this.count++;
    if (!this.#isOptional) return true;
    const byte = row >>> 3;
    if (byte >= this.#present.length) {
      const grown = new Uint8Array(Math.max(64, 2 * byte));
      grown.set(this.#present);
      this.#present = grown;
    }
    this.#present[byte] = (this.#present[byte] ?? 0) | (1 << (row & 7));
    return true;
  }

  /** Ends the page after `rowCount` rows. @returns its bytes before compression */
  cut(rowCount: number): number {
    const { schema, count } = this;
    const { scratch, zstdLevel } = this.context;
    assert(schema.optional || count === rowCount, `${schema.name}: a value for each row`);
    scratch.clear();
    if (schema.optional) appendLevels(scratch, { bits: this.#present, rowCount, valueCount: count });
    const encoding = this.appendValues(scratch);
    const isText = encoding === ENCODING.plain && schema.physical === "bytes";
    const page = encodePage({
      kind: "data",
      raw: scratch.view(),
      valueCount: rowCount,
      encoding,
      compression: schema.compression,
      zstdLevel: isText ? zstdLevel : Math.min(zstdLevel, NUMBERS_LEVEL_MAX),
    });
    this.pages.push(page);
    this.encodings.add(encoding).add(ENCODING.rle);
    this.rowCount += rowCount;
    this.nullCount += rowCount - count;
    this.count = 0;
    this.#lastRow = -1;
    this.#present.fill(0);
    return page.rawLength;
  }

  /** Called once after the last page. @returns bytes that it compressed */
  finish(): number {
    // Only dictionary columns have more to write.
    return 0;
  }

  /** Appends the values of the page and returns their encoding; the next page starts empty. */
  protected abstract appendValues(out: ByteBuffer): number;
}

/** A column of codes into a dictionary, until most values are new: then PLAIN to the end. */
export abstract class DictionaryColumn<D extends Dictionary> extends Column {
  readonly dictionary: D;
  #codes = new Uint32Array(64);
  /** Entries of the dictionary before the page. */
  #settled = 0;
  #plain = false;
  readonly #mayBePlain: boolean;
  /** The page's values where there are no codes any more: nobody looks for equal ones. */
  readonly #values = new ByteBuffer();

  constructor(schema: ColumnSchema, context: ColumnContext, dictionary: D, mayBePlain: boolean) {
    super(schema, context);
    this.dictionary = dictionary;
    this.#mayBePlain = mayBePlain;
  }

  /** Gives `row` of the page the dictionary's value `code`, unless it has one. */
  addCode(row: number, code: number): void {
    if (this.mark(row)) this.push(code);
  }

  /** Adds the value behind `code`; `mark` was called before. */
  protected push(code: number): void {
    const at = this.count - 1;
    if (at >= this.#codes.length) this.#codes = grownUint32(this.#codes, at + 1);
    this.#codes[at] = code;
  }

  /** Where to append the value as PLAIN has it, instead of a code; undefined: the column has codes. */
  protected get plainValues(): ByteBuffer | undefined {
    return this.#plain ? this.#values : undefined;
  }

  protected appendValues(out: ByteBuffer): number {
    const values = this.#values;
    if (values.length > 0) {
      out.append(values.bytes, 0, values.length);
      values.clear();
      return ENCODING.plain;
    }
    const { dictionary, count } = this;
    const { size } = dictionary;
    const isDiverse = count >= NEW_MIN && size - this.#settled > NEW_SHARE_MAX * count;
    this.#plain ||= size > ENTRIES_MAX || (isDiverse && this.#mayBePlain);
    if (!this.#plain && size > 0) {
      this.#settled = size;
      appendCodes(out, this.#codes, count, codeWidth(size));
      return ENCODING.dictionary;
    }
    for (let i = 0; i < count; i++) dictionary.writePlain(this.#codes[i] ?? 0, out);
    if (size > this.#settled) dictionary.truncate(this.#settled);
    return ENCODING.plain;
  }

  override finish(): number {
    const { size } = this.dictionary;
    if (size === 0) return 0;
    const { scratch, zstdLevel } = this.context;
    scratch.clear();
    for (let code = 0; code < size; code++) this.dictionary.writePlain(code, scratch);
    this.dictionaryPage = encodePage({
      kind: "dictionary",
      raw: scratch.view(),
      valueCount: size,
      encoding: ENCODING.plain,
      compression: this.schema.compression,
      zstdLevel: scratch.length > LARGE_DICTIONARY_BYTES ? Math.min(zstdLevel, NUMBERS_LEVEL_MAX) : zstdLevel,
    });
    this.encodings.add(ENCODING.plain);
    return this.dictionaryPage.rawLength;
  }
}

/** Text or JSON. */
export class BytesColumn extends DictionaryColumn<ByteDictionary> {
  /** Code of the value added last. */
  #last = 0;

  constructor(schema: ColumnSchema, context: ColumnContext) {
    super(schema, context, new ByteDictionary(), true);
  }

  /** Gives `row` of the page the value `bytes` from `start` to `end`, unless it has one. */
  add(row: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.mark(row)) return;
    const values = this.plainValues;
    if (values !== undefined) return appendText(values, bytes, start, end);
    // Half of the values of real traffic are that of the span before: no hash is needed then.
    const last = this.#last;
    if (last < this.dictionary.size && this.dictionary.equals(last, bytes, start, end))
      return this.push(last);
    this.#last = this.dictionary.intern(bytes, start, end);
    this.push(this.#last);
  }
}

/** A column whose dictionary is in an order that means something: code = number of the trace, resource or scope. */
export class OrdinalColumn extends DictionaryColumn<ByteDictionary> {
  constructor(schema: ColumnSchema, context: ColumnContext) {
    super(schema, context, new ByteDictionary(schema.physical === "fixed" ? "fixed" : "text"), false);
  }

  /** The next value of the dictionary. */
  append(bytes: Uint8Array): void {
    this.dictionary.append(bytes, 0, bytes.length);
  }
}

/** Numbers of 32 or 64 bits with few distinct values. */
export class WordColumn extends DictionaryColumn<WordDictionary> {
  /** Code of the value added last, and the value. */
  #last = 0;
  #lastLow = 0;
  #lastHigh = 0;
  readonly #isWide: boolean;

  constructor(schema: ColumnSchema, context: ColumnContext) {
    const isWide = schema.physical !== "int32";
    super(schema, context, new WordDictionary(isWide ? 64 : 32), true);
    this.#isWide = isWide;
  }

  add(row: number, low: number, high: number): void {
    if (!this.mark(row)) return;
    const values = this.plainValues;
    if (values !== undefined) {
      values.appendUint32(low);
      if (this.#isWide) values.appendUint32(high);
      return;
    }
    // As for texts: half of the values are that of the span before.
    if (low !== this.#lastLow || high !== this.#lastHigh || this.#last >= this.dictionary.size) {
      this.#last = this.dictionary.intern(low, high);
      this.#lastLow = low;
      this.#lastHigh = high;
    }
    this.push(this.#last);
  }
}

/** Values of 8 bytes, nearly all different: PLAIN. */
export class FixedColumn extends Column {
  #words = new Uint32Array(256);

  /** Two words: an INT64, or 8 bytes read as little-endian words. */
  addWords(row: number, low: number, high: number): void {
    if (!this.mark(row)) return;
    const at = 2 * this.count - 2;
    if (at + 2 > this.#words.length) this.#words = grownUint32(this.#words, at + 2);
    this.#words[at] = low;
    this.#words[at + 1] = high;
  }

  protected appendValues(out: ByteBuffer): number {
    out.append(new Uint8Array(this.#words.buffer), 0, 8 * this.count);
    return ENCODING.plain;
  }
}

/** Numbers of 64 bits, from 0 to 2^63 - 1, with their bounds. */
export class TimeColumn extends FixedColumn {
  readonly #range = new TimeBounds();
  readonly #value: Words = { low: 0, high: 0 };

  override addWords(row: number, low: number, high: number): void {
    super.addWords(row, low, high);
    this.#value.low = low;
    this.#value.high = high;
    this.#range.add(this.#value);
  }

  override finish(): number {
    this.bounds = this.#range.encoded();
    return 0;
  }
}

/** Booleans, 8 to a byte. */
export class BoolColumn extends Column {
  #bits = new Uint8Array(64);

  add(row: number, value: boolean): void {
    if (!this.mark(row)) return;
    const at = this.count - 1;
    const byte = at >>> 3;
    if (byte >= this.#bits.length) {
      const grown = new Uint8Array(2 * this.#bits.length);
      grown.set(this.#bits);
      this.#bits = grown;
    }
    if (value) this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (at & 7));
  }

  protected appendValues(out: ByteBuffer): number {
    out.append(this.#bits, 0, (this.count + 7) >>> 3);
    this.#bits.fill(0);
    return ENCODING.plain;
  }
}

// Words are written as they lie in memory.
assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, "the machine is little-endian, as Parquet is");
