// What queries will ask of a source, so that what lies together is read together.
import { type ExpectedColumn, TRACES } from "../scan/block-source.ts";
import { isWorthMeasuring } from "../traceql/engine/metrics.ts";
import type { Intervals } from "../traceql/engine/metrics/intervals.ts";
import { type LeafPlan, loadedToMeasure, splitColumns } from "../traceql/engine/metrics/plan.ts";
import { isWorthSearching, type SearchPlan } from "../traceql/engine/search.ts";
import { loadedToFind, type Window } from "../traceql/engine/search/find-traces.ts";
import { showColumns } from "../traceql/engine/search/show-traces.ts";
import { partColumns } from "../traceql/engine/tables/split-traces.ts";
import type { SpanSource } from "../traceql/storage.ts";

/** Lists of what is asked for together. */
export type ExpectedOf = (source: SpanSource) => readonly (readonly ExpectedColumn[])[];

export function expectedInSearch(plan: SearchPlan, window: Window): ExpectedOf {
  return (source) => {
    const found = isWorthSearching(plan, [source], window) ? loadedToFind(plan.pipeline, source, window) : [];
    return [[TRACES, ...found], partColumns(source, (part) => showColumns(plan.mentions, part))];
  };
}

export function expectedInMetrics(leaves: readonly LeafPlan[], intervals: Intervals): ExpectedOf {
  return (source) => {
    const measured = leaves.filter((leaf) => isWorthMeasuring(leaf, [source], intervals));
    const columns = measured.flatMap((leaf) => loadedToMeasure(leaf, source, intervals));
    const ofParts = measured.flatMap((leaf) => splitColumns(leaf, source));
    return [[TRACES, ...columns], partColumns(source, () => ofParts)];
  };
}
