// The differences between two traces, span by span: Tempo's `trace-patch-v0`.
import { isDeepEqual } from "./deep-equal.ts";
import { matchSpans } from "./match-spans.ts";
import { type DiffSpan, durationOf, type SpanTree } from "./span-tree.ts";

export interface Change {
  readonly op: "add" | "remove" | "modify";
  readonly target:
    | { readonly type: "field"; readonly name: "duration_nanos" | "status" }
    | { readonly type: "attribute"; readonly scope: "span"; readonly key: string };
  readonly before: unknown;
  readonly after: unknown;
}

interface SpanRef {
  readonly path: readonly number[];
  readonly service: string;
  readonly name: string;
  readonly kind: string;
}

export interface ModifiedSpan {
  readonly span: SpanRef;
  readonly changes: readonly Change[];
}

export interface SpanChange {
  readonly target: {
    readonly type: "span";
    readonly path: readonly number[];
    /** Of an added span: where it belongs. */
    readonly parentPath?: readonly number[];
    readonly index?: number;
  };
  readonly span: SpanRef & { readonly duration_nanos: number; readonly status: DiffSpan["status"] };
}

export interface Warning {
  readonly code: string;
  readonly message: string;
}

export interface TracePatch {
  readonly version: "trace-patch-v0";
  readonly base: { readonly traceId: string; readonly spanCount: number };
  readonly compare: { readonly traceId: string; readonly spanCount: number };
  readonly stats: Readonly<Record<PatchCount, number>> & { readonly truncated: false };
  readonly modified: readonly ModifiedSpan[];
  readonly added: readonly SpanChange[];
  readonly removed: readonly SpanChange[];
  readonly warnings: readonly Warning[];
}

type PatchCount =
  | "spanCountA"
  | "spanCountB"
  | "matchedSpans"
  | "modifiedSpans"
  | "addedSpans"
  | "removedSpans"
  | "fieldChanges"
  | "attributeChanges"
  | "eventChanges";

/** Two runs of the same program differ by as much: no change. */
const JITTER_RATIO = 0.2;
const JITTER_NS = 1_000_000;

function hasOtherDuration(a: number, b: number): boolean {
  return Math.abs(a - b) > JITTER_NS + JITTER_RATIO * Math.max(a, b);
}

function refOf({ path, service, name, kind }: DiffSpan): SpanRef {
  return { path, service, name, kind };
}

function fieldChanges(before: DiffSpan, after: DiffSpan): Change[] {
  const changes: Change[] = [];
  const [oldNs, newNs] = [Number(durationOf(before)), Number(durationOf(after))];
  if (before.hasTimes && after.hasTimes && hasOtherDuration(oldNs, newNs)) {
    const target = { type: "field", name: "duration_nanos" } as const;
    changes.push({ op: "modify", target, before: oldNs, after: newNs });
  }
  if (before.status !== after.status) {
    const target = { type: "field", name: "status" } as const;
    changes.push({ op: "modify", target, before: before.status, after: after.status });
  }
  return changes;
}

function attributeChanges(before: DiffSpan, after: DiffSpan): Change[] {
  const keys = new Set([...Object.keys(before.attributes), ...Object.keys(after.attributes)]);
  return [...keys].sort().flatMap((key): Change[] => {
    const had = Object.hasOwn(before.attributes, key);
    const has = Object.hasOwn(after.attributes, key);
    const [old, now] = [before.attributes[key] ?? null, after.attributes[key] ?? null];
    if (had && has && isDeepEqual(old, now)) return [];
    const op = had ? (has ? "modify" : "remove") : "add";
    return [{ op, target: { type: "attribute", scope: "span", key }, before: old, after: now }];
  });
}

function spanChange(span: DiffSpan, isAdded: boolean): SpanChange {
  const { path } = span;
  return {
    target: {
      type: "span",
      path,
      ...(isAdded && { parentPath: path.slice(0, -1), index: path.at(-1) ?? 0 }),
    },
    span: { ...refOf(span), duration_nanos: Number(durationOf(span)), status: span.status },
  };
}

function timeWarnings(side: string, { spans }: SpanTree): Warning[] {
  const count = spans.filter(({ hasTimes }) => !hasTimes).length;
  if (count === 0) return [];
  return [
    {
      code: "invalid_duration",
      message: `${count} spans of the ${side} trace start at 0 or end before they start; they count as 0 ns`,
    },
  ];
}

/** What turns `base` into `compare`. Events and links are not compared, resources only by their service. */
export function tracePatch(base: SpanTree, compare: SpanTree): TracePatch {
  const pairs = matchSpans(base, compare);
  const matched = new Set(pairs.values());
  const modified: ModifiedSpan[] = [];
  const added: SpanChange[] = [];
  for (const [index, span] of compare.spans.entries()) {
    const before = base.spans[pairs.get(index) ?? -1];
    if (before === undefined) {
      added.push(spanChange(span, true));
      continue;
    }
    const changes = [...fieldChanges(before, span), ...attributeChanges(before, span)];
    if (changes.length > 0) modified.push({ span: refOf(span), changes });
  }
  const removed = base.spans.filter((_, index) => !matched.has(index)).map((span) => spanChange(span, false));
  const all = modified.flatMap(({ changes }) => changes);
  const fields = all.filter(({ target }) => target.type === "field").length;
  return {
    version: "trace-patch-v0",
    base: { traceId: base.traceId, spanCount: base.spans.length },
    compare: { traceId: compare.traceId, spanCount: compare.spans.length },
    stats: {
      spanCountA: base.spans.length,
      spanCountB: compare.spans.length,
      matchedSpans: pairs.size,
      modifiedSpans: modified.length,
      addedSpans: added.length,
      removedSpans: removed.length,
      fieldChanges: fields,
      attributeChanges: all.length - fields,
      eventChanges: 0,
      truncated: false,
    },
    modified,
    added,
    removed,
    warnings: [...timeWarnings("base", base), ...timeWarnings("compare", compare)],
  };
}
