// One trace of a span index in the order of its rows.
import type { Preorder, TraceRows } from "./preorder.ts";
import type { RowFacts } from "./row-facts.ts";
import type { SpanIndex } from "./span-index.ts";
import { isDuplicate, sortSpans } from "./span-order.ts";
import { WORDS } from "./span-scanner.ts";
import type { Words } from "./words.ts";

/** `members`, the spans of one trace, in order and without exact duplicates. They are sorted in place. */
export function orderTrace(index: SpanIndex, members: Uint32Array, preorder: Preorder): TraceRows {
  sortSpans(index, members);
  return preorder.order(index, withoutDuplicates(index, members));
}

/** `sorted` without exact duplicates, which are side by side. Compacts in place. */
function withoutDuplicates(index: SpanIndex, sorted: Uint32Array): Uint32Array {
  let count = 0;
  for (const span of sorted) {
    if (count > 0 && isDuplicate(index, sorted[count - 1] ?? 0, span)) continue;
    sorted[count++] = span;
  }
  return sorted.subarray(0, count);
}

/** Bytes of the trace's spans. */
export function spanBytesOf(index: SpanIndex, { count, spans }: TraceRows): number {
  let bytes = 0;
  for (let row = 0; row < count; row++) {
    const span = spans[row] ?? 0;
    bytes += index.word(span, WORDS.end) - index.word(span, WORDS.start);
  }
  return bytes;
}

/** Sets the facts of a row, but for its owners: those are numbers of the index still. */
export function readFacts(index: SpanIndex, rows: TraceRows, row: number, facts: RowFacts): void {
  const span = rows.spans[row] ?? 0;
  facts.bytes = index.sourceOf(span);
  facts.start = index.word(span, WORDS.start);
  facts.end = index.word(span, WORDS.end);
  facts.resource = index.word(span, WORDS.resource);
  facts.scope = index.word(span, WORDS.scope);
  facts.notes = index.notes;
  facts.notesAt = index.word(span, WORDS.notes);
  facts.parentDistance = rows.distances[row] ?? 0;
  setWords(facts.spanId, index, span, WORDS.spanIdLow);
  setWords(facts.parentId, index, span, WORDS.parentIdLow);
  setWords(facts.startTime, index, span, WORDS.startLow);
  setWords(facts.endTime, index, span, WORDS.endLow);
}

function setWords(out: Words, index: SpanIndex, span: number, word: number): void {
  out.low = index.word(span, word);
  out.high = index.word(span, word + 1);
}
