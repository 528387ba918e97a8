// A trace with only the spans that a filter wants, and of their relatives as many as are asked for.
import type { Limits } from "../model/limits.ts";
import { keepSpans } from "../otlp/rewrite.ts";
import { readSpanIds, visitSpans } from "../otlp/spans.ts";
import { type Kind, KINDS, type Pipeline, type SearchQuery, type SpansetFilter } from "../traceql/ast.ts";
import { search } from "../traceql/engine/search.ts";
import type { ResultSpan } from "../traceql/results.ts";
import { concatBytes } from "../util/bytes.ts";
import { toHex } from "../util/hex.ts";
import type { FoundTrace } from "./find-trace.ts";
import { memorySources } from "./memory-sources.ts";
import { TraceBuilder } from "./trace-builder.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import { writeProtobuf } from "./write-protobuf.ts";

export interface TraceFilter {
  readonly filter: SpansetFilter;
  /** Levels of ancestors kept above each match, and of descendants below; Infinity for all. */
  readonly ancestors: number;
  readonly descendants: number;
}

/**
 * The found trace without the spans that the filter does not want. The trace that was given cannot be read again.
 * @throws AppError `invalid_argument` for what the filter cannot do (division by zero), `corrupt` for stored bytes that are
 *   wrong
 */
export async function filterTrace(
  found: FoundTrace,
  filter: TraceFilter,
  limits: Limits,
): Promise<FoundTrace> {
  const { spanCount, exceededBytes } = found.trace;
  if (spanCount === 0) return found;
  const bytes = traceBytes(found);
  const matches = await matchingSpans(bytes, filter.filter);
  const wanted = withRelatives(readSpans(bytes), matches, filter);
  let index = 0;
  const kept = keepSpans(bytes, () => wanted[index++] === 1);
  const builder = new TraceBuilder(limits);
  if (kept !== undefined) builder.add(kept);
  const trace = builder.finish().exceeding(exceededBytes);
  return { ...found, trace, isFiltered: trace.spanCount < spanCount };
}

/** The trace as protobuf, in one piece. It cannot be read again. */
function traceBytes({ trace }: FoundTrace): Uint8Array {
  const out = new ChunkWriter();
  const chunks: Uint8Array[] = [...writeProtobuf(trace, out)];
  return concatBytes([...chunks, out.take()]);
}

interface SpanNode {
  /** Hex, as `ResultSpan` has it. */
  readonly id: string;
  readonly parentId: string;
  readonly kind: Kind;
}

function readSpans(bytes: Uint8Array): SpanNode[] {
  const nodes: SpanNode[] = [];
  visitSpans(bytes, {
    span(start, end) {
      const ids = readSpanIds(bytes, start, end);
      nodes.push({
        id: toHex(bytes.subarray(ids.spanIdAt, ids.spanIdAt + ids.spanIdLength)),
        parentId: toHex(bytes.subarray(ids.parentSpanIdAt, ids.parentSpanIdAt + ids.parentSpanIdLength)),
        kind: KINDS[ids.kind] ?? "unspecified",
      });
    },
  });
  return nodes;
}

/** A span of a trace is known by its id and its kind. */
function nameOf(id: string, kind: Kind): string {
  return `${id} ${kind}`;
}

/** Names of the spans for which the filter holds. */
async function matchingSpans(bytes: Uint8Array, filter: SpansetFilter): Promise<Set<string>> {
  const kind = { kind: "intrinsic", name: "kind", parent: false, at: 0 } as const;
  const select = { kind: "select", fields: [kind], at: 0 } as const;
  const pipeline: Pipeline = { kind: "pipeline", stages: [filter, select], at: 0 };
  const query: SearchQuery = { kind: "search", pipeline, hints: [], at: 0 };
  const { traces } = await search(await memorySources([bytes]), query, {
    limit: 1,
    spansPerSpanset: Infinity,
    startNs: 0n,
    endNs: (1n << 63n) - 1n,
  });
  const spans = traces.flatMap(({ spansets }) => spansets.flatMap((spanset) => spanset.spans));
  return new Set(spans.map((span) => nameOf(span.spanId, kindOf(span))));
}

/** Attributes may be called `kind` as well, but have no values of this type. */
function kindOf({ attributes }: ResultSpan): Kind {
  for (const { value } of attributes) if (value.type === "kind") return value.value;
  return "unspecified";
}

/** By span: 1 when it matches, or is as close to one that does as is asked for. */
function withRelatives(
  nodes: readonly SpanNode[],
  matches: ReadonlySet<string>,
  { ancestors, descendants }: TraceFilter,
): Uint8Array {
  const wanted = new Uint8Array(nodes.length);
  const matching: number[] = [];
  const byId = new Map<string, number>();
  for (const [index, { id, kind }] of nodes.entries()) {
    if (!byId.has(id)) byId.set(id, index);
    if (matches.has(nameOf(id, kind))) matching.push(index);
  }
  const parents = nodes.map(({ parentId }) => byId.get(parentId));
  const children = Map.groupBy(nodes.keys(), (index) => parents[index]);
  spread(wanted, matching, {
    levels: ancestors,
    next: (index) => {
      const parent = parents[index];
      return parent === undefined ? [] : [parent];
    },
  });
  spread(wanted, matching, { levels: descendants, next: (index) => children.get(index) ?? [] });
  return wanted;
}

/** Marks what is at most `levels` steps away, level by level, each span once however the ids go round in circles. */
function spread(
  marked: Uint8Array,
  from: readonly number[],
  { levels, next }: { readonly levels: number; readonly next: (index: number) => readonly number[] },
): void {
  const seen = new Set(from);
  let level = from;
  for (let left = levels; level.length > 0; left--) {
    for (const index of level) marked[index] = 1;
    if (left <= 0) return;
    const found: number[] = [];
    for (const index of level) {
      for (const other of next(index)) {
        if (seen.has(other)) continue;
        seen.add(other);
        found.push(other);
      }
    }
    level = found;
  }
}
