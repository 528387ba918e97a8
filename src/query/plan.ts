// Which blocks and which live spans a query looks into: a pure function of what the shards say.
import type { PoolLimits, ScanLimits } from "../model/limits.ts";
import { type CatalogueBlock, overlapsRange } from "../store/catalogue.ts";
import { parseShardName, scannerName } from "../store/keys.ts";
import type { LiveEpoch, ShardSnapshot } from "../store/rpc.ts";
import { mix32 } from "../util/hash.ts";

/** Where a shard's spans are. */
export interface PlannedShard {
  readonly name: string;
  readonly snapshot: ShardSnapshot;
}

/** What can be looked into on its own. */
export type ScanJob =
  | { readonly kind: "live"; readonly shard: string; readonly epoch: LiveEpoch }
  | { readonly kind: "block"; readonly shard: string; readonly block: CatalogueBlock };

export type BlockJob = ScanJob & { readonly kind: "block" };

/** The blocks that one Scanner object looks into. */
export interface PooledJobs {
  /** Name of the object: a tenant's, and one of so many. */
  readonly scanner: string;
  /** Newest first. */
  readonly jobs: readonly BlockJob[];
}

export interface ScanPlan {
  /** Newest first. */
  readonly jobs: readonly ScanJob[];
  /** Which of them the scan pool does, by name of the Scanner; none: the Worker does all of them. */
  readonly pooled: readonly PooledJobs[];
  /** What lies beyond a limit, newest first, and which one that is. */
  readonly skipped: readonly { readonly job: ScanJob; readonly limit: PlanLimit }[];
}

export type PlanLimit = keyof Pick<ScanLimits, "maxQueryBytes" | "maxQueryTraces">;

type LocalLimit = "maxLocalSpans" | "maxLocalBlocks" | "maxLocalTraces" | "maxLocalBytes";

export interface PlanLimits extends Pick<ScanLimits, PlanLimit> {
  /** Absent: there is no pool. */
  readonly pool?: Pick<PoolLimits, LocalLimit | "scanners"> | undefined;
}

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
 * allow, the newest first and without a gap: what is left out is the oldest. Blocks that are more than one isolate should
 * take go to the scan pool, all of them; live spans stay with the Worker. Deterministic.
 */
export function planScan(shards: readonly PlannedShard[], window: PlanWindow, limits: PlanLimits): ScanPlan {
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
  const kept: BlockJob[] = [];
  const skipped: ScanPlan["skipped"][number][] = [];
  let bytes = 0;
  let traces = 0;
  let reached: PlanLimit | undefined;
  for (const job of blocks.toSorted(byTime)) {
    bytes += job.block.byteLength;
    traces += job.block.traceCount;
    if (bytes > limits.maxQueryBytes) reached ??= "maxQueryBytes";
    if (traces > limits.maxQueryTraces) reached ??= "maxQueryTraces";
    if (reached === undefined) kept.push(job);
    else skipped.push({ job, limit: reached });
  }
  const { pool } = limits;
  const pooled = pool !== undefined && isForPool(kept, pool) ? spread(kept, pool) : [];
  return { jobs: [...live.toSorted(byTime), ...kept], pooled, skipped };
}

function isForPool(jobs: readonly BlockJob[], limits: Pick<PoolLimits, LocalLimit>): boolean {
  const total = (countOf: (job: BlockJob) => number): number =>
    jobs.reduce((sum, job) => sum + countOf(job), 0);
  return (
    jobs.length > limits.maxLocalBlocks ||
    total(({ block }) => block.spanCount) > limits.maxLocalSpans ||
    total(({ block }) => block.traceCount) > limits.maxLocalTraces ||
    total(({ block }) => block.byteLength) > limits.maxLocalBytes
  );
}

/** A block is always the same Scanner's, so that it is known there; nothing is one that is not of its tenant. */
function spread(jobs: readonly BlockJob[], { scanners }: Pick<PoolLimits, "scanners">): PooledJobs[] {
  const byName = Map.groupBy(jobs, (job) => scannerOf(job, scanners));
  return [...byName]
    .map(([scanner, own]) => ({ scanner, jobs: own }))
    .toSorted((a, b) => compareText(a.scanner, b.scanner));
}

/** 2^32 by the golden ratio: multiples of it, modulo 2^32, lie evenly however many they are. */
const GOLDEN = 0x9e3779b1;

/** Blocks with ids one behind the other, or so many apart as merges leave, are spread evenly. */
function scannerOf({ shard, block: { id } }: BlockJob, scanners: number): string {
  const { tenant, shard: index } = parseShardName(shard);
  const place = (mix32(index) + Math.imul(id % 2 ** 32, GOLDEN)) >>> 0;
  return scannerName(tenant, Math.floor((place / 2 ** 32) * scanners));
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
