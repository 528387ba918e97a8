// What changed between two traces, in short: Tempo's `trace-summary-v0-native` and `-composed`.
import { identityOf } from "./match-spans.ts";
import { durationOf, type SpanTree } from "./span-tree.ts";
import type { TracePatch, Warning } from "./trace-patch.ts";

interface TraceFacts {
  readonly traceId: string;
  readonly rootService?: string;
  readonly rootName?: string;
  readonly spanCount: number;
  readonly errorSpanCount: number;
  readonly durationMs: number;
  readonly sumSpanDurationMs: number;
}

interface ServiceRollup {
  readonly name: string;
  readonly sumSpanDurationDeltaMs: number;
  modified: number;
  added: number;
  removed: number;
  newErrors: number;
  resolvedErrors: number;
}

export interface TraceSummary {
  readonly version: "trace-summary-v0-native";
  readonly base: TraceFacts;
  readonly compare: TraceFacts;
  readonly signals: Readonly<Record<string, string>>;
  readonly trust: { readonly matchedSpanRatio: number; readonly structureOverlap: number };
  readonly stats: Readonly<Record<string, number>>;
  readonly warnings?: readonly Warning[];
  readonly changedServices: readonly string[];
  readonly services: readonly ServiceRollup[];
}

interface Facts {
  readonly shown: TraceFacts;
  readonly durationNs: bigint;
  readonly sumNs: bigint;
}

function msOf(ns: bigint): number {
  return Number(ns / 1_000_000n);
}

function factsOf({ traceId, spans }: SpanTree): Facts {
  const timed = spans.filter(({ hasTimes }) => hasTimes);
  const startNs = timed.reduce(
    (least, span) => (span.startNs < least ? span.startNs : least),
    timed[0]?.startNs ?? 0n,
  );
  const endNs = timed.reduce((most, span) => (span.endNs > most ? span.endNs : most), startNs);
  const sumNs = spans.reduce((sum, span) => sum + durationOf(span), 0n);
  const [root] = spans;
  const shown = {
    traceId,
    ...(root && { rootService: root.service, rootName: root.name }),
    spanCount: spans.length,
    errorSpanCount: spans.filter(({ status }) => status === "error").length,
    durationMs: msOf(endNs - startNs),
    sumSpanDurationMs: msOf(sumNs),
  };
  return { shown, durationNs: endNs - startNs, sumNs };
}

/** By service: its spans with their parents, in an order that does not depend on times. */
function structures({ spans }: SpanTree): Map<string, string> {
  const rows = Map.groupBy(spans, ({ service }) => service);
  return new Map(
    Array.from(rows, ([service, own]) => {
      const texts = own.map((span) => {
        const parent = spans[span.parent ?? -1];
        return JSON.stringify([identityOf(span), parent && identityOf(parent)]);
      });
      return [service, texts.sort().join("\n")];
    }),
  );
}

function durationsByService({ spans }: SpanTree): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const span of spans) sums.set(span.service, (sums.get(span.service) ?? 0n) + durationOf(span));
  return sums;
}

/** Of a service's spans together: what is less is jitter. */
const DRIFT_NS = 1_000_000n;
const DRIFT_PART = 20n;

function hasDrifted(baseNs: bigint, deltaNs: bigint): boolean {
  const size = deltaNs < 0n ? -deltaNs : deltaNs;
  return size >= DRIFT_NS && size * DRIFT_PART >= baseNs;
}

function countChanges(patch: TracePatch, rollup: (service: string) => ServiceRollup): void {
  for (const { span, changes } of patch.modified) {
    const own = rollup(span.service);
    own.modified++;
    for (const { before, after } of changes.filter(
      ({ target }) => target.type === "field" && target.name === "status",
    )) {
      if (after === "error") own.newErrors++;
      if (before === "error") own.resolvedErrors++;
    }
  }
  for (const { span } of patch.added) {
    const own = rollup(span.service);
    own.added++;
    if (span.status === "error") own.newErrors++;
  }
  for (const { span } of patch.removed) {
    const own = rollup(span.service);
    own.removed++;
    if (span.status === "error") own.resolvedErrors++;
  }
}

