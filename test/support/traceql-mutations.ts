// Queries that are nearly right.
import fc from "fast-check";
import { CHECKLIST, DRILLDOWN } from "./traceql-queries.ts";

const QUERIES = [...CHECKLIST.flatMap(({ accepted }) => accepted), ...DRILLDOWN.slice(0, 26)];
/** What queries are made of, and some of what they are not. */
export const PIECES: readonly string[] = [
  ...Array.from("{}()|,=<>!~&^+-*/%.\"`'\\ \n09azé\u{1F600}\ud800"),
  ..."&& || =~ !~ >> &> // /* */ count() by( rate() span. parent. nil".split(" "),
];

/** One change after another, each at a place and of a kind that `changes` decide. */
function mutate(text: string, changes: readonly (readonly [number, number, string])[]): string {
  return changes.reduce((before, [place, kind, piece]) => {
    const i = place % (before.length + 1);
    const j = Math.min(before.length, i + 1 + ((kind >> 2) % 7));
    if (kind % 4 === 0) return before.slice(0, i) + before.slice(j);
    if (kind % 4 === 1) return before.slice(0, i) + piece + before.slice(i);
    if (kind % 4 === 2) return before.slice(0, i) + piece + before.slice(j);
    return before.slice(0, j) + before.slice(i);
  }, text);
}

/** A query of the checklist after one to four changes. */
export const arbMutatedQuery: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...QUERIES),
    fc.array(fc.tuple(fc.nat(), fc.nat(1000), fc.constantFrom(...PIECES)), { minLength: 1, maxLength: 4 }),
  )
  .map(([query, changes]) => mutate(query, changes));
