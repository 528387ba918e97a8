// From a tenant's shards to sources of spans: snapshots, plan, columns of live spans, opened blocks. What fails is left out
// and named.
import { bytesSource } from "../block/reader.ts";
import { PLATFORM } from "../model/limits.ts";
import { blockSources, type BlockSource } from "../scan/block-source.ts";
import { type ChunkReader, newReread, type Reread } from "../scan/chunk-reader.ts";
import { openForScan } from "../scan/open-block.ts";
import { QueryIo } from "../scan/query-io.ts";
import type { ScanCache } from "../scan/scan-cache.ts";
import { overlapsRange } from "../store/catalogue.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { settleAll } from "../util/parallel.ts";
import {
  type BlockJob,
  type PlanLimits,
  type PlannedShard,
  planScan,
  type PlanWindow,
  type ScanJob,
  type ScanPlan,
} from "./plan.ts";
import type { ScanDeps, ScannedShard } from "./query-scan.ts";
import { failureOf, type SourceFailure } from "./sources.ts";

/** What there is to scan. */
export interface ScanSources {
  readonly io: QueryIo;
  readonly plan: ScanPlan;
  /** In the order of the plan's jobs; a job that failed or is the scan pool's has none. */
  readonly opened: readonly OpenedJob[];
  /** Whether no shard that answered has spans outside the window. */
  readonly hasAll: boolean;
  /** Shards that did not answer. */
  readonly shardFailures: readonly SourceFailure[];
  readonly jobFailures: readonly JobFailure[];
}

export interface OpenedJob {
  readonly job: ScanJob;
  readonly sources: readonly BlockSource[];
}

export interface JobFailure {
  readonly job: ScanJob;
  readonly failure: SourceFailure;
}

/** How a failure names a job. */
export function jobName(job: ScanJob): string {
  return job.kind === "block" ? job.block.key : `live spans of shard ${job.shard}`;
}

/**
 * Times that a shard is asked anew because an epoch became a block since: each takes a flush to happen meanwhile.
 */
const SNAPSHOTS_MAX = 4;

/**
 * @throws AppError `unavailable` when no shard answers or the client has gone
 */
export async function openSources(
  deps: ScanDeps,
  window: PlanWindow,
  signal: AbortSignal | undefined,
): Promise<ScanSources> {
  const io = new QueryIo(deps.objects, signal);
  const found = await settleAll(deps.shards, PLATFORM.connections, (shard) =>
    openShard({ deps, io, window }, shard),
  );
  io.checkAborted();
  const answered: LiveShard[] = [];
  const shardFailures: SourceFailure[] = [];
  for (const [i, result] of found.entries()) {
    if (result.status === "fulfilled") answered.push(result.value);
    else shardFailures.push(failureOf(`shard ${deps.shards[i]?.name}`, result.reason));
  }
  const [first] = found;
  if (answered.length === 0 && first?.status === "rejected") throw first.reason;
  const plan = planScan(answered, window, planLimits(deps));
  const live = new Map(answered.flatMap(({ jobs }) => Array.from(jobs)));
  const pooled = new Set<ScanJob>(plan.pooled.flatMap(({ jobs }) => jobs));
  const own = plan.jobs.filter((job) => !pooled.has(job));
  const { maxHeldBytes, maxRereadBytes } = deps.limits.scan;
  const ports = { cache: deps.cache, maxHeldBytes, reread: newReread(maxRereadBytes) };
  const settled = await settleAll(own, PLATFORM.connections, async (job) =>
    job.kind === "block"
      ? openBlock(ports, io, job)
      : (live.get(liveKey(job.shard, job.epoch.id)) ?? Promise.reject(new Error("no live spans"))),
  );
  io.checkAborted();
  const opened: OpenedJob[] = [];
  const jobFailures: JobFailure[] = [];
  for (const [i, job] of own.entries()) {
    const result = settled[i];
    if (result?.status === "fulfilled") opened.push({ job, sources: result.value });
    else jobFailures.push({ job, failure: failureOf(jobName(job), result?.reason) });
  }
  return { io, plan, hasAll: hasAll(answered, window), opened, shardFailures, jobFailures };
}

function hasAll(shards: readonly PlannedShard[], window: PlanWindow): boolean {
  return shards.every(
    ({ snapshot }) =>
      snapshot.hasAllBlocks === true && snapshot.epochs.every((epoch) => overlapsRange(epoch, window)),
  );
}

/** Without a scan pool everything is looked into here. */
function planLimits({ limits: { scan }, scannerOf }: ScanDeps): PlanLimits {
  return scannerOf === undefined ? { ...scan, pool: undefined } : scan;
}