function serviceRollups(base: SpanTree, compare: SpanTree, patch: TracePatch): ServiceRollup[] {
  const before = durationsByService(base);
  const after = durationsByService(compare);
  const deltaOf = (service: string): bigint => (after.get(service) ?? 0n) - (before.get(service) ?? 0n);
  const rollups = new Map<string, ServiceRollup>();
  const rollup = (name: string): ServiceRollup => {
    const own = rollups.get(name) ?? {
      name,
      sumSpanDurationDeltaMs: msOf(deltaOf(name)),
      modified: 0,
      added: 0,
      removed: 0,
      newErrors: 0,
      resolvedErrors: 0,
    };
    rollups.set(name, own);
    return own;
  };
  countChanges(patch, rollup);
  for (const service of new Set([...before.keys(), ...after.keys()])) {
    if (hasDrifted(before.get(service) ?? 0n, deltaOf(service))) rollup(service);
  }
  return [...rollups.values()].sort(
    (a, b) =>
      Math.abs(b.sumSpanDurationDeltaMs) - Math.abs(a.sumSpanDurationDeltaMs) ||
      b.newErrors - a.newErrors ||
      (a.name < b.name ? -1 : 1),
  );
}

function direction(delta: number): string {
  if (delta === 0) return "unchanged";
  return delta > 0 ? "increased" : "decreased";
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 1 : part / whole;
}

/** Which services changed, and in which direction the whole went. */
export function traceSummary(base: SpanTree, compare: SpanTree, patch: TracePatch): TraceSummary {
  const before = factsOf(base);
  const after = factsOf(compare);
  const [oldStructures, newStructures] = [structures(base), structures(compare)];
  const moved = [...new Set([...oldStructures.keys(), ...newStructures.keys()])].filter(
    (service) => oldStructures.get(service) !== newStructures.get(service),
  );
  const services = serviceRollups(base, compare, patch);
  const { matchedSpans, modifiedSpans, addedSpans, removedSpans, attributeChanges } = patch.stats;
  const stats = {
    traceLatencyDeltaMs: msOf(after.durationNs - before.durationNs),
    sumSpanDurationDeltaMs: msOf(after.sumNs - before.sumNs),
    spanCountDelta: after.shown.spanCount - before.shown.spanCount,
    errorSpanDelta: after.shown.errorSpanCount - before.shown.errorSpanCount,
    matchedSpans,
    modifiedSpans,
    addedSpans,
    removedSpans,
    fieldChanges: patch.stats.fieldChanges,
    attributeChanges,
  };
  return {
    version: "trace-summary-v0-native",
    base: before.shown,
    compare: after.shown,
    signals: {
      traceLatency: direction(stats.traceLatencyDeltaMs),
      sumSpanDuration: direction(stats.sumSpanDurationDeltaMs),
      errors: direction(stats.errorSpanDelta),
      spanCount: direction(stats.spanCountDelta),
      structure: moved.length > 0 ? "changed" : "unchanged",
    },
    trust: {
      matchedSpanRatio: ratio(matchedSpans, Math.max(before.shown.spanCount, after.shown.spanCount)),
      structureOverlap: ratio(matchedSpans, Math.min(before.shown.spanCount, after.shown.spanCount)),
    },
    stats,
    ...(patch.warnings.length > 0 && { warnings: patch.warnings }),
    changedServices: [...new Set([...moved, ...services.map(({ name }) => name)])].sort(),
    services,
  };
}

/** Bytes of a patch up to which the composed form has it. */
const PATCH_BYTES_MAX = 64 * 1024;

/** The summary, with the patch when that is small. */
export function composedSummary(summary: TraceSummary, patch: TracePatch): object {
  const bytes = new TextEncoder().encode(JSON.stringify(patch)).length;
  return {
    version: "trace-summary-v0-composed",
    summary,
    ...(bytes <= PATCH_BYTES_MAX ? { patch } : { patchOmitted: { bytes, reason: "over_budget" } }),
  };
}
