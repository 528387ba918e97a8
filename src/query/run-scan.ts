// Evaluates something over all spans of a window, and reports what was read and what could not be.
import { PLATFORM } from "../model/limits.ts";
import type { QueryIo } from "../scan/query-io.ts";
import type { SpanSource } from "../traceql/storage.ts";
import { settleAll } from "../util/parallel.ts";
import type { ExpectedOf } from "./expected-columns.ts";
import { planWindow, type ScanJob } from "./plan.ts";
import { localMember } from "./pool/local-scan.ts";
import type { PooledScan } from "./pool/pooled-scan.ts";
import type { PooledQuery } from "./pool/questions.ts";
import { RemoteScan } from "./pool/remote-scan.ts";
import { ScanGroup } from "./pool/scan-group.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";
import { type JobFailure, jobName, openSources, type ScanSources } from "./scan-sources.ts";
import { failureOf, type SourceFailure } from "./sources.ts";
import { WatchedSource } from "./watched-source.ts";
import { BeyondWindow } from "./whole-traces.ts";

export interface ScanTask<T> {
  readonly window: ScanWindow;
  readonly signal: AbortSignal | undefined;
  /** What will be asked of a source, in lists of what belongs together. */
  readonly expected: ExpectedOf;
  /** Called again, with fewer sources, when one of them fails. */
  readonly evaluate: (sources: readonly SpanSource[], beyond: BeyondWindow) => Promise<T>;
  /** The same for the scan pool, and how it is evaluated there. */
  readonly query: PooledQuery;
  readonly evaluatePooled: (scan: PooledScan) => Promise<T>;
}

/** @throws what `evaluate` throws for reasons of its own; AppError `unavailable` as `openSources` does */
export async function runScan<T>(
  deps: ScanDeps,
  task: ScanTask<T>,
): Promise<{ readonly result: T; readonly report: ScanReport }> {
  const window = planWindow(task.window, deps.limits.scan);
  const opened = await openSources(deps, window, task.signal);
  const watched = opened.opened.flatMap(({ job, sources }) =>
    sources.map((source) => new WatchedSource(job, source)),
  );
  for (const { source } of watched) source.expect(...task.expected(source));
  try {
    const { io, hasAll, plan } = opened;
    const newBeyond = (): BeyondWindow => new BeyondWindow(deps, { io, window, isEmpty: hasAll });
    const evaluated =
      plan.pooled.length > 0
        ? await evaluatePooled(deps, task, { ...opened, newBeyond }, watched)
        : await evaluate(task, { io, newBeyond }, watched);
    const all = [...opened.jobFailures, ...evaluated.failures];
    await noteFailures(deps, all);
    const report = reportOf(opened, all, evaluated);
    const here = report.inspectedBytes - evaluated.pooledBytes + evaluated.messageBytes;
    deps.noteInspected?.({ all: report.inspectedBytes, here });
    return { result: evaluated.result, report };
  } finally {
    for (const { source } of watched) source.release();
  }
}

interface Evaluated<T> {
  readonly result: T;
  readonly failures: readonly JobFailure[];
  readonly beyond: BeyondWindow;
  /** Bytes that Scanners looked at, */
  readonly pooledBytes: number;
  /** and those of messages to them and from them. */
  readonly messageBytes: number;
}

/** Without the jobs whose sources fail, each of them whole. */
async function evaluate<T>(
  task: ScanTask<T>,
  { io, newBeyond }: { readonly io: QueryIo; readonly newBeyond: () => BeyondWindow },
  watched: readonly WatchedSource<ScanJob>[],
): Promise<Evaluated<T>> {
  const failures: JobFailure[] = [];
  let left = watched;
  for (;;) {
    try {
      const beyond = newBeyond();
      return { result: await task.evaluate(left, beyond), failures, beyond, pooledBytes: 0, messageBytes: 0 };
    } catch (error) {
      io.checkAborted();
      // What was asked of others at the same time may fail too.
      await settleAll(left, PLATFORM.connections, (source) => source.settled());
      io.checkAborted();
      const failed = new Map<ScanJob, unknown>();
      for (const { job, failure } of left) if (failure !== undefined) failed.set(job, failure.reason);
      if (failed.size === 0) throw error;
      for (const [job, reason] of failed) failures.push({ job, failure: failureOf(jobName(job), reason) });
      left = left.filter(({ job }) => !failed.has(job));
    }
  }
}

