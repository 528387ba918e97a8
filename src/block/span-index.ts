// First pass over the input: where each span lies, what orders it, and how often each attribute key occurs.
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { visitSpans } from "../otlp/spans.ts";
import { AppError } from "../util/errors.ts";
import { grownUint32, wordAt } from "./byte-buffer.ts";
import { ByteDictionary } from "./dictionary.ts";
import { AttributeCursor, FieldCursor, readVarint } from "./field-cursor.ts";
import { KeyTable } from "./key-table.ts";
import { OwnerTable } from "./owner-table.ts";
import * as tags from "./tags.ts";

/** Words of a span's entry; see `SpanIndex.words`. */
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
} as const;
export const ENTRY_WORDS = 15;

const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * All spans of a block to be, in order of arrival: 60 bytes each plus the input, which is referenced.
 * A parent id of zeros, or of another length than 8, is none.
 */
export class SpanIndex {
  readonly sources: Uint8Array[] = [];
  readonly resources = new OwnerTable();
  readonly scopes = new OwnerTable();
  readonly keys = new KeyTable();
  /** Trace ids by number, in order of arrival. */
  readonly traceIds = new ByteDictionary("fixed");
  count = 0;
  /** ENTRY_WORDS for each span: source and byte range, number of the trace, ids, times, kind, owners. */
  words = new Uint32Array(64 * ENTRY_WORDS);
  readonly #fields = new FieldCursor();
  readonly #attribute = new AttributeCursor();
  readonly #varint = { low: 0, high: 0 };
  /** Trace of the last span, which most often is that of the next. */
  #lastTrace = -1;
  readonly #countsKeys: boolean;

  /** @param keys "given": `keys` is filled by somebody who knows the attributes, spans are not asked for theirs */
  constructor(keys: "counted" | "given" = "counted") {
    this.#countsKeys = keys === "counted";
  }

  /**
   * Adds all spans of a TracesData, which must not change from now on.
   * @throws AppError `invalid_argument` when it is malformed or an id has another length
   */
  add(source: Uint8Array): void {
    const number = this.sources.push(source) - 1;
    let resource = 0;
    let scope = 0;
    visitSpans(source, {
      resourceSpans: (group) => {
        resource = this.resources.intern(group);
        return true;
      },
      scopeSpans: (group) => {
        scope = this.scopes.intern(group);
        return true;
      },
      span: (start, end) => {
        const base = this.#entry();
        const { words } = this;
        words[base + WORDS.source] = number;
        words[base + WORDS.start] = start;
        words[base + WORDS.end] = end;
        words[base + WORDS.resource] = resource;
        words[base + WORDS.scope] = scope;
        this.#scan(source, start, end, base);
      },
    });
  }

  /**
   * Adds the span at `place` in source `number`, whose owners are numbers of the tables.
   * @throws as `add` does
   */
  addSpan(
    number: number,
    place: { readonly start: number; readonly end: number },
    resource: number,
    scope: number,
  ): void {
    const { start, end } = place;
    const base = this.#entry();
    const { words } = this;
    words.fill(0, base, base + ENTRY_WORDS);
    words[base + WORDS.source] = number;
    words[base + WORDS.start] = start;
    words[base + WORDS.end] = end;
    words[base + WORDS.resource] = resource;
    words[base + WORDS.scope] = scope;
    this.#scan(this.sources[number] ?? EMPTY, start, end, base);
  }

  /** Forgets the spans and their sources, not the owners and keys. */
  clearSpans(): void {
    this.sources.length = 0;
    this.count = 0;
    this.traceIds.truncate(0);
    this.#lastTrace = -1;
  }

  #entry(): number {
    const base = this.count++ * ENTRY_WORDS;
    if (base + ENTRY_WORDS > this.words.length) this.words = grownUint32(this.words, base + ENTRY_WORDS);
    return base;
  }

  /** Reads what orders the span. Of a repeated field the last counts. */
  #scan(bytes: Uint8Array, start: number, end: number, base: number): void {
    const fields = this.#fields;
    let traceAt = -1;
    let spanAt = -1;
    fields.enter(bytes, start, end);
    while (fields.next()) {
      switch (fields.tag) {
        case tags.ATTRIBUTES_TAG:
          if (this.#countsKeys) this.#countKey(bytes, fields.start, fields.end);
          break;
        case tags.TRACE_ID_TAG:
          traceAt = fields.end - fields.start === TRACE_ID_BYTES ? fields.start : -1;
          break;
        case tags.SPAN_ID_TAG:
          spanAt = fields.end - fields.start === SPAN_ID_BYTES ? fields.start : -1;
          break;
        default:
          this.#note(fields, base);
      }
    }
    if (traceAt < 0 || spanAt < 0)
      throw new AppError("invalid_argument", `span without ids at byte ${start}`);
    const { words } = this;
    words[base + WORDS.trace] = this.#traceNumber(bytes, traceAt);
    words[base + WORDS.spanIdLow] = wordAt(bytes, spanAt);
    words[base + WORDS.spanIdHigh] = wordAt(bytes, spanAt + 4);
  }

  #note({ tag, bytes, start, end }: FieldCursor, base: number): void {
    const { words } = this;
    switch (tag) {
      case tags.PARENT_SPAN_ID_TAG: {
        const isId = end - start === SPAN_ID_BYTES;
        words[base + WORDS.parentIdLow] = isId ? wordAt(bytes, start) : 0;
        words[base + WORDS.parentIdHigh] = isId ? wordAt(bytes, start + 4) : 0;
        break;
      }
      case tags.START_TAG:
        words[base + WORDS.startLow] = wordAt(bytes, start);
        words[base + WORDS.startHigh] = wordAt(bytes, start + 4);
        break;
      case tags.END_TAG:
        words[base + WORDS.endLow] = wordAt(bytes, start);
        words[base + WORDS.endHigh] = wordAt(bytes, start + 4);
        break;
      case tags.KIND_TAG:
        readVarint(bytes, start, this.#varint);
        words[base + WORDS.kind] = this.#varint.low;
        break;
      default:
    }
  }

  #traceNumber(bytes: Uint8Array, at: number): number {
    const last = this.#lastTrace;
    const end = at + TRACE_ID_BYTES;
    if (last >= 0 && this.traceIds.equals(last, bytes, at, end)) return last;
    this.#lastTrace = this.traceIds.intern(bytes, at, end);
    return this.#lastTrace;
  }

  #countKey(bytes: Uint8Array, start: number, end: number): void {
    const attribute = this.#attribute;
    attribute.read(bytes, start, end);
    const key = this.keys.find(attribute.keyBytes, attribute.keyStart, attribute.keyEnd);
    this.keys.count(key, attribute.type, 1);
  }

  /** One word of a span's entry. */
  word(span: number, word: number): number {
    return this.words[span * ENTRY_WORDS + word] ?? 0;
  }

  /** The message that holds the span; its range is [WORDS.start, WORDS.end). */
  sourceOf(span: number): Uint8Array {
    return this.sources[this.word(span, WORDS.source)] ?? EMPTY;
  }

  /** The span as it was sent, a view. */
  spanBytes(span: number): Uint8Array {
    return this.sourceOf(span).subarray(this.word(span, WORDS.start), this.word(span, WORDS.end));
  }
}
