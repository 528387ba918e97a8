// Spans spread over sources of different shapes.
import type { SpanSource } from "../../src/traceql/storage.ts";
import type { PlainSpan } from "./oracle/trace.ts";
import { plainSource } from "./plain-source.ts";
import { makeRandom } from "./random.ts";

const SHAPES = [{ pageRows: 8, codedPages: 1 }, { rare: ["x", "rare"] }, { pageRows: 4, codedPages: 0 }];

/** The spans in at most three sources; some of them are in two. */
export function splitSources(spans: readonly PlainSpan[], seed: number): SpanSource[] {
  const random = makeRandom(seed);
  const parts: PlainSpan[][] = SHAPES.map(() => []);
  for (const span of spans) {
    random.pick(parts).push(span);
    if (random.chance(0.2)) random.pick(parts).push(span);
  }
  return parts.flatMap((part, i) => (part.length === 0 ? [] : [plainSource(part, SHAPES[i])]));
}
