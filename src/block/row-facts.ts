// What a block is told of a span beside its bytes.
import { AttributeNotes } from "./attribute-notes.ts";
import type { Words } from "./words.ts";

/** A span's bytes and owners. */
export interface OwnedSpan {
  /** The span is [start, end) of `bytes`. */
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Indexes in the block. */
  resource: number;
  scope: number;
}

/** Reused by who fills it, from span to span. */
export interface RowFacts extends OwnedSpan {
  /** Rows back to the parent, 0 for none. */
  parentDistance: number;
  /** Ids as little-endian words; a parent of zeros is none. */
  readonly spanId: Words;
  readonly parentId: Words;
  readonly startTime: Words;
  readonly endTime: Words;
  /** Those of its attributes begin here; behind the end of all notes when there are none. */
  notes: AttributeNotes;
  notesAt: number;
}

function zero(): Words {
  return { low: 0, high: 0 };
}

export function emptyRowFacts(): RowFacts {
  return {
    bytes: new Uint8Array(0),
    start: 0,
    end: 0,
    resource: 0,
    scope: 0,
    parentDistance: 0,
    spanId: zero(),
    parentId: zero(),
    startTime: zero(),
    endTime: zero(),
    notes: new AttributeNotes(),
    notesAt: 0,
  };
}
