// Trace by id: one call to each shard that may have it, one range of each block that may hold it, all put together.
import { readTracePages } from "../block/read-trace.ts";
import { type Limits, PLATFORM } from "../model/limits.ts";
import type { TimeRange } from "../store/catalogue.ts";
import type { BlockRef, FindTraceReply, TraceShardRpc } from "../store/rpc.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { settleAll } from "../util/parallel.ts";
import type { MergedTrace } from "./merged-trace.ts";
import {
  BlockReader,
  cancelled,
  failureOf,
  type RangeReader,
  type ReadPages,
  readLive,
  type SourceFailure,
  type TakePiece,
} from "./sources.ts";
import { TraceBuilder } from "./trace-builder.ts";

/** Where to look: everywhere, only in the shards' buffers, only in blocks, or in other systems (there are none). */
export type TraceMode = "all" | "ingesters" | "blocks" | "external";

export interface TraceQuery {
  /** 16 bytes. */
  readonly traceId: Uint8Array;
  readonly mode: TraceMode;
  /** Unix seconds, 0 or less when not given: blocks whose spans all lie before `start` or after `end` are not read. */
  readonly startSeconds: number;
  readonly endSeconds: number;
}

/** A shard that may hold the trace, and what failures call it. */
export interface QueriedShard {
  readonly name: string;
  readonly shard: Pick<TraceShardRpc, "findTrace" | "noteFailedReads">;
}

export interface FindTraceDeps {
  readonly limits: Limits;
  readonly objects: RangeReader;
  /** Every shard that may hold the trace; of what several have, the first one's copy counts. */
  readonly shards: readonly QueriedShard[];
  /** Default: this project's blocks. */
  readonly readPages?: ReadPages;
}

export interface FoundTrace {
  readonly trace: MergedTrace;
  /** Spans that came from the shards' buffers. */
  readonly liveSpans: number;
  /** Blocks that were read to their end. */
  readonly blocks: number;
  /** Bytes of live spans and block ranges that were read. */
  readonly inspectedBytes: number;
  /** What could not be read: when there is any, the trace may be incomplete. */
  readonly failures: readonly SourceFailure[];
  /** True when spans were left out because a filter does not want them. */
  readonly isFiltered?: boolean;
}

interface Answer extends QueriedShard {
  readonly live: FindTraceReply["live"];
  readonly blocks: readonly BlockRef[];
}

const NO_SPANS = new Uint8Array(0);

function overlaps(ref: BlockRef, query: TraceQuery): boolean {
  if (query.startSeconds > 0 && ref.maxEndSeconds < query.startSeconds) return false;
  return query.endSeconds <= 0 || ref.minStartSeconds <= query.endSeconds;
}

function rangeOf({ startSeconds, endSeconds }: TraceQuery): TimeRange {
  return {
    startSeconds: startSeconds > 0 ? startSeconds : undefined,
    endSeconds: endSeconds > 0 ? endSeconds : undefined,
  };
}

/** A shard that is restarted, overloaded or out of reach throws errors of its own: the client may ask again. */
async function callShard({ shard }: QueriedShard, query: TraceQuery): Promise<FindTraceReply> {
  try {
    return await shard.findTrace(query.traceId, rangeOf(query));
  } catch (error) {
    if (isAppError(error)) throw error;
    throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: 1_000, cause: error });
  }
}

async function askShard(queried: QueriedShard, query: TraceQuery): Promise<Answer> {
  const reply = await callShard(queried, query);
  const blocks = query.mode === "ingesters" ? [] : reply.blocks.filter((ref) => overlaps(ref, query));
  if (query.mode !== "blocks") return { ...queried, live: reply.live, blocks };
  await cancel(reply.live);
  return { ...queried, live: NO_SPANS, blocks };
}

async function cancel(live: FindTraceReply["live"]): Promise<void> {
  if (!(live instanceof Uint8Array)) await live.cancel().catch(() => undefined);
}

/**
 * Asks all shards. One that fails is among the failures when another answered.
 * @throws what the first one threw when none did
 */
async function askAll(
  shards: readonly QueriedShard[],
  query: TraceQuery,
): Promise<{ answers: Answer[]; failures: SourceFailure[] }> {
  const answers: Answer[] = [];
  const failures: SourceFailure[] = [];
  const results = await settleAll(shards, PLATFORM.connections, (queried) => askShard(queried, query));
  for (const [i, result] of results.entries()) {
    if (result.status === "fulfilled") answers.push(result.value);
    else failures.push(failureOf(`shard ${shards[i]?.name}`, result.reason));
  }
  const [first] = results;
  if (answers.length === 0 && first?.status === "rejected") throw first.reason;
  return { answers, failures };
}