interface Opening {
  readonly deps: ScanDeps;
  readonly io: QueryIo;
  readonly window: PlanWindow;
}

interface LiveShard extends PlannedShard {
  /** By liveKey: the sources of an epoch, or why there are none. */
  readonly jobs: ReadonlyMap<string, Promise<readonly BlockSource[]>>;
}

function liveKey(shard: string, epoch: number): string {
  return `${shard}/${epoch}`;
}

/** A snapshot of the shard, and the live spans that it tells of: they may be gone when asked for later. */
async function openShard(opening: Opening, shard: ScannedShard): Promise<LiveShard> {
  for (let attempt = 1; ; attempt++) {
    const snapshot = await takeSnapshot(opening, shard);
    const { jobs } = planScan([{ name: shard.name, snapshot }], opening.window, planLimits(opening.deps));
    const epochs = new Map<string, Promise<readonly BlockSource[]>>();
    let isGone = false;
    for (const job of jobs) {
      if (job.kind !== "live") continue;
      const [read] = await settleAll([job], 1, () => openEpoch(opening, shard, job));
      if (read?.status === "fulfilled" && read.value === undefined) {
        isGone = true;
        break;
      }
      const sources =
        read?.status === "fulfilled" ? Promise.resolve(read.value ?? []) : Promise.reject(read?.reason);
      sources.catch(() => undefined);
      epochs.set(liveKey(shard.name, job.epoch.id), sources);
    }
    if (!isGone) return { name: shard.name, snapshot, jobs: epochs };
    if (attempt === SNAPSHOTS_MAX) {
      throw new AppError("unavailable", "the buffer is flushed faster than it can be read", {
        retryAfterMs: 1_000,
      });
    }
  }
}

async function takeSnapshot({ io, window }: Opening, { shard }: ScannedShard) {
  try {
    return await io.connect(() => shard.snapshot(window));
  } catch (error) {
    if (isAppError(error)) throw error;
    throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: 1_000, cause: error });
  }
}

async function openEpoch(
  { deps, io }: Opening,
  { name, shard }: ScannedShard,
  { epoch }: ScanJob & { readonly kind: "live" },
): Promise<readonly BlockSource[] | undefined> {
  const groups = await deps.cache.live.groups({ name, rpc: shard }, epoch, io);
  return groups?.flatMap((group) => blockSources(group, memoryReader(deps, group)));
}

/** What is in memory is neither counted nor cached; how it is grouped is nobody's business. */
function memoryReader(
  { cache }: ScanDeps,
  { key, file }: { readonly key: string; readonly file: Uint8Array },
): ChunkReader {
  const ranges = bytesSource(file);
  return {
    key,
    readsMax: Infinity,
    heldBytesMax: 0,
    io: { inspectedBytes: 0, heldBytes: 0 },
    caches: { chunks: undefined, traces: cache.traces, sparse: undefined },
    readParts: (_, parts) => Promise.all(parts.map((part) => ranges.read(part))),
  };
}

/** Requests for a row group: one opens the block, one brings what the query is about, one what its results show. */
const READS_MAX = 3;
/** A column chunk of a row group is a few MiB; a damaged footer must not cost more memory than this. */
const CHUNK_BYTES_MAX = 128 * 1024 * 1024;

/** What blocks are opened with. */
export interface BlockPorts {
  readonly cache: Omit<ScanCache, "live">;
  /** Bytes that are read along for later. */
  readonly maxHeldBytes: number;
  readonly reread: Reread;
}

/** @throws AppError `not_found`, `corrupt`, `unavailable` */
export async function openBlock(
  { cache, maxHeldBytes, reread }: BlockPorts,
  io: QueryIo,
  { block }: BlockJob,
): Promise<readonly BlockSource[]> {
  const { opened, wasRead } = await openForScan(block, cache.blocks, io);
  return blockSources(opened, {
    key: block.key,
    readsMax: wasRead ? READS_MAX - 1 : READS_MAX,
    heldBytesMax: maxHeldBytes,
    io,
    caches: cache,
    reread,
    readParts: async (read, parts) => {
      const isWithin = read.offset >= 0 && read.offset + read.length <= block.byteLength;
      if (!isWithin || parts.some(({ length }) => length > CHUNK_BYTES_MAX)) {
        throw new AppError("corrupt", `block ${block.key}: range ${read.offset}+${read.length}`);
      }
      return io.readParts(block, read, parts);
    },
  });
}
