// Which blocks and which live spans a query looks into: a pure function of what the shards say.
import type { ScanLimits } from "../model/limits.ts";
import { type CatalogueBlock, overlapsRange } from "../store/catalogue.ts";
import type { LiveEpoch, ShardSnapshot } from "../store/rpc.ts";

/** Where a shard's spans are. */
export interface PlannedShard {
  readonly name: string;
  readonly snapshot: ShardSnapshot;
}

/** What can be looked into on its own. */
export type ScanJob =
  | { readonly kind: "live"; readonly shard: string; readonly epoch: LiveEpoch }
  | { readonly kind: "block"; readonly shard: string; readonly block: CatalogueBlock };

export interface ScanPlan {
  /** Newest first. */
  readonly jobs: readonly ScanJob[];
  /** What lies beyond a limit, newest first, and which one that is. */
  readonly skipped: readonly { readonly job: ScanJob; readonly limit: PlanLimit }[];
}

export type PlanLimit = keyof Pick<ScanLimits, "maxQueryBytes" | "maxQueryTraces">;

/** Whole seconds since 1970, both ends included. */
export interface PlanWindow {
  readonly startSeconds: number;
  readonly endSeconds: number;
}

const NS_PER_SECOND = 1_000_000_000n;

/** How far a query looks beyond its window, in ns. */
export function marginNs({ traceMarginMs }: Pick<ScanLimits, "traceMarginMs">): bigint {
  return BigInt(traceMarginMs) * 1_000_000n;
}

/** The seconds around a window in ns, and as much around them as a trace may reach beyond it. */
export function planWindow(
  { startNs, endNs }: { readonly startNs: bigint; readonly endNs: bigint },
  { traceMarginMs }: Pick<ScanLimits, "traceMarginMs">,
): PlanWindow {
  const margin = Math.ceil(traceMarginMs / 1000);
  return {
    startSeconds: Number(startNs / NS_PER_SECOND) - margin,
    endSeconds: Number((endNs + NS_PER_SECOND - 1n) / NS_PER_SECOND) + margin,
  };
}

/**
 * Live spans and blocks with spans in the window. All live spans are looked into, then as many blocks as the limits
 * allow, the newest first and without a gap: what is left out is the oldest. Deterministic.
 */
export function planScan(
  shards: readonly PlannedShard[],
  window: PlanWindow,
  limits: Pick<ScanLimits, PlanLimit>,
): ScanPlan {
  const live = shards.flatMap(({ name, snapshot }) =>
    snapshot.epochs
      .filter((epoch) => epoch.spanCount > 0 && overlapsRange(epoch, window))
      .map((epoch): ScanJob => ({ kind: "live", shard: name, epoch })),
  );
  const blocks = shards.flatMap(({ name, snapshot }) =>
    snapshot.blocks
      .filter((block) => block.spanCount > 0 && overlapsRange(block, window))
      .map((block) => ({ kind: "block", shard: name, block }) as const),
  );
  const jobs: ScanJob[] = live.toSorted(byTime);
  const skipped: ScanPlan["skipped"][number][] = [];
  let bytes = 0;
  let traces = 0;
  let reached: PlanLimit | undefined;
  for (const job of blocks.toSorted(byTime)) {
    bytes += job.block.byteLength;
    traces += job.block.traceCount;
    if (bytes > limits.maxQueryBytes) reached ??= "maxQueryBytes";
    if (traces > limits.maxQueryTraces) reached ??= "maxQueryTraces";
    if (reached === undefined) jobs.push(job);
    else skipped.push({ job, limit: reached });
  }
  return { jobs, skipped };
}

function partOf(job: ScanJob): { readonly id: number; readonly maxEndSeconds: number } {
  return job.kind === "live" ? job.epoch : job.block;
}

/** Newest first. */
function byTime(a: ScanJob, b: ScanJob): number {
  const ours = partOf(a);
  const theirs = partOf(b);
  return theirs.maxEndSeconds - ours.maxEndSeconds || theirs.id - ours.id || compareText(a.shard, b.shard);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