/** With Scanners for blocks; what is live is looked into here. */
async function evaluatePooled<T>(
  { limits, scannerOf, cache }: ScanDeps,
  task: ScanTask<T>,
  { io, plan, newBeyond }: ScanSources & { readonly newBeyond: () => BeyondWindow },
  watched: readonly WatchedSource<ScanJob>[],
): Promise<Evaluated<T>> {
  if (scannerOf === undefined) throw new Error("a plan without a pool has no pooled jobs");
  const ports = { limits: limits.scan.pool, scannerOf, signal: task.signal };
  const own = localMember(task.query, watched, io);
  const scanners = plan.pooled.map((pooled) => new RemoteScan(pooled, task.query, ports));
  const group = new ScanGroup([own, ...scanners], () => io.checkAborted());
  try {
    const places = new Map(plan.jobs.map((job, place) => [job, place]));
    const { maxSplitTraces } = ports.limits;
    const { result, beyond } = await group.evaluate(async () => {
      const beyondWindow = newBeyond();
      const { splits } = cache;
      const scan = { group, places, maxSplitTraces, splits, beyond: beyondWindow };
      return { result: await task.evaluatePooled(scan), beyond: beyondWindow };
    });
    const messageBytes = sum(scanners.map((scanner) => scanner.messageBytes));
    return { result, failures: group.failures, beyond, pooledBytes: group.inspectedBytes, messageBytes };
  } finally {
    group.close();
  }
}

/** Tells each shard how many of its blocks could not be read: it counts them. */
async function noteFailures({ shards }: ScanDeps, failures: readonly JobFailure[]): Promise<void> {
  await Promise.all(
    shards.map(async ({ name, shard }) => {
      const count = failures.filter(({ job }) => job.kind === "block" && job.shard === name).length;
      if (count > 0) await shard.noteFailedReads(count).catch(() => undefined);
    }),
  );
}

function reportOf(
  { io, plan, shardFailures }: ScanSources,
  jobFailures: readonly JobFailure[],
  { beyond, pooledBytes }: Pick<Evaluated<unknown>, "beyond" | "pooledBytes">,
): ScanReport {
  const all = [...plan.jobs, ...plan.skipped.map(({ job }) => job)];
  const blocks = all.flatMap((job) => (job.kind === "block" ? [job.block] : []));
  const failed = new Set(jobFailures.map(({ job }) => job));
  const live = plan.jobs.flatMap((job) => (job.kind === "live" && !failed.has(job) ? [job.epoch] : []));
  return {
    inspectedBytes: io.inspectedBytes + pooledBytes + sum(live.map(({ rawBytes }) => rawBytes)),
    totalBlocks: blocks.length,
    totalBlockBytes: sum(blocks.map(({ byteLength }) => byteLength)),
    totalJobs: all.length + shardFailures.length + beyond.failures.length,
    completedJobs: plan.jobs.length - failed.size,
    failures: [
      ...shardFailures,
      ...jobFailures.map(({ failure }) => failure),
      ...skippedFailures(plan),
      ...beyond.failures,
    ],
  };
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

function skippedFailures({ skipped }: ScanSources["plan"]): SourceFailure[] {
  const byLimit = Map.groupBy(skipped, ({ limit }) => limit);
  return [...byLimit].map(([limit, { length }]) => ({
    source: `${length} of the oldest blocks`,
    kind: "too_large",
    message: `left out: beyond the limit ${limit} of one query`,
  }));
}
