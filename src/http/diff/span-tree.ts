// A trace as a list of spans in the order of its tree, with what a comparison looks at.
import {
  hexOfBase64,
  type JsonSpan,
  type JsonTrace,
  nanosOf,
  plainAttributes,
  serviceOf,
} from "../answers/trace-json.ts";
import { AppError } from "../../util/errors.ts";

export interface DiffSpan {
  /** Number among its siblings, of each ancestor and its own, from 0. */
  readonly path: readonly number[];
  /** Index of the parent; undefined for a root and for a span whose parent is not there. */
  readonly parent: number | undefined;
  readonly service: string;
  readonly name: string;
  readonly kind: string;
  readonly status: "unset" | "ok" | "error";
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** False when it starts at 0 or ends before it starts. */
  readonly hasTimes: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** Parents before their children. */
export interface SpanTree {
  readonly traceId: string;
  readonly spans: readonly DiffSpan[];
}

interface Node {
  readonly id: string;
  readonly parentId: string;
  readonly service: string;
  readonly span: JsonSpan;
}

/** 0 when the span has no times. */
export function durationOf({ startNs, endNs, hasTimes }: DiffSpan): bigint {
  return hasTimes ? endNs - startNs : 0n;
}

const STATUSES: Readonly<Record<string, DiffSpan["status"]>> = {
  STATUS_CODE_OK: "ok",
  STATUS_CODE_ERROR: "error",
};

function nodesOf({ trace }: JsonTrace): Node[] {
  return (trace.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) => {
    const service = serviceOf(resource?.attributes);
    return scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span) => ({
        id: hexOfBase64(span.spanId),
        parentId: hexOfBase64(span.parentSpanId),
        service,
        span,
      })),
    );
  });
}

function compareNodes(a: Node, b: Node): number {
  const order = nanosOf(a.span.startTimeUnixNano) - nanosOf(b.span.startTimeUnixNano);
  if (order !== 0n) return order < 0n ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** Numbers in the paths of all spans: those of a chain grow by the square. */
const PATH_NUMBERS_MAX = 2_000_000;

/**
 * Siblings come in the order of their starts. Spans whose parents go round in circles count as roots.
 * @throws AppError `too_large` when the spans are nested too deeply
 */
export function spanTree(trace: JsonTrace): SpanTree {
  const nodes = nodesOf(trace).toSorted(compareNodes);
  const ids = new Set(nodes.map(({ id }) => id));
  const children = Map.groupBy(nodes, ({ id, parentId }) =>
    ids.has(parentId) && parentId !== id ? parentId : "",
  );
  const spans: DiffSpan[] = [];
  const seen = new Set<Node>();
  let roots = 0;
  let pathNumbers = 0;
  function add(top: Node): void {
    const stack = [{ node: top, parent: undefined as number | undefined, path: [roots++] }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { node, parent, path } = next;
      if (seen.has(node)) continue;
      seen.add(node);
      pathNumbers += path.length;
      if (pathNumbers > PATH_NUMBERS_MAX) {
        throw new AppError("too_large", "the spans of the trace are nested too deeply to be compared");
      }
      const index = spans.push(diffSpan(node, parent, path)) - 1;
      const below = children.get(node.id) ?? [];
      // Of several spans with this id the first has them.
      children.delete(node.id);
      for (const [i, child] of [...below.entries()].toReversed()) {
        stack.push({ node: child, parent: index, path: [...path, i] });
      }
    }
  }
  const tops = children.get("") ?? [];
  for (const root of tops) add(root);
  for (const node of nodes) if (!seen.has(node)) add(node);
  return { traceId: hexOfBase64(nodes[0]?.span.traceId), spans };
}

function diffSpan({ service, span }: Node, parent: number | undefined, path: readonly number[]): DiffSpan {
  const startNs = nanosOf(span.startTimeUnixNano);
  const endNs = nanosOf(span.endTimeUnixNano);
  return {
    path,
    parent,
    service,
    name: span.name ?? "",
    kind: span.kind ?? "SPAN_KIND_UNSPECIFIED",
    status: STATUSES[span.status?.code ?? ""] ?? "unset",
    startNs,
    endNs,
    hasTimes: startNs > 0n && endNs >= startNs,
    attributes: plainAttributes(span.attributes),
  };
}
