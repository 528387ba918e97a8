// What a pooled query is evaluated with.
import type { SplitCache } from "../../traceql/engine/tables/split-cache.ts";
import type { ScanJob } from "../plan.ts";
import type { BeyondWindow } from "../whole-traces.ts";
import type { SourceSummary, SummarizedSource } from "./questions.ts";
import type { Said, ScanGroup, ScanMember } from "./scan-group.ts";

export interface PooledScan {
  readonly group: ScanGroup;
  /** The places of jobs in the plan. */
  readonly places: ReadonlyMap<ScanJob, number>;
  /** Traces at most that several sources have parts of. */
  readonly maxSplitTraces: number;
  /** What is known of them from earlier queries. */
  readonly splits: SplitCache;
  readonly beyond: BeyondWindow;
}

/** A source, and who has it. */
export interface MemberSource extends SummarizedSource {
  readonly member: ScanMember;
  /** Its number there. */
  readonly source: number;
}

/** All sources in the order of the plan's jobs; those of no job come last. */
export function plannedSources(
  { places }: PooledScan,
  summaries: readonly Said<SourceSummary>[],
): MemberSource[] {
  const placeOf = ({ member, job }: MemberSource): number => {
    const planned = member.jobs.get(job);
    return (planned && places.get(planned)) ?? places.size;
  };
  return summaries
    .flatMap(({ member, value }) => value.sources.map((each, source) => ({ ...each, member, source })))
    .toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** By test: whether a source of any member passes it. */
export function anyPassed(summaries: readonly Said<SourceSummary>[]): boolean[] {
  const [first] = summaries;
  return (first?.value.passed ?? []).map((_, test) =>
    summaries.some(({ value }) => value.passed[test] === true),
  );
}
