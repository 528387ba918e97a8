// The order of a trace's rows, from its spans: as block/FORMAT.md, "Rows", has it.
import { KINDS } from "../../ast.ts";

export interface TreeSpan {
  /** Hex; of the parent "" when the span names none. */
  readonly spanId: string;
  readonly parentSpanId: string;
  /** OTLP's number. */
  readonly kind: number;
  readonly start: bigint;
}

export interface Placed<T> {
  readonly span: T;
  /** Rows back to the parent; 0: none. */
  readonly distance: number;
}

const SERVER = KINDS.indexOf("server");
const CLIENT = KINDS.indexOf("client");

interface Node<T> {
  readonly span: T;
  parent: Node<T> | undefined;
  readonly children: Node<T>[];
  /** Number of the walk up that came by; 0: none yet. */
  walk: number;
  row: number;
}

function compareSpans(a: TreeSpan, b: TreeSpan): number {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.spanId !== b.spanId) return a.spanId < b.spanId ? -1 : 1;
  return a.kind - b.kind;
}

/** Orders the spans of one trace. */
export function orderTrace<T extends TreeSpan>(spans: readonly T[]): Placed<T>[] {
  const nodes = spans
    .toSorted(compareSpans)
    .map((span): Node<T> => ({ span, parent: undefined, children: [], walk: 0, row: 0 }));
  const byId = Map.groupBy(nodes, ({ span }) => span.spanId);
  for (const node of nodes) node.parent = parentOf(node, byId);
  cutCycles(nodes);
  for (const node of nodes) node.parent?.children.push(node);
  return walk(nodes);
}

function parentOf<T extends TreeSpan>(
  node: Node<T>,
  byId: ReadonlyMap<string, readonly Node<T>[]>,
): Node<T> | undefined {
  const { span } = node;
  if (span.kind === SERVER) {
    const client = byId.get(span.spanId)?.find((other) => other.span.kind === CLIENT);
    if (client !== undefined) return client;
  }
  if (span.parentSpanId === "") return undefined;
  const named = byId.get(span.parentSpanId);
  const parent = named?.find((other) => other.span.kind === SERVER) ?? named?.[0];
  return parent === node ? undefined : parent;
}

/** A walk up ends at a top, at an earlier walk, or runs into itself: then the first span of that cycle becomes a top. */
function cutCycles<T>(nodes: readonly Node<T>[]): void {
  const places = new Map(nodes.map((node, index) => [node, index]));
  nodes.forEach((from, index) => {
    const number = index + 1;
    let node: Node<T> | undefined = from;
    while (node !== undefined && node.walk === 0) {
      node.walk = number;
      node = node.parent;
    }
    if (node === undefined || node.walk !== number) return;
    let first = node;
    for (let on = node.parent; on !== undefined && on !== node; on = on.parent) {
      if ((places.get(on) ?? 0) < (places.get(first) ?? 0)) first = on;
    }
    first.parent = undefined;
  });
}

function walk<T>(nodes: readonly Node<T>[]): Placed<T>[] {
  const placed: Placed<T>[] = [];
  // What is still to come, the next one last.
  const stack = nodes.filter(({ parent }) => parent === undefined).toReversed();
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    node.row = placed.length;
    placed.push({ span: node.span, distance: node.parent === undefined ? 0 : node.row - node.parent.row });
    for (const child of node.children.toReversed()) stack.push(child);
  }
  return placed;
}
