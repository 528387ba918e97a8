// Whether sources are worth a look, judged before anything is read of them. It is judged by tests, so that it can be said of
// sources in several places: a test is passed by sources when one of them passes it.
import type { SpanSource } from "../storage.ts";
import { foresee } from "./conditions/condition.ts";
import type { Intervals } from "./metrics/intervals.ts";
import { canMatch, conditionsOf, type PipelinePlan } from "./spansets/plan.ts";

export interface Prospects {
  /** Tests passed by sources. */
  passed(sources: readonly SpanSource[]): boolean[];
  /** Whether spans of traces that lie in sources that pass these, and in no others, may count. False is certain. */
  isWorth(passed: readonly boolean[]): boolean;
}

/** Of traces that overlap the window, both ends included. */
export function searchProspects(
  pipeline: PipelinePlan,
  { startNs, endNs }: { readonly startNs: bigint; readonly endNs: bigint },
): Prospects {
  // A trace may begin in one source and end in another: the window may lie between the two.
  return prospects(pipeline, [
    ({ bounds }) => bounds.minStartNs <= endNs,
    ({ bounds }) => bounds.maxEndNs >= startNs,
  ]);
}

/** Of spans that start in the intervals. */
export function metricsProspects(pipeline: PipelinePlan, { firstNs, stepNs, count }: Intervals): Prospects {
  const lastNs = firstNs + BigInt(count) * stepNs;
  return prospects(pipeline, [({ bounds }) => bounds.maxStartNs > firstNs && bounds.minStartNs <= lastNs]);
}

function prospects(pipeline: PipelinePlan, inTime: readonly ((source: SpanSource) => boolean)[]): Prospects {
  const conditions = conditionsOf(pipeline);
  const tests = [
    ...inTime,
    ...conditions.map((condition) => (source: SpanSource) => foresee(condition, source) !== false),
  ];
  return {
    passed: (sources) => tests.map((test) => sources.some(test)),
    isWorth: (passed) =>
      inTime.every((_, i) => passed[i] === true) &&
      canMatch(pipeline, (condition) => passed[inTime.length + conditions.indexOf(condition)] === true),
  };
}
