// Trace by id: one call to the shard, one range of each block that may hold the trace, all put together.
import { readTracePages } from "../block/read-trace.ts";
import { type Limits, PLATFORM } from "../model/limits.ts";
import type { BlockRef, FindTraceReply, TraceShardRpc } from "../store/rpc.ts";
import { AppError, isAppError } from "../util/errors.ts";
import type { MergedTrace } from "./merged-trace.ts";
import {
  BlockReader,
  cancelled,
  failureOf,
  type RangeReader,
  type ReadPages,
  readLive,
  type SourceFailure,
} from "./sources.ts";
import { TraceBuilder } from "./trace-builder.ts";

/** Where to look: everywhere, only in the shard's buffer, only in blocks, or in other systems (there are none). */
export type TraceMode = "all" | "ingesters" | "blocks" | "external";

export interface TraceQuery {
  /** 16 bytes. */
  readonly traceId: Uint8Array;
  readonly mode: TraceMode;
  /** Unix seconds, 0 or less when not given: blocks whose spans all lie before `start` or after `end` are not read. */
  readonly startSeconds: number;
  readonly endSeconds: number;
}

export interface FindTraceDeps {
  readonly limits: Limits;
  readonly objects: RangeReader;
  /** The shard of the trace. */
  readonly shard: Pick<TraceShardRpc, "findTrace">;
  /** Default: this project's blocks. */
  readonly readPages?: ReadPages;
}

export interface FoundTrace {
  readonly trace: MergedTrace;
  /** Spans that came from the shard's buffer. */
  readonly liveSpans: number;
  /** Blocks that were read to their end. */
  readonly blocks: number;
  /** Bytes of live spans and block ranges that were read. */
  readonly inspectedBytes: number;
  /** What could not be read: when there is any, the trace may be incomplete. */
  readonly failures: readonly SourceFailure[];
}

export const LIVE_SPANS = "live spans";

function overlaps(ref: BlockRef, query: TraceQuery): boolean {
  if (query.startSeconds > 0 && ref.maxEndSeconds < query.startSeconds) return false;
  return query.endSeconds <= 0 || ref.minStartSeconds <= query.endSeconds;
}

/** A shard that is restarted, overloaded or out of reach throws errors of its own: the client may ask again. */
async function callShard(shard: FindTraceDeps["shard"], traceId: Uint8Array): Promise<FindTraceReply> {
  try {
    return await shard.findTrace(traceId);
  } catch (error) {
    if (isAppError(error)) throw error;
    throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: 1_000, cause: error });
  }
}

async function ask(deps: FindTraceDeps, query: TraceQuery): Promise<FindTraceReply> {
  if (query.mode === "external") return { live: new Uint8Array(0), blocks: [] };
  const reply = await callShard(deps.shard, query.traceId);
  const blocks = query.mode === "ingesters" ? [] : reply.blocks.filter((ref) => overlaps(ref, query));
  if (query.mode !== "blocks") return { live: reply.live, blocks };
  if (!(reply.live instanceof Uint8Array)) await reply.live.cancel().catch(() => undefined);
  return { live: new Uint8Array(0), blocks };
}

/**
 * Collects the trace. Live spans take precedence, then the blocks in the shard's order: the same answer twice. Reading
 * stops at a limit (`trace.exceededBytes`). A source that fails does not hide the others; it is in `failures`.
 * When the promise settles, nothing is open any more.
 *
 * @param signal aborted when the client has gone: all reading is cancelled
 * @throws AppError `unavailable` when the shard cannot be reached or after an abort, `corrupt` when its segments are
 */
export async function findTrace(
  deps: FindTraceDeps,
  query: TraceQuery,
  signal?: AbortSignal,
): Promise<FoundTrace> {
  const { live, blocks: refs } = await ask(deps, query);
  const builder = new TraceBuilder(deps.limits);
  const failures: SourceFailure[] = [];
  const take = (piece: Uint8Array): boolean => signal?.aborted !== true && builder.add(piece);
  const ports = { objects: deps.objects, readPages: deps.readPages ?? readTracePages };
  const reader = new BlockReader(ports, query.traceId, refs);
  let inspectedBytes = 0;
  let wanted = true;
  try {
    // A stream from the shard takes one of the connections.
    reader.prefetch(PLATFORM.connections - (live instanceof Uint8Array ? 0 : 1));
    inspectedBytes = await readLive(live, deps.limits.maxBodyBytes, (piece) => (wanted = take(piece)));
  } catch (error) {
    failures.push(failureOf(LIVE_SPANS, error));
  }
  const liveSpans = builder.spanCount;
  const reading = wanted ? await reader.read(take) : { failures: [], blocks: 0, bytes: 0 };
  await reader.close();
  if (signal?.aborted === true) throw cancelled();
  const trace = builder.finish();
  return {
    trace,
    // A part that found no room in the spool at the end may have held some of them.
    liveSpans: Math.min(liveSpans, trace.spanCount),
    blocks: reading.blocks,
    inspectedBytes: inspectedBytes + reading.bytes,
    failures: [...failures, ...reading.failures],
  };
}
