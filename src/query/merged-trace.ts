// A trace put together from its sources, ready to be written: second of the two passes.
import { LENGTH, TRACES_DATA, tagOf, WireReader } from "../otlp/wire.ts";
import { newSpanView, RecordLayout } from "./record-layout.ts";
import { sharedSpanFix } from "./shared-spans.ts";
import type { FreshIds } from "./span-set.ts";
import type { Spool } from "./spool.ts";

export const RESOURCE_SPANS_TAG: number = tagOf(TRACES_DATA.resourceSpans, LENGTH);

/** One bit per span in order of arrival: whether it is left out. */
export class DropBits {
  #bytes = new Uint8Array(1024);

  set(index: number, dropped: boolean): void {
    const at = index >>> 3;
    if (at >= this.#bytes.length) {
      const grown = new Uint8Array(2 * at);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    const bit = 1 << (index & 7);
    const byte = this.#bytes[at] ?? 0;
    this.#bytes[at] = dropped ? byte | bit : byte & ~bit;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }
}

export interface MergedTraceParts {
  readonly spool: Spool;
  readonly dropped: DropBits;
  /** Undefined when no id is shared. */
  readonly fresh: FreshIds | undefined;
  readonly spanCount: number;
  /** Bytes of the kept spans with their resources and scopes, as they were sent. */
  readonly byteLength: number;
  /** Bytes of the Trace message, before ids were made fresh. */
  readonly protobufBytes: number;
  /** The limit, in bytes, that kept the rest of the trace out. */
  readonly exceededBytes: number | undefined;
  /** The whole trace is a single part of at most some hundred kilobytes. */
  readonly isSmall: boolean;
}

export class MergedTrace {
  readonly #parts: MergedTraceParts;

  constructor(parts: MergedTraceParts) {
    this.#parts = parts;
  }

  get spanCount(): number {
    return this.#parts.spanCount;
  }

  get byteLength(): number {
    return this.#parts.byteLength;
  }

  get exceededBytes(): number | undefined {
    return this.#parts.exceededBytes;
  }

  get isSmall(): boolean {
    return this.#parts.isSmall;
  }

  /** The same trace, known to be a part of one that was too large; undefined: of one that was not. */
  exceeding(exceededBytes: number | undefined): MergedTrace {
    return new MergedTrace({ ...this.#parts, exceededBytes: exceededBytes ?? this.#parts.exceededBytes });
  }

  get fresh(): FreshIds | undefined {
    return this.#parts.fresh;
  }

  /** Exact bytes of the Trace message that `records` makes. Costs a reading of the spool when ids are shared. */
  protobufBytes(): number {
    if (this.#parts.fresh === undefined) return this.#parts.protobufBytes;
    let bytes = 0;
    for (const layout of this.records(false)) bytes += layout.measure();
    return bytes;
  }

  /**
   * The records that have a span left, in order, measured. It is the same object each time: use it before going on.
   * @param release gives the memory back on the way: no other reading is possible afterwards
   */
  *records(release: boolean): Generator<RecordLayout> {
    const layout = new RecordLayout();
    let index = 0;
    for (const bytes of this.#parts.spool.read(release)) {
      const reader = new WireReader(bytes);
      while (reader.pos < bytes.length) {
        const field = reader.pos;
        const tag = reader.tag(bytes.length);
        if (tag !== RESOURCE_SPANS_TAG) {
          reader.skip(tag, bytes.length);
          continue;
        }
        const end = reader.length(bytes.length) + reader.pos;
        layout.scan(bytes, field, reader.pos, end);
        reader.pos = end;
        this.#decide(layout, index);
        index += layout.spanCount;
        if (layout.measure() > 0) yield layout;
      }
    }
  }

  #decide(layout: RecordLayout, firstIndex: number): void {
    const { dropped, fresh } = this.#parts;
    const span = newSpanView();
    for (let i = 0; i < layout.spanCount; i++) {
      if (dropped.has(firstIndex + i)) layout.drop(i);
      else if (fresh !== undefined) {
        const { freshId, freshParent } = sharedSpanFix(layout.span(i, span), fresh);
        if (freshId + freshParent > 0) layout.rewrite(i, freshId > 0);
      }
    }
  }
}
