// Which span of one trace is which of another.
import type { DiffSpan, SpanTree } from "./span-tree.ts";

/** What a span is, whatever its ids and times. */
export function identityOf({ service, name, kind }: DiffSpan): string {
  return JSON.stringify([service, name, kind]);
}

/** Identities of the span and what it is below of, as far as each step looks. */
function keysOf({ spans }: SpanTree): {
  readonly chain: string[];
  readonly parent: string[];
  readonly own: string[];
} {
  const own = spans.map((span) => identityOf(span));
  const chain: string[] = [];
  // A chain is numbered rather than written out, or deep traces would take memory by the square.
  const parent = spans.map(({ parent: index }, i) => JSON.stringify([own[index ?? -1], own[i]]));
  for (const [i, { parent: index }] of spans.entries()) {
    chain.push(index === undefined ? (own[i] ?? "") : `${hashOf(chain[index] ?? "")} ${own[i]}`);
  }
  return { chain, parent, own };
}

/** FNV-1a, 32 bits: a collision pairs spans a step early. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/**
 * Pairs spans of the same service, name and kind: first those with the same ancestors, then those with the same parent,
 * then any others, each time in the order of the trees.
 * @returns by index in `compare`: the index in `base`
 */
export function matchSpans(base: SpanTree, compare: SpanTree): ReadonlyMap<number, number> {
  const pairs = new Map<number, number>();
  const used = new Set<number>();
  const baseKeys = keysOf(base);
  const compareKeys = keysOf(compare);
  for (const step of ["chain", "parent", "own"] as const) {
    const free = Map.groupBy(
      [...baseKeys[step].keys()].filter((index) => !used.has(index)).toReversed(),
      (index) => baseKeys[step][index],
    );
    for (const [index, key] of compareKeys[step].entries()) {
      const found = pairs.has(index) ? undefined : free.get(key)?.pop();
      if (found === undefined) continue;
      pairs.set(index, found);
      used.add(found);
    }
  }
  return pairs;
}
