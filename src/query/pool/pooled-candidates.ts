// Traces that might answer otherwise if more of them were known, over a group: as candidates.ts finds them in sources here.
import { type CutTraces, NO_CUT_TRACES } from "../../traceql/engine/tables/cut-traces.ts";
import { type CandidateLimits, type Candidates, newestCut, sourcesAtEnds } from "../candidates.ts";
import { marginNs } from "../plan.ts";
import type { ScanWindow } from "../query-scan.ts";
import { plannedSources, type PooledScan } from "./pooled-scan.ts";
import type { PooledQuery } from "./questions.ts";

export async function pooledCandidates(
  scan: PooledScan,
  query: PooledQuery,
  window: ScanWindow,
  limits: CandidateLimits,
): Promise<Candidates> {
  const summaries = await scan.group.askAll("summary", query);
  const { looked, moreSources } = sourcesAtEnds(plannedSources(scan, summaries), window, limits);
  const byMember = Map.groupBy(looked, ({ member }) => member);
  const said = await scan.group.ask(
    [...byMember].map(([member, own]) => {
      const sources = own.map(({ source }) => source);
      const input = { sources, longNs: marginNs(limits), limit: limits.maxCheckedTraces };
      return { member, question: { name: "cut", input } as const };
    }),
  );
  const cuts = new Map<(typeof looked)[number], CutTraces>();
  for (const { member, value } of said) {
    byMember.get(member)?.forEach((source, i) => cuts.set(source, value[i] ?? NO_CUT_TRACES));
  }
  return { ...newestCut(looked.map((source) => cuts.get(source) ?? NO_CUT_TRACES)), moreSources };
}
