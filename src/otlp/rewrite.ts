// Taking spans out of a batch without decoding it: ranges are copied, only the lengths around them are written anew.
import type { Limits } from "../model/limits.ts";
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { assert } from "../util/assert.ts";
import { traceHash } from "../util/hash.ts";
import { readSpanIds, type SpanIds } from "./spans.ts";
import { LENGTH, RESOURCE_SPANS, SCOPE_SPANS, TRACES_DATA, WireReader, tagOf } from "./wire.ts";
import { varintLength } from "./wire-writer.ts";

/** Whether the span whose body is [start, end) stays. */
export type Keep = (start: number, end: number) => boolean;

/** Tag of the children by level: TracesData, ResourceSpans, ScopeSpans. */
const CHILD_TAGS: readonly number[] = [
  tagOf(TRACES_DATA.resourceSpans, LENGTH),
  tagOf(RESOURCE_SPANS.scopeSpans, LENGTH),
  tagOf(SCOPE_SPANS.spans, LENGTH),
];
const SPAN_LEVEL = CHILD_TAGS.length - 1;

/**
 * Collects what the new batch consists of, in order, as pairs in `#parts`: [start, end) of a range to copy, or
 * (-tag, length) of a message to open.
 */
class Rewriter {
  readonly #bytes: Uint8Array;
  readonly #reader: WireReader;
  readonly #keep: Keep;
  readonly #parts: number[] = [];

  constructor(bytes: Uint8Array, keep: Keep) {
    this.#bytes = bytes;
    this.#reader = new WireReader(bytes);
    this.#keep = keep;
  }

  /** The new batch in a buffer of its own, or undefined when no span is kept. */
  run(): Uint8Array<ArrayBuffer> | undefined {
    const byteLength = this.#message(0, this.#bytes.length);
    return byteLength < 0 ? undefined : this.#write(byteLength);
  }

  /** Adds the parts of the message that ends at `end`. Returns its new length, or -1 when it holds no kept span. */
  #message(level: number, end: number): number {
    const reader = this.#reader;
    const childTag = CHILD_TAGS[level];
    let byteLength = 0;
    let kept = false;
    while (reader.pos < end) {
      const at = reader.pos;
      const tag = reader.tag(end);
      if (tag !== childTag) {
        reader.skip(tag, end);
        byteLength += this.#copy(at, reader.pos);
        continue;
      }
      const length = reader.length(end);
      const added = level === SPAN_LEVEL ? this.#span(at, length) : this.#child(level + 1, tag, length);
      if (added > 0) kept = true;
      byteLength += added;
    }
    return kept ? byteLength : -1;
  }

  /** Adds the child message of `length` bytes at the reader. Returns the bytes it adds, 0 when it is left out. */
  #child(level: number, tag: number, length: number): number {
    const parts = this.#parts;
    const mark = parts.push(-tag, 0);
    const byteLength = this.#message(level, this.#reader.pos + length);
    if (byteLength < 0) {
      parts.length = mark - 2;
      return 0;
    }
    parts[mark - 1] = byteLength;
    return 1 + varintLength(byteLength) + byteLength;
  }

  /** Adds the span field that begins at `at` and whose body of `length` bytes is at the reader. */
  #span(at: number, length: number): number {
    const start = this.#reader.pos;
    const end = start + length;
    this.#reader.pos = end;
    return this.#keep(start, end) ? this.#copy(at, end) : 0;
  }

  #copy(start: number, end: number): number {
    const parts = this.#parts;
    const last = parts.length - 1;
    // Adjacent ranges become one: a ScopeSpans that keeps all its spans is copied at once.
    if (last > 0 && parts[last] === start && (parts[last - 1] ?? -1) >= 0) parts[last] = end;
    else parts.push(start, end);
    return end - start;
  }

  #write(byteLength: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(byteLength);
    const parts = this.#parts;
    let pos = 0;
    for (let i = 0; i < parts.length; i += 2) {
      const first = parts[i] ?? 0;
      const second = parts[i + 1] ?? 0;
      if (first >= 0) {
        out.set(this.#bytes.subarray(first, second), pos);
        pos += second - first;
        continue;
      }
      out[pos++] = -first;
      let rest = second;
      for (; rest > 127; rest >>>= 7) out[pos++] = (rest & 127) | 128;
      out[pos++] = rest;
    }
    assert(pos === byteLength, "the parts fill the buffer");
    return out;
  }
}

function isNonZero(bytes: Uint8Array, start: number, length: number): boolean {
  for (let i = start; i < start + length; i++) if (bytes[i] !== 0) return true;
  return false;
}

/** Whether a span's ids are such that `walkBatch` accepts it. */
export function hasGoodIds(bytes: Uint8Array, ids: SpanIds): boolean {
  return (
    ids.traceIdLength === TRACE_ID_BYTES &&
    ids.spanIdLength === SPAN_ID_BYTES &&
    isNonZero(bytes, ids.traceIdAt, TRACE_ID_BYTES) &&
    isNonZero(bytes, ids.spanIdAt, SPAN_ID_BYTES)
  );
}

/**
 * The batch without the spans that `walkBatch` counts as rejected. What is kept is kept byte for byte and in its order,
 * unknown fields included; only the lengths around it change. A ResourceSpans or ScopeSpans without a kept span is left
 * out; without any kept span the result is empty.
 * @param bytes a batch that `walkBatch` accepts
 * @returns an array that owns its buffer
 */
export function dropRejectedSpans(bytes: Uint8Array, limits: Limits): Uint8Array<ArrayBuffer> {
  return dropTraces(bytes, NO_TRACES, limits);
}

const NO_TRACES: ReadonlySet<number> = new Set();

/** As `dropRejectedSpans`, and without the spans of all traces whose `traceHash` is one of `hashes`. */
export function dropTraces(
  bytes: Uint8Array,
  hashes: ReadonlySet<number>,
  limits: Limits,
): Uint8Array<ArrayBuffer> {
  const keep: Keep = (start, end) => {
    const ids = readSpanIds(bytes, start, end);
    if (end - start > limits.maxSpanBytes || !hasGoodIds(bytes, ids)) return false;
    return hashes.size === 0 || !hashes.has(traceHash(bytes, ids.traceIdAt));
  };
  return new Rewriter(bytes, keep).run() ?? new Uint8Array(0);
}

/**
 * TracesData with only the spans of one trace, each with its resource, scope and schema URLs, in their order; undefined
 * when there are none.
 * @param bytes TracesData that `walkBatch` accepts
 * @param traceId 16 bytes
 * @returns an array that owns its buffer
 */
export function filterTrace(bytes: Uint8Array, traceId: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  assert(traceId.length === TRACE_ID_BYTES, "a trace id has 16 bytes");
  const keep: Keep = (start, end) => {
    const ids = readSpanIds(bytes, start, end);
    if (ids.traceIdLength !== TRACE_ID_BYTES) return false;
    for (let i = 0; i < TRACE_ID_BYTES; i++) if (bytes[ids.traceIdAt + i] !== traceId[i]) return false;
    return true;
  };
  return new Rewriter(bytes, keep).run();
}

/**
 * TracesData with only the spans that `keep` wants, each with its resource, scope and schema URLs, in their order;
 * undefined when there are none.
 * @param bytes TracesData that `walkBatch` accepts
 * @param keep is asked once for each span, in their order
 * @returns an array that owns its buffer
 */
export function keepSpans(bytes: Uint8Array, keep: Keep): Uint8Array<ArrayBuffer> | undefined {
  return new Rewriter(bytes, keep).run();
}
