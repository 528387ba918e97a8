// Metrics whose blocks are in several isolates: as traceql/engine/metrics.ts does it over sources in one.
import type { MetricsQuery } from "../../traceql/ast.ts";
import {
  type ChosenSpans,
  type MetricsOptions,
  type MetricsPart,
  MetricsState,
} from "../../traceql/engine/metrics.ts";
import { compileMetrics, type MetricsPlan } from "../../traceql/engine/metrics/plan.ts";
import { metricsProspects } from "../../traceql/engine/prospects.ts";
import type { Exemplar, MetricsResult } from "../../traceql/results.ts";
import type { SourceSummary } from "./questions.ts";
import type { Said, ScanGroup, ScanMember } from "./scan-group.ts";
import { findSplit } from "./split-traces.ts";
import { anyPassed, plannedSources, type PooledScan } from "./pooled-scan.ts";

/** @throws as `metrics` does */
export async function pooledMetrics(
  scan: PooledScan,
  query: MetricsQuery,
  options: MetricsOptions,
): Promise<MetricsResult> {
  const { group } = scan;
  const { intervals, exemplars } = options;
  const summaries = await group.askAll("summary", { kind: "metrics", query, intervals, exemplars });
  const plan = compileMetrics(query);
  const state = new MetricsState(plan, options);
  const origins = new Origins(summaries);
  if (isWorthMeasuring(plan, options, anyPassed(summaries))) {
    const split = await findSplit(scan, plannedSources(scan, summaries));
    const measured = await group.askEach("measure", (member) => split.leftOutOf(member));
    for (const { member, value } of measured) state.add(origins.numbered(member, value));
    for await (const whole of split.whole()) await state.measure(whole, undefined);
  }
  return state.result((chosen) => showChosen(group, origins, chosen));
}

/** Whether any pipeline may select spans. */
function isWorthMeasuring(
  { leaves }: MetricsPlan,
  { intervals }: MetricsOptions,
  passed: readonly boolean[],
): boolean {
  let at = 0;
  let isWorth = false;
  for (const { pipeline } of leaves.values()) {
    const prospects = metricsProspects(pipeline, intervals);
    const count = prospects.passed([]).length;
    isWorth ||= prospects.isWorth(passed.slice(at, at + count));
    at += count;
  }
  return isWorth;
}

/** Numbers of sources over all members. */
class Origins {
  readonly #firsts = new Map<ScanMember, number>();

  constructor(summaries: readonly Said<SourceSummary>[]) {
    let next = 0;
    for (const { member, value } of summaries) {
      this.#firsts.set(member, next);
      next += value.sources.length;
    }
  }

  numbered(member: ScanMember, { leaves, inspectedSpans }: MetricsPart): MetricsPart {
    const first = this.#firsts.get(member) ?? 0;
    return {
      inspectedSpans,
      leaves: leaves.map((leaf) => ({
        ...leaf,
        candidates: leaf.candidates.map((candidate) => ({
          ...candidate,
          origin: candidate.origin === undefined ? undefined : first + candidate.origin,
        })),
      })),
    };
  }

  /** The member that has the source, and its number there. */
  placeOf(origin: number): { readonly member: ScanMember | undefined; readonly source: number } {
    const [member, first] = [...this.#firsts].findLast(([, from]) => from <= origin) ?? [undefined, 0];
    return { member, source: origin - first };
  }
}

/** Each member is asked once. */
async function showChosen(
  group: ScanGroup,
  origins: Origins,
  chosen: readonly ChosenSpans[],
): Promise<Exemplar[][]> {
  const placed = chosen.map((each, place) => ({ place, each, ...origins.placeOf(each.origin) }));
  const byMember = Map.groupBy(placed, ({ member }) => member);
  const asked = [...byMember].flatMap(([member, own]) => {
    const input = own.map(({ each, source }) => ({ ...each, origin: source }));
    return member === undefined ? [] : [{ member, question: { name: "exemplars", input } as const }];
  });
  const shown: Exemplar[][] = chosen.map(() => []);
  for (const { member, value } of await group.ask<"exemplars">(asked)) {
    (byMember.get(member) ?? []).forEach(({ place }, i) => (shown[place] = [...(value[i] ?? [])]));
  }
  return shown;
}
