// The total order of spans within a trace, before parents are looked at, and which spans are the same.
import { compareBytes, equalBytes } from "../util/bytes.ts";
import type { SpanIndex } from "./span-index.ts";
import { ENTRY_WORDS, WORDS } from "./span-scanner.ts";

/** Order of 8-byte ids kept as little-endian words: as bytes. */
function compareIds(words: Uint32Array, a: number, b: number): number {
  for (let half = WORDS.spanIdLow; half <= WORDS.spanIdHigh; half++) {
    const x = words[a + half] ?? 0;
    const y = words[b + half] ?? 0;
    if (x !== y) return swapped(x) - swapped(y);
  }
  return 0;
}

function swapped(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/**
 * By start, span id, kind, bytes, resource, scope: total but for exact duplicates, which are side by side.
 * Does not depend on the order of arrival.
 */
function compareSpans(index: SpanIndex, a: number, b: number): number {
  const { words } = index;
  const x = a * ENTRY_WORDS;
  const y = b * ENTRY_WORDS;
  const high = (words[x + WORDS.startHigh] ?? 0) - (words[y + WORDS.startHigh] ?? 0);
  if (high !== 0) return high;
  const low = (words[x + WORDS.startLow] ?? 0) - (words[y + WORDS.startLow] ?? 0);
  if (low !== 0) return low;
  return compareIds(words, x, y) || compareContent(index, a, b);
}

function compareContent(index: SpanIndex, a: number, b: number): number {
  return (
    index.word(a, WORDS.kind) - index.word(b, WORDS.kind) ||
    compareBytes(index.spanBytes(a), index.spanBytes(b)) ||
    compareOwners(index, a, b)
  );
}

function compareOwners(index: SpanIndex, a: number, b: number): number {
  const { resources, scopes } = index;
  return (
    compareBytes(
      resources.head(index.word(a, WORDS.resource)),
      resources.head(index.word(b, WORDS.resource)),
    ) || compareBytes(scopes.head(index.word(a, WORDS.scope)), scopes.head(index.word(b, WORDS.scope)))
  );
}

/** Whether the spans, of one trace, are the same in all that was sent: a client's retry. */
export function isDuplicate(index: SpanIndex, a: number, b: number): boolean {
  return (
    index.word(a, WORDS.spanIdLow) === index.word(b, WORDS.spanIdLow) &&
    index.word(a, WORDS.resource) === index.word(b, WORDS.resource) &&
    index.word(a, WORDS.scope) === index.word(b, WORDS.scope) &&
    equalBytes(index.spanBytes(a), index.spanBytes(b))
  );
}

// Above this a sort that takes a comparator beats insertion.
const INSERTION_MAX = 24;

/** Sorts `spans` in place. */
export function sortSpans(index: SpanIndex, spans: Uint32Array): void {
  if (spans.length > INSERTION_MAX) {
    spans.sort((a, b) => compareSpans(index, a, b));
    return;
  }
  for (let i = 1; i < spans.length; i++) {
    const span = spans[i] ?? 0;
    let at = i;
    for (; at > 0 && compareSpans(index, spans[at - 1] ?? 0, span) > 0; at--) spans[at] = spans[at - 1] ?? 0;
    spans[at] = span;
  }
}
