// Traces that might answer otherwise if more of them were known, over a group: as candidates.ts finds them in sources here.
import type { CutTrace } from "../../traceql/engine/tables/cut-traces.ts";
import { newestCut, sourcesAtEnds } from "../candidates.ts";
import type { ScanWindow } from "../query-scan.ts";
import { plannedSources, type PooledScan } from "./pooled-scan.ts";
import type { PooledQuery } from "./questions.ts";

/** @returns their ids, the newest first */
export async function pooledCandidates(
  scan: PooledScan,
  query: PooledQuery,
  { window, margin }: { readonly window: ScanWindow; readonly margin: bigint },
): Promise<string[]> {
  const summaries = await scan.group.askAll("summary", query);
  const looked = sourcesAtEnds(plannedSources(scan, summaries), window, margin);
  const byMember = Map.groupBy(looked, ({ member }) => member);
  const said = await scan.group.ask(
    [...byMember].map(([member, own]) => {
      const input = { sources: own.map(({ source }) => source), longNs: margin };
      return { member, question: { name: "cut", input } as const };
    }),
  );
  const cuts = new Map<(typeof looked)[number], readonly CutTrace[]>();
  for (const { member, value } of said) {
    byMember.get(member)?.forEach((source, i) => cuts.set(source, value[i] ?? []));
  }
  return newestCut(looked.flatMap((source) => cuts.get(source) ?? []));
}
