// Plain spans, and the traces that they make: without duplicates, in pre-order, numbered.

/** Strings, booleans, `bigint` for int and `number` for double. What is neither that nor a list of one of it: `null`. */
export type PlainScalar = string | boolean | bigint | number;
export type PlainValue = PlainScalar | readonly PlainScalar[] | null;
export type PlainAttributes = ReadonlyMap<string, PlainValue>;

export interface PlainEvent {
  /** ns since the Unix epoch. */
  readonly time: bigint;
  readonly name: string;
  readonly attributes: PlainAttributes;
}

export interface PlainLink {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  readonly attributes: PlainAttributes;
}

export interface PlainScope {
  readonly name: string;
  readonly version: string;
  readonly attributes: PlainAttributes;
}

export interface PlainSpan {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** 16 lower-case hex digits, or empty. */
  readonly parentSpanId: string;
  readonly name: string;
  /** As in OTLP. */
  readonly kind: number;
  readonly statusCode: number;
  readonly statusMessage: string;
  /** ns since the Unix epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: PlainAttributes;
  readonly events: readonly PlainEvent[];
  readonly links: readonly PlainLink[];
  readonly resource: PlainAttributes;
  readonly scope: PlainScope;
}

const KIND_SERVER = 2;
const KIND_CLIENT = 3;

/** A span in its trace. */
export interface Node {
  readonly span: PlainSpan;
  readonly trace: Trace;
  /** In pre-order, from 0. */
  position: number;
  parent: Node | undefined;
  readonly children: Node[];
  /** Nested set: 0, 0 and 0 where no root is above. A root's parent is -1. */
  left: number;
  right: number;
  parentLeft: number;
}

export interface Trace {
  readonly id: string;
  /** In pre-order. */
  readonly nodes: Node[];
  /** The first span without a parent that names none either. */
  root: Node | undefined;
  start: bigint;
  end: bigint;
}

/** ns; 0 when the end is before the start. */
export function durationOf(span: PlainSpan): bigint {
  return span.end > span.start ? span.end - span.start : 0n;
}

/** Everything that was sent, as text. */
export function contentOf(span: PlainSpan): string {
  return JSON.stringify(span, (_key, value: unknown) => {
    if (typeof value === "bigint") return `int ${value}`;
    if (typeof value === "number") return `number ${Object.is(value, -0) ? "-0" : value}`;
    if (typeof value === "string") return `text ${value}`;
    return value instanceof Map ? [...value] : value;
  });
}

function compareSpans(a: PlainSpan, b: PlainSpan): number {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.spanId !== b.spanId) return a.spanId < b.spanId ? -1 : 1;
  return a.kind - b.kind;
}

/** A server that shares its client's id is the client's child; of several spans with one id, a server is the parent. */
function findParent(node: Node, nodes: readonly Node[]): Node | undefined {
  const { spanId, parentSpanId, kind } = node.span;
  if (kind === KIND_SERVER) {
    const client = nodes.find(({ span }) => span.spanId === spanId && span.kind === KIND_CLIENT);
    if (client !== undefined) return client;
  }
  if (parentSpanId === "") return undefined;
  const named = nodes.filter(({ span }) => span.spanId === parentSpanId);
  const parent = named.find(({ span }) => span.kind === KIND_SERVER) ?? named[0];
  return parent === node ? undefined : parent;
}

/** Parents that go round: the first span of the circle loses its parent. */
function cutCycles(nodes: readonly Node[]): void {
  for (const node of nodes) {
    let above = node.parent;
    for (let steps = 0; above !== undefined && above !== node && steps < nodes.length; steps++) {
      above = above.parent;
    }
    if (above === node) node.parent = undefined;
  }
}

/** Whether the span was sent without a parent and has none. */
function isRoot(node: Node): boolean {
  return node.parent === undefined && node.span.parentSpanId === "";
}

function inPreOrder(tops: readonly Node[]): Node[] {
  return tops.flatMap((node) => [node, ...inPreOrder(node.children)]);
}

function number(node: Node, parentLeft: number, next: number): number {
  node.left = next++;
  node.parentLeft = parentLeft;
  for (const child of node.children) next = number(child, node.left, next);
  node.right = next++;
  return next;
}

function makeTrace(id: string, spans: readonly PlainSpan[]): Trace {
  const trace: Trace = { id, nodes: [], root: undefined, start: 0n, end: 0n };
  const unique = [...new Map(spans.map((span) => [contentOf(span), span])).values()].sort(compareSpans);
  const nodes = unique.map((span): Node => ({
    span,
    trace,
    position: 0,
    parent: undefined,
    children: [],
    left: 0,
    right: 0,
    parentLeft: 0,
  }));
  for (const node of nodes) node.parent = findParent(node, nodes);
  cutCycles(nodes);
  for (const node of nodes) node.parent?.children.push(node);
  const tops = nodes.filter(({ parent }) => parent === undefined);
  trace.nodes.push(...inPreOrder(tops));
  trace.nodes.forEach((node, position) => {
    node.position = position;
  });
  const roots = tops.filter(isRoot);
  let next = 1;
  for (const root of roots) next = number(root, -1, next);
  trace.root = roots[0];
  trace.start = spans.map(({ start }) => start).reduce((a, b) => (a < b ? a : b));
  trace.end = spans.map((span) => span.start + durationOf(span)).reduce((a, b) => (a > b ? a : b));
  return trace;
}

/** The traces of `spans`, ascending by id. */
export function makeTraces(spans: readonly PlainSpan[]): Trace[] {
  const byId = Map.groupBy(spans, ({ traceId }) => traceId);
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, own]) => makeTrace(id, own));
}