interface LiveReading {
  readonly bytes: number;
  readonly failures: readonly SourceFailure[];
  /** False when `take` wants no more. */
  readonly isWanted: boolean;
}

/** Feeds the live spans of all answers to `take`, one after another. No stream is left open. */
async function readAllLive(
  answers: readonly Answer[],
  maxRecordBytes: number,
  take: TakePiece,
): Promise<LiveReading> {
  const failures: SourceFailure[] = [];
  let bytes = 0;
  let isWanted = true;
  for (const { name, live } of answers) {
    if (!isWanted) {
      await cancel(live);
      continue;
    }
    try {
      bytes += await readLive(live, maxRecordBytes, (piece) => (isWanted = take(piece)));
    } catch (error) {
      failures.push(failureOf(answers.length > 1 ? `live spans of shard ${name}` : "live spans", error));
    }
  }
  return { bytes, failures, isWanted };
}

/** Tells each shard how many of its blocks could not be read: it counts them. */
async function reportFailures(answers: readonly Answer[], failures: readonly SourceFailure[]): Promise<void> {
  const failed = new Set(failures.map(({ source }) => source));
  await Promise.all(
    answers.map(async ({ shard, blocks }) => {
      const count = blocks.filter(({ key }) => failed.has(key)).length;
      if (count > 0) await shard.noteFailedReads(count).catch(() => undefined);
    }),
  );
}

/** What was read of a trace. */
export interface TraceReading {
  readonly blocks: number;
  readonly bytes: number;
  readonly failures: readonly SourceFailure[];
}

/**
 * Feeds all that there is of a trace to `take`, as it was sent: live spans first, then the blocks, each in the order of the
 * shards and, within one, in the shard's. A piece is valid until `take` returns. Reading stops when no more is wanted. When
 * the promise settles, nothing is open any more.
 * @param afterLive called when the live spans are through
 * @throws as `findTrace`
 */
export async function readTrace(
  deps: Omit<FindTraceDeps, "limits"> & { readonly limits: Pick<Limits, "maxBodyBytes"> },
  query: TraceQuery,
  want: { readonly take: TakePiece; readonly afterLive?: () => void },
  signal?: AbortSignal,
): Promise<TraceReading> {
  const asked = await askAll(query.mode === "external" ? [] : deps.shards, query);
  const { answers } = asked;
  const take: TakePiece = (piece) => signal?.aborted !== true && want.take(piece);
  const ports = { objects: deps.objects, readPages: deps.readPages ?? readTracePages };
  const refs = answers.flatMap(({ blocks }) => blocks);
  const reader = new BlockReader(ports, query.traceId, refs);
  // A stream from a shard takes one of the connections.
  const streams = answers.filter(({ live }) => !(live instanceof Uint8Array)).length;
  reader.prefetch(PLATFORM.connections - streams);
  const live = await readAllLive(answers, deps.limits.maxBodyBytes, take);
  want.afterLive?.();
  const reading = live.isWanted ? await reader.read(take) : { failures: [], blocks: 0, bytes: 0 };
  await reader.close();
  if (signal?.aborted === true) throw cancelled();
  if (reading.failures.length > 0) await reportFailures(answers, reading.failures);
  return {
    blocks: reading.blocks,
    bytes: live.bytes + reading.bytes,
    failures: [...asked.failures, ...live.failures, ...reading.failures],
  };
}

/**
 * Collects the trace: the same answer twice. Reading stops at a limit (`trace.exceededBytes`). A source that fails does not
 * hide the others; it is in `failures`.
 *
 * @param signal aborted when the client has gone: all reading is cancelled
 * @throws AppError `unavailable` when no shard can be reached or after an abort, `corrupt` when all segments are
 */
export async function findTrace(
  deps: FindTraceDeps,
  query: TraceQuery,
  signal?: AbortSignal,
): Promise<FoundTrace> {
  const builder = new TraceBuilder(deps.limits);
  let liveSpans = 0;
  const take: TakePiece = (piece) => builder.add(piece);
  const afterLive = (): void => {
    liveSpans = builder.spanCount;
  };
  const { blocks, bytes, failures } = await readTrace(deps, query, { take, afterLive }, signal);
  const trace = builder.finish();
  return {
    trace,
    // A part that found no room in the spool at the end may have held some of them.
    liveSpans: Math.min(liveSpans, trace.spanCount),
    blocks,
    inspectedBytes: bytes,
    failures,
  };
}
