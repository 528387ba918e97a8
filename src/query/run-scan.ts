// Evaluates something over all spans of a window, and reports what was read and what could not be.
import { PLATFORM } from "../model/limits.ts";
import type { BlockSource, ExpectedColumn } from "../scan/block-source.ts";
import type { QueryIo } from "../scan/query-io.ts";
import type { Column, ColumnName, ColumnPage, SpanSource } from "../traceql/storage.ts";
import { settleAll } from "../util/parallel.ts";
import { planWindow, type ScanJob } from "./plan.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";
import { type JobFailure, jobName, openSources, type ScanSources } from "./scan-sources.ts";
import { failureOf, type SourceFailure } from "./sources.ts";
import { BeyondWindow } from "./whole-traces.ts";

export interface ScanTask<T> {
  readonly window: ScanWindow;
  readonly signal: AbortSignal | undefined;
  /** What will be asked of a source, in lists of what belongs together. */
  readonly expected: (source: SpanSource) => readonly (readonly ExpectedColumn[])[];
  /** Called again, with fewer sources, when one of them fails. */
  readonly evaluate: (sources: readonly SpanSource[], beyond: BeyondWindow) => Promise<T>;
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
    const { io, hasAll } = opened;
    const newBeyond = (): BeyondWindow => new BeyondWindow(deps, { io, window, isEmpty: hasAll });
    const { result, failures, beyond } = await evaluate(task, { io, newBeyond }, watched);
    const all = [...opened.jobFailures, ...failures];
    await noteFailures(deps, all);
    const report = reportOf(opened, all, beyond.failures);
    deps.noteInspected?.(report.inspectedBytes);
    return { result, report };
  } finally {
    for (const { source } of watched) source.release();
  }
}

/** Without the jobs whose sources fail, each of them whole. */
async function evaluate<T>(
  task: ScanTask<T>,
  { io, newBeyond }: { readonly io: QueryIo; readonly newBeyond: () => BeyondWindow },
  watched: readonly WatchedSource[],
): Promise<{
  readonly result: T;
  readonly failures: readonly JobFailure[];
  readonly beyond: BeyondWindow;
}> {
  const failures: JobFailure[] = [];
  let left = watched;
  for (;;) {
    try {
      const beyond = newBeyond();
      return { result: await task.evaluate(left, beyond), failures, beyond };
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

/** A source that remembers how it failed. */
class WatchedSource implements SpanSource {
  readonly job: ScanJob;
  readonly source: BlockSource;
  failure: { readonly reason: unknown } | undefined;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(job: ScanJob, source: BlockSource) {
    this.job = job;
    this.source = source;
  }

  get rowCount(): SpanSource["rowCount"] {
    return this.source.rowCount;
  }

  get bounds(): SpanSource["bounds"] {
    return this.source.bounds;
  }

  get pageRows(): SpanSource["pageRows"] {
    return this.source.pageRows;
  }

  get columns(): SpanSource["columns"] {
    return this.source.columns;
  }

  get rest(): SpanSource["rest"] {
    return this.source.rest;
  }

  traces(): ReturnType<SpanSource["traces"]> {
    return this.#watch(this.source.traces());
  }

  async load(names: readonly ColumnName[], rows?: Uint32Array): Promise<readonly Column[]> {
    const columns = await this.#watch(this.source.load(names, rows));
    return columns.map((column) => new WatchedColumn(column, (reason) => this.#note(reason)));
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }

  async #watch<T>(promise: Promise<T>): Promise<T> {
    this.#pending.add(promise);
    try {
      return await promise;
    } catch (reason) {
      this.#note(reason);
      throw reason;
    } finally {
      this.#pending.delete(promise);
    }
  }

  #note(reason: unknown): void {
    this.failure ??= { reason };
  }
}

/** Pages are decoded, and found to be damaged, when they are asked for. */
class WatchedColumn implements Column {
  readonly codedPageCount: number;
  readonly notes: Column["notes"];
  readonly #column: Column;
  readonly #fail: (reason: unknown) => void;

  constructor(column: Column, fail: (reason: unknown) => void) {
    this.codedPageCount = column.codedPageCount;
    this.notes = column.notes;
    this.#column = column;
    this.#fail = fail;
  }

  get dictionary(): Column["dictionary"] {
    return this.#decode(() => this.#column.dictionary);
  }

  page(index: number): ColumnPage {
    return this.#decode(() => this.#column.page(index));
  }

  #decode<T>(decode: () => T): T {
    try {
      return decode();
    } catch (reason) {
      this.#fail(reason);
      throw reason;
    }
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
  beyond: readonly SourceFailure[],
): ScanReport {
  const all = [...plan.jobs, ...plan.skipped.map(({ job }) => job)];
  const blocks = all.flatMap((job) => (job.kind === "block" ? [job.block] : []));
  const failed = new Set(jobFailures.map(({ job }) => job));
  const live = plan.jobs.flatMap((job) => (job.kind === "live" && !failed.has(job) ? [job.epoch] : []));
  return {
    inspectedBytes: io.inspectedBytes + sum(live.map(({ rawBytes }) => rawBytes)),
    totalBlocks: blocks.length,
    totalBlockBytes: sum(blocks.map(({ byteLength }) => byteLength)),
    totalJobs: all.length + shardFailures.length + beyond.length,
    completedJobs: plan.jobs.length - failed.size,
    failures: [
      ...shardFailures,
      ...jobFailures.map(({ failure }) => failure),
      ...skippedFailures(plan),
      ...beyond,
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
