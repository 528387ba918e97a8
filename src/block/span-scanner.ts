// What orders a span, read from its bytes in one pass.
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import type { AttributeNotes } from "./attribute-notes.ts";
import { copyWords } from "./byte-buffer.ts";
import { AttributeCursor, FieldCursor, readVarint } from "./field-cursor.ts";
import type { KeyTable } from "./key-table.ts";
import * as tags from "./tags.ts";

/** Words of a span's entry. */
export const WORDS = {
  source: 0,
  start: 1,
  end: 2,
  trace: 3,
  spanIdLow: 4,
  spanIdHigh: 5,
  parentIdLow: 6,
  parentIdHigh: 7,
  startLow: 8,
  startHigh: 9,
  endLow: 10,
  endHigh: 11,
  kind: 12,
  resource: 13,
  scope: 14,
  /** Where the notes of its attributes begin. */
  notes: 15,
} as const;
export const ENTRY_WORDS = 16;

/** Where what is found of attributes goes. */
export interface AttributeSink {
  readonly keys: KeyTable;
  readonly notes: AttributeNotes;
}

/** A parent id of zeros, or of another length than 8, is none. */
export class SpanScanner {
  /** Where the trace id of the span lies that was read last. */
  traceAt = 0;
  readonly #sink: AttributeSink | undefined;
  readonly #fields = new FieldCursor();
  readonly #attribute = new AttributeCursor();
  readonly #varint = { low: 0, high: 0 };

  /** @param sink undefined: nobody asks for the attributes */
  constructor(sink: AttributeSink | undefined) {
    this.#sink = sink;
  }

  /**
   * Reads the span whose range is in the entry at `base` of `words`: ids, times and kind go there too. Of a repeated field
   * the last counts. Words of fields that the span lacks are left alone.
   * @throws AppError `invalid_argument` when the span is malformed or an id has another length
   */
  read(bytes: Uint8Array, words: Uint32Array, base: number): void {
    const fields = this.#fields;
    const sink = this.#sink;
    const start = words[base + WORDS.start] ?? 0;
    let traceAt = -1;
    let spanAt = -1;
    if (sink !== undefined) words[base + WORDS.notes] = sink.notes.length;
    fields.enter(bytes, start, words[base + WORDS.end] ?? 0);
    while (fields.next()) {
      switch (fields.tag) {
        case tags.ATTRIBUTES_TAG:
          if (sink !== undefined) this.#noteAttribute(sink, bytes, fields.start, fields.end);
          break;
        case tags.TRACE_ID_TAG:
          traceAt = fields.end - fields.start === TRACE_ID_BYTES ? fields.start : -1;
          break;
        case tags.SPAN_ID_TAG:
          spanAt = fields.end - fields.start === SPAN_ID_BYTES ? fields.start : -1;
          break;
        default:
          this.#note(fields, words, base);
      }
    }
    if (traceAt < 0 || spanAt < 0)
      throw new AppError("invalid_argument", `span without ids at byte ${start}`);
    this.traceAt = traceAt;
    copyWords(bytes, spanAt, words, base + WORDS.spanIdLow);
  }

  #note({ tag, bytes, start, end }: FieldCursor, words: Uint32Array, base: number): void {
    switch (tag) {
      case tags.PARENT_SPAN_ID_TAG: {
        if (end - start === SPAN_ID_BYTES) copyWords(bytes, start, words, base + WORDS.parentIdLow);
        else words.fill(0, base + WORDS.parentIdLow, base + WORDS.parentIdHigh + 1);
        break;
      }
      case tags.START_TAG:
        copyWords(bytes, start, words, base + WORDS.startLow);
        break;
      case tags.END_TAG:
        copyWords(bytes, start, words, base + WORDS.endLow);
        break;
      case tags.KIND_TAG:
        readVarint(bytes, start, this.#varint);
        words[base + WORDS.kind] = this.#varint.low;
        break;
      default:
    }
  }

  #noteAttribute({ keys, notes }: AttributeSink, bytes: Uint8Array, start: number, end: number): void {
    const attribute = this.#attribute;
    attribute.read(bytes, start, end);
    const key = keys.find(attribute.keyBytes, attribute.keyStart, attribute.keyEnd);
    keys.count(key, attribute.type, 1);
    notes.add(key, attribute.type, attribute.isPlain);
  }
}
