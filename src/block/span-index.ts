// First pass over the input: where each span lies, what orders it, and how often each attribute key occurs.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { visitSpans } from "../otlp/spans.ts";
import { AttributeNotes } from "./attribute-notes.ts";
import { grownUint32 } from "./byte-buffer.ts";
import { ByteDictionary } from "./dictionary.ts";
import { KeyTable } from "./key-table.ts";
import { OwnerTable } from "./owner-table.ts";
import { ENTRY_WORDS, SpanScanner, WORDS } from "./span-scanner.ts";

const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * All spans of a block to be, in order of arrival: 64 bytes each, 2 for each attribute, and the input, which is referenced.
 */
export class SpanIndex {
  readonly sources: Uint8Array[] = [];
  readonly resources = new OwnerTable();
  readonly scopes = new OwnerTable();
  readonly keys = new KeyTable();
  readonly notes = new AttributeNotes();
  /** Trace ids by number, in order of arrival. */
  readonly traceIds = new ByteDictionary("fixed");
  count = 0;
  /** ENTRY_WORDS for each span: source and byte range, number of the trace, ids, times, kind, owners. */
  words = new Uint32Array(64 * ENTRY_WORDS);
  readonly #scanner: SpanScanner;
  /** Trace of the last span, which most often is that of the next. */
  #lastTrace = -1;

  /** @param keys "given": `keys` is filled by somebody who knows the attributes, spans are not asked for theirs */
  constructor(keys: "counted" | "given" = "counted") {
    this.#scanner = new SpanScanner(keys === "counted" ? this : undefined);
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
        this.#scanner.read(source, words, base);
        words[base + WORDS.trace] = this.#traceNumber(source, this.#scanner.traceAt);
      },
    });
  }

  /**
   * Adds a span of source `number` that has been read before. All spans are of one trace, which has the number 0.
   * @param entry what SpanScanner read, with its range
   * @param resource a number of the table, as is `scope`
   */
  addRead(number: number, entry: Uint32Array, resource: number, scope: number): void {
    const base = this.#entry();
    const { words } = this;
    for (let word = 0; word < ENTRY_WORDS; word++) words[base + word] = entry[word] ?? 0;
    words[base + WORDS.source] = number;
    words[base + WORDS.resource] = resource;
    words[base + WORDS.scope] = scope;
  }

  /** Forgets the spans that `addRead` added, and the sources; not the owners and keys. */
  clearSpans(): void {
    this.sources.length = 0;
    this.count = 0;
  }

  #entry(): number {
    const base = this.count++ * ENTRY_WORDS;
    if (base + ENTRY_WORDS > this.words.length) this.words = grownUint32(this.words, base + ENTRY_WORDS);
    return base;
  }

  #traceNumber(bytes: Uint8Array, at: number): number {
    const last = this.#lastTrace;
    const end = at + TRACE_ID_BYTES;
    if (last >= 0 && this.traceIds.equals(last, bytes, at, end)) return last;
    this.#lastTrace = this.traceIds.intern(bytes, at, end);
    return this.#lastTrace;
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
